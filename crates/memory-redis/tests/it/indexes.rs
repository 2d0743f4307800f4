//! What stands in an index and no longer in Redis: it is not shown, and goes in time.

use std::time::Duration;

use brain_core::{
    ids::{HolderId, IdempotencyKey, Owner, Seq, SessionKey, TurnId},
    json::RawJson,
    memory::{
        Catalog, Embedded, Expect, Forget, Idempotency, ListOptions, MemoryErrorKind, NewSession,
        OpenTurn, Opened, PageKey, ReadOptions, Recall, SessionLog, TurnIndex, Turns, Upkeep,
    },
    time::Timestamp,
};
use brain_testkit::redis::{Reply, Server};
use futures_util::{StreamExt, stream};
use memory_redis::RedisStore;

use crate::{key, say, store_on};

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

async fn make(store: &RedisStore, count: usize) {
    let made = stream::iter(0..count).map(|n| async move {
        store.create(&key(&format!("{n:05}")), NewSession::default()).await.unwrap();
    });
    made.buffer_unordered(16).collect::<Vec<()>>().await;
}

/// All pages, as ids.
async fn listed(store: &RedisStore, limit: usize) -> Vec<String> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let options = ListOptions { before, limit };
        let page = store.list(&Owner::local(), options).await.unwrap();
        let Some(last) = page.last() else { return ids };
        before = Some(PageKey::from(last));
        ids.extend(page.iter().map(|it| it.id.as_str().to_owned()));
    }
}

fn keys(server: &Server, pattern: &str) -> Vec<String> {
    server.ask(&["KEYS", pattern]).array().iter().map(Reply::text).collect()
}

/// Among ten thousand keys of others, with a third of its own sessions expired.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_shows_no_expired_session_and_walks_over_no_keys() {
    let server = Server::start();
    let mut client = server.client();
    for n in 0..10_000 {
        client.ask(&["SET", &format!("others:{n}"), "x"]);
    }
    let store = store_on(&server, HOUR);
    make(&store, 300).await;
    for (index, key) in keys(&server, "codexd:s:*").iter().enumerate() {
        if index.is_multiple_of(3) {
            assert_eq!(server.ask(&["DEL", key]), Reply::Integer(1));
        }
    }
    let monitor = server.monitor();
    for limit in [7, 100, 1000] {
        let ids = listed(&store, limit).await;
        assert_eq!(ids.len(), 200, "pages of {limit}");
        for id in &ids {
            assert!(store.session(&key(id)).await.unwrap().is_some());
        }
    }
    let asked = monitor.so_far();
    assert!(asked.iter().any(|it| it[0] == "HMGET"));
    let walks = ["KEYS", "HGETALL", "SCAN", "HKEYS", "HVALS"];
    let is_walk = |it: &&Vec<String>| walks.contains(&it[0].to_uppercase().as_str());
    assert_eq!(asked.iter().find(is_walk), None);
}

/// A session that is missed once may be about to be made; missed again much later, it is gone.
#[tokio::test]
async fn the_expired_leave_the_index_in_time() {
    let server = Server::start();
    let store = store_on(&server, HOUR);
    make(&store, 3).await;
    let index = &keys(&server, "codexd:o:*")[0];
    let gone = "codexd:s:{bG9jYWw.MDAwMDE}";
    assert_eq!(server.ask(&["DEL", gone]), Reply::Integer(1));
    for _ in 0..2 {
        assert_eq!(listed(&store, 9).await.len(), 2);
        assert_eq!(server.ask(&["ZCARD", index]), Reply::Integer(3));
    }
    let suspects = &keys(&server, "codexd:d:*")[0];
    assert_eq!(server.ask(&["ZADD", suspects, "1000", "00001"]), Reply::Integer(0));
    assert_eq!(listed(&store, 9).await.len(), 2);
    assert_eq!(server.ask(&["ZCARD", index]), Reply::Integer(2));
}

