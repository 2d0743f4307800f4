//! What was acknowledged is there after the store was closed, and the file stays small.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::{
    ids::{HolderId, Seq, TurnId},
    json::RawJson,
    memory::{
        Append, Catalog, Checkpoint, Expect, Fence, MemoryErrorKind, MemoryStore, NewSession,
        OpenTurn, Opened, ReadOptions, SessionLog, TurnIndex, Turns,
    },
    time::Timestamp,
};
use brain_testkit::ManualClock;
use memory_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::Connection;

use crate::{config, draft, key, open, say};

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let new = NewSession {
        title: Some("a\0b".into()),
        metadata: Some(RawJson::parse(r#"{"n":1e400}"#).unwrap()),
        ..NewSession::default()
    };
    let open_turn = OpenTurn {
        id: TurnId::generate(Timestamp::from_millis(0)),
        session: key("s\0\u{1f600}"),
        create: Some(new),
        idempotency: None,
        request: RawJson::parse("{}").unwrap(),
        holder: HolderId::random(),
        lease: Duration::from_secs(10),
        append: Append { drafts: vec![draft("hi\0")], ..say("first", None, Expect::Absent) },
    };
    let Opened::Started { turn, appended } = store.open(open_turn.clone()).await.unwrap() else {
        panic!("not started");
    };
    let fence = Fence { turn: turn.id, holder: turn.holder };
    let partial = Checkpoint { text: "par\0tial".into(), ..turn.checkpoint.clone() };
    store.checkpoint(fence, partial.clone()).await.unwrap();
    let before = store.read(&open_turn.session, ReadOptions::newest(9)).await.unwrap();
    drop(store);

    let store = open(folder.path());
    let after = store.read(&open_turn.session, ReadOptions::newest(9)).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(after.unwrap().session.token, appended.token);
    let turns = store.unfinished().await.unwrap();
    assert_eq!(turns.len(), 1);
    assert_eq!(turns[0].checkpoint, partial);
    let again = store.open(open_turn).await.unwrap();
    assert_eq!(again, Opened::Started { turn: turns[0].clone(), appended });
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_store_writes_what_was_accepted_and_leaves_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()));
    let mut parent = None;
    for number in 1..=100 {
        let expect = if parent.is_none() { Expect::Absent } else { Expect::Attach };
        parent =
            store.append(&key("s"), say(&number.to_string(), parent, expect)).await.unwrap().last;
    }
    drop(store);
    let files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(files, ["memory.db"]);
    let branch =
        open(folder.path()).read(&key("s"), ReadOptions::newest(1)).await.unwrap().unwrap();
    assert_eq!(branch.entries[0].seq, Seq(100));
}

/// Leaves an append after polling it so often.
async fn append_and_leave(store: &SqliteStore, name: &str, polls: usize) {
    let key = key(name);
    let drafts = vec![draft("one"), draft("two"), draft("three")];
    let mut future = store.append(&key, Append { drafts, ..say(name, None, Expect::Absent) });
    for _ in 0..polls {
        if futures_util::poll!(future.as_mut()).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_caller_leaves_is_done_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for polls in 0..4 {
        for round in 0..20 {
            append_and_leave(&store, &format!("{polls}/{round}"), polls).await;
        }
    }
    // Jobs are done in order: after this one, all of them are.
    store.create(&key("last"), NewSession::default()).await.unwrap();
    for polls in 0..4 {
        for round in 0..20 {
            let key = key(&format!("{polls}/{round}"));
            let branch = store.read(&key, ReadOptions::newest(9)).await.unwrap();
            let stored = branch.map_or(0, |it| it.entries.len());
            assert_eq!(stored, if polls == 0 { 0 } else { 3 }, "{polls} polls");
        }
    }
    store.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_is_fast_whatever_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 0..10 {
        let name = number.to_string();
        let many = Append {
            drafts: (0..1_000).map(|_| draft(&"x".repeat(500))).collect(),
            ..say(&name, None, Expect::Absent)
        };
        store.append(&key(&name), many).await.unwrap();
    }
    drop(store);
    let fastest = (0..5).map(|_| {
        let clock = Arc::new(ManualClock::new());
        let start = Instant::now();
        let store = SqliteStore::open(&config(folder.path()), clock).unwrap();
        let took = start.elapsed();
        drop(store);
        took
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest.as_millis() < 100, "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_entry_is_left_out_and_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let five = Append {
        drafts: (1..=5).map(|number| draft(&number.to_string())).collect(),
        ..say("five", None, Expect::Absent)
    };
    store.append(&key("s"), five).await.unwrap();
    let connection = Connection::open(folder.path().join("memory.db")).unwrap();
    let sql = "UPDATE messages SET json = ?1 WHERE seq = ?2";
    connection.execute(sql, ("{\"v\":1", 4)).unwrap();
    drop(connection);

    let newest = store.read(&key("s"), ReadOptions::newest(2)).await.unwrap().unwrap();
    let positions: Vec<Seq> = newest.entries.iter().map(|it| it.seq).collect();
    assert_eq!(positions, [Seq(3), Seq(5)]);
    // An export must not lose anything silently.
    let error = store.scan(&key("s"), Seq(0), 9).await.unwrap_err();
    assert_eq!(error.kind(), MemoryErrorKind::Corrupt);
    store.append(&key("s"), say("six", Some(Seq(5)), Expect::Attach)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_keeps_its_id_and_has_it_from_nobody() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = folders.each_ref().map(|it| open(it.path()).database_id());
    assert_ne!(one, other);
    let file = config(folders[0].path()).path;
    let copy = folders[1].path().join("copy.db");
    fs::copy(&file, &copy).unwrap();
    let copied = SqliteStore::open(&SqliteConfig::new(&copy), Arc::new(ManualClock::new()));
    assert_eq!((open(folders[0].path()).database_id(), copied.unwrap().database_id()), (one, one));
    // One from before there were ids gets its own.
    let forget = "DELETE FROM metadata WHERE key = 'database_id'";
    assert_eq!(Connection::open(&copy).unwrap().execute(forget, []).unwrap(), 1);
    let [first, again] = [(), ()].map(|()| {
        let opened = SqliteStore::open(&SqliteConfig::new(&copy), Arc::new(ManualClock::new()));
        opened.unwrap().database_id()
    });
    assert!(first == again && first != one, "{first} {again} {one}");
}
