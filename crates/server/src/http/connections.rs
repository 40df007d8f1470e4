//! How many connections there may be, in all and of one address, and who goes when there is no room.
//!
//! Without a bound below the process's file descriptors, whoever opens enough connections keeps everybody else out. With
//! a bound alone too: a client that asks now and then keeps its place for ever. So who waits for its client longest goes
//! first: a connection that is idle between two requests, has not begun one, or does not finish the head of one. One that is
//! served is never ended for another.

use crate::http::activity::Activity;
use crate::http::address::network;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, timeout};

/// Of so many connections one is ended when there is no room. Each time all are looked at, so that one at a time would
/// cost a full server a look at all for every new one.
const SHARE: usize = 64;

/// After a look at all that found nobody to end, the next waits so long.
const PAUSE: Duration = Duration::from_millis(50);

/// One that is ended has its descriptor until it is gone. So long is waited for that, so often, before others are ended.
const LEAVING: Duration = Duration::from_millis(100);
const TRIES: usize = 5;

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The server is full.
    Server,
    /// This address has its share.
    Address,
}

/// The bounds.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Connections in all.
    pub all: usize,
    /// Connections of one address; 0: no limit.
    pub per_address: usize,
    /// Whether the latter also holds for loopback.
    pub limit_loopback: bool,
    /// Proxies, whose connections are those of many.
    pub trusted_proxies: Vec<IpNet>,
}

/// The connections that are open.
pub struct Connections {
    bounds: Bounds,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Entry>,
    /// With those that are leaving.
    count: usize,
    addresses: HashMap<IpAddr, usize>,
    nobody_waits_until: Option<Instant>,
}

struct Entry {
    activity: Arc<Activity>,
    address: Option<IpAddr>,
}

impl Open {
    fn remove(&mut self, id: u64) -> Option<Arc<Activity>> {
        let Entry { activity, address } = self.all.remove(&id)?;
        if let Some(address) = address
            && let Some(count) = self.addresses.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
        Some(activity)
    }

    /// Ends those who wait for their clients longest, among those of `address` if that is given; whether there was one.
    fn evict(&mut self, address: Option<IpAddr>, most: usize) -> bool {
        let mut waiting: Vec<(Instant, u64)> = self
            .all
            .iter()
            .filter(|(_, entry)| address.is_none() || entry.address == address)
            .filter_map(|(id, entry)| Some((entry.activity.waiting_since()?, *id)))
            .collect();
        if waiting.len() > most {
            waiting.select_nth_unstable(most);
            waiting.truncate(most);
        }
        for (_, id) in &waiting {
            if let Some(activity) = self.remove(*id) {
                activity.evict();
            }
        }
        !waiting.is_empty()
    }
}

impl Connections {
    /// None yet.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, open: Mutex::default(), freed: Notify::new() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection, for which others may have to go.
    pub async fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Place, NoRoom> {
        let address = self.counted(peer);
        let mut tries = 0..TRIES;
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(place) = self.try_enter(address)? {
                return Ok(place);
            }
            if tries.next().is_none() {
                return Err(NoRoom::Server);
            }
            let _ = timeout(LEAVING, freed).await;
        }
    }

    /// `None`: somebody must be gone first, and is leaving.
    fn try_enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Option<Place>, NoRoom> {
        let mut open = self.open();
        let count = address.and_then(|address| open.addresses.get(&address).copied()).unwrap_or_default();
        if address.is_some() && count >= self.bounds.per_address && !open.evict(address, 1) {
            return Err(NoRoom::Address);
        }
        if open.count >= self.bounds.all {
            let are_leaving = open.count > open.all.len();
            return if make_room(&mut open, Instant::now()) || are_leaving {
                Ok(None)
            } else {
                Err(NoRoom::Server)
            };
        }
        let (id, activity) = (open.next, Arc::new(Activity::new()));
        open.next += 1;
        open.count += 1;
        open.all.insert(id, Entry { activity: activity.clone(), address });
        if let Some(address) = address {
            *open.addresses.entry(address).or_default() += 1;
        }
        drop(open);
        Ok(Some(Place { connections: self.clone(), id, activity }))
    }

    /// Ends some, where the system had no room for another.
    pub fn make_room(&self) {
        make_room(&mut self.open(), Instant::now());
    }

    fn counted(&self, peer: IpAddr) -> Option<IpAddr> {
        let Bounds { per_address, limit_loopback, trusted_proxies, .. } = &self.bounds;
        let peer = peer.to_canonical();
        let is_exempt = *per_address == 0
            || (peer.is_loopback() && !limit_loopback)
            || trusted_proxies.iter().any(|net| net.contains(&peer));
        (!is_exempt).then(|| network(peer))
    }
}

