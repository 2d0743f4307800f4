//! Forgetting that fails, or that meets others: what is still there is told, and no name stays.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use brain_core::{
    ids::{HolderId, IdempotencyKey, Seq, TurnId},
    memory::{
        Authority, CloseTurn, Expect, Forget, Idempotency, MemoryErrorKind, NewSession, SessionLog,
        TurnState, Turns, Upkeep,
    },
    time::Timestamp,
};
use brain_testkit::redis::Server;
use futures_util::future;
use memory_redis::RedisStore;

use crate::{
    faults::{cuts::Plan, permissions::store_as},
    harness::{append, begin, fails, key, next, store, texts, unique},
};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// All keys that hold the name of a session in name or value, with what is left of their time.
fn holding(server: &Server, id: &str) -> Vec<(String, i64)> {
    let name = URL_SAFE_NO_PAD.encode(id);
    let says = |it: &[u8]| {
        let text = String::from_utf8_lossy(it);
        text.contains(&name) || text.contains(id)
    };
    let mut client = server.client();
    let held = client.values().into_iter();
    let held = held.filter(|(key, values)| says(key) || values.iter().any(|it| says(it)));
    let keys: Vec<String> =
        held.map(|(key, _)| String::from_utf8_lossy(&key).into_owned()).collect();
    let left = |it: String| {
        let left = server.ask(&["PTTL", &it]).integer();
        (it, left)
    };
    keys.into_iter().map(left).collect()
}

/// The kinds of these keys: the word after the prefix.
fn kinds(held: &[(String, i64)]) -> Vec<&str> {
    let mut kinds: Vec<_> = held.iter().filter_map(|(key, _)| key.split(':').nth(1)).collect();
    kinds.sort_unstable();
    kinds
}

/// Whoever cannot ask has no proof.
#[tokio::test]
async fn what_is_pending_cannot_be_told_while_redis_is_away() {
    let server = Server::start();
    let s = key("s");
    let store = store(&server.url());
    begin(&store, "s").await;
    assert_eq!(store.pending(&s).await.unwrap(), 0);
    server.pause();
    fails(store.forget(&s, Forget::Always)).await;
    assert_eq!(fails(store.pending(&s)).await, MemoryErrorKind::Unavailable);
    server.resume();
    store.forget(&s, Forget::Always).await.unwrap();
    assert_eq!(store.pending(&s).await.unwrap(), 0);
    begin(&store, "s").await;
    server.kill();
    assert_eq!(fails(store.pending(&s)).await, MemoryErrorKind::Unavailable);
}

#[tokio::test]
async fn what_is_pending_cannot_be_told_by_whom_the_acl_keeps_out() {
    let server = Server::start();
    let s = key("s");
    let limited = store_as(&server, &["~*", "+@all"]);
    begin(&limited, "s").await;
    assert_eq!(server.ask(&["ACL", "SETUSER", "limited", "resetkeys", "~other"]).text(), "OK");
    assert_eq!(fails(limited.forget(&s, Forget::Always)).await, MemoryErrorKind::Unavailable);
    assert_eq!(fails(limited.pending(&s)).await, MemoryErrorKind::Unavailable);
    assert_eq!(server.ask(&["ACL", "SETUSER", "limited", "~*"]).text(), "OK");
    assert_eq!(limited.pending(&s).await.unwrap(), 1, "it was not forgotten");
    limited.forget(&s, Forget::Always).await.unwrap();
    assert_eq!(limited.pending(&s).await.unwrap(), 0);
}

/// It was noted and not done: every daemon says how much is there, and nobody says it of a later
/// session of that name.
#[tokio::test]
async fn what_was_half_forgotten_is_pending() {
    let server = Server::start();
    let (s, other) = (key("s"), store(&server.url()));
    let limited = store_as(&server, &["~*", "+@all", "-unlink"]);
    let after = begin(&limited, "s").await;
    limited.append(&s, next(after, "more")).await.unwrap();
    assert_eq!(fails(limited.forget(&s, Forget::Always)).await, MemoryErrorKind::Unavailable);
    for store in [&limited, &other] {
        assert_eq!(store.pending(&s).await.unwrap(), 2);
    }
    assert_eq!(texts(&other, "s").await.len(), 2);
    assert_eq!(server.ask(&["ACL", "SETUSER", "limited", "+unlink"]).text(), "OK");
    assert_eq!(limited.forget(&s, Forget::Always).await.unwrap().erased, 2);
    begin(&other, "s").await;
    for store in [&limited, &other] {
        assert_eq!(store.pending(&s).await.unwrap(), 0);
    }
}