/// Whoever makes a session again clears it of suspicion.
#[tokio::test]
async fn a_session_that_is_made_again_stays_in_the_index() {
    let server = Server::start();
    let store = store_on(&server, HOUR);
    make(&store, 1).await;
    store.forget(&key("00000"), Forget::Always).await.unwrap();
    assert_eq!(listed(&store, 9).await, [""; 0]);
    make(&store, 1).await;
    assert_eq!(keys(&server, "codexd:d:*"), [""; 0]);
    assert_eq!(listed(&store, 9).await, ["00000"]);
}

/// An index that was lost or is wrong is put right by whoever uses the session.
#[tokio::test]
async fn an_index_is_put_right() {
    let server = Server::start();
    let store = store_on(&server, HOUR);
    make(&store, 3).await;
    let index = &keys(&server, "codexd:o:*")[0];
    assert_eq!(server.ask(&["ZADD", index, "1", "00002"]), Reply::Integer(0));
    listed(&store, 1).await;
    assert_eq!(listed(&store, 1).await.len(), 3);
    let made = |n: &str| server.ask(&["ZSCORE", index, n]).text();
    let session = store.session(&key("00002")).await.unwrap().unwrap();
    assert_eq!(made("00002"), session.created_at.as_millis().to_string());

    assert_eq!(server.ask(&["DEL", index]), Reply::Integer(1));
    open(&store, turn("00001", None)).await;
    assert_eq!(listed(&store, 9).await, ["00001"]);
}

fn turn(session: &str, idempotency: Option<&str>) -> OpenTurn {
    let idempotency = idempotency.map(|it| Idempotency {
        key: IdempotencyKey::new(it).unwrap(),
        request_hash: "h".to_owned(),
    });
    let id = TurnId::generate(Timestamp::from_millis(1));
    OpenTurn {
        id,
        session: key(session),
        create: Some(NewSession::default()),
        idempotency,
        request: RawJson::parse("{}").unwrap(),
        holder: HolderId::random(),
        lease: Duration::from_secs(60),
        append: say(&id.to_string(), None, Expect::Absent),
    }
}

async fn open(store: &RedisStore, turn: OpenTurn) -> Opened {
    let opened = store.open(turn).await.unwrap();
    assert!(matches!(opened, Opened::Started { .. }), "{opened:?}");
    opened
}

/// A daemon died after it had claimed a client's key, and before it opened the turn: another one
/// opens its own, and the dead one's comes too late.
#[tokio::test]
async fn a_key_claimed_by_the_dead_is_taken_and_they_come_too_late() {
    let server = Server::start();
    let store = store_on(&server, HOUR);
    let dead = turn("s", Some("k"));
    let claim = format!("{} bG9jYWw.cw", dead.id);
    let name = "codexd:i:bG9jYWw.aw";
    assert_eq!(server.ask(&["SET", name, &claim]).text(), "OK");
    let known = IdempotencyKey::new("k").unwrap();
    assert_eq!(store.turn_by_key(&Owner::local(), &known).await.unwrap(), None);

    let living = turn("s", Some("k"));
    open(&store, living.clone()).await;
    let found = store.turn_by_key(&Owner::local(), &known).await.unwrap();
    assert_eq!(found.map(|it| it.id), Some(living.id));

    let late = store.open(dead.clone()).await.unwrap();
    assert!(matches!(late, Opened::Known(it) if it.id == living.id));
    // Even where nothing else stands in its way.
    store.forget(&key("s"), Forget::Always).await.unwrap();
    assert_eq!(server.ask(&["SET", name, &claim]).text(), "OK");
    let late = store.open(dead.clone()).await.unwrap_err();
    assert_eq!(late.kind(), MemoryErrorKind::Unavailable);
    assert_eq!(store.session(&key("s")).await.unwrap(), None);
    assert_eq!(server.ask(&["EXISTS", name]), Reply::Integer(0));
}

