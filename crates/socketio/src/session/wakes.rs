//! Who has to be woken, once the lock is released.
//!
//! Waking under the lock could run foreign code that takes the same lock.

use std::task::Waker;

/// The first few need no allocation: most changes wake one task or two.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    few: [Option<Waker>; 4],
    more: Vec<Waker>,
}

impl Wakes {
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        match self.few.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(waker),
            None => self.more.push(waker),
        }
    }

    pub(super) fn add_all(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        wakers.into_iter().for_each(|waker| self.add(Some(waker)));
    }

    pub(super) fn fire(self) {
        self.few.into_iter().flatten().chain(self.more).for_each(Waker::wake);
    }
}
