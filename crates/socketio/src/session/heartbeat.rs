//! Pings, and what their pongs prove.
//!
//! A ping is queued behind everything sent before it, so its pong proves that all of that arrived. At most one is
//! outstanding, and a pong without a ping that was really written proves nothing: otherwise a client that sends pongs
//! by itself would confirm what it never saw.
//!
//! The exception is a client whose pong lies unread because the server does not read from it. Its pong is not missed, and
//! it gets further pings: without them it would take the server for dead and leave.

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
    /// The pong may lie unread.
    forgiven: bool,
    /// Pings that were sent after it because of that, and are unanswered too.
    repeated: u32,
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
        match &mut self.ping {
            Some(ping) if ping.due.is_some_and(|due| due <= now) => Beat::TimedOut,
            Some(ping) if ping.is_repeatable() && self.next_ping <= now => {
                ping.repeated = ping.repeated.saturating_add(1);
                self.next_ping = now + self.interval;
                Beat::SendPing
            }
            Some(_) => Beat::Nothing,
            None if self.next_ping <= now || (!polling && self.wanted.is_some_and(|w| w <= now)) => {
                self.wanted = None;
                self.next_ping = now + self.interval;
                let due = polling.then(|| now + self.timeout);
                self.ping = Some(Ping { covers: sent, due, written: false, forgiven: false, repeated: 0 });
                Beat::SendPing
            }
            None => Beat::Nothing,
        }
    }

    pub(crate) fn deadline(&self, polling: bool) -> Option<Instant> {
        match &self.ping {
            Some(ping) if ping.is_repeatable() => ping.due.map(|due| due.min(self.next_ping)),
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
        let Some(ping) = self.ping.as_mut().filter(|ping| ping.written) else { return false };
        let covers = ping.covers;
        if let Some(left) = ping.repeated.checked_sub(1) {
            // The pongs of the repeated ones are still to come. They are taken to prove no more than the first one.
            ping.repeated = left;
            ping.due = Some(now + self.timeout);
        } else {
            self.ping = None;
            self.next_ping = now + self.interval;
        }
        self.proven(covers)
    }

    /// The pong may lie unread before us, because we do not read while the application is behind: the client gets its
    /// full time again.
    pub(crate) fn forgive(&mut self, now: Instant) {
        if let Some(Ping { due: Some(due), forgiven, .. }) = &mut self.ping {
            *due = now + self.timeout;
            *forgiven = true;
        }
    }
}

impl Ping {
    fn is_repeatable(&self) -> bool {
        self.written && self.forgiven
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
    fn a_client_whose_pong_lies_unread_is_pinged_on_and_not_missed() {
        let t = Instant::now();
        let mut beat = Heartbeat::new(t, INTERVAL, TIMEOUT);
        assert_eq!(beat.tick(at(t, 25), 3, false), Beat::SendPing);
        beat.written(at(t, 25));
        for second in 26..=200 {
            beat.forgive(at(t, second));
            let expected = if second % 25 == 0 { Beat::SendPing } else { Beat::Nothing };
            assert_eq!(beat.tick(at(t, second), 9, false), expected, "after {second} s");
            assert!(
                beat.deadline(false) > Some(at(t, second)),
                "a deadline in the past would be a busy loop"
            );
        }
        assert!(beat.pong(at(t, 200)));
        assert_eq!(beat.received(), 3, "the first pong proves what went before the first ping");
        for _ in 0..7 {
            assert!(!beat.pong(at(t, 200)), "the pongs of the repeated pings prove no more");
        }
        // All are answered: the next one is a ping of its own.
        assert_eq!(beat.deadline(false), Some(at(t, 225)));
        assert_eq!(beat.tick(at(t, 225), 9, false), Beat::SendPing);
        beat.written(at(t, 225));
        assert!(beat.pong(at(t, 226)));
        assert_eq!(beat.received(), 9);
    }

    #[test]
    fn once_everything_is_read_again_a_missing_pong_counts() {
        let t = Instant::now();
        let mut beat = Heartbeat::new(t, INTERVAL, TIMEOUT);
        assert_eq!(beat.tick(at(t, 25), 0, false), Beat::SendPing);
        beat.written(at(t, 25));
        beat.forgive(at(t, 40));
        assert_eq!(beat.tick(at(t, 50), 0, false), Beat::SendPing);
        beat.written(at(t, 50));
        assert!(!beat.pong(at(t, 51)));
        assert_eq!(beat.tick(at(t, 70), 0, false), Beat::Nothing);
        assert_eq!(beat.tick(at(t, 71), 0, false), Beat::TimedOut, "the second one's");
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
