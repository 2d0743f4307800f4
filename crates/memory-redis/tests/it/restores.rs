//! Sessions of more than one piece are put back as a whole or not at all.

use brain_core::{
    ids::Seq,
    memory::{
        Catalog, Embedded, Expect, ExportPart, ExportedEntry, Forget, MemoryError, MemoryErrorKind,
        Portable, QueryVector, ReadOptions, Recall, Restored, Search, SessionLog, Summary,
    },
    time::Timestamp,
};
use brain_testkit::redis::{Loss, Proxy, Server, Settings};
use futures_util::TryStreamExt;
use memory_redis::RedisStore;
use tokio::task::JoinSet;

use crate::harness::{
    ann, append, contents, exported, heals, key, said, session_key, store, texts, wait_until,
};

/// The key of what is put together of session `a` of owner `ann`.
const STAGED: &str = "codexd:r:{YW5u.YQ}";
/// More than one piece.
const PIECES: u64 = 2_001;
/// So many that a restore can be met while it goes on.
const MANY: u64 = 60_000;

fn staged_fields(server: &Server) -> i64 {
    server.ask(&["HLEN", STAGED]).integer()
}

/// What is put together, if it is there, ends within a minute.
#[track_caller]
fn ends_soon(server: &Server) {
    let left = server.ask(&["PTTL", STAGED]).integer();
    assert!(left == -2 || (1..=60_000).contains(&left), "{left}");
}

/// How many entries there are; as many as the session says.
async fn entries(store: &RedisStore) -> Option<u64> {
    let session = store.session(&key("a")).await.unwrap()?;
    let scanned = store.scan(&key("a"), Seq(0), usize::MAX).await.unwrap();
    assert_eq!(scanned.len() as u64, session.entries);
    Some(session.entries)
}

#[tokio::test]
async fn a_session_of_several_pieces_is_as_it_was() {
    let server = Server::start();
    let store = store(&server.url());
    let a = key("a");
    let mut whole = exported(5_001);
    whole.id = a.id.clone();
    let text = "in short".to_owned();
    let created_at = Timestamp::from_millis(7);
    whole.summaries = vec![Summary { at: Seq(5_000), text, model: None, created_at }];
    assert_eq!(store.restore(&a, &whole).await.unwrap(), Restored::Created);
    assert_eq!(store.restore(&a, &whole).await.unwrap(), Restored::Unchanged);
    let parts: Vec<ExportPart> = store.export(&ann()).await.unwrap().try_collect().await.unwrap();
    let mut parts = parts.into_iter();
    let Some(ExportPart::Session(head)) = parts.next() else { panic!("no session") };
    let entries = parts.map(|it| match it {
        ExportPart::Entry(entry) => entry,
        ExportPart::Session(head) => panic!("{head:?}"),
    });
    assert_eq!(head.with(entries.collect()), whole);
    assert_eq!(staged_fields(&server), 0);
    assert!(60_000 < server.ask(&["PTTL", &session_key(&server)]).integer());
    store.append(&a, append(Some(Seq(5_001)), Expect::Attach, "more")).await.unwrap();
    assert_eq!(texts(&store, "a").await.len(), 5_002);
}

