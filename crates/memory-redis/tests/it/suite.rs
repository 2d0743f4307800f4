//! The contracts of the port and of caches, on one Redis server with a prefix for each case.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use brain_core::ids::{Seq, SessionKey};
use brain_testkit::{
    ManualClock,
    memory::Fresh,
    redis::{Reply, Server, Settings},
};
use memory_redis::{RedisClock, RedisConfig, RedisStore};

/// The server of all cases that run now; what `DUMP` says of it is what it holds, byte by byte.
fn server() -> Arc<Server> {
    static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut server = SERVER.lock().unwrap();
    if let Some(running) = server.upgrade() {
        return running;
    }
    let started = Arc::new(Settings::new().set("rdbcompression", "no").start());
    *server = Arc::downgrade(&started);
    started
}

/// A part of the server that no other case uses.
struct Part {
    server: Arc<Server>,
    config: RedisConfig,
    clock: Arc<ManualClock>,
}

impl Part {
    fn new(clock: Arc<ManualClock>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let server = server();
        let mut config = RedisConfig::parse(&server.socket_url()).unwrap();
        config.prefix = format!("case{}", NEXT.fetch_add(1, Ordering::Relaxed));
        config.ttl = Some(Duration::from_secs(3600));
        Self { server, config, clock }
    }

    fn store(&self) -> RedisStore {
        RedisStore::new(&self.config, RedisClock::Given(self.clock.clone())).unwrap()
    }

    /// Makes what an entry says something that is no JSON.
    fn damage(&self, key: &SessionKey, seq: Seq) {
        let name = [key.owner.as_str(), key.id.as_str()].map(|it| URL_SAFE_NO_PAD.encode(it));
        let session = format!("{}:s:{{{}}}", self.config.prefix, name.join("."));
        let field = format!("e:{seq}");
        let value = self.server.ask(&["HGET", &session, &field]).text();
        let spoilt = value.replacen('{', "?", 1);
        assert_ne!(value, spoilt);
        assert_eq!(self.server.ask(&["HSET", &session, &field, &spoilt]), Reply::Integer(0));
    }

    /// Whether a text is in any key or value.
    fn holds(&self, text: &str) -> bool {
        let prefix = format!("{}:", self.config.prefix).into_bytes();
        let named = URL_SAFE_NO_PAD.encode(text);
        let has = |bytes: &[u8], text: &str| {
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        let contents = self.server.client().contents();
        contents.iter().filter(|(key, _)| key.starts_with(&prefix)).any(|(key, value)| {
            let Reply::Bytes(value) = value else { panic!("{value:?}") };
            [&key[..], &value[..]].iter().any(|it| has(it, text) || has(it, &named))
        })
    }
}

fn fresh(clock: Arc<ManualClock>) -> Fresh {
    let part = Arc::new(Part::new(clock));
    let (damaged, seen) = (Arc::clone(&part), Arc::clone(&part));
    Fresh::from(part.store())
        .with_second(Arc::new(part.store()))
        .with_damage(move |key, seq| {
            let part = Arc::clone(&damaged);
            Box::pin(async move { part.damage(&key, seq) })
        })
        .with_look(move |text| {
            let part = Arc::clone(&seen);
            Box::pin(async move { part.holds(&text) })
        })
        .keeping(part)
}

mod store {
    brain_testkit::memory_store_suite!(async |clock| super::fresh(clock));
}

mod cache {
    use brain_testkit::cache::FreshCache;

    brain_testkit::session_cache_suite!(async |clock| {
        let part = super::Part::new(clock);
        FreshCache::from(part.store()).keeping(part)
    });
}
