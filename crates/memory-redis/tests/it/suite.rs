//! The contracts of the port and of caches, on one Redis server with a prefix for each case.

use std::sync::Arc;

use brain_testkit::{ManualClock, redis::Server};

use crate::part::Part;

/// A part of the server of all cases that run now.
fn part(clock: Arc<ManualClock>) -> Part {
    Part::new(Server::shared(), clock)
}

mod store {
    brain_testkit::memory_store_suite!(async |clock| super::part(clock).fresh());
}

mod cache {
    use brain_testkit::cache::FreshCache;

    brain_testkit::session_cache_suite!(async |clock| {
        let part = super::part(clock);
        FreshCache::from(part.store()).keeping(part)
    });
}
