//! Redis answers, but does not do what it was asked.

use brain_core::memory::{
    Catalog, Expect, Forget, MemoryErrorKind, MemoryStore, NewSession, ReadOptions, SessionCache,
    SessionLog,
};
use brain_testkit::redis::{Cluster, Reply, Server, Settings};

use crate::harness::{
    append, begin, contents, fails, fails_saying, heals, key, next, session_key, store, texts,
    wait_until,
};

#[tokio::test]
async fn scripts_that_are_flushed_come_back() {
    let a = key("a");
    let server = Server::start();
    let store = store(&server.url());
    let mut after = begin(&store, "a").await;
    for text in ["1", "2", "3"] {
        assert_eq!(server.ask(&["SCRIPT", "FLUSH"]).text(), "OK");
        after = store.append(&a, next(after, text)).await.unwrap();
        assert_eq!(server.ask(&["SCRIPT", "FLUSH"]).text(), "OK");
        store.read(&a, ReadOptions::newest(1)).await.unwrap().unwrap();
    }
    assert_eq!(texts(&store, "a").await, ["the first", "1", "2", "3"]);
}

#[tokio::test]
async fn a_replica_takes_no_change() {
    let a = key("a");
    let b = key("b");
    let master = Server::start();
    let replica = Server::start();
    let after = begin(&store(&master.url()), "a").await;
    replica.ask(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    wait_until("the replica follows", || {
        replica.ask(&["INFO", "replication"]).text().contains("master_link_status:up")
    });
    let before = contents(&replica);
    let follower = store(&replica.url());
    let refused = follower.append(&a, next(after, "no"));
    assert_eq!(fails_saying(refused, "is a replica").await, MemoryErrorKind::Unavailable);
    let made = follower.create(&b, NewSession::default());
    assert_eq!(fails(made).await, MemoryErrorKind::Unavailable);
    assert_eq!(fails(follower.forget(&a, Forget::Always)).await, MemoryErrorKind::Unavailable);
    assert_eq!(fails(follower.health()).await, MemoryErrorKind::Unavailable);
    assert_eq!(contents(&replica), before);
    assert_eq!(texts(&follower, "a").await, ["the first"]);
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    follower.append(&a, next(after, "yes")).await.unwrap();
}

#[tokio::test]
async fn a_full_redis_says_so_and_keeps_what_it_has() {
    let a = key("a");
    let b = key("b");
    let c = key("c");
    let server = Settings::new().set("maxmemory-policy", "noeviction").start();
    let store = store(&server.url());
    let after = begin(&store, "a").await;
    let before = contents(&server);
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = store.append(&a, next(after, "no"));
    assert_eq!(fails_saying(refused, "maxmemory").await, MemoryErrorKind::Full);
    let first = store.append(&b, append(None, Expect::Absent, "no"));
    assert_eq!(fails(first).await, MemoryErrorKind::Full);
    assert_eq!(fails(store.create(&c, NewSession::default())).await, MemoryErrorKind::Full);
    assert_eq!(fails(store.health()).await, MemoryErrorKind::Full);
    assert_eq!(texts(&store, "a").await, ["the first"]);
    assert_eq!(contents(&server), before);
    let forgotten = store.forget(&a, Forget::Always).await.unwrap();
    assert_eq!(forgotten.erased, 1, "forgetting makes room");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    begin(&store, "b").await;
    assert_eq!(texts(&store, "b").await, ["the first"]);
}

#[tokio::test]
async fn a_redis_that_fills_up_loses_nothing_that_it_took() {
    let a = key("a");
    let server = Settings::new().set("maxmemory-policy", "noeviction").start();
    let store = store(&server.url());
    let mut after = begin(&store, "a").await;
    let used = server.ask(&["INFO", "memory"]).text();
    let used = used.lines().find_map(|it| it.strip_prefix("used_memory:")).unwrap();
    let room = used.trim().parse::<u64>().unwrap() + 2_000_000;
    server.ask(&["CONFIG", "SET", "maxmemory", &room.to_string()]);
    let text = "x".repeat(50_000);
    let mut taken = 1;
    let refused = loop {
        match store.append(&a, next(after, &text)).await {
            Ok(appended) => after = appended,
            Err(error) => break error,
        }
        taken += 1;
        assert!(taken < 1_000, "it never fills up");
    };
    assert_eq!(refused.kind(), MemoryErrorKind::Full);
    assert_eq!(texts(&store, "a").await.len(), taken);
    let session = store.session(&a).await.unwrap().unwrap();
    assert_eq!((session.token, session.head), (after.token, after.head));
}

#[tokio::test]
async fn a_redis_that_loads_is_waited_for() {
    let a = key("a");
    let server = Settings::new().set("key-load-delay", "2000").set("rdbcompression", "no").start();
    let store = store(&server.url());
    begin(&store, "a").await;
    // While it loads, Redis answers after each 2 MiB.
    let (mut client, filler) = (server.client(), "x".repeat(20_000));
    for number in 0..600 {
        client.ask(&["SET", &format!("filler {number}"), &filler]);
    }
    assert_eq!(server.ask(&["SAVE"]).text(), "OK");
    server.restart_loading();
    let read = store.read(&a, ReadOptions::newest(1));
    assert_eq!(fails_saying(read, "loading").await, MemoryErrorKind::Unavailable);
    let written = store.append(&a, append(None, Expect::Attach, "no"));
    assert_eq!(fails(written).await, MemoryErrorKind::Unavailable);
    wait_until("the server has loaded", || {
        server.ask(&["PING"]) == Reply::Status("PONG".to_owned())
    });
    heals(&store).await;
    assert_eq!(texts(&store, "a").await, ["the first"]);
}

#[tokio::test]
async fn a_key_of_another_type_is_corrupt_and_left_alone() {
    let a = key("a");
    let server = Server::start();
    let store = store(&server.url());
    let after = begin(&store, "a").await;
    let session = session_key(&server);
    server.ask(&["SET", &session, "somebody else's"]);
    let before = contents(&server);
    let appended = store.append(&a, next(after, "no"));
    assert_eq!(fails_saying(appended, "another type").await, MemoryErrorKind::Corrupt);
    let again = store.append(&a, append(None, Expect::Absent, "no"));
    assert_eq!(fails(again).await, MemoryErrorKind::Corrupt);
    let read = store.read(&a, ReadOptions::newest(1));
    assert_eq!(fails(read).await, MemoryErrorKind::Corrupt);
    assert_eq!(fails(store.session(&a)).await, MemoryErrorKind::Corrupt);
    assert_eq!(contents(&server), before);
}

#[tokio::test]
async fn too_few_replicas_and_too_many_clients_are_no_end() {
    let a = key("a");
    let server = Server::start();
    let few = store(&server.url());
    let after = begin(&few, "a").await;
    let before = contents(&server);
    server.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let refused = few.append(&a, next(after, "no"));
    assert_eq!(fails_saying(refused, "replicas").await, MemoryErrorKind::Unavailable);
    server.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert_eq!(contents(&server), before);
    server.ask(&["CONFIG", "SET", "maxclients", "1"]);
    let late = store(&server.socket_url());
    assert_eq!(fails(late.session(&a)).await, MemoryErrorKind::Unavailable);
}

#[tokio::test]
async fn somebodys_endless_script_is_not_waited_for() {
    let a = key("a");
    let server = Settings::new().set("lua-time-limit", "10").start();
    let store = store(&server.url());
    let after = begin(&store, "a").await;
    let endless = server.client();
    let spin = std::thread::spawn(move || {
        let mut endless = endless;
        endless.ask(&["EVAL", "while true do end", "0"])
    });
    wait_until("the server is busy", || server.ask(&["PING"]).text().starts_with("BUSY"));
    let refused = store.append(&a, next(after, "no"));
    assert_eq!(fails_saying(refused, "busy").await, MemoryErrorKind::Unavailable);
    assert_eq!(server.ask(&["SCRIPT", "KILL"]).text(), "OK");
    spin.join().unwrap();
    heals(&store).await;
    assert_eq!(texts(&store, "a").await, ["the first"]);
}

#[tokio::test]
async fn a_node_of_a_cluster_is_no_single_server() {
    let cluster = Cluster::start();
    let single = store(&cluster.nodes()[0].url());
    let mut moved = 0;
    for id in 0..8 {
        let result = single.session(&key(&id.to_string())).await;
        if let Err(error) = result {
            assert_eq!(error.kind(), MemoryErrorKind::Unavailable);
            assert!(crate::harness::said(&error).contains("redis-cluster://"));
            moved += 1;
        }
    }
    assert!(moved > 0);
    assert!(cluster.nodes().iter().all(|it| contents(it).is_empty()));
}

#[tokio::test]
async fn a_copy_that_cannot_be_read_whole_is_none() {
    let a = key("a");
    let server = Server::start();
    let store = store(&server.url());
    let after = begin(&store, "a").await;
    store.append(&a, next(after, "more")).await.unwrap();
    let whole = store.read(&a, ReadOptions::newest(9)).await.unwrap().unwrap();
    store.fill(&a, &whole).await.unwrap();
    let cached = store.cached(&a, ReadOptions::newest(9)).await.unwrap().unwrap();
    assert_eq!(cached.entries, whole.entries);
    let copy = server.ask(&["KEYS", "*:c:*"]).array()[0].text();
    let spoilt = server.ask(&["HGET", &copy, "e:1"]).text().replacen('{', "?", 1);
    assert_eq!(server.ask(&["HSET", &copy, "e:1", &spoilt]), Reply::Integer(0));
    assert_eq!(store.cached(&a, ReadOptions::newest(9)).await.unwrap(), None);
}
