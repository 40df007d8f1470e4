//! Pings, and what their pongs prove.
//!
//! A ping is queued behind everything sent before it, so its pong proves that all of that arrived. At most one is
//! outstanding, and a pong without a ping that was really written proves nothing: otherwise a client that sends pongs
//! by itself would confirm what it never saw.

use std::time::Duration;

use tokio::time::Instant;

use crate::packet::Position;

#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    next_ping: Instant,
    ping: Option<Ping>,
    wanted: Option<Instant>,
    received: Position,
}

#[derive(Debug)]
struct Ping {
    /// Everything up to here was queued before it.
    covers: Position,
    /// `None` while it waits to be written.
    due: Option<Instant>,
    written: bool,
}

/// What has to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Nothing,
    SendPing,
    TimedOut,
}

impl Heartbeat {
    pub(crate) fn new(now: Instant, interval: Duration, timeout: Duration) -> Self {
        Self { interval, timeout, next_ping: now + interval, ping: None, wanted: None, received: 0 }
    }

    pub(crate) fn received(&self) -> Position {
        self.received
    }

    /// Raises what is proven, never lowers it.
    pub(crate) fn proven(&mut self, position: Position) -> bool {
        let news = position > self.received;
        self.received = self.received.max(position);
        news
    }

    /// A proof for everything sent so far is wanted by then.
    pub(crate) fn want(&mut self, by: Instant, sent: Position) {
        let covered = self.ping.as_ref().map_or(self.received, |p| p.covers.max(self.received));
        if sent > covered {
            self.wanted = Some(self.wanted.map_or(by, |w| w.min(by)));
        }
    }

    /// `pings` says whether the transport proves receipt by pings; `from_queued` whether the client's time to answer
    /// runs from the queueing, since on polling the client has to come for the ping.
    pub(crate) fn tick(&mut self, now: Instant, sent: Position, polling: bool) -> Beat {
        match &self.ping {
            Some(ping) if ping.due.is_some_and(|due| due <= now) => Beat::TimedOut,
            Some(_) => Beat::Nothing,
            None if self.next_ping <= now || (!polling && self.wanted.is_some_and(|w| w <= now)) => {
                self.wanted = None;
                let due = polling.then(|| now + self.timeout);
                self.ping = Some(Ping { covers: sent, due, written: false });
                Beat::SendPing
            }
            None => Beat::Nothing,
        }
    }

    pub(crate) fn deadline(&self, polling: bool) -> Option<Instant> {
        match &self.ping {
            Some(ping) => ping.due,
            None if polling => Some(self.next_ping),
            None => Some(self.wanted.map_or(self.next_ping, |w| w.min(self.next_ping))),
        }
    }

    /// The queued ping is on its way.
    pub(crate) fn written(&mut self, now: Instant) {
        if let Some(ping) = &mut self.ping {
            ping.written = true;
            ping.due.get_or_insert(now + self.timeout);
        }
    }

    /// A pong came. True if it proves something new.
    pub(crate) fn pong(&mut self, now: Instant) -> bool {
        match self.ping.take_if(|ping| ping.written) {
            Some(ping) => {
                self.next_ping = now + self.interval;
                self.proven(ping.covers)
            }
            None => false,
        }
    }

    /// The pong may lie unread before us, because we do not read while the application is behind: the client gets its
    /// full time again.
    pub(crate) fn forgive(&mut self, now: Instant) {
        if let Some(Ping { due: Some(due), .. }) = &mut self.ping {
            *due = now + self.timeout;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(25);
    const TIMEOUT: Duration = Duration::from_secs(20);

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_written_ping_must_be_answered() {
        let t = Instant::now();
        let mut beat = Heartbeat::new(t, INTERVAL, TIMEOUT);
        assert_eq!(beat.tick(at(t, 24), 0, false), Beat::Nothing);
        assert_eq!(beat.tick(at(t, 25), 0, false), Beat::SendPing);
        assert_eq!(beat.deadline(false), None, "time runs from the writing");
        beat.written(at(t, 30));
        assert_eq!(beat.tick(at(t, 49), 0, false), Beat::Nothing);
        assert_eq!(beat.tick(at(t, 50), 0, false), Beat::TimedOut);
        beat.pong(at(t, 50));
        assert_eq!(beat.deadline(false), Some(at(t, 75)));
    }

    #[test]
    fn on_polling_time_runs_from_the_queueing() {
        let t = Instant::now();
        let mut beat = Heartbeat::new(t, INTERVAL, TIMEOUT);
        assert_eq!(beat.tick(at(t, 25), 0, true), Beat::SendPing);
        assert_eq!(beat.tick(at(t, 45), 0, true), Beat::TimedOut);
    }

    #[test]
    fn only_the_pong_of_a_written_ping_proves() {
        let t = Instant::now();
        let mut beat = Heartbeat::new(t, INTERVAL, TIMEOUT);
        assert!(!beat.pong(t));
        beat.want(at(t, 2), 5);
        assert_eq!(beat.tick(at(t, 1), 5, false), Beat::Nothing);
        assert_eq!(beat.tick(at(t, 2), 5, false), Beat::SendPing);
        assert!(!beat.pong(at(t, 2)), "it was not written yet");
        beat.written(at(t, 3));
        assert!(beat.pong(at(t, 3)));
        assert_eq!(beat.received(), 5);
        assert!(!beat.pong(at(t, 3)), "a second pong");
    }

    #[test]
    fn what_is_sent_under_way_gets_a_ping_of_its_own() {
        let t = Instant::now();
        let mut beat = Heartbeat::new(t, INTERVAL, TIMEOUT);
        beat.want(t, 1);
        assert_eq!(beat.tick(t, 1, false), Beat::SendPing);
        beat.written(t);
        beat.want(t, 2);
        assert_eq!(beat.tick(at(t, 1), 2, false), Beat::Nothing, "one at a time");
        assert!(beat.pong(at(t, 1)));
        assert_eq!(beat.received(), 1);
        assert_eq!(beat.tick(at(t, 1), 2, false), Beat::SendPing);
    }

    #[test]
    fn nothing_is_asked_for_what_is_proven_or_covered() {
        let t = Instant::now();
        let mut beat = Heartbeat::new(t, INTERVAL, TIMEOUT);
        beat.want(t, 0);
        assert_eq!(beat.tick(t, 0, false), Beat::Nothing);
        beat.want(t, 1);
        assert_eq!(beat.tick(t, 1, false), Beat::SendPing);
        beat.want(t, 1);
        beat.written(t);
        beat.pong(t);
        assert_eq!(beat.tick(t, 1, false), Beat::Nothing);
    }
}
