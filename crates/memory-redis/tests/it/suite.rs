//! The contracts of the port and of caches, on one Redis server with a prefix for each case.

use std::sync::{Arc, Mutex, Weak};

use brain_testkit::{
    ManualClock,
    redis::{Server, Settings},
};

use crate::part::Part;

/// A part of the server of all cases that run now; what `DUMP` says of it is what it holds, byte by
/// byte.
fn part(clock: Arc<ManualClock>) -> Part {
    static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut server = SERVER.lock().unwrap();
    let running = server.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Settings::new().set("rdbcompression", "no").start());
        *server = Arc::downgrade(&started);
        started
    });
    Part::new(running, clock)
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
