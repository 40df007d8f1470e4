use std::collections::HashMap;
use std::hash::Hash;

/// A map of bounded size that keeps what was used last: for what a store knows and can read again.
///
/// It has two halves. What is used or added goes to the young one. When that is full, it becomes the old one, and what was
/// in the old one is forgotten. So one more entry never costs all the others, as emptying a full map does.
#[derive(Debug)]
pub struct Recent<K, V> {
    half: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    /// Holds at most `capacity` entries, and at least the half of that which was used last.
    pub fn new(capacity: usize) -> Self {
        Self { half: (capacity / 2).max(1), young: HashMap::new(), old: HashMap::new() }
    }

    /// The value, if it is known. It counts as used.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.make_room();
            self.young.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// The value, made when it is not known.
    pub fn get_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        if self.get(key).is_none() {
            self.make_room();
        }
        self.young.entry(key.clone()).or_insert_with(make)
    }

    /// Sets the value.
    pub fn insert(&mut self, key: &K, value: V) {
        self.old.remove(key);
        if !self.young.contains_key(key) {
            self.make_room();
        }
        self.young.insert(key.clone(), value);
    }

    /// Forgets it.
    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    fn make_room(&mut self) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_holds_more_than_its_capacity_and_keeps_what_is_used() {
        let mut recent = Recent::new(10);
        recent.insert(&0, "used");
        for key in 1..1_000 {
            match key % 3 {
                0 => recent.insert(&key, "other"),
                _ => drop(recent.get_or_insert_with(&key, || "other")),
            }
            assert!(recent.len() <= 10, "{} entries", recent.len());
            assert_eq!(recent.get(&0), Some(&mut "used"), "after {key}");
            assert!(recent.get(&key).is_some());
        }
        assert!(recent.get(&1).is_none());
    }

    #[test]
    fn a_known_entry_is_changed_where_it_is() {
        let mut recent = Recent::new(4);
        for key in 0..3 {
            recent.insert(&key, 1);
        }
        // 0 and 1 are in the old half by now.
        recent.insert(&0, 2);
        *recent.get_or_insert_with(&1, || 7) += 1;
        assert_eq!(recent.get(&0), Some(&mut 2));
        assert_eq!(recent.get(&1), Some(&mut 2));
        assert_eq!(recent.len(), 3);
        recent.remove(&1);
        assert!(recent.get(&1).is_none());
        recent.clear();
        assert!(recent.is_empty());
    }
}
