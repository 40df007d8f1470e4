use serde::{Deserialize, Serialize};
use tidings_domain::DeviceId;

/// What a node asks those that hold a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Which devices are online?
    WhoIsOnline,
    /// End all sessions; how many were there?
    EndSessions,
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These are online, at most 1,000.
    Online(Vec<Online>),
    /// So many were ended.
    Ended(usize),
}

/// A device that is online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Online {
    /// Which.
    pub device: DeviceId,
    /// `websocket`, `polling` or `sse`.
    pub transport: &'static str,
}