/// What an extended session had beside its entries, it has afterwards.
#[tokio::test]
async fn an_extended_session_keeps_what_it_has() {
    let server = Server::start();
    let store = store(&server.url());
    let a = key("a");
    let first = append(None, Expect::Absent, "what was said first");
    let appended = store.append(&a, first.clone()).await.unwrap();
    let embedded = Embedded { session: a.clone(), seq: Seq(1), values: [1.0, 0.0].into() };
    store.keep_embeddings("model", vec![embedded]).await.unwrap();
    assert_eq!(store.unembedded("model", 9).await.unwrap(), []);

    let mut more = exported(PIECES + 1);
    more.created_at = store.session(&a).await.unwrap().unwrap().created_at;
    let stored = store.scan(&a, Seq(0), 1).await.unwrap();
    more.entries[0].entry = (*stored[0].body).clone();
    assert_eq!(store.restore(&a, &more).await.unwrap(), Restored::Extended(PIECES));
    assert_eq!(entries(&store).await, Some(PIECES + 1));
    assert_eq!(store.append(&a, first).await.unwrap(), appended, "a known append is known still");
    let vector = QueryVector { model: "model".to_owned(), values: [1.0, 0.0].into() };
    let search = Search { text: String::new(), vector: Some(vector), limit: 1 };
    assert_eq!(store.search(&a.owner, &search).await.unwrap()[0].entry.seq, Seq(1));
    let missing = store.unembedded("model", 1).await.unwrap();
    assert_eq!(missing[0].seq, Seq(2));

    let other = exported(PIECES + 2);
    assert_eq!(store.restore(&a, &other).await.unwrap_err().kind(), MemoryErrorKind::Conflict);
    assert_eq!(entries(&store).await, Some(PIECES + 1));
}

/// A restore of all entries where the first `before` ones are there; the connection is cut at the
/// request after `count` others. `false` if there is none.
async fn cut(
    (server, proxy): (&Server, &Proxy),
    before: u64,
    (count, loss): (usize, Loss),
) -> bool {
    let a = key("a");
    server.ask(&["FLUSHALL"]);
    let direct = store(&server.socket_url());
    if 0 < before {
        direct.restore(&a, &exported(before)).await.unwrap();
    }
    let untouched = entries(&direct).await;
    let (cut, whole) = (store(proxy.url()), exported(before + PIECES));
    proxy.lose_after(count, loss);
    let result = cut.restore(&a, &whole).await;
    if !proxy.lose_nothing() {
        result.unwrap();
        return false;
    }
    let place = format!("{before} before, {loss:?} {count}");
    let seen = entries(&direct).await;
    assert!(seen == untouched || seen == Some(before + PIECES), "{place}: {seen:?}");
    if let Err(error) = &result {
        assert!(error.is_transient(), "{place}: {}", said(error));
    }
    ends_soon(server);
    direct.restore(&a, &whole).await.unwrap();
    assert_eq!(entries(&direct).await, Some(before + PIECES), "{place}");
    assert_eq!(staged_fields(server), 0, "{place}");
    true
}

#[tokio::test]
async fn a_cut_restore_leaves_nothing_by_half() {
    let server = Server::start();
    let proxy = Proxy::before(&server);
    for before in [0, 9] {
        for loss in [Loss::Request, Loss::Reply] {
            let mut count = 0;
            while cut((&server, &proxy), before, (count, loss)).await {
                count += 1;
            }
            assert!(count > 6, "{count} cuts");
        }
    }
}

/// Begins to restore a session of many pieces, and waits until some are there.
fn begin(server: &Server, store: &RedisStore) -> JoinSet<Result<Restored, MemoryError>> {
    let (store, mut restoring) = (store.clone(), JoinSet::new());
    restoring.spawn(async move { store.restore(&key("a"), &exported(MANY)).await });
    tokio::task::block_in_place(|| {
        wait_until("a piece is there", || 1_000 < staged_fields(server));
    });
    restoring
}

async fn end(mut restoring: JoinSet<Result<Restored, MemoryError>>) -> MemoryError {
    restoring.join_next().await.unwrap().unwrap().unwrap_err()
}

/// The server ends as by a power cut while a session is put together.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_what_ends_by_itself() {
    let server = Settings::new().durable().start();
    let store = store(&server.url());
    let restoring = begin(&server, &store);
    tokio::task::block_in_place(|| {
        server.kill();
        server.restart();
    });
    let failed = end(restoring).await;
    assert!(failed.is_transient(), "{}", said(&failed));
    heals(&store).await;
    assert_eq!(entries(&store).await, None);
    let whole = exported(MANY);
    assert_eq!(store.restore(&key("a"), &whole).await.unwrap(), Restored::Created);
    assert_eq!(entries(&store).await, Some(MANY));
    assert_eq!(staged_fields(&server), 0);
}

