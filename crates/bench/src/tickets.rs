use crate::clock::Clock;
use std::cell::Cell;
use std::io;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// How many sends may be due and not yet taken by a sender.
const OVERDUE_LIMIT: usize = 64 * 1024;

/// Leave to send one notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Which send of the run it is.
    pub number: u64,
    /// From when its latency counts.
    pub start: u64,
}

/// What the senders draw from, each as soon as it is free.
pub enum Tickets {
    /// Closed loop: a send is due when a sender is free, and its time begins then.
    Greedy { next: Cell<u64>, sends: u64, clock: Clock },
    /// Open loop: a send is due on its schedule, and its time begins then even when no sender is free: a server that
    /// stalls is charged for all that it kept waiting.
    Paced(Mutex<mpsc::Receiver<Ticket>>),
}

impl Tickets {
    pub fn greedy(sends: u64, clock: Clock) -> Self {
        Self::Greedy { next: Cell::new(0), sends, clock }
    }

    /// Starts the schedule, on a thread of its own: the runtime's timers count in whole milliseconds, which is as much
    /// as there is to measure.
    pub fn paced(sends: u64, rate: u32, clock: Clock) -> io::Result<Self> {
        let (due, tickets) = mpsc::channel(OVERDUE_LIMIT);
        std::thread::Builder::new().name("pacer".to_owned()).spawn(move || {
            let begin = clock.now();
            for number in 0..sends {
                let start = begin + scheduled(number, rate);
                let early = clock.until(start);
                if early > Duration::ZERO {
                    std::thread::sleep(early);
                }
                // Full: the schedule stands still and its times do not. Closed: the run ended early.
                if due.blocking_send(Ticket { number, start }).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self::Paced(Mutex::new(tickets)))
    }

    /// The next one, or none when all were drawn.
    pub async fn draw(&self) -> Option<Ticket> {
        match self {
            Self::Greedy { next, sends, clock } => {
                let number = next.get();
                (number < *sends).then(|| {
                    next.set(number + 1);
                    Ticket { number, start: clock.now() }
                })
            }
            Self::Paced(tickets) => tickets.lock().await.recv().await,
        }
    }
}

/// When a send is due, in nanoseconds after the first.
fn scheduled(number: u64, rate: u32) -> u64 {
    u64::try_from(u128::from(number) * 1_000_000_000 / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_does_not_drift() {
        assert_eq!(scheduled(0, 3), 0);
        assert_eq!(scheduled(1, 3), 333_333_333);
        assert_eq!(scheduled(3_000_000, 3), 1_000_000 * 1_000_000_000);
    }

    #[tokio::test]
    async fn every_ticket_is_drawn_once() {
        let greedy = Tickets::greedy(3, Clock::start());
        let paced = Tickets::paced(3, 10_000, Clock::start()).unwrap();
        for tickets in [greedy, paced] {
            for number in 0..3 {
                assert_eq!(tickets.draw().await.map(|ticket| ticket.number), Some(number));
            }
            assert_eq!(tickets.draw().await, None);
        }
    }

    #[tokio::test]
    async fn a_late_draw_keeps_the_scheduled_start() {
        let paced = Tickets::paced(2, 1_000, Clock::start()).unwrap();
        let first = paced.draw().await.unwrap();
        let second = paced.draw().await.unwrap();
        assert_eq!(second.start - first.start, 1_000_000);
    }
}
