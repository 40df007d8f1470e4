//! The open connections, and whether one more is allowed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::sid::Sid;
use crate::Config;
use crate::session::Session;

/// All connections of one server.
pub(crate) struct Registry {
    max: usize,
    max_per_address: usize,
    max_per_second: u32,
    limit_loopback: bool,
    open: Mutex<Open>,
    emptied: Notify,
}

#[derive(Default)]
struct Open {
    sessions: HashMap<Sid, Arc<Session>>,
    addresses: HashMap<IpAddr, usize>,
    second: Option<(Instant, u32)>,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The server is full, or too many come at once.
    Server,
    /// This address has its share.
    Address,
}

impl Registry {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            max: config.max_sockets,
            max_per_address: config.max_sockets_per_address,
            max_per_second: config.max_handshakes_per_second,
            limit_loopback: config.limit_loopback,
            open: Mutex::default(),
            emptied: Notify::new(),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom this connection counts for, if limits hold for it.
    pub(crate) fn counted(&self, address: Option<IpAddr>) -> Option<IpAddr> {
        address
            .map(|a| a.to_canonical())
            .filter(|a| self.max_per_address > 0 && (self.limit_loopback || !a.is_loopback()))
    }

    /// Enters a connection if there is room for it. Checked and entered under one lock, so that a crowd cannot slip
    /// past together.
    pub(crate) fn insert(&self, session: Arc<Session>, now: Instant) -> Result<(), NoRoom> {
        let mut open = self.open();
        if self.max > 0 && open.sessions.len() >= self.max {
            return Err(NoRoom::Server);
        }
        if let Some(address) = session.address
            && open.addresses.get(&address).is_some_and(|&n| n >= self.max_per_address)
        {
            return Err(NoRoom::Address);
        }
        if self.max_per_second > 0 {
            let (start, count) = open.second.get_or_insert((now, 0));
            if now.duration_since(*start) >= Duration::from_secs(1) {
                (*start, *count) = (now, 0);
            }
            if *count >= self.max_per_second {
                return Err(NoRoom::Server);
            }
            *count += 1;
        }
        if let Some(address) = session.address {
            *open.addresses.entry(address).or_default() += 1;
        }
        open.sessions.insert(session.sid, session);
        Ok(())
    }

    pub(crate) fn get(&self, sid: &Sid) -> Option<Arc<Session>> {
        self.open().sessions.get(sid).cloned()
    }

    pub(crate) fn remove(&self, session: &Session) {
        let mut open = self.open();
        let Some(removed) = open.sessions.remove(&session.sid) else { return };
        if let Some(address) = session.address
            && let Some(count) = open.addresses.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                open.addresses.remove(&address);
            }
        }
        let empty = open.sessions.is_empty();
        drop(open);
        drop(removed);
        if empty {
            self.emptied.notify_waiters();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open().sessions.len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.open().sessions.values().cloned().collect()
    }

    /// Resolves when there is none left.
    pub(crate) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }
}