/// Turns of sessions that are gone are neither found nor counted, and their index forgets them.
#[tokio::test]
async fn turns_of_what_is_gone_are_not_found() {
    let server = Server::start();
    let store = store_on(&server, HOUR);
    let (kept, gone) = (turn("kept", None), turn("gone", Some("k")));
    open(&store, kept.clone()).await;
    open(&store, gone.clone()).await;
    assert_eq!(server.ask(&["DEL", "codexd:s:{bG9jYWw.Z29uZQ}"]), Reply::Integer(1));
    let unfinished = store.unfinished().await.unwrap();
    assert_eq!(unfinished.iter().map(|it| it.id).collect::<Vec<_>>(), [kept.id]);
    assert_eq!(store.turn(&Owner::local(), gone.id).await.unwrap(), None);
    let open_turns = "codexd:{turns}:open";
    assert_eq!(server.ask(&["ZCARD", open_turns]), Reply::Integer(2), "it may yet open");
    let member = server.ask(&["ZRANGE", open_turns, "0", "-1"]).array();
    let member = member.iter().map(Reply::text).find(|it| it.starts_with(&gone.id.to_string()));
    server.ask(&["ZADD", open_turns, "1000", &member.unwrap()]);
    assert_eq!(store.unfinished().await.unwrap().len(), 1);
    assert_eq!(server.ask(&["ZCARD", open_turns]), Reply::Integer(1));
}

/// Sessions that ended by themselves leave the index of all sessions.
#[tokio::test]
async fn upkeep_drops_what_has_expired() {
    let server = Server::start();
    let store = store_on(&server, HOUR);
    make(&store, 3).await;
    assert_eq!(server.ask(&["DEL", "codexd:s:{bG9jYWw.MDAwMDE}"]), Reply::Integer(1));
    server.ask(&["ZADD", "codexd:sessions", "1000", "bG9jYWw.MDAwMDE"]);
    let later = Timestamp::from_millis(i64::MAX);
    let mut idle = store.idle_since(later, 9).await.unwrap();
    idle.sort_unstable();
    assert_eq!(idle, [key("00000"), key("00002")]);
    assert_eq!(server.ask(&["ZCARD", "codexd:sessions"]), Reply::Integer(2));
}

/// How often Redis did this command.
fn calls(server: &Server, command: &str) -> u64 {
    let stats = server.ask(&["INFO", "commandstats"]).text();
    let name = format!("cmdstat_{command}:calls=");
    let count = stats.lines().find_map(|it| it.strip_prefix(&name));
    count.map_or(0, |it| it.split(',').next().unwrap().parse().unwrap())
}

/// What an index says wrongly is put right in one walk over it, wherever the right place is.
#[tokio::test]
async fn upkeep_looks_at_each_session_once() {
    const COUNT: usize = 1_500;
    let server = Server::start();
    let store = store_on(&server, HOUR);
    make(&store, COUNT).await;
    let index = "codexd:sessions";
    let noted = server.ask(&["ZRANGE", index, "0", "-1", "WITHSCORES"]).array();
    let noted: Vec<(String, u64)> =
        noted.chunks(2).map(|it| (it[0].text(), it[1].text().parse().unwrap())).collect();
    let hour = 3_600_000;
    for (number, (name, changed)) in noted.iter().enumerate().filter(|(it, _)| it % 100 < 3) {
        let wrong = match number % 100 {
            0 => 1_000,
            1 => changed - 1,
            _ => changed + hour,
        };
        let added = server.ask(&["ZADD", index, &wrong.to_string(), name]);
        assert_eq!(added, Reply::Integer(0), "number {number}");
    }
    let before = calls(&server, "hmget");
    let later = Timestamp::from_millis(i64::MAX / 2);
    let idle = store.idle_since(later, 2 * COUNT).await.unwrap();
    assert_eq!(idle.len(), COUNT);
    let looked = calls(&server, "hmget") - before;
    assert!(looked < COUNT as u64 * 11 / 10, "{looked} looks at {COUNT} sessions");
    for (name, changed) in noted {
        assert_eq!(server.ask(&["ZSCORE", index, &name]).text(), changed.to_string());
    }
}

