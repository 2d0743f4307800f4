//! The cache suite on the caches in the process, and what is theirs alone.

mod local {
    use std::sync::Arc;

    use brain_core::memory::LocalCache;
    use brain_testkit::ManualClock;

    brain_testkit::session_cache_suite!(async |clock: Arc<ManualClock>| {
        LocalCache::new(clock, 64 << 20)
    });
}
