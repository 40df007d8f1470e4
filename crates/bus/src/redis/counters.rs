use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What a node's bus has done so far.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub struct Counters {
            $(pub $name: Counter,)*
        }

        impl Counters {
            pub fn read(&self) -> Stats {
                Stats { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// News that Redis took.
    published,
    /// News that could not be told: Redis was away, or too much waited.
    dropped,
    /// Messages that came, of every kind.
    received,
    /// Of those: this node's own, skipped by their first bytes.
    own,
    /// Of those: of users whose last socket has just left, skipped too.
    unheld,
    /// Of those: news that was decoded.
    decoded,
    /// Of those: what could not be read.
    refused,
    /// Of those: of another store.
    foreign,
    /// Questions that not all had answered in time.
    unanswered,
    /// How often every channel was subscribed.
    connected,
}

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub fn one(&self) {
        self.add(1);
    }
}