/// A daemon that ends while it restores leaves what ends by itself, and stands in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_dead_have_put_together_ends_by_itself() {
    let server = Server::start();
    let store = store(&server.url());
    let mut restoring = begin(&server, &store);
    restoring.abort_all();
    assert!(restoring.join_next().await.unwrap().unwrap_err().is_cancelled());
    assert_eq!(entries(&store).await, None);
    assert_ne!(staged_fields(&server), 0);
    ends_soon(&server);
    assert_eq!(contents(&server).len(), 1, "nothing else is there");
    store.restore(&key("a"), &exported(PIECES)).await.unwrap();
    assert_eq!(entries(&store).await, Some(PIECES));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_not_put_together_any_more() {
    let server = Server::start();
    let store = store(&server.url());
    let restoring = begin(&server, &store);
    store.forget(&key("a"), Forget::Always).await.unwrap();
    let failed = end(restoring).await;
    assert_eq!(failed.kind(), MemoryErrorKind::Unavailable, "{}", said(&failed));
    assert_eq!(entries(&store).await, None);
    assert_eq!(staged_fields(&server), 0);
}

/// Whoever begins last has it; whoever began before gives up, and nothing is mixed.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_restore_a_session_one_does() {
    let server = Server::start();
    let store = store(&server.url());
    let restoring = begin(&server, &store);
    let whole = exported(PIECES);
    assert_eq!(store.restore(&key("a"), &whole).await.unwrap(), Restored::Created);
    let failed = end(restoring).await;
    assert_eq!(failed.kind(), MemoryErrorKind::Unavailable, "{}", said(&failed));
    assert_eq!(entries(&store).await, Some(PIECES));
}

/// Somebody writes while the session is put together: what they wrote stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_meanwhile_is_not_lost() {
    let server = Server::start();
    let store = store(&server.url());
    let restoring = begin(&server, &store);
    store.append(&key("a"), append(None, Expect::Absent, "mine")).await.unwrap();
    assert_eq!(end(restoring).await.kind(), MemoryErrorKind::Conflict);
    assert_eq!(texts(&store, "a").await, ["mine"]);
    assert_eq!(staged_fields(&server), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_gets_its_room_back() {
    let server = Settings::new().set("maxmemory-policy", "noeviction").start();
    let store = store(&server.url());
    let restoring = begin(&server, &store);
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(end(restoring).await.kind(), MemoryErrorKind::Full);
    assert_eq!(entries(&store).await, None);
    assert_eq!(contents(&server), []);
}

/// More than one script could take, and none of them keeps the server from others for long.
#[tokio::test]
async fn six_hundred_thousand_entries_are_restored() {
    const ENTRIES: u64 = 600_000;
    let server = Settings::new().set("slowlog-log-slower-than", "250000").start();
    let store = store(&server.url());
    let a = key("a");
    let mut whole = exported(ENTRIES - 1);
    assert_eq!(store.restore(&a, &whole).await.unwrap(), Restored::Created);
    let last = exported(1).entries.remove(0);
    whole.entries.push(ExportedEntry { seq: Seq(ENTRIES), parent: Some(Seq(1)), ..last });
    assert_eq!(store.restore(&a, &whole).await.unwrap(), Restored::Extended(1));
    let session = store.session(&a).await.unwrap().unwrap();
    assert_eq!((session.entries, session.head), (ENTRIES, Some(Seq(ENTRIES - 1))));
    let newest = store.read(&a, ReadOptions::newest(2)).await.unwrap().unwrap();
    assert_eq!(
        newest.entries.iter().map(|it| it.seq.0).collect::<Vec<_>>(),
        [ENTRIES - 2, ENTRIES - 1]
    );
    assert_eq!(store.scan(&a, Seq(ENTRIES - 3), 9).await.unwrap().len(), 3);
    let slow = server.ask(&["SLOWLOG", "GET", "3"]).array();
    assert!(slow.is_empty(), "{slow:?}");
}
