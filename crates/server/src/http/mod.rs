//! The HTTP interface: one route a file. A handler only ever holds valid values, and says in a few lines what happens.

mod ack;
mod assets;
mod batch;
mod body;
mod changes;
mod counts;
mod devices;
mod edit;
mod extract;
mod fallback;
mod get;
mod guard;
mod health;
mod idempotency;
mod inbox;
mod list_original;
mod mark;
mod problem;
mod recall;
mod router;
mod send;
mod send_original;
mod serve;
mod stall;
mod stream;

pub use router::router;
pub use serve::serve;
