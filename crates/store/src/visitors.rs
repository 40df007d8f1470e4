use crate::Device;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidings_domain::{DeviceId, Timestamp, UserId};

/// How many are remembered; one costs about 300 bytes.
const VISITORS: usize = 50_000;

/// How many of one user, as many as a user has devices.
const OF_ONE_USER: usize = 1_000;

/// Who attached to an inbox that has nothing, in memory.
///
/// # Why nothing of it is stored, and nothing is lost
///
/// A store keeps nothing of an inbox that was never written to: whoever names a million users to a server must not leave a
/// million rows behind. But a device that attached there has *started*, at 0, and must get what is written from then on,
/// also where another device confirms that first. So it is remembered here, as a device whose cursor is 0, and becomes a
/// stored device with the first revision of its inbox. Where one process writes, that is in the same transaction; where
/// several do, the node at which it attached stores it as soon as it learns that there is something.
///
/// A device is forgotten when the process ends or when too many others came since, before anything was written. It then
/// comes back as a device that nobody knows: it starts at what another device has confirmed, or at 0. What was confirmed
/// elsewhere is in its inbox and in its numbers, only not pushed once more. A client that keeps its own cursor does not
/// depend on any of this.
///
/// The registration of a *connection* is stored in any case. In open mode it alone says whose inbox a client is for that
/// registered once, as the original's does, and returns after a restart of the server. It goes with its retention.
#[derive(Debug, Default)]
pub struct Visitors(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    users: HashMap<UserId, Devices>,
    /// In the order in which they came. Some are gone; so this, and with it all, is bounded.
    order: VecDeque<(UserId, DeviceId)>,
}

/// One user's devices, by id. Nearly always one: a map would make room for eleven.
#[derive(Debug, Default)]
struct Devices(Vec<Visit>);

#[derive(Debug, Clone)]
struct Visit {
    device: DeviceId,
    last_seen_at: Timestamp,
    transport: &'static str,
}

impl Devices {
    fn place(&self, device: &DeviceId) -> Result<usize, usize> {
        self.0.binary_search_by(|visit| visit.device.cmp(device))
    }

    fn contains(&self, device: &DeviceId) -> bool {
        self.place(device).is_ok()
    }

    fn insert(&mut self, visit: Visit) {
        match self.place(&visit.device) {
            Ok(index) => self.0[index] = visit,
            Err(index) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(index, visit);
            }
        }
    }

    fn remove(&mut self, device: &DeviceId) {
        if let Ok(index) = self.place(device) {
            self.0.remove(index);
        }
    }
}

impl Visitors {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device attached.
    pub fn attached(&self, user: &UserId, device: &DeviceId, transport: &'static str, now: Timestamp) {
        let mut state = self.lock();
        let visit = Visit { device: device.clone(), last_seen_at: now, transport };
        match state.users.get_mut(user).filter(|devices| devices.contains(device)) {
            Some(devices) => devices.insert(visit),
            None => state.add(user, visit),
        }
    }

    /// A device said that it has everything up to 0, which changes nothing of one that is remembered.
    pub fn confirmed_nothing(&self, user: &UserId, device: &DeviceId, now: Timestamp) {
        let mut state = self.lock();
        if !state.users.get(user).is_some_and(|devices| devices.contains(device)) {
            state.add(user, Visit { device: device.clone(), last_seen_at: now, transport: "http" });
        }
    }

    /// Whether any device of this user is remembered.
    pub fn has_any(&self, user: &UserId) -> bool {
        self.lock().users.contains_key(user)
    }

    /// Whether this device is remembered.
    pub fn has(&self, user: &UserId, device: &DeviceId) -> bool {
        self.lock().users.get(user).is_some_and(|devices| devices.contains(device))
    }

    /// The user's devices that are remembered, by id.
    pub fn of(&self, user: &UserId) -> Vec<Device> {
        let state = self.lock();
        let devices = state.users.get(user).into_iter().flat_map(|devices| &devices.0);
        let device = |visit: &Visit| Device {
            device_id: visit.device.clone(),
            cursor: 0,
            last_seen_at: visit.last_seen_at,
            transport: visit.transport.to_owned(),
        };
        devices.map(device).collect()
    }

    /// The user's devices are stored.
    pub fn settled(&self, user: &UserId) {
        self.lock().users.remove(user);
    }

    /// Forgets who was not seen since.
    pub fn forget_before(&self, cutoff: Timestamp) {
        self.lock().users.retain(|_, devices| {
            devices.0.retain(|visit| visit.last_seen_at >= cutoff);
            !devices.0.is_empty()
        });
    }
}

impl State {
    fn add(&mut self, user: &UserId, visit: Visit) {
        if self.order.len() >= VISITORS
            && let Some((user, device)) = self.order.pop_front()
        {
            self.forget(&user, &device);
        }
        self.order.push_back((user.clone(), visit.device.clone()));
        let devices = self.users.entry(user.clone()).or_default();
        if devices.0.len() >= OF_ONE_USER {
            let longest = devices.0.iter().min_by_key(|visit| (visit.last_seen_at, &visit.device));
            if let Some(device) = longest.map(|visit| visit.device.clone()) {
                devices.remove(&device);
            }
        }
        devices.insert(visit);
    }

    fn forget(&mut self, user: &UserId, device: &DeviceId) {
        if let Some(devices) = self.users.get_mut(user) {
            devices.remove(device);
            if devices.0.is_empty() {
                self.users.remove(user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn user(name: usize) -> UserId {
        UserId::new(&format!("user-{name}")).unwrap()
    }

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).unwrap()
    }

    #[test]
    fn as_many_are_remembered_as_there_is_room_for() {
        let visitors = Visitors::default();
        for name in 0..VISITORS + 10 {
            visitors.attached(&user(name), &device("phone"), "sse", NOW);
        }
        let state = visitors.lock();
        assert_eq!((state.users.len(), state.order.len()), (VISITORS, VISITORS));
        drop(state);
        assert!(!visitors.has(&user(0), &device("phone")), "who came first is forgotten first");
        assert!(visitors.has(&user(VISITORS), &device("phone")));
    }

    #[test]
    fn one_user_has_as_many_as_devices_are_known() {
        let visitors = Visitors::default();
        for name in 0..OF_ONE_USER + 10 {
            visitors.confirmed_nothing(
                &user(0),
                &device(&name.to_string()),
                Timestamp::from_millis(name as i64),
            );
        }
        assert_eq!(visitors.of(&user(0)).len(), OF_ONE_USER);
        assert!(!visitors.has(&user(0), &device("9")) && visitors.has(&user(0), &device("10")));
    }

    #[test]
    fn who_comes_again_is_seen_again() {
        let (visitors, phone) = (Visitors::default(), device("phone"));
        visitors.confirmed_nothing(&user(0), &phone, Timestamp::from_millis(500));
        visitors.attached(&user(0), &phone, "sse", NOW);
        visitors.confirmed_nothing(&user(0), &phone, Timestamp::from_millis(3_000));
        let of = visitors.of(&user(0));
        assert_eq!(
            (of[0].transport.as_str(), of[0].last_seen_at.as_millis(), of[0].cursor),
            ("sse", 1_000, 0)
        );
        visitors.forget_before(NOW);
        assert!(visitors.has(&user(0), &phone));
        visitors.forget_before(Timestamp::from_millis(1_001));
        assert!(visitors.of(&user(0)).is_empty());
    }
}
