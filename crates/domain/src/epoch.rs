//! Epochs: which life of which inbox a position belongs to.
//!
//! A store has an epoch of its own, made at random when the store is made, replaced or restored. The epoch of an inbox is
//! derived from it, from the user and from the inbox's generation, which only the erasure of the user raises. It therefore
//! costs no column and no write, and it reads
//!
//! ```text
//! <store: 16 hex digits>-<inbox: 32 hex digits>[-<generation, from 1>]
//! ```
//!
//! Two inboxes never share one: the middle part is the first 128 bits of a SHA-256 over the store's epoch and the user, so
//! that even among 2^32 users of one store the chance of any two alike is below 2^-64; the last part tells the lives of one
//! inbox apart; and the first part, 64 bits of a SHA-256 over the store's epoch, tells stores apart.
//!
//! The first part is there for its own sake too: a position of *another inbox of this store* is no position here (its client
//! changed its user), while one of another store or of an earlier life cannot be resumed ([`Epoch::relation`]).
//!
//! Before epochs were derived, every inbox had the store's own. A position with that one is taken as of this inbox, as it was
//! then: a device that comes back after the update resumes.

use crate::UserId;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// A text that is no epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 letters, digits and hyphens")]
pub struct EpochError;

/// How the epoch of a position relates to an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is the inbox's present one: the position counts.
    Present,
    /// It is of another inbox of the same store: as if no position was given.
    AnotherInbox,
    /// It is of an earlier life, of another store, or no epoch at all: it cannot be resumed.
    AnotherLife,
}

/// Names one life of a store, or of one of its inboxes ([`Epoch::of_inbox`]). It changes when the store is replaced or
/// restored, so that a cursor from before is recognised. 1..64 letters, digits and `-`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// Takes a text that keeps the form.
    pub fn new(text: &str) -> Result<Self, EpochError> {
        let legal = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if legal { Ok(Self(Arc::from(text))) } else { Err(EpochError) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The epoch of a user's inbox in the store of this epoch. `generation` is 0 until the user is erased for the first time.
    pub fn of_inbox(&self, user: &UserId, generation: u64) -> Self {
        let mut text = self.tag();
        text.push('-');
        text.push_str(&self.inbox_tag(user));
        if generation > 0 {
            text.push_str(&format!("-{generation}"));
        }
        Self(Arc::from(text))
    }

    /// How `given`, the epoch of a position, relates to a user's inbox in the store of this epoch.
    pub fn relation(&self, user: &UserId, generation: u64, given: &str) -> Relation {
        if given == self.as_str() || given == self.of_inbox(user, generation).as_str() {
            return Relation::Present;
        }
        match given.split_once('-') {
            Some((store, inbox)) if store == self.tag() && !inbox.starts_with(&self.inbox_tag(user)) => {
                Relation::AnotherInbox
            }
            _ => Relation::AnotherLife,
        }
    }

    fn tag(&self) -> String {
        hex(&Sha256::digest(self.as_str().as_bytes())[..8])
    }

    fn inbox_tag(&self, user: &UserId) -> String {
        // The store's epoch holds no NUL, so the pair is told apart.
        let digest = Sha256::new().chain_update(self.as_str()).chain_update([0]).chain_update(user.as_str());
        hex(&digest.finalize()[..16])
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Epoch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[test]
    fn an_inbox_has_its_own_epoch_in_every_store_and_life() {
        let (one, other) = (Epoch::new("one").unwrap(), Epoch::new("other").unwrap());
        let all = [
            one.of_inbox(&user("ana"), 0),
            one.of_inbox(&user("ana"), 1),
            one.of_inbox(&user("bo"), 0),
            other.of_inbox(&user("ana"), 0),
        ];
        for (index, epoch) in all.iter().enumerate() {
            assert!(Epoch::new(epoch.as_str()).is_ok());
            assert!(!all[..index].contains(epoch), "{epoch}");
        }
        assert!(Epoch::new(one.of_inbox(&user("ana"), 9_999_999_999_999).as_str()).is_ok());
    }

    #[test]
    fn a_position_is_of_this_inbox_of_another_one_or_of_another_life() {
        let (store, ana, bo) = (Epoch::new("store").unwrap(), user("ana"), user("bo"));
        let relation = |given: &str| store.relation(&ana, 1, given);
        assert_eq!(relation(store.of_inbox(&ana, 1).as_str()), Relation::Present);
        assert_eq!(relation(store.of_inbox(&bo, 0).as_str()), Relation::AnotherInbox);
        assert_eq!(relation(store.of_inbox(&bo, 1).as_str()), Relation::AnotherInbox);
        assert_eq!(relation(store.of_inbox(&ana, 0).as_str()), Relation::AnotherLife);
        assert_eq!(relation(store.of_inbox(&ana, 2).as_str()), Relation::AnotherLife);
        let restored = Epoch::new("restored").unwrap();
        assert_eq!(relation(restored.of_inbox(&ana, 1).as_str()), Relation::AnotherLife);
        assert_eq!(relation("anything"), Relation::AnotherLife);
    }

    #[test]
    fn a_position_from_before_epochs_were_derived_still_counts() {
        let store = Epoch::new("0198c0de-0000-4000-8000-000000000001").unwrap();
        assert_eq!(store.relation(&user("ana"), 0, store.as_str()), Relation::Present);
    }
}
