//! A map that knows which of its keys was not used for the longest time.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// A map in the order of use.
pub(in crate::memory) struct Recent<K, V> {
    values: HashMap<K, (u64, V)>,
    /// Keys by their last use.
    order: BTreeMap<u64, K>,
    uses: u64,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: BTreeMap::new(), uses: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    /// The value, which is the most recently used one then.
    pub(in crate::memory) fn get(&mut self, key: &K) -> Option<&mut V> {
        let (used, value) = self.values.get_mut(key)?;
        if let Some(key) = self.order.remove(used) {
            self.uses += 1;
            *used = self.uses;
            self.order.insert(self.uses, key);
        }
        Some(value)
    }

    /// Puts a value, which is the most recently used one then.
    pub(in crate::memory) fn insert(&mut self, key: K, value: V) {
        self.uses += 1;
        self.order.insert(self.uses, key.clone());
        if let Some((used, _)) = self.values.insert(key, (self.uses, value)) {
            self.order.remove(&used);
        }
    }

    pub(in crate::memory) fn remove(&mut self, key: &K) -> Option<V> {
        let (used, value) = self.values.remove(key)?;
        self.order.remove(&used);
        Some(value)
    }

    /// Takes out the one that was not used for the longest time.
    pub(in crate::memory) fn pop_oldest(&mut self) -> Option<(K, V)> {
        let (_, key) = self.order.pop_first()?;
        let (_, value) = self.values.remove(&key)?;
        Some((key, value))
    }

    pub(in crate::memory) fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut recent = Recent::default();
        for key in ["a", "b", "c", "d"] {
            recent.insert(key, key);
        }
        assert_eq!(recent.get(&"a"), Some(&mut "a"));
        recent.insert("b", "new");
        assert_eq!(recent.remove(&"d"), Some("d"));
        assert_eq!(recent.len(), 3);
        let mut order = Vec::new();
        while let Some(oldest) = recent.pop_oldest() {
            order.push(oldest);
        }
        assert_eq!(order, [("c", "c"), ("a", "a"), ("b", "new")]);
        assert_eq!(recent.get(&"a"), None);
    }
}
