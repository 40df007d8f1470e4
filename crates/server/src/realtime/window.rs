use std::collections::VecDeque;
use tidings_domain::Revision;
use tidings_socketio::Position;
use tokio::time::Instant;

/// How much may be on its way to one device without proof that it arrived.
const ITEMS: usize = 64;
const BYTES: usize = 256 * 1024;

/// What was written to a socket and is not proven to have arrived. It bounds how far a device can lag behind what was
/// written to it; past it the device lags behind its cursor in the store, which costs nothing.
#[derive(Debug, Default)]
pub struct Window {
    in_flight: VecDeque<InFlight>,
    bytes: usize,
    since: Option<Instant>,
}

#[derive(Debug)]
struct InFlight {
    position: Position,
    rev: Revision,
    bytes: usize,
}

impl Window {
    /// How many more frames, of how many bytes, may be written.
    pub fn room(&self) -> Option<(usize, usize)> {
        let free = ITEMS.saturating_sub(self.in_flight.len());
        (free > 0 && self.bytes < BYTES).then(|| (free, BYTES - self.bytes))
    }

    /// A frame was written.
    pub fn wrote(&mut self, position: Position, rev: Revision, bytes: usize, now: Instant) {
        if self.in_flight.is_empty() {
            self.since = Some(now);
        }
        self.bytes += bytes;
        self.in_flight.push_back(InFlight { position, rev, bytes });
    }

    /// Everything up to `position` has arrived. Returns the furthest revision that this proves.
    pub fn arrived(&mut self, position: Position, now: Instant) -> Option<Revision> {
        let mut proven = None;
        while let Some(first) = self.in_flight.front()
            && first.position <= position
        {
            proven = proven.max(Some(first.rev));
            self.bytes -= first.bytes;
            self.in_flight.pop_front();
        }
        if proven.is_some() {
            self.since = (!self.in_flight.is_empty()).then_some(now);
            if self.in_flight.is_empty() && self.in_flight.capacity() > 8 {
                self.in_flight = VecDeque::new();
            }
        }
        proven
    }

    /// The client has not been listened to: a proof may lie unread, so its time begins anew.
    pub fn forgive(&mut self, now: Instant) {
        if self.since.is_some() {
            self.since = Some(now);
        }
    }

    /// Since when something has been on its way without any progress.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether it is more than half full: a proof is wanted soon.
    pub fn pressed(&self) -> bool {
        self.in_flight.len() > ITEMS / 2 || self.bytes > BYTES / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_and_empties() {
        let now = Instant::now();
        let mut window = Window::default();
        for n in 1..=ITEMS as u64 {
            assert!(window.room().is_some());
            window.wrote(n, n + 100, 10, now);
        }
        assert!(window.room().is_none() && window.pressed());
        assert_eq!(window.arrived(2, now), Some(102));
        assert_eq!(window.room(), Some((2, BYTES - 620)));
        assert_eq!(window.arrived(2, now), None);
        assert_eq!(window.arrived(ITEMS as u64, now), Some(164));
        assert!(window.waiting_since().is_none());
    }

    #[test]
    fn who_was_not_listened_to_gets_the_full_time_again() {
        let now = Instant::now();
        let later = now + std::time::Duration::from_secs(10);
        let mut window = Window::default();
        window.forgive(now);
        assert!(window.waiting_since().is_none());
        window.wrote(1, 1, 10, now);
        window.forgive(later);
        assert_eq!(window.waiting_since(), Some(later));
    }

    #[test]
    fn one_huge_frame_fills_it() {
        let now = Instant::now();
        let mut window = Window::default();
        window.wrote(1, 1, BYTES * 2, now);
        assert!(window.room().is_none());
    }
}
