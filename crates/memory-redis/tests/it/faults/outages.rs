//! Redis is away, frozen, or slow.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use brain_core::memory::{
    Append, Catalog, Expect, ListOptions, MemoryErrorKind, MemoryStore, ReadOptions, Recall,
    Search, SessionLog, TurnIndex,
};
use brain_testkit::redis::{Proxy, Server, Settings};

use crate::harness::{
    HEALED, LIMIT, SLACK, ann, append, begin, draft, fails, heals, key, next, shared, store, texts,
    unique,
};

/// Nothing of the session can be read, and that is said: none of these is an empty history.
async fn everything_fails(store: &memory_redis::RedisStore) {
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

/// Appends, asking again while it fails, until `done`; what was acknowledged.
async fn write_on(store: &memory_redis::RedisStore, id: &str, done: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut parent = None;
    while !done.load(Ordering::Relaxed) {
        let text = format!("{id} {}", acknowledged.len());
        let expect = if parent.is_none() { Expect::Absent } else { Expect::Attach };
        let append =
            Append { parent, expect, append_id: unique(), fence: None, drafts: vec![draft(&text)] };
        let begin = Instant::now();
        let appended = loop {
            let attempt = Instant::now();
            match store.append(&key(id), append.clone()).await {
                Ok(appended) => break appended,
                Err(error) => {
                    assert!(error.is_transient(), "{}", crate::harness::said(&error));
                    // An append of a session that is not there yet is several calls.
                    assert!(attempt.elapsed() < 3 * LIMIT + SLACK, "{:?}", attempt.elapsed());
                }
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "it does not heal");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        acknowledged.push(text);
        parent = appended.last;
    }
    acknowledged
}

/// Sixteen tasks write while `trouble` happens; each finds what it was promised, once, in order.
async fn under_load(server: &Server, trouble: impl FnOnce(&Server) + Send) {
    let store = shared(&server.url());
    let done = AtomicBool::new(false);
    let writers = (0..16).map(|writer| {
        let (store, done) = (&store, &done);
        async move { write_on(store, &format!("w{writer}"), done).await }
    });
    let trouble = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        tokio::task::block_in_place(|| trouble(server));
        let begin = Instant::now();
        heals(&store).await;
        assert!(begin.elapsed() < HEALED);
        tokio::time::sleep(Duration::from_millis(200)).await;
        done.store(true, Ordering::Relaxed);
    };
    let (acknowledged, ()) = tokio::join!(futures_util::future::join_all(writers), trouble);
    let mut total = 0;
    for (writer, acknowledged) in acknowledged.into_iter().enumerate() {
        assert_eq!(texts(&store, &format!("w{writer}")).await, acknowledged);
        total += acknowledged.len();
    }
    assert!(total > 100, "{total} appends");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_survive_a_restart() {
    let server = Settings::new().durable().start();
    under_load(&server, |server| {
        server.stop();
        std::thread::sleep(Duration::from_millis(300));
        server.restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_survive_a_kill() {
    let server = Settings::new().durable().start();
    under_load(&server, |server| {
        for _ in 0..3 {
            server.kill();
            server.restart();
            std::thread::sleep(Duration::from_millis(200));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_survive_a_pause() {
    let server = Server::start();
    under_load(&server, |server| {
        server.pause();
        std::thread::sleep(LIMIT + Duration::from_millis(500));
        server.resume();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_survive_flushed_scripts() {
    let server = Server::start();
    under_load(&server, |server| {
        for _ in 0..50 {
            server.ask(&["SCRIPT", "FLUSH"]);
            std::thread::sleep(Duration::from_millis(5));
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
