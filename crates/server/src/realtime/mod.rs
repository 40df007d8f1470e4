//! From a commit to a device. The store is a numbered log per user, and every attached device is a reader with a cursor:
//! a commit wakes the user's readers (`hub`, `feed`), each reads what is above its cursor (`pump`) and writes it to its
//! socket (`session`) or stream (`stream`). What a change looks like on the wire is in `frame`; how a device's start is
//! found is in `attach`; `checks` finds what news did not tell.

mod acker;
mod attach;
mod checks;
mod commands;
mod feed;
mod frame;
mod gate;
mod goodbye;
mod hub;
mod identity;
mod lease;
mod open;
mod pump;
mod session;
mod stream;
mod window;

pub use attach::{AttachError, Attached, Given, attach, check_reach};
pub use checks::check_heads;
pub use frame::Frame;
pub use goodbye::Goodbyes;
pub use hub::{Hub, Seat};
pub use lease::Lease;
pub use pump::{Pump, Served};
pub use session::{SEND_LIMIT, STALL, serve_socket};
pub use stream::event_stream;
