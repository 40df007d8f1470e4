//! The HTTP interface: one route a file. A handler only ever holds valid values, and says in a few lines what happens.

mod access;
mod ack;
mod address;
mod assets;
mod batch;
mod body;
mod changes;
mod counts;
mod devices;
mod edit;
mod end_sessions;
mod extract;
mod fallback;
mod get;
mod guard;
mod health;
mod idempotency;
mod inbox;
mod list_original;
mod listen;
mod mark;
mod mint;
mod problem;
mod recall;
mod router;
mod send;
mod send_original;
mod serve;
mod stall;
mod stream;

pub use address::Requests;
pub use listen::{listen, listen_both};
pub use router::router;
pub use serve::{Site, serve};
