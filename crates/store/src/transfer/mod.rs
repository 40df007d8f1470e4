//! Moving everything from one store to another: out of a [`Source`] as [`Record`]s, through the checks of an
//! [`Intake`], into a [`Sink`]. Between the two usually lies a file ([`export`], [`import`]).
//!
//! What a device or a sender could notice is kept: ids, texts, states, times, revisions, tombstones, floors, what each
//! device confirmed, whose connection is whose, ended sessions, idempotency keys. Not kept are the epoch (a new store is
//! a new life, and says so to every cursor) and the texts of what was deleted. Counters are not carried but counted
//! anew.
//!
//! **Order.** Inboxes come by `user_id` (by its bytes); of each first what it holds, by `seq`, then its devices, by id,
//! then the inbox itself. After all inboxes come the ended sessions, by user, and then the idempotency keys, by key.

mod checks;
mod error;
mod export;
mod import;
mod intake;
mod line;
mod record;
mod totals;

pub use error::TransferError;
pub use export::export;
pub use import::import;
pub use intake::{Inbox, Intake, Slice};
pub use record::{
    Connection, DeviceRecord, InboxRecord, ItemRecord, KeyRecord, Record, RevocationRecord, TombstoneRecord,
};
pub use totals::Totals;

use crate::StoreError;
use async_trait::async_trait;
use tidings_domain::UserId;

/// Reads everything out of one store, once.
#[async_trait]
pub trait Source: Send {
    /// How many notifications and tombstones there are, about; for showing progress.
    async fn size(&mut self) -> Result<u64, StoreError>;

    /// The next records, in the order that the module's page gives; a few hundred at a time, none at the end. All of one
    /// inbox is of one moment, also while others write; different inboxes may be of different moments.
    async fn next(&mut self) -> Result<Vec<Record>, StoreError>;
}

/// Fills one empty store, once.
///
/// Whoever makes a sink has made sure that the store is empty, or holds nothing but an unfinished import, which is then
/// taken away, but for what [`Sink::reached`] says. From then until [`Sink::finish`] the store is
/// marked as unfinished, and opening it is refused with a sentence that says so.
#[async_trait]
pub trait Sink: Send {
    /// What an attempt that was cut off has stored, where this one goes on after it: nothing of that is put again.
    fn reached(&self) -> Option<&Reached> {
        None
    }

    /// Stores a slice. It has been checked, but for two things that only a whole store knows: an id of a notification and
    /// a connection's name are there once; [`TransferError::Twice`] otherwise. After an error the sink is only abandoned.
    async fn put(&mut self, slice: Slice) -> Result<(), TransferError>;

    /// Everything is there: makes it durable, gives the store a new epoch, and only then takes the mark away.
    async fn finish(self: Box<Self>) -> Result<(), TransferError>;

    /// Takes away what was put and then the mark, as if nothing had been begun. What cannot be taken away stays marked, and so
    /// does what another attempt can go on with.
    async fn abandon(self: Box<Self>);
}

/// How far an attempt has come that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Every inbox up to this one is stored whole, and nothing of those after it.
    pub user_id: UserId,
    /// So many notifications they hold.
    pub notifications: u64,
}
