//! How long sessions live: as a whole, from their last change, and never by half.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use brain_core::{
    ids::{AppendId, HolderId, Seq, SessionKey, Token, TurnId},
    json::RawJson,
    memory::{
        Append, Catalog, Checkpoint, Draft, EntryBody, Expect, Fence, Forget, ListOptions,
        MemoryError, MemoryErrorKind, MemoryStore, NewSession, OpenTurn, Opened, ReadOptions,
        SessionLog, SessionPatch, Summary, Turns,
    },
    time::Timestamp,
};
use brain_testkit::redis::{Reply, Server, Settings};
use memory_redis::{RedisClock, RedisConfig, RedisStore};

use crate::{draft, harness::wait_until, key, say, store_on};

const HOUR: Duration = Duration::from_secs(3600);
/// More than is left after a test has set a time to live by hand.
const LITTLE: i64 = 5_000;

fn keys(server: &Server, pattern: &str) -> Vec<String> {
    server.ask(&["KEYS", pattern]).array().iter().map(Reply::text).collect()
}

/// The one key of the one session.
fn session_key(server: &Server) -> String {
    let [key] = &keys(server, "codexd:s:*")[..] else { panic!("not one session") };
    key.clone()
}

fn ttl(server: &Server) -> i64 {
    server.ask(&["PTTL", &session_key(server)]).integer()
}

/// Lets little of the session's time be left.
fn age(server: &Server) {
    let asked = server.ask(&["PEXPIRE", &session_key(server), &LITTLE.to_string()]);
    assert_eq!(asked, Reply::Integer(1));
}

/// Ends the session's time.
fn expire(server: &Server) {
    let key = session_key(server);
    assert_eq!(server.ask(&["PEXPIRE", &key, "1"]), Reply::Integer(1));
    let begin = Instant::now();
    while server.ask(&["EXISTS", &key]) == Reply::Integer(1) {
        assert!(begin.elapsed() < Duration::from_secs(5), "it does not expire");
    }
}

#[tokio::test]
async fn each_change_gives_a_session_its_whole_time_again() {
    let server = Server::start();
    let store = store_on(&server, Some(HOUR));
    let key = key("s");
    store.append(&key, say("1", None, Expect::Absent)).await.unwrap();
    assert!(LITTLE < ttl(&server));

    age(&server);
    store.append(&key, say("2", Some(Seq(1)), Expect::Attach)).await.unwrap();
    assert!(LITTLE < ttl(&server), "an append");

    age(&server);
    let patch = SessionPatch { recall: Some(true), ..SessionPatch::default() };
    store.patch(&key, patch).await.unwrap();
    assert!(LITTLE < ttl(&server), "a patch");

    age(&server);
    let turn = opened(&store, &key, "3").await;
    assert!(LITTLE < ttl(&server), "a turn");

    for waiting in [false, true] {
        age(&server);
        let checkpoint = Checkpoint { text: "so far".into(), waiting, ..Checkpoint::default() };
        store.checkpoint(turn, checkpoint).await.unwrap();
        assert!(LITTLE < ttl(&server), "a checkpoint");
    }
}

#[tokio::test]
async fn what_happens_in_the_background_keeps_nobody_alive() {
    let server = Server::start();
    let store = store_on(&server, Some(HOUR));
    store.append(&key("s"), say("1", None, Expect::Absent)).await.unwrap();
    age(&server);
    let edition = store.session(&key("s")).await.unwrap().unwrap().edition;
    let at = Timestamp::from_millis(0);
    let summary = Summary { at: Seq(1), text: "1".into(), model: None, created_at: at };
    store.keep_summary(&key("s"), edition, summary).await.unwrap();
    store.read(&key("s"), ReadOptions::newest(9)).await.unwrap();
    assert!(ttl(&server) <= LITTLE);
}

#[tokio::test]
async fn without_a_ttl_a_session_stays() {
    let server = Server::start();
    let (mortal, immortal) = (store_on(&server, Some(HOUR)), store_on(&server, None));
    mortal.append(&key("s"), say("1", None, Expect::Absent)).await.unwrap();
    assert!(0 < ttl(&server));
    immortal.append(&key("s"), say("2", Some(Seq(1)), Expect::Attach)).await.unwrap();
    assert_eq!(ttl(&server), -1);
}