fn make_room(open: &mut Open, now: Instant) -> bool {
    if open.nobody_waits_until.is_some_and(|until| now < until) {
        return false;
    }
    let most = 1 + open.all.len() / SHARE;
    let found = open.evict(None, most);
    open.nobody_waits_until = (!found).then(|| now + PAUSE);
    found
}

/// A connection's place, which it gives back when this is dropped.
pub struct Place {
    connections: Arc<Connections>,
    id: u64,
    /// What it waits for.
    pub activity: Arc<Activity>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.remove(self.id);
        open.count -= 1;
        drop(open);
        self.connections.freed.notify_waiters();
    }
}

/// How many connections may be open when none is to be refused by the system: what the process may open, but for what it
/// needs itself. Raises what it may open as far as it is allowed to.
pub fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let most = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    most - (64 + most / 16).min(most / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::activity::Phase;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 2));

    fn of(all: usize, per_address: usize) -> Arc<Connections> {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        Connections::new(Bounds { all, per_address, limit_loopback: false, trusted_proxies })
    }

    /// A connection that is gone as soon as its place is needed, and the place until then.
    fn leaves(place: Place) -> Arc<Activity> {
        let activity = place.activity.clone();
        tokio::spawn(async move {
            place.activity.evicted().await;
            drop(place);
        });
        activity
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_longest_makes_room_and_who_is_served_never_does() {
        let connections = of(3, 0);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(leaves(connections.enter(ONE).await.unwrap()));
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        let evicted = |places: &[Arc<Activity>]| places.iter().map(|p| p.is_evicted()).collect::<Vec<_>>();
        places[0].enter(Phase::Serving);
        let fourth = connections.enter(OTHER).await.unwrap();
        assert_eq!(evicted(&places), [false, true, false]);
        places[2].enter(Phase::Serving);
        fourth.activity.enter(Phase::Serving);
        assert_eq!(connections.enter(OTHER).await.err(), Some(NoRoom::Server));
        places[2].enter(Phase::Idle);
        tokio::time::advance(PAUSE).await;
        let fifth = connections.enter(OTHER).await.unwrap();
        assert_eq!(evicted(&places), [false, true, true]);
        drop(fifth);
        assert!(connections.enter(OTHER).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_than_the_bound_while_others_leave() {
        let connections = of(1, 0);
        let stubborn = connections.enter(ONE).await.unwrap();
        assert_eq!(connections.enter(OTHER).await.err(), Some(NoRoom::Server));
        assert!(stubborn.activity.is_evicted());
        drop(stubborn);
        assert!(connections.enter(OTHER).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_its_share() {
        let connections = of(100, 2);
        let busy = async |peer: IpAddr| {
            connections.enter(peer).await.inspect(|place| place.activity.enter(Phase::Serving))
        };
        let held = [busy(ONE).await.unwrap(), busy(ONE).await.unwrap()];
        assert_eq!(busy(ONE).await.err(), Some(NoRoom::Address));
        assert!(busy(OTHER).await.is_ok());
        for exempt in ["127.0.0.1", "::1", "10.1.2.3"] {
            let peer = exempt.parse().unwrap();
            let all = [busy(peer).await, busy(peer).await, busy(peer).await];
            assert!(all.iter().all(Result::is_ok), "{exempt}");
        }
        held[0].activity.enter(Phase::Idle);
        assert!(busy(ONE).await.is_ok());
        assert!(held[0].activity.is_evicted() && !held[1].activity.is_evicted());
        drop(held);
        assert!(busy(ONE).await.is_ok());
    }

    #[test]
    fn there_are_fewer_connections_than_descriptors() {
        let most = descriptors();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(most > 0 && limit.current.is_none_or(|limit| (most as u64) < limit));
    }
}
