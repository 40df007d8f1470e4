//! What strangers send, made into values of the domain or refused with every field that is wrong. HTTP and Socket.IO share
//! these readers, so that both hold a body to the same rules.

mod attach;
mod batch;
mod fields;
pub mod halves;
mod json;
mod mark;
mod notification;
mod query;
mod ttl;

pub use attach::{Attach, GivenCursor};
pub use batch::{Batch, check_batch, in_item, read_batch};
pub use fields::{Fields, Unknown};
pub use json::{Malformed, check as check_json, check_around, clean as clean_json};
pub use mark::{read_ack, read_mark, read_sync};
pub use notification::{Draft, Refused, Undated, read_edit, read_original, read_send};
pub use query::{Query, page_cursor};
pub use ttl::read_ttl;