async fn opened(store: &RedisStore, key: &SessionKey, text: &str) -> Fence {
    let session = store.session(key).await.unwrap().unwrap();
    let open = OpenTurn {
        id: TurnId::generate(Timestamp::from_millis(1)),
        session: key.clone(),
        create: None,
        idempotency: None,
        request: RawJson::parse("{}").unwrap(),
        holder: HolderId::random(),
        lease: HOUR,
        append: say(text, session.head, Expect::At(session.token)),
    };
    match store.open(open).await.unwrap() {
        Opened::Started { turn, .. } => Fence { turn: turn.id, holder: turn.holder },
        other @ (Opened::Known(_) | Opened::Busy { .. }) => panic!("{other:?}"),
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, MemoryError>) -> MemoryErrorKind {
    result.unwrap_err().kind()
}

/// Between reading and appending its time ended: that is said, and nothing is made by half.
#[tokio::test]
async fn an_expired_session_says_so_and_ends_whole() {
    let server = Server::start();
    let store = store_on(&server, Some(HOUR));
    let key = key("s");
    store.append(&key, say("1", None, Expect::Absent)).await.unwrap();
    let fence = opened(&store, &key, "2").await;
    let read = store.read(&key, ReadOptions::newest(9)).await.unwrap().unwrap();
    expire(&server);

    let (head, token) = (read.session.head, read.session.token);
    for (expect, fence) in
        [(Expect::At(token), None), (Expect::Attach, None), (Expect::Attach, Some(fence))]
    {
        let append = Append { fence, ..say("3", head, expect) };
        assert_eq!(kind(store.append(&key, append).await), MemoryErrorKind::Expired, "{expect:?}");
    }
    assert_eq!(kind(store.move_head(&key, token, None).await), MemoryErrorKind::Expired);
    assert_eq!(store.read(&key, ReadOptions::newest(9)).await.unwrap(), None);
    assert_eq!(store.scan(&key, Seq(0), 9).await.unwrap(), []);
    assert_eq!(keys(&server, "codexd:s:*"), [""; 0]);
    let listed = store.list(&key.owner, ListOptions { before: None, limit: 9 }).await.unwrap();
    assert_eq!(listed, []);

    store.append(&key, say("anew", None, Expect::Absent)).await.unwrap();
    assert!(LITTLE < ttl(&server));
    assert_eq!(store.session(&key).await.unwrap().unwrap().entries, 1);
}

/// A name that was forgotten is not one that expired.
#[tokio::test]
async fn a_forgotten_session_conflicts_even_where_it_is_indexed() {
    let server = Server::start();
    let store = store_on(&server, Some(HOUR));
    let key = key("s");
    let old = store.append(&key, say("1", None, Expect::Absent)).await.unwrap();
    store.forget(&key, Forget::Always).await.unwrap();
    let late = store.append(&key, say("2", old.head, Expect::At(old.token))).await;
    assert_eq!(kind(late), MemoryErrorKind::Conflict);
    let burial = &keys(&server, "codexd:x:*")[0];
    let left = server.ask(&["PTTL", burial]).integer();
    assert!((23 * 3_600_000..=24 * 3_600_000).contains(&left), "{left}");
    assert_eq!(server.ask(&["STRLEN", burial]), Reply::Integer(13), "a time and nothing else");
}

/// A Redis that makes room evicts a session as a whole; then it has expired.
#[tokio::test]
async fn an_evicted_session_has_expired() {
    let settings = Settings::new().set("maxmemory", "4mb");
    let server = settings.set("maxmemory-policy", "volatile-lru").start();
    let store = store_on(&server, Some(HOUR));
    let first = key("first");
    let appended = store.append(&first, say("1", None, Expect::Absent)).await.unwrap();
    let large = "x".repeat(100_000);
    for n in 0..1000 {
        if store.session(&first).await.unwrap().is_none() {
            break;
        }
        let append =
            Append { drafts: vec![draft(&large)], ..say(&n.to_string(), None, Expect::Absent) };
        store.append(&key(&n.to_string()), append).await.unwrap();
    }
    let late = store.append(&first, say("2", appended.head, Expect::At(appended.token))).await;
    assert_eq!(kind(late), MemoryErrorKind::Expired);
}

/// Writes one entry, and then two at a time, until it fails; returns how often it did not.
async fn write_on(store: RedisStore, key: SessionKey, all: Arc<AtomicUsize>) -> (SessionKey, u64) {
    let mut acknowledged = 0_u64;
    let first = say("first", None, Expect::Absent);
    let Ok(mut last) = store.append(&key, first).await else { return (key, 0) };
    loop {
        acknowledged += 1;
        all.fetch_add(1, Ordering::Relaxed);
        let drafts = vec![draft("a"), draft("b")];
        let text = Token::random().to_string();
        let append = Append { drafts, ..say(&text, last.last, Expect::At(last.token)) };
        match store.append(&key, append).await {
            Ok(done) => last = done,
            Err(_) => return (key, acknowledged),
        }
    }
}

/// The server ends as by a power cut, anywhere between two commands: whatever is there has its time
/// to live, and as many entries as it says.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_no_session_by_half() {
    let server = Settings::new().durable().start();
    for round in 0..5 {
        let store = store_on(&server, Some(HOUR));
        let (mut writers, all) = (tokio::task::JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for writer in 0..4 {
            let key = key(&format!("{round} {writer}"));
            writers.spawn(write_on(store.clone(), key, Arc::clone(&all)));
        }
        tokio::task::block_in_place(|| {
            wait_until("there is load", || 20 * (round + 1) < all.load(Ordering::Relaxed));
            server.kill();
        });
        let ended = writers.join_all().await;
        server.restart();
        for (key, acknowledged) in ended {
            let Some(branch) = store.read(&key, ReadOptions::newest(usize::MAX)).await.unwrap()
            else {
                assert_eq!(acknowledged, 0);
                continue;
            };
            assert_eq!(branch.session.entries, branch.entries.len() as u64);
            assert!(branch.entries.len() as u64 + 1 >= 2 * acknowledged, "{acknowledged}");
        }
    }
    for key in keys(&server, "codexd:s:*") {
        assert!(0 < server.ask(&["PTTL", &key]).integer(), "{key}");
    }
}

#[tokio::test]
async fn a_session_is_made_with_its_time_to_live() {
    let server = Server::start();
    let store = store_on(&server, Some(Duration::MAX));
    store.create(&key("s"), NewSession::default()).await.unwrap();
    assert!(0 < ttl(&server), "the longest time that Redis can keep");
    let mut config = RedisConfig::parse(&server.url()).unwrap();
    config.ttl = Some(Duration::ZERO);
    let store = RedisStore::new(&config, RedisClock::Server).unwrap();
    let draft = Draft::new(EntryBody::complete(
        brain_core::chat::Message::user("x"),
        Timestamp::from_millis(0),
    ));
    let append = Append {
        parent: None,
        expect: Expect::Absent,
        append_id: AppendId::new("x").unwrap(),
        fence: None,
        drafts: vec![draft.unwrap()],
    };
    store.append(&key("short"), append).await.unwrap();
    assert_ne!(server.ask(&["PTTL", "codexd:s:{bG9jYWw.c2hvcnQ}"]), Reply::Integer(-1));
}

/// What an operator should know is said: persistence, what happens when it is full, when memory ends.
#[tokio::test]
async fn health_names_persistence_eviction_and_the_end() {
    let server = Settings::new().durable().set("maxmemory", "50mb").start();
    let note = async |ttl| {
        let health = store_on(&server, ttl).health().await.unwrap();
        assert!(!health.is_degraded(), "{health:?}");
        health.tiers[0].note.clone().unwrap()
    };
    let kept = note(Some(HOUR)).await;
    for part in ["an append-only file", "refuses what is new", "3600 s"] {
        assert!(kept.contains(part), "{kept}");
    }
    for (name, value) in [("appendonly", "no"), ("maxmemory-policy", "allkeys-lru")] {
        assert_eq!(server.ask(&["CONFIG", "SET", name, value]).text(), "OK");
    }
    let lost = note(None).await;
    for part in ["no append-only file", "allkeys-lru", "no TTL"] {
        assert!(lost.contains(part), "{lost}");
    }
}
