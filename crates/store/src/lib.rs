//! The store: a numbered log per user, durable. It is the truth; everything else is a hint that there is something to
//! read.
//!
//! # What every store guarantees
//!
//! - **Durable before answered.** A write that returned `Ok` survives the loss of the process and of power.
//! - **Numbered without holes.** Every change of one inbox takes `head + 1`. A change is visible only when all smaller
//!   ones are: a reader that sees revision *n* of an inbox sees everything up to *n*.
//! - **Counted exactly.** The counts belong to the same transaction as what they count; what has expired is not counted
//!   and not listed, even before [`Store::sweep`] has come by.
//! - **In order of time.** What happens to one notification has no earlier time than what happened to it before, also where
//!   the clock was set back, or where the clock of one node is behind another's.
//! - **All or nothing.** Each call is atomic. An error means that nothing of it is stored, with one exception:
//!   [`StoreError::Unavailable`] after a timeout may hide a write that succeeded; an idempotency key makes the retry safe.
//! - **News strictly after commit.** The [`Observer`] hears of each change after it is durable; per inbox, in order of
//!   revision where one process writes.
//!
//! Reads never wait for writes. No call waits without bound: past its limit it is `Unavailable`.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod gather;
mod observer;
mod read;
mod recent;
pub mod transfer;
mod visitors;
mod write;

pub use error::{Resync, StoreError};
pub use gather::Gather;
pub use observer::{Observer, Silent};
pub use read::{
    ArchivedFilter, Changes, ChangesQuery, Device, InboxPage, InboxQuery, Inside, Located, PAGE_BYTES, Range,
    StatusFilter,
};
pub use recent::Recent;
pub use visitors::Visitors;
pub use write::{
    Appended, Edit, Fingerprint, Idempotency, Marked, Outgoing, Receipt, Registration, Sweep, Swept,
};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tidings_domain::{
    Counts, DeviceId, Epoch, Mark, Notification, NotificationId, Relation, Revision, Timestamp, UserId,
};

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_TTL: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// The generation of every inbox, while users cannot be erased.
const GENERATION: u64 = 0;

