use std::sync::Arc;

use brain_core::memory::InMemoryStore;
use brain_testkit::ManualClock;

brain_testkit::memory_store_suite!(async |clock: Arc<ManualClock>| InMemoryStore::new(clock));
