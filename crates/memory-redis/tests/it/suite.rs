//! The contract of the port, on one Redis server with a prefix for each case.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use brain_testkit::{ManualClock, memory::Fresh, redis::Server};
use memory_redis::{RedisClock, RedisConfig, RedisStore};

/// The server of all cases that run now.
fn server() -> Arc<Server> {
    static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut server = SERVER.lock().unwrap();
    if let Some(running) = server.upgrade() {
        return running;
    }
    let started = Arc::new(Server::start());
    *server = Arc::downgrade(&started);
    started
}

fn fresh(clock: Arc<ManualClock>) -> Fresh {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let server = server();
    let mut config = RedisConfig::parse(&server.socket_url()).unwrap();
    config.prefix = format!("case{}", NEXT.fetch_add(1, Ordering::Relaxed));
    config.ttl = Some(Duration::from_secs(3600));
    let store = RedisStore::new(&config, RedisClock::Given(clock)).unwrap();
    Fresh::from(store).keeping(server)
}

brain_testkit::memory_store_suite!(async |clock| fresh(clock));
