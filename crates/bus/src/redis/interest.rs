use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidings_domain::UserId;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many are subscribed or unsubscribed in one round trip.
pub const BATCH: usize = 512;

/// Whose news this node wants: those who have a socket here, and those whose last one left a moment ago, so that who comes
/// back costs nothing. What Redis is told follows from it.
#[derive(Default)]
pub struct Interest {
    grace: Duration,
    state: Mutex<State>,
    /// Woken when somebody is new.
    pub news: Notify,
}

#[derive(Default)]
struct State {
    users: HashMap<UserId, Wanted>,
    /// Not subscribed yet.
    fresh: Vec<UserId>,
    /// Who has left, each once; about in order of when their time is up.
    leaving: VecDeque<(Instant, UserId)>,
}

#[derive(Default)]
struct Wanted {
    left_at: Option<Instant>,
    /// Stands in `leaving`.
    leaving: bool,
}

/// What to tell Redis next.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Subscribe to these.
    pub join: Vec<UserId>,
    /// Then unsubscribe from these.
    pub leave: Vec<UserId>,
    /// When somebody's time is up, if nobody's is now.
    pub next: Option<Instant>,
}

impl Interest {
    /// Nobody; who leaves stays wanted for `grace`.
    pub fn new(grace: Duration) -> Self {
        Self { grace, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user has a socket here.
    pub fn join(&self, user: &UserId) {
        let mut state = self.lock();
        if let Some(wanted) = state.users.get_mut(user) {
            wanted.left_at = None;
            return;
        }
        state.users.insert(user.clone(), Wanted::default());
        state.fresh.push(user.clone());
        drop(state);
        self.news.notify_one();
    }

    /// The user's last socket left.
    pub fn leave(&self, user: &UserId, now: Instant) {
        let mut state = self.lock();
        let Some(wanted) = state.users.get_mut(user) else { return };
        wanted.left_at = Some(now);
        if !wanted.leaving {
            wanted.leaving = true;
            state.leaving.push_back((now + self.grace, user.clone()));
            drop(state);
            self.news.notify_one();
        }
    }

    /// Whether the user has a socket here now.
    pub fn holds(&self, user: &UserId) -> bool {
        self.lock().users.get(user).is_some_and(|wanted| wanted.left_at.is_none())
    }

    /// Everybody who is wanted, as if nobody were subscribed.
    pub fn all(&self) -> Vec<UserId> {
        let mut state = self.lock();
        state.fresh.clear();
        state.users.keys().cloned().collect()
    }

    /// The next step, [`BATCH`] users each way at most.
    pub fn step(&self, now: Instant) -> Step {
        let mut state = self.lock();
        let mut step = Step::default();
        while let Some((due, _)) = state.leaving.front() {
            if *due > now || step.leave.len() == BATCH {
                step.next = Some((*due).max(now));
                break;
            }
            let Some((_, user)) = state.leaving.pop_front() else { break };
            let Some(wanted) = state.users.get_mut(&user) else { continue };
            match wanted.left_at {
                // Came back.
                None => wanted.leaving = false,
                // Came back and left again.
                Some(left_at) if left_at + self.grace > now => {
                    state.leaving.push_back((left_at + self.grace, user));
                }
                Some(_) => {
                    state.users.remove(&user);
                    step.leave.push(user);
                }
            }
        }
        let State { users, fresh, .. } = &mut *state;
        fresh.retain(|user| users.contains_key(user));
        step.join = fresh.drain(..fresh.len().min(BATCH)).collect();
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[test]
    fn who_comes_back_in_time_costs_nothing() {
        let (interest, now) = (Interest::new(GRACE), Instant::now());
        let ana = user("ana");
        interest.join(&ana);
        assert_eq!(interest.step(now).join, vec![ana.clone()]);
        interest.leave(&ana, now);
        assert!(!interest.holds(&ana));
        assert_eq!(interest.step(now + GRACE / 2), Step { next: Some(now + GRACE), ..Step::default() });
        interest.join(&ana);
        assert!(interest.holds(&ana));
        assert_eq!(interest.step(now + GRACE * 2), Step::default());
    }

    #[test]
    fn who_stays_away_is_given_up_and_taken_again() {
        let (interest, now) = (Interest::new(GRACE), Instant::now());
        let ana = user("ana");
        interest.join(&ana);
        interest.step(now);
        interest.leave(&ana, now);
        assert_eq!(interest.step(now + GRACE).leave, vec![ana.clone()]);
        interest.join(&ana);
        assert_eq!(interest.step(now + GRACE).join, [ana]);
    }

    #[test]
    fn the_last_leaving_counts_and_stands_there_once() {
        let (interest, now) = (Interest::new(GRACE), Instant::now());
        let ana = user("ana");
        interest.join(&ana);
        interest.step(now);
        for second in 0..20 {
            interest.leave(&ana, now + Duration::from_secs(second));
            interest.join(&ana);
        }
        interest.leave(&ana, now + GRACE - Duration::from_secs(1));
        assert_eq!(interest.lock().leaving.len(), 1);
        assert!(interest.step(now + GRACE).leave.is_empty());
        assert_eq!(interest.step(now + GRACE * 2).leave, [ana]);
    }

    #[test]
    fn who_was_never_subscribed_is_not_subscribed_when_gone() {
        let (interest, now) = (Interest::new(Duration::ZERO), Instant::now());
        interest.join(&user("ana"));
        interest.leave(&user("ana"), now);
        assert!(interest.step(now).join.is_empty());
        assert!(interest.all().is_empty());
    }

    #[test]
    fn a_step_is_bounded_and_all_are_taken_in_the_end() {
        let (interest, now) = (Interest::new(GRACE), Instant::now());
        (0..BATCH + 1).for_each(|n| interest.join(&user(&n.to_string())));
        assert_eq!(interest.step(now).join.len(), BATCH);
        assert_eq!(interest.step(now).join.len(), 1);
        (0..BATCH + 1).for_each(|n| interest.leave(&user(&n.to_string()), now));
        let step = interest.step(now + GRACE);
        assert_eq!((step.leave.len(), step.next), (BATCH, Some(now + GRACE)));
        assert_eq!(interest.step(now + GRACE).leave.len(), 1);
    }

    #[test]
    fn after_a_reconnect_everybody_is_taken_again_once() {
        let (interest, now) = (Interest::new(GRACE), Instant::now());
        interest.join(&user("ana"));
        interest.step(now);
        interest.join(&user("bo"));
        let mut all = interest.all();
        all.sort();
        assert_eq!(all, [user("ana"), user("bo")]);
        assert_eq!(interest.step(now), Step::default());
    }
}
