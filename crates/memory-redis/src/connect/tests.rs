//! Connections to real servers, and what becomes of them.

use std::{
    error::Error,
    sync::LazyLock,
    time::{Duration, Instant},
};

use brain_core::memory::{
    MemoryError,
    MemoryErrorKind::{self, OutcomeUnknown, Unavailable},
};
use brain_testkit::redis::{Cluster, Proxy, Sentinel, Server, Settings};
use redis::Value;

use super::{Pool, RedisConfig, Script};

/// The configured limit, and what the machine may add to it.
const LIMIT: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_millis(100);
/// Until when a server that is back must be found.
const HEALED: Duration = Duration::from_secs(2);

static COUNT: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('INCR', KEYS[1])"));

fn config(url: &str) -> RedisConfig {
    RedisConfig {
        command_timeout: LIMIT,
        connect_timeout: LIMIT / 2,
        pool_size: 4,
        ..RedisConfig::parse(url).unwrap()
    }
}

fn pool(url: &str) -> Pool {
    Pool::new(&config(url)).unwrap()
}

async fn count_at(pool: &Pool, key: &str) -> Result<i64, MemoryError> {
    let keys = [key.as_bytes().to_vec()];
    let reply = pool.script("count", &COUNT, &keys, Vec::new(), true).await?;
    Ok(redis::from_redis_value(reply).unwrap())
}

async fn count(pool: &Pool) -> Result<i64, MemoryError> {
    count_at(pool, "n").await
}

async fn get(pool: &Pool) -> Result<Value, MemoryError> {
    pool.command("get", redis::cmd("GET").arg("n").to_owned(), false).await
}

/// The error, all of its causes, and its debug text; it must show no password.
fn said(error: &MemoryError) -> String {
    let mut said = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        said.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    assert!(!said.contains("hunter2"), "{said}");
    said
}

/// What it failed with, and that it took no longer than it may.
async fn fails<T>(call: impl Future<Output = Result<T, MemoryError>>) -> MemoryErrorKind {
    let ended = tokio::time::timeout(LIMIT + SLACK, call).await.expect("the call ends in time");
    let error = ended.err().expect("the server cannot be reached");
    said(&error);
    error.kind()
}

/// Waits until calls succeed again.
async fn heals(pool: &Pool) {
    let begin = Instant::now();
    while let Err(error) = count(pool).await {
        assert!(begin.elapsed() < HEALED, "{}", said(&error));
    }
}

fn text(value: Value) -> String {
    redis::from_redis_value(value).unwrap()
}

