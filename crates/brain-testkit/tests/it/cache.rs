//! The cache suite on the caches in the process, and what is theirs alone.

mod room;

mod local {
    use std::sync::Arc;

    use brain_core::memory::LocalCache;
    use brain_testkit::ManualClock;

    brain_testkit::session_cache_suite!(async |clock: Arc<ManualClock>| {
        LocalCache::new(clock, 64 << 20)
    });
}

mod in_memory {
    use std::sync::Arc;

    use brain_core::memory::InMemoryStore;
    use brain_testkit::ManualClock;

    brain_testkit::session_cache_suite!(async |clock: Arc<ManualClock>| {
        InMemoryStore::new(clock).with_budget(64 << 20)
    });
}

/// Bounds that nothing reaches change nothing.
mod bounded {
    use std::{sync::Arc, time::Duration};

    use brain_core::memory::InMemoryStore;
    use brain_testkit::ManualClock;

    brain_testkit::memory_store_suite!(async |clock: Arc<ManualClock>| {
        let month = Duration::from_secs(30 * 24 * 60 * 60);
        InMemoryStore::new(clock).with_budget(256 << 20).with_ttl(Some(month))
    });
}
