//! The whole contract on a Redis Cluster of three nodes, and what its faults look like.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use brain_core::{
    ids::{Seq, SessionKey},
    memory::{Catalog, MemoryErrorKind, MemoryStore, NewSession, SessionLog},
};
use brain_testkit::{
    ManualClock,
    memory::Fresh,
    redis::{Cluster, Reply, Sentinel, Server, Settings},
};
use memory_redis::{RedisClock, RedisConfig, RedisStore};

use crate::harness::{begin, fails, heals, key, listed, next, store, texts};

/// The cluster of all cases that run now.
fn cluster() -> Arc<Cluster> {
    static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut cluster = CLUSTER.lock().unwrap();
    if let Some(running) = cluster.upgrade() {
        return running;
    }
    let started = Arc::new(Cluster::start_with(&Settings::new().set("rdbcompression", "no")));
    *cluster = Arc::downgrade(&started);
    started
}

/// A part of the cluster that no other case uses.
struct Part {
    cluster: Arc<Cluster>,
    config: RedisConfig,
    clock: Arc<ManualClock>,
}

impl Part {
    fn new(clock: Arc<ManualClock>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let cluster = cluster();
        let mut config = RedisConfig::parse(&cluster.url()).unwrap();
        config.prefix = format!("case{}", NEXT.fetch_add(1, Ordering::Relaxed));
        config.ttl = Some(Duration::from_secs(3600));
        config.pool_size = 4;
        Self { cluster, config, clock }
    }

    fn store(&self) -> RedisStore {
        RedisStore::new(&self.config, RedisClock::Given(self.clock.clone())).unwrap()
    }

    /// Makes what an entry says something that is no JSON.
    fn damage(&self, key: &SessionKey, seq: Seq) {
        let name = [key.owner.as_str(), key.id.as_str()].map(|it| URL_SAFE_NO_PAD.encode(it));
        let session = format!("{}:s:{{{}}}", self.config.prefix, name.join("."));
        let (node, _) = self.cluster.owner_and_other(&session);
        let field = format!("e:{seq}");
        let value = node.ask(&["HGET", &session, &field]).text();
        let spoilt = value.replacen('{', "?", 1);
        assert_ne!(value, spoilt);
        assert_eq!(node.ask(&["HSET", &session, &field, &spoilt]), Reply::Integer(0));
    }

    /// Whether a text is in any key or value.
    fn holds(&self, text: &str) -> bool {
        let prefix = format!("{}:", self.config.prefix).into_bytes();
        let named = URL_SAFE_NO_PAD.encode(text);
        let has = |bytes: &[u8], text: &str| {
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        let contents = self.cluster.nodes().iter().flat_map(|it| it.client().contents());
        contents.filter(|(key, _)| key.starts_with(&prefix)).any(|(key, value)| {
            let Reply::Bytes(value) = value else { return false };
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

mod suite {
    brain_testkit::memory_store_suite!(async |clock| super::fresh(clock));
}

mod cache {
    use brain_testkit::cache::FreshCache;

    brain_testkit::session_cache_suite!(async |clock| {
        let part = super::Part::new(clock);
        FreshCache::from(part.store()).keeping(part)
    });
}

#[tokio::test]
async fn sessions_live_on_all_nodes() {
    let cluster = Cluster::start();
    let store = store(&cluster.url());
    for id in 0..30 {
        let after = begin(&store, &id.to_string()).await;
        store.append(&key(&id.to_string()), next(after, "more")).await.unwrap();
    }
    assert_eq!(listed(&store).await.len(), 30);
    for node in cluster.nodes() {
        assert!(node.ask(&["DBSIZE"]).integer() > 3, "{}", node.port());
    }
    store.health().await.unwrap();
}

#[tokio::test]
async fn a_cluster_with_tls_and_a_password_passes_for_one() {
    let cluster = Cluster::start_with(&Settings::new().password("hunter2").tls());
    let store = store(&cluster.url());
    for id in ["a", "b", "c"] {
        begin(&store, id).await;
        assert_eq!(texts(&store, id).await, ["the first"]);
    }
}

#[tokio::test]
async fn scripts_that_are_flushed_come_back_on_every_node() {
    let cluster = Cluster::start();
    let store = store(&cluster.url());
    for id in 0..12 {
        let after = begin(&store, &id.to_string()).await;
        for node in cluster.nodes() {
            assert_eq!(node.ask(&["SCRIPT", "FLUSH"]).text(), "OK");
        }
        store.append(&key(&id.to_string()), next(after, "more")).await.unwrap();
    }
}

#[tokio::test]
async fn a_cluster_without_a_node_says_so_and_heals() {
    let cluster = Cluster::start_with(&Settings::new().durable());
    let store = store(&cluster.url());
    begin(&store, "a").await;
    let node = &cluster.nodes()[0];
    node.stop();
    // Until the others know, only its own keys are out of reach; then the cluster is down.
    let begin_of_outage = std::time::Instant::now();
    while begin_of_outage.elapsed() < Duration::from_secs(3) {
        for id in ["a", "b", "c"] {
            match store.session(&key(id)).await {
                Ok(session) => assert_eq!(session.is_some(), id == "a", "no history is empty"),
                Err(error) => assert!(error.is_transient(), "{}", crate::harness::said(&error)),
            }
        }
    }
    let d = key("d");
    assert_eq!(fails(store.create(&d, NewSession::default())).await, MemoryErrorKind::Unavailable);
    node.restart();
    cluster.wait_until_ready();
    heals(&store).await;
    assert_eq!(texts(&store, "a").await, ["the first"]);
    store.create(&d, NewSession::default()).await.unwrap();
}

#[tokio::test]
async fn a_sentinel_names_the_master_after_a_failover() {
    let sentinel = Sentinel::start();
    let store = store(&sentinel.url());
    let mut after = begin(&store, "a").await;
    sentinel.fail_over();
    after = store.append(&key("a"), next(after, "1")).await.unwrap();
    sentinel.fail_over();
    after = store.append(&key("a"), next(after, "2")).await.unwrap();
    assert_eq!(texts(&store, "a").await, ["the first", "1", "2"]);
    sentinel.wait_for_replica();
    let dead: &Server = sentinel.master();
    dead.kill();
    let lost = next(after, "3");
    let kind = fails(store.append(&key("a"), lost.clone())).await;
    assert!(
        matches!(kind, MemoryErrorKind::Unavailable | MemoryErrorKind::OutcomeUnknown),
        "{kind:?}"
    );
    sentinel.wait_for_other_master(dead);
    heals(&store).await;
    store.append(&key("a"), lost).await.unwrap();
    assert_eq!(texts(&store, "a").await.last().map(String::as_str), Some("3"));
}

#[tokio::test]
async fn a_server_with_tls_and_a_password_passes_for_one() {
    let server = Settings::new().password("hunter2").tls().start();
    let store = store(&server.url());
    let after = begin(&store, "a").await;
    store.append(&key("a"), next(after, "more")).await.unwrap();
    assert_eq!(texts(&store, "a").await, ["the first", "more"]);
    server.restart();
    heals(&store).await;
    let shown = format!("{store:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
