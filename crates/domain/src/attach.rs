use crate::Revision;
use serde::Serialize;

/// How many notifications a resume may reach back over; past that it is refused as a whole.
pub const RESUME_REACH: u64 = 10_000;

/// How the start of an attached device was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// From the cursor that was given, or from what the known device last confirmed.
    Resume,
    /// No cursor: from the furthest revision that any device of this user has confirmed.
    Pending,
    /// The cursor cannot be resumed: from the head; the device reads the inbox over HTTP.
    Snapshot,
}

impl Mode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Pending => "pending",
            Self::Snapshot => "snapshot",
        }
    }
}

/// Where a device starts: everything above `cursor` follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Everything above it follows.
    pub cursor: Revision,
    /// How it was found.
    pub mode: Mode,
}

impl Start {
    /// With no cursor to go by, how many notifications a device is taken back at most.
    pub const PENDING_REACH: u64 = 1_000;
}
