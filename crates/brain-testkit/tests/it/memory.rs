//! The memory suite on the reference store, and on a wrapper without faults.

mod in_memory {
    use std::sync::Arc;

    use brain_core::memory::InMemoryStore;
    use brain_testkit::ManualClock;

    brain_testkit::memory_store_suite!(async |clock: Arc<ManualClock>| InMemoryStore::new(clock));
}

mod faulty {
    use std::sync::Arc;

    use brain_core::memory::InMemoryStore;
    use brain_testkit::{FaultyStore, ManualClock};

    brain_testkit::memory_store_suite!(async |clock: Arc<ManualClock>| {
        FaultyStore::new(Arc::new(InMemoryStore::new(clock)))
    });
}
