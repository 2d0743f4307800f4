//! The whole contract on a Redis Cluster of three nodes, and what its faults look like.

use std::{
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use brain_core::{
    ids::Seq,
    memory::{
        Catalog, CloseTurn, Expect, MemoryErrorKind, MemoryStore, NewSession, OpenTurn, Opened,
        SessionLog, Turns,
    },
};
use brain_testkit::{
    ManualClock,
    redis::{Cluster, Reply, Sentinel, Server, Settings},
};
use futures_util::future;

use crate::{
    faults::cuts::Plan,
    harness::{
        append, begin, fails, fails_saying, heals, key, listed, next, store, texts, wait_for,
    },
    part::Part,
};

/// A part of the cluster of all cases that run now, whose keys are the longer ones.
fn part(clock: Arc<ManualClock>) -> Part {
    static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut cluster = CLUSTER.lock().unwrap();
    let running = cluster.upgrade().unwrap_or_else(|| {
        let settings = Settings::new().set("rdbcompression", "no");
        let started = Arc::new(Cluster::start_with(&settings));
        *cluster = Arc::downgrade(&started);
        started
    });
    Part::new(running, clock).before_a_database()
}

mod suite {
    brain_testkit::memory_store_suite!(async |clock| super::part(clock).fresh());
}

mod cache {
    use brain_testkit::cache::FreshCache;

    brain_testkit::session_cache_suite!(async |clock| {
        let part = super::part(clock);
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
    let others = &cluster.nodes()[1..];
    let is_down = |it: &Server| it.ask(&["CLUSTER", "INFO"]).text().contains("cluster_state:fail");
    let begin_of_outage = Instant::now();
    while !others.iter().all(is_down) {
        for id in ["a", "b", "c"] {
            match store.session(&key(id)).await {
                Ok(session) => assert_eq!(session.is_some(), id == "a", "no history is empty"),
                Err(error) => assert!(error.is_transient(), "{}", crate::harness::said(&error)),
            }
        }
        assert!(begin_of_outage.elapsed() < Duration::from_secs(20), "nobody notices");
    }
    let d = key("d");
    assert_eq!(fails(store.create(&d, NewSession::default())).await, MemoryErrorKind::Unavailable);
    node.restart();
    cluster.wait_until_ready();
    heals(&store).await;
    assert_eq!(texts(&store, "a").await, ["the first"]);
    store.create(&d, NewSession::default()).await.unwrap();
}

/// While a slot moves, what needs one key goes on, and what needs two waits for them to be together.
#[tokio::test]
async fn keys_on_their_way_to_another_node_are_waited_for() {
    let cluster = Cluster::start();
    let store = store(&cluster.url());
    begin(&store, "a").await;
    let name = "codexd:s:{YW5u.YQ}";
    let (owner, other) = cluster.owner_and_other(name);
    let slot = owner.ask(&["CLUSTER", "KEYSLOT", name]).integer().to_string();
    let [from, to] = [owner, other].map(|it| it.ask(&["CLUSTER", "MYID"]).text());
    let set = |node: &Server, words: [&str; 2]| {
        let done = node.ask(&[&["CLUSTER", "SETSLOT", &slot], &words[..]].concat());
        assert_eq!(done.text(), "OK");
    };
    set(other, ["IMPORTING", &from]);
    set(owner, ["MIGRATING", &to]);

    let plan = Plan::new();
    let question = append(Some(Seq(1)), Expect::Attach, "question");
    store.open(OpenTurn { idempotency: None, append: question, ..plan.open() }).await.unwrap();
    let answer = append(Some(Seq(2)), Expect::Attach, "answer");
    store.close(CloseTurn { append: answer, ..plan.close() }).await.unwrap();

    let plan = Plan::new();
    let refused = store.open(plan.open());
    assert_eq!(fails_saying(refused, "moving the key").await, MemoryErrorKind::Unavailable);
    let refusals = || {
        let stats = owner.ask(&["INFO", "errorstats"]).text();
        let count = stats.lines().find_map(|it| it.strip_prefix("errorstat_TRYAGAIN:count="));
        count.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = refusals();
    let moved = async {
        wait_for("the turn is in the way of the move", async || before < refusals()).await;
        let keys = owner.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "9"]).array();
        let keys: Vec<String> = keys.iter().map(Reply::text).collect();
        let port = other.port().to_string();
        let mut all = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "1000", "KEYS"];
        all.extend(keys.iter().map(String::as_str));
        assert_eq!(owner.ask(&all).text(), "OK");
        for node in std::iter::once(other).chain(cluster.nodes()) {
            set(node, ["NODE", &to]);
        }
    };
    let (opened, ()) = future::join(store.open(plan.open()), moved).await;
    assert!(matches!(opened.unwrap(), Opened::Started { .. }));
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