#[tokio::test]
async fn urls_of_one_server_lead_to_it() {
    let plain = Server::start();
    let locked = Settings::new().password("hunter2").start();
    let sealed = Settings::new().password("hunter2").tls().start();
    let of = |url: &str| format!("{url}/3");
    let (urls, before) = (
        [
            plain.url(),
            plain.socket_url(),
            of(&plain.url()),
            locked.url(),
            locked.socket_url(),
            sealed.url(),
        ],
        [1, 2, 1, 1, 2, 1],
    );
    for (url, expected) in urls.iter().zip(before) {
        let pool = pool(url);
        assert_eq!(count(&pool).await.unwrap(), expected, "{}", pool.address);
        assert!(!format!("{pool:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_login_that_is_refused_says_so() {
    let locked = Settings::new().password("hunter2").start();
    let open = Server::start();
    let port = locked.port();
    for (url, says) in [
        (format!("redis://127.0.0.1:{port}"), "wants a password"),
        (format!("redis://:hunter22@127.0.0.1:{port}"), "refuses the name or the password"),
        (format!("redis://ann:hunter2@127.0.0.1:{port}"), "refuses the name or the password"),
        (
            format!("redis://ann:hunter2@127.0.0.1:{}", open.port()),
            "refuses the name or the password",
        ),
    ] {
        let error = count(&pool(&url)).await.unwrap_err();
        assert_eq!(error.kind(), Unavailable, "{url}");
        assert!(said(&error).contains(says), "{url}: {}", said(&error));
    }
}

#[tokio::test]
async fn a_user_without_rights_says_so() {
    let server = Server::start();
    server.ask(&["ACL", "SETUSER", "ann", "on", ">hunter2", "~*", "+ping", "+get"]);
    let pool = pool(&format!("redis://ann:hunter2@127.0.0.1:{}", server.port()));
    assert_eq!(get(&pool).await.unwrap(), Value::Nil);
    let error = count(&pool).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable);
    assert!(said(&error).contains("its ACL keeps the user"), "{}", said(&error));
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_refused() {
    let sealed = Settings::new().tls().start();
    let other = Settings::new().tls().start();
    let swapped = other.url().replace(&other.port().to_string(), &sealed.port().to_string());
    for url in [swapped, format!("rediss://127.0.0.1:{}", sealed.port())] {
        let error = count(&pool(&url)).await.unwrap_err();
        assert_eq!(error.kind(), Unavailable, "{}", said(&error));
        assert!(said(&error).contains("ssl_ca_certs"), "{}", said(&error));
    }
}

#[tokio::test]
async fn a_server_that_comes_later_is_found() {
    let server = Server::start();
    server.stop();
    let pool = pool(&server.url());
    assert_eq!(fails(count(&pool)).await, Unavailable);
    server.restart();
    heals(&pool).await;
}

#[tokio::test]
async fn a_restart_between_calls_is_not_noticed() {
    let server = Settings::new().durable().start();
    let pool = pool(&server.url());
    let ((), ()) = tokio::join!(async { count(&pool).await.map(drop).unwrap() }, async {
        count(&pool).await.map(drop).unwrap();
    });
    server.kill();
    server.restart();
    // A connection that rested this long is asked for a sign of life before it is used.
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(count(&pool).await.unwrap(), 3);
    assert_eq!(count(&pool).await.unwrap(), 4);
}

#[tokio::test]
async fn a_frozen_server_costs_the_limit_and_no_more() {
    let server = Server::start();
    let pool = pool(&server.url());
    assert_eq!(count(&pool).await.unwrap(), 1);
    server.pause();
    assert_eq!(fails(count(&pool)).await, OutcomeUnknown);
    assert_eq!(fails(get(&pool)).await, Unavailable);
    assert_eq!(fails(count(&pool)).await, Unavailable, "it did not connect, so it sent nothing");
    server.resume();
    heals(&pool).await;
    let counted: i64 = server.ask(&["GET", "n"]).text().parse().unwrap();
    assert!(counted <= 3, "what was sent to the frozen server was counted once at most: {counted}");
}

#[tokio::test]
async fn waiting_for_a_connection_is_bounded() {
    let server = Server::start();
    let pool = Pool::new(&RedisConfig { pool_size: 1, ..config(&server.url()) }).unwrap();
    let mut block = redis::cmd("BLPOP");
    block.arg("nothing").arg(0);
    let (blocked, waiting) =
        tokio::join!(fails(pool.command("block", block, true)), fails(count(&pool)));
    assert_eq!(blocked, OutcomeUnknown);
    // It may get the other's connection in its last moment.
    assert!(matches!(waiting, Unavailable | OutcomeUnknown), "{waiting:?}");
    heals(&pool).await;
}

#[tokio::test]
async fn a_lost_reply_is_unknown_and_a_read_is_repeated() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    let pool = pool(proxy.url());
    assert_eq!(count(&pool).await.unwrap(), 1);
    proxy.lose_reply("EVALSHA");
    assert_eq!(fails(count(&pool)).await, OutcomeUnknown);
    assert_eq!(server.ask(&["GET", "n"]).text(), "2");
    proxy.lose_request("EVALSHA");
    assert_eq!(fails(count(&pool)).await, OutcomeUnknown);
    assert_eq!(server.ask(&["GET", "n"]).text(), "2");
    proxy.lose_reply("GET");
    assert_eq!(text(get(&pool).await.unwrap()), "2");
    assert_eq!(proxy.lost(), 3);
    assert_eq!(count(&pool).await.unwrap(), 3);
}

#[tokio::test]
async fn a_script_that_was_flushed_runs_by_its_text() {
    let server = Server::start();
    let pool = pool(&server.url());
    for expected in 1..5 {
        assert_eq!(server.ask(&["SCRIPT", "FLUSH"]).text(), "OK");
        assert_eq!(count(&pool).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_node_of_a_cluster_is_no_single_server() {
    let cluster = Cluster::start();
    let (_, other) = cluster.owner_and_other("n");
    let error = count(&pool(&other.url())).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable);
    assert!(said(&error).contains("redis-cluster://"), "{}", said(&error));
}

#[tokio::test]
async fn a_cluster_is_followed_when_it_moves_a_slot() {
    let cluster = Cluster::start();
    let pool = pool(&cluster.url());
    assert_eq!(count(&pool).await.unwrap(), 1);
    let (from, to) = cluster.owner_and_other("n");
    let slot = from.ask(&["CLUSTER", "KEYSLOT", "n"]).text();
    let [from_id, to_id] = [from, to].map(|it| it.ask(&["CLUSTER", "MYID"]).text());
    to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    assert_eq!(count(&pool).await.unwrap(), 2, "the key is still there");
    let port = to.port().to_string();
    let moved = from.ask(&["MIGRATE", "127.0.0.1", &port, "n", "0", "1000"]);
    assert_eq!(moved.text(), "OK");
    assert_eq!(count(&pool).await.unwrap(), 3, "asked at the other node");
    for node in [to, from] {
        assert_eq!(node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).text(), "OK");
    }
    assert_eq!(count(&pool).await.unwrap(), 4, "moved");
    assert_eq!(to.ask(&["GET", "n"]).text(), "4");
}

#[tokio::test]
async fn a_node_that_is_away_is_found_again() {
    let settings = Settings::new().durable().set("cluster-require-full-coverage", "no");
    let cluster = Cluster::start_with(&settings);
    let pool = pool(&cluster.url());
    let (owner, other) = cluster.owner_and_other("n");
    let elsewhere = (0..)
        .map(|it| format!("k{it}"))
        .find(|key| cluster.owner_and_other(key).0.port() == other.port());
    let elsewhere = elsewhere.unwrap();
    assert_eq!(count(&pool).await.unwrap(), 1);
    assert_eq!(count_at(&pool, &elsewhere).await.unwrap(), 1);
    owner.stop();
    let begin = Instant::now();
    for attempt in 0..4 {
        let kind = fails(count(&pool)).await;
        assert!(matches!(kind, Unavailable | OutcomeUnknown), "{attempt}: {kind:?}");
    }
    assert_eq!(count_at(&pool, &elsewhere).await.unwrap(), 2, "after {:?}", begin.elapsed());
    owner.restart();
    cluster.wait_until_ready();
    heals(&pool).await;
}

#[tokio::test]
async fn a_cluster_has_a_password_and_tls() {
    let cluster = Cluster::start_with(&Settings::new().password("hunter2").tls());
    let pool = pool(&cluster.url());
    for expected in 1..3 {
        for key in ["a", "b", "c", "d"] {
            assert_eq!(count_at(&pool, key).await.unwrap(), expected);
        }
    }
    assert!(!format!("{pool:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_lost_reply_of_a_cluster_is_not_repeated() {
    let cluster = Cluster::start();
    let pool = pool(&cluster.url());
    assert_eq!(count(&pool).await.unwrap(), 1);
    let (owner, _) = cluster.owner_and_other("n");
    owner.pause();
    let kind = fails(count(&pool)).await;
    owner.resume();
    assert_eq!(kind, OutcomeUnknown);
    heals(&pool).await;
    let counted: i64 = owner.ask(&["GET", "n"]).text().parse().unwrap();
    assert!((2..=3).contains(&counted), "{counted}");
}

#[tokio::test]
async fn the_master_of_a_sentinel_is_followed() {
    let sentinel = Sentinel::start();
    let pool = pool(&sentinel.url());
    assert_eq!(count(&pool).await.unwrap(), 1);
    sentinel.fail_over();
    assert_eq!(count(&pool).await.unwrap(), 2, "the old master says READONLY");
    sentinel.wait_for_replica();
    let dead = sentinel.master();
    dead.kill();
    let kind = fails(count(&pool)).await;
    assert!(matches!(kind, Unavailable | OutcomeUnknown), "{kind:?}");
    sentinel.wait_for_other_master(dead);
    heals(&pool).await;
}
