//! Redis is away, frozen, or slow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use brain_core::memory::{
    Append, Catalog, Expect, ListOptions, MemoryErrorKind, MemoryStore, ReadOptions, Recall,
    Search, SessionLog, TurnIndex,
};
use brain_testkit::redis::{Proxy, Server, Settings};
use memory_redis::RedisStore;
use tokio::task::JoinSet;

use crate::harness::{
    HEALED, LIMIT, SLACK, ann, append, begin, draft, fails, heals, key, next, said, shared, store,
    texts, unique, wait_until,
};

const WRITERS: usize = 16;

/// Nothing of the session can be read, and that is said: none of these is an empty history.
async fn everything_fails(store: &RedisStore) {
    let a = key("a");
    let unavailable = MemoryErrorKind::Unavailable;
    assert_eq!(fails(store.read(&a, ReadOptions::newest(9))).await, unavailable);
    assert_eq!(fails(store.scan(&a, Default::default(), 9)).await, unavailable);
    assert_eq!(fails(store.session(&a)).await, unavailable);
    assert_eq!(
        fails(store.list(&ann(), ListOptions { before: None, limit: 9 })).await,
        unavailable
    );
    let search = Search { text: "first".to_owned(), vector: None, limit: 9 };
    assert_eq!(fails(store.search(&ann(), &search)).await, unavailable);
    assert_eq!(fails(store.unfinished()).await, unavailable);
    assert_eq!(fails(store.health()).await, unavailable);
}