/// A session that is used after all is not owed to anybody.
#[tokio::test]
async fn what_may_not_be_forgotten_is_not_pending() {
    let server = Server::start();
    let (s, store) = (key("s"), store(&server.url()));
    begin(&store, "s").await;
    let long_ago = Forget::IfIdleSince(Timestamp::from_millis(1));
    assert_eq!(fails(store.forget(&s, long_ago)).await, MemoryErrorKind::Conflict);
    assert_eq!(store.pending(&s).await.unwrap(), 0);
    assert_eq!(holding(&server, "forgotten"), []);
}

/// What keeps a name after that, and for how long.
#[tokio::test]
async fn a_forgotten_name_stays_in_what_ends() {
    let server = Server::start();
    let (id, store) = ("a secret name", store(&server.url()));
    let s = key(id);
    assert_eq!(turn(&store, id, "once").await, (true, true));
    assert_eq!(kinds(&holding(&server, id)), ["i", "o", "s", "sessions", "t", "{turns}"]);
    store.forget(&s, Forget::Always).await.unwrap();
    let held = holding(&server, id);
    assert_eq!(kinds(&held), ["d", "forgotten", "o", "x"], "{held:?}");
    for (key, left) in &held {
        let ends = !key.contains(":o:");
        assert_eq!((0..=DAY_MILLIS).contains(left), ends, "{key}: {left}");
    }
}

/// One turn of this session; whether it opened, and whether it ended as it should.
async fn turn(store: &RedisStore, id: &str, known: &str) -> (bool, bool) {
    let plan = Plan::new();
    let mut open = plan.open();
    open.id = TurnId::generate(Timestamp::from_millis(1));
    open.holder = HolderId::random();
    open.session = key(id);
    open.create = Some(NewSession::default());
    let known = IdempotencyKey::new(known).unwrap();
    open.idempotency = Some(Idempotency { key: known, request_hash: "hash".to_owned() });
    open.append = append(None, Expect::Absent, "question");
    let (turn, holder) = (open.id, open.holder);
    let opened = store.open(open).await.is_ok();
    let close = CloseTurn {
        turn,
        authority: Authority::Holder(holder),
        state: TurnState::Completed,
        append: brain_core::memory::Append {
            append_id: unique(),
            ..append(Some(Seq(1)), Expect::Attach, "answer")
        },
        error: None,
        usage: None,
        context: None,
        last_event: 1,
    };
    (opened, store.close(close).await.is_ok())
}

/// Turns that race with forgetting leave nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn turns_that_race_with_forgetting_leave_no_name() {
    let server = Server::start();
    let [one, other] = [(), ()].map(|()| store(&server.url()));
    let done = AtomicBool::new(false);
    let turns = async {
        let mut ends = BTreeSet::new();
        for number in 0..200 {
            ends.insert(turn(&one, "raced", &number.to_string()).await);
        }
        done.store(true, Ordering::Relaxed);
        ends
    };
    let forgets = async {
        while !done.load(Ordering::Relaxed) {
            other.forget(&key("raced"), Forget::Always).await.unwrap();
        }
    };
    let (ends, ()) = future::join(turns, forgets).await;
    assert!(ends.contains(&(true, false)), "no race: {ends:?}");
    other.forget(&key("raced"), Forget::Always).await.unwrap();
    let held = holding(&server, "raced");
    // A turn that begins and ends in the midst of forgetting keeps its client's key claimed, for a day.
    let may_stay = ["d", "forgotten", "i", "o", "v", "x"];
    assert!(kinds(&held).iter().all(|it| may_stay.contains(it)), "{held:?}");
}
