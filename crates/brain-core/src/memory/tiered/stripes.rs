//! Locks by name, without one for each name.

use std::hash::{BuildHasher, Hash, RandomState};

use futures_util::lock::{Mutex, MutexGuard};

const COUNT: usize = 256;

/// A fixed number of locks; different names may share one.
#[derive(Debug)]
pub(super) struct Stripes {
    locks: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Stripes {
    fn default() -> Self {
        let locks = (0..COUNT).map(|_| Mutex::new(())).collect();
        Self { locks, hasher: RandomState::new() }
    }
}

impl Stripes {
    /// Waits for the lock of this name.
    pub(super) async fn lock(&self, name: &(impl Hash + Sync)) -> Option<MutexGuard<'_, ()>> {
        let index = self.hasher.hash_one(name) % (COUNT as u64);
        let lock = usize::try_from(index).ok().and_then(|it| self.locks.get(it))?;
        Some(lock.lock().await)
    }
}