#[tokio::test]
async fn a_stopped_server_is_no_empty_history() {
    let a = key("a");
    let server = Settings::new().durable().start();
    let store = store(&server.url());
    let after = begin(&store, "a").await;
    server.stop();
    // A connection that was just used is not asked again whether it lives.
    let kind = fails(store.append(&a, next(after, "no"))).await;
    assert!(
        matches!(kind, MemoryErrorKind::OutcomeUnknown | MemoryErrorKind::Unavailable),
        "{kind:?}"
    );
    everything_fails(&store).await;
    server.restart();
    heals(&store).await;
    assert_eq!(texts(&store, "a").await, ["the first"]);
    store.append(&a, next(after, "yes")).await.unwrap();
    store.health().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_absent_at_first_is_found_when_it_comes() {
    let server = Server::start();
    server.stop();
    let store = store(&server.url());
    everything_fails(&store).await;
    server.restart();
    heals(&store).await;
    begin(&store, "a").await;
}

#[tokio::test]
async fn a_frozen_server_is_no_empty_history() {
    let a = key("a");
    let server = Server::start();
    let store = store(&server.url());
    let after = begin(&store, "a").await;
    server.pause();
    let write = next(after, "perhaps");
    let unknown = fails(store.append(&a, write.clone())).await;
    assert!(
        matches!(unknown, MemoryErrorKind::OutcomeUnknown | MemoryErrorKind::Unavailable),
        "{unknown:?}"
    );
    everything_fails(&store).await;
    server.resume();
    heals(&store).await;
    let resolved = store.append(&a, write.clone()).await.unwrap();
    assert_eq!(store.append(&a, write).await.unwrap(), resolved);
    assert_eq!(texts(&store, "a").await, ["the first", "perhaps"]);
}

#[tokio::test]
async fn a_slow_server_costs_the_limit() {
    let a = key("a");
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let store = store(proxy.url());
    let after = begin(&store, "a").await;
    proxy.delay(Duration::from_secs(5));
    let write = next(after, "perhaps");
    let unknown = fails(store.append(&a, write.clone())).await;
    assert!(
        matches!(unknown, MemoryErrorKind::OutcomeUnknown | MemoryErrorKind::Unavailable),
        "{unknown:?}"
    );
    let read = store.read(&a, ReadOptions::newest(9));
    assert_eq!(fails(read).await, MemoryErrorKind::Unavailable);
    proxy.delay(Duration::ZERO);
    heals(&store).await;
    store.append(&a, write).await.unwrap();
    assert_eq!(texts(&store, "a").await, ["the first", "perhaps"]);
}

#[tokio::test]
async fn a_lost_reply_is_resolved_by_asking_again() {
    let a = key("a");
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let store = store(proxy.url());
    let mut after = begin(&store, "a").await;
    for text in ["1", "2", "3"] {
        let append = next(after, text);
        proxy.lose_reply("EVALSHA");
        let lost = fails(store.append(&a, append.clone())).await;
        assert_eq!(lost, MemoryErrorKind::OutcomeUnknown);
        after = store.append(&a, append.clone()).await.unwrap();
        assert_eq!(store.append(&a, append).await.unwrap(), after);
    }
    assert_eq!(proxy.lost(), 3);
    assert_eq!(texts(&store, "a").await, ["the first", "1", "2", "3"]);
}

/// What writers have done so far.
#[derive(Debug, Default)]
struct Load {
    acknowledged: AtomicUsize,
    failed: AtomicUsize,
    done: AtomicBool,
}

impl Load {
    /// Waits until so many more appends are acknowledged.
    fn wait_for_appends(&self, more: usize) {
        Self::wait_for_more(&self.acknowledged, more);
    }

    /// Waits until so many more calls have failed.
    fn wait_for_failures(&self, more: usize) {
        Self::wait_for_more(&self.failed, more);
    }

    #[track_caller]
    fn wait_for_more(count: &AtomicUsize, more: usize) {
        let goal = count.load(Ordering::Relaxed) + more;
        wait_until("the writers go on", || goal <= count.load(Ordering::Relaxed));
    }
}

/// Appends, asking again while it fails, until it is done; what was acknowledged.
async fn write_on(store: Arc<RedisStore>, id: String, load: Arc<Load>) -> (String, Vec<String>) {
    let mut acknowledged = Vec::new();
    let mut parent = None;
    while !load.done.load(Ordering::Relaxed) {
        let text = format!("{id} {}", acknowledged.len());
        let expect = if parent.is_none() { Expect::Absent } else { Expect::Attach };
        let append =
            Append { parent, expect, append_id: unique(), fence: None, drafts: vec![draft(&text)] };
        let begin = Instant::now();
        let appended = loop {
            let attempt = Instant::now();
            match store.append(&key(&id), append.clone()).await {
                Ok(appended) => break appended,
                Err(error) => {
                    assert!(error.is_transient(), "{}", said(&error));
                    // An append of a session that is not there yet is several calls.
                    assert!(attempt.elapsed() < 4 * LIMIT + SLACK, "{:?}", attempt.elapsed());
                    load.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "it does not heal");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        load.acknowledged.fetch_add(1, Ordering::Relaxed);
        acknowledged.push(text);
        parent = appended.last;
    }
    (id, acknowledged)
}

/// Sixteen tasks write while `trouble` happens; each finds what it was promised, once, in order.
async fn under_load(server: &Server, trouble: impl FnOnce(&Server, &Load)) {
    let (store, load) = (shared(&server.url()), Arc::new(Load::default()));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write_on(Arc::clone(&store), format!("w{writer}"), Arc::clone(&load)));
    }
    // The writers are tasks of their own, and go on meanwhile.
    tokio::task::block_in_place(|| {
        load.wait_for_appends(2 * WRITERS);
        trouble(server, &load);
    });
    let begin = Instant::now();
    heals(&store).await;
    assert!(begin.elapsed() < HEALED);
    tokio::task::block_in_place(|| load.wait_for_appends(2 * WRITERS));
    load.done.store(true, Ordering::Relaxed);
    for (writer, acknowledged) in writers.join_all().await {
        assert_eq!(texts(&store, &writer).await, acknowledged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_survive_a_restart() {
    let server = Settings::new().durable().start();
    under_load(&server, |server, load| {
        server.stop();
        load.wait_for_failures(2 * WRITERS);
        server.restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_survive_a_kill() {
    let server = Settings::new().durable().start();
    under_load(&server, |server, load| {
        for _ in 0..3 {
            server.kill();
            server.restart();
            load.wait_for_appends(WRITERS);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_survive_a_pause() {
    let server = Server::start();
    under_load(&server, |server, load| {
        server.pause();
        load.wait_for_failures(WRITERS);
        server.resume();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_survive_flushed_scripts() {
    let server = Server::start();
    under_load(&server, |server, load| {
        for _ in 0..50 {
            server.ask(&["SCRIPT", "FLUSH"]);
            load.wait_for_appends(1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_dropped_call_leaves_the_pool_usable() {
    let a = key("a");
    let b = key("b");
    let server = Server::start();
    let store = store(&server.url());
    let mut after = begin(&store, "a").await;
    for number in 0..50_u32 {
        let append = next(after, &number.to_string());
        let patience = Duration::from_micros(u64::from(number) * 20);
        drop(tokio::time::timeout(patience, store.append(&a, append.clone())).await);
        after = store.append(&a, append).await.unwrap();
    }
    assert_eq!(texts(&store, "a").await.len(), 51);
    let clients = server.ask(&["CLIENT", "LIST"]).text();
    assert!(clients.lines().count() < 20, "{clients}");
    let first = append(None, Expect::Absent, "more");
    store.append(&b, first).await.unwrap();
}
