//! What was acknowledged is there after the store was closed, and the file stays small.

use std::{fs, sync::Arc};

use brain_core::{
    ids::{HolderId, Seq, TurnId},
    json::RawJson,
    memory::{
        Append, Catalog, Checkpoint, Expect, Fence, MemoryStore, NewSession, OpenTurn, Opened,
        ReadOptions, SessionLog, Turns, TurnIndex,
    },
    time::{Clock, Timestamp},
};
use brain_testkit::ManualClock;
use memory_sqlite::SqliteStore;

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
        lease: std::time::Duration::from_secs(10),
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
        parent = store.append(&key("s"), say(&number.to_string(), parent, expect)).await.unwrap().last;
    }
    drop(store);
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(files, ["memory.db"]);
    let branch = open(folder.path()).read(&key("s"), ReadOptions::newest(1)).await.unwrap().unwrap();
    assert_eq!(branch.entries[0].seq, Seq(100));
}

/// Polls each future a few times only, or not at all, and leaves it.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_caller_leaves_is_done_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for polls in 0..4 {
        for round in 0..20 {
            let name = format!("{polls}/{round}");
            let key = key(&name);
            let append = Append {
                drafts: vec![draft("one"), draft("two"), draft("three")],
                ..say(&name, None, Expect::Absent)
            };
            let mut future = store.append(&key, append);
            for _ in 0..polls {
                let poll = futures_util::poll!(future.as_mut());
                tokio::task::yield_now().await;
                if poll.is_ready() {
                    break;
                }
            }
            drop(future);
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
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    let start = std::time::Instant::now();
    let store = SqliteStore::open(&config(folder.path()), clock).unwrap();
    let took = start.elapsed();
    assert!(took.as_millis() < 100, "{took:?}");
    store.health().await.unwrap();
}
