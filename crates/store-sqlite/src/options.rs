use std::time::Duration;

/// What an operator may want to set; the defaults serve most.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a call waits for a place in the queue, and then for its answer, before it is `Unavailable`. By tokio's
    /// clock: where a test has paused it, waiting for the writer's thread looks like idling, and time jumps.
    pub wait: Duration,
    /// How many calls read at the same time.
    pub readers: usize,
    /// How much the waiting writes may weigh together.
    pub queue_bytes: usize,
    /// The page cache of the writer.
    pub cache_bytes: usize,
    /// How much of the file readers map into memory.
    pub mmap_bytes: usize,
    /// Files up to this size are checked whole at start.
    pub check_bytes: u64,
    /// At this size of the write-ahead log the writer waits until it has been carried over.
    pub wal_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(10),
            readers: 4,
            queue_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            mmap_bytes: 1 << 30,
            check_bytes: 256 << 20,
            wal_bytes: 256 << 20,
        }
    }
}