/// A store of inboxes. The crate's page says what holds for every method. An inbox that nothing was ever written to
/// reads as an empty one with head 0, and nothing is stored of it: [`Visitors`] says what becomes of the devices that attach
/// to it.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The store's life. Changes when the store was replaced or restored, never while it is open.
    fn epoch(&self) -> &Epoch;

    /// The epoch of one inbox: names its present life. Two inboxes never share one.
    fn inbox_epoch(&self, user: &UserId) -> Epoch {
        self.epoch().of_inbox(user, GENERATION)
    }

    /// How the epoch of a position relates to this inbox.
    fn relation(&self, user: &UserId, given: &str) -> Relation {
        self.epoch().relation(user, GENERATION, given)
    }

    // ---- writes -------------------------------------------------------------------------------------------------

    /// Stores all of `outgoing` or none of it, each as the newest of its user's inbox, in the order given.
    ///
    /// A collapse key first deletes what is unread, neither archived nor deleted and has the same key in the same inbox (a revision of its own).
    /// With an idempotency key that is known and younger than [`IDEMPOTENCY_TTL`]: nothing is stored and the first
    /// answer is given again, or [`StoreError::IdempotencyMismatch`] when the fingerprint differs. Of several with one
    /// key at the same moment exactly one stores.
    async fn append(
        &self,
        outgoing: Vec<Outgoing>,
        idempotency: Option<Idempotency>,
    ) -> Result<Appended, StoreError>;

    /// Edits in place: same id and `seq`, next revision. An edit that changes nothing takes none. `None` when there is no
    /// such notification (unknown, deleted or expired). Archived ones can be edited; the state stays as it is.
    async fn edit(&self, id: NotificationId, edit: Edit) -> Result<Option<Notification>, StoreError>;

    /// Deletes one notification from every device. `false` when there is no such notification.
    async fn recall(&self, id: NotificationId) -> Result<bool, StoreError>;

    /// Changes the state of many, as one revision, or of none and then takes none.
    async fn mark(&self, user: &UserId, mark: Mark) -> Result<Marked, StoreError>;

    /// Everything above `after` and up to `up_to` has arrived at a device of this user: each notification whose `rev` lies
    /// there becomes delivered (which takes no revision), and the device, made known if it was not, has confirmed `up_to`.
    /// A client's own word covers everything (`after` is 0); a receipt of the transport covers only what was written to
    /// it, so that what a device never got is not called delivered because something newer arrived.
    /// Cumulative: a smaller `up_to` than before changes nothing of the device. Returns what the device has now confirmed
    /// (without a device: what any device has).
    /// [`StoreError::AboveHead`] when `up_to` does not exist yet: what was never sent cannot have arrived.
    async fn acknowledge(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        after: Revision,
        up_to: Revision,
    ) -> Result<Revision, StoreError>;

    /// Makes a device known (its cursor is then where it started), or touches a known one (its cursor stays), and
    /// remembers which registration its connection holds. The newest registration of a connection replaces older ones.
    async fn register(&self, user: &UserId, registration: Registration) -> Result<(), StoreError>;

    /// The connection holds no registration of this user any more, until it registers again; [`Store::registration`] gives
    /// none. Its device stays known, with its cursor. One that holds none, or another user's by now, stays as it is.
    async fn forget_connection(&self, user: &UserId, pid: &str) -> Result<(), StoreError>;

    /// Keeps a note of how far a known device's resume has come ([`Located::resume`]), in place of the one before. At most
    /// 4 KiB; nothing is kept of a device that is not known.
    async fn note_resume(&self, user: &UserId, device: &DeviceId, note: String) -> Result<(), StoreError>;

    /// The user's sessions end at `at`: what was signed before opens nothing any more. A smaller `at` than before changes
    /// nothing. Kept for good: nothing bounds how long a token is valid, so what denies it must not go before it. It is one
    /// row a user, whatever happens.
    async fn revoke(&self, user: &UserId, at: Timestamp) -> Result<(), StoreError>;

    /// The ends of sessions later than `ahead_of` move back to `to`: of one user, or of all. They were stored while a clock was
    /// ahead, and would refuse every token until that moment had come. An end that is not so late stays.
    async fn pull_back_revocations(
        &self,
        user: Option<&UserId>,
        ahead_of: Timestamp,
        to: Timestamp,
    ) -> Result<(), StoreError>;

    /// Upkeep, a slice at a time so that it never holds up a send: what is due to expire is deleted (one revision an
    /// inbox), what is older than retention is deleted, tombstones older than retention are removed and the floor
    /// raised, forgotten devices and idempotency keys go. Call again while [`Swept::more`].
    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError>;

    // ---- reads --------------------------------------------------------------------------------------------------

    /// The first answer under an idempotency key, as [`Store::append`] would give it again, and
    /// [`StoreError::IdempotencyMismatch`] as there. `None` when the key is not known: it says nothing of what others do at
    /// the same moment, so that only `append` may store under the key. For a request that is refused now but may be the
    /// retry of one that was stored.
    async fn first_answer(&self, idempotency: &Idempotency) -> Result<Option<Appended>, StoreError>;

    /// One notification; `None` when unknown, deleted or expired.
    async fn notification(&self, id: NotificationId) -> Result<Option<Notification>, StoreError>;

    /// A page of an inbox, newest first.
    async fn inbox(&self, user: &UserId, query: InboxQuery) -> Result<InboxPage, StoreError>;

    /// The inbox's log above a cursor, in order of revision. A page ends with a revision, unless one revision alone is
    /// larger than a page: then it ends within it, and `next` goes on. [`StoreError::ResyncRequired`] when `since` is below
    /// the floor, or it or the revision to go on in is above the head.
    async fn changes(&self, user: &UserId, query: ChangesQuery) -> Result<Changes, StoreError>;

    /// The `seq`s of what was created above `since` and at or below `up_to`, has changed above `up_to`, and is not deleted;
    /// in ascending order, at most 10,000.
    async fn moved(
        &self,
        user: &UserId,
        since: Revision,
        up_to: Revision,
    ) -> Result<Vec<Revision>, StoreError>;

    /// The inbox's numbers, of one category or of all.
    async fn counts(&self, user: &UserId, category: Option<&str>) -> Result<Counts, StoreError>;

    /// Where the inbox stands, and what is known of one device, in one consistent read.
    async fn locate(&self, user: &UserId, device: Option<&DeviceId>) -> Result<Located, StoreError>;

    /// The heads of many inboxes, in the order given: for checks in the background, so at most eight are read at a time.
    /// Each head is at least what was committed before the call.
    async fn heads(&self, users: &[UserId]) -> Result<Vec<Revision>, StoreError> {
        // Made before they run: a closure within the stream would be too general for the compiler.
        let reads: Vec<_> = users.iter().map(|user| self.locate(user, None)).collect();
        let located: Vec<_> = stream::iter(reads).buffered(8).try_collect().await?;
        Ok(located.into_iter().map(|located| located.head).collect())
    }

    /// How many notifications (deleted ones included) have a revision above `since`; stops counting at `cap`.
    async fn behind(&self, user: &UserId, since: Revision, cap: u64) -> Result<u64, StoreError>;

    /// The smallest cursor above which at most `reach` notifications lie; at least the floor.
    async fn reach_back(&self, user: &UserId, reach: u64) -> Result<Revision, StoreError>;

    /// The user's devices, last seen first, at most 1,000.
    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, StoreError>;

    /// Whose registration a connection (`pid`) last held.
    async fn registration(&self, pid: &str) -> Result<Option<(UserId, DeviceId)>, StoreError>;

    /// When the user's sessions were last ended.
    async fn revoked_at(&self, user: &UserId) -> Result<Option<Timestamp>, StoreError>;

    /// Whether the store can serve right now: reads, and whether the last write failed. Cheap. An embedded store in which
    /// damage was met is [`StoreError::Damaged`] until it is opened anew.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Finishes what was accepted and closes cleanly. Later calls are [`StoreError::Unavailable`].
    async fn close(&self);
}