/// An append outside of turns brings its session up to date where changed ones are looked for, and
/// one of many only.
#[tokio::test]
async fn a_plain_append_is_found_to_be_embedded() {
    let server = Server::start();
    let store = store_on(&server, HOUR);
    let s = key("s");
    let mut last = store.append(&s, say("the first", None, Expect::Absent)).await.unwrap();
    let embedded = Embedded { session: s.clone(), seq: Seq(1), values: [1.0].into() };
    store.keep_embeddings("model", vec![embedded]).await.unwrap();
    assert_eq!(store.unembedded("model", 9).await.unwrap(), []);

    let long_ago = server.ask(&["ZADD", "codexd:sessions", "1000", "bG9jYWw.cw"]);
    assert_eq!(long_ago, Reply::Integer(0));
    let other = store_on(&server, HOUR);
    let before = calls(&server, "zadd");
    for text in ["1", "2", "3", "4"] {
        last = other.append(&s, say(text, last.head, Expect::At(last.token))).await.unwrap();
    }
    assert_eq!(calls(&server, "zadd") - before, 1);
    let missing = store.unembedded("model", 9).await.unwrap();
    let missing: Vec<&str> = missing.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(missing, ["1", "2", "3", "4"]);
}

/// Tuples that look alike as text have keys of their own.
#[tokio::test]
async fn names_never_share_a_key() {
    let server = Server::start();
    let store = store_on(&server, HOUR);
    let names =
        [("a", "b.c"), ("a.b", "c"), ("a}", "{b"), ("{a", "}b"), ("a:b", "*"), ("a b", "?")];
    for (owner, id) in names {
        let id = brain_core::ids::SessionId::new(id).unwrap();
        let key = SessionKey::new(Owner::new(owner).unwrap(), id);
        store.append(&key, say(owner, None, Expect::Absent)).await.unwrap();
    }
    for (owner, id) in names {
        let owner = Owner::new(owner).unwrap();
        let page = store.list(&owner, ListOptions { before: None, limit: 9 }).await.unwrap();
        assert_eq!(page.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), [id]);
        let key = SessionKey::new(owner, page[0].id.clone());
        let read = store.read(&key, ReadOptions::newest(9)).await.unwrap().unwrap();
        assert_eq!(read.entries[0].body.message.joined_text(), key.owner.as_str());
    }
    assert_eq!(keys(&server, "codexd:s:*").len(), names.len());
}

/// A look for lapsed turns looks at a thousand, however many are open, and the next one goes on.
#[tokio::test]
async fn a_look_for_lapsed_turns_is_bounded_and_comes_round() {
    let server = Server::start();
    let store = store_on(&server, HOUR);
    let opening = OpenTurn { lease: Duration::from_millis(1), ..turn("left", None) };
    let left = opening.id;
    open(&store, opening).await;
    let now = server.ask(&["ZSCORE", "codexd:{turns}:open", &member(left)]).text();
    for _ in 0..15 {
        let members = (0..100).map(|_| member(TurnId::generate(Timestamp::from_millis(1))));
        let before = (now.parse::<i64>().unwrap() - 1).to_string();
        let members = members.flat_map(|it| [before.clone(), it]);
        let words: Vec<String> =
            ["ZADD", "codexd:{turns}:open"].map(str::to_owned).into_iter().chain(members).collect();
        server.ask(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for _ in 0..2 {
        let before = calls(&server, "evalsha");
        assert_eq!(store.lapsed(9).await.unwrap(), []);
        assert_eq!(calls(&server, "evalsha") - before, 1_000);
        let found = store.lapsed(9).await.unwrap();
        assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), [left]);
    }
}

/// A turn of the session `left` in the index of open turns.
fn member(turn: TurnId) -> String {
    format!("{turn} bG9jYWw.bGVmdA")
}
