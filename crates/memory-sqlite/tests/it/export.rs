//! Exports and imports that take long, while others write.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use brain_core::{
    ids::{Owner, Seq},
    memory::{
        Append, Catalog, Expect, ExportPart, ExportedSession, Forget, MemoryErrorKind, Portable,
        ReadOptions, Restored, SessionLog,
    },
};
use brain_testkit::ManualClock;
use futures_util::{StreamExt, TryStreamExt};
use memory_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::Connection;

use crate::{config, draft, key, open, say};

const LONG: usize = 20_000;

/// A session of so many entries of about 500 bytes.
async fn fill(store: &SqliteStore, name: &str, entries: usize) {
    let drafts = (0..entries).map(|n| draft(&format!("{n} {}", "x".repeat(500)))).collect();
    store.append(&key(name), Append { drafts, ..say("all", None, Expect::Absent) }).await.unwrap();
}

async fn exported(store: &SqliteStore) -> Vec<ExportedSession> {
    let mut sessions: Vec<(_, Vec<_>)> = Vec::new();
    let mut parts = store.export(&Owner::local()).await.unwrap();
    while let Some(part) = parts.next().await {
        match part.unwrap() {
            ExportPart::Session(head) => sessions.push((head, Vec::new())),
            ExportPart::Entry(entry) => sessions.last_mut().unwrap().1.push(entry),
        }
    }
    sessions.into_iter().map(|(head, entries)| head.with(entries)).collect()
}

fn log_bytes(folder: &Path) -> u64 {
    fs::metadata(folder.join("memory.db-wal")).map_or(0, |it| it.len())
}

/// Appends one entry after the other until told to stop; returns how many, and the longest time
/// that one took.
async fn write_until(store: &SqliteStore, stop: &AtomicBool) -> (u32, Duration) {
    let (mut parent, mut count, mut longest) = (None, 0, Duration::ZERO);
    while !stop.load(Ordering::Acquire) {
        let start = Instant::now();
        let expect = if parent.is_none() { Expect::Absent } else { Expect::Attach };
        let append = say(&count.to_string(), parent, expect);
        parent = store.append(&key("busy"), append).await.unwrap().last;
        longest = longest.max(start.elapsed());
        count += 1;
    }
    (count, longest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dawdles_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, "long", LONG).await;
    let before = exported(&store).await;
    let mut parts = store.export(&Owner::local()).await.unwrap();
    let mut entries = vec![parts.try_next().await.unwrap().unwrap()];

    // The client takes no more for a while; others write ten times what the log may hold.
    let mut parent = Some(Seq(1));
    let drafts: Vec<_> = (0..500).map(|_| draft(&"y".repeat(4_000))).collect();
    for number in 0..80 {
        let append = say(&format!("more {number}"), parent, Expect::Attach);
        let append = Append { drafts: drafts.clone(), ..append };
        parent = store.append(&key("long"), append).await.unwrap().last;
    }
    store.forget(&key("long"), Forget::Always).await.unwrap();
    assert!(log_bytes(folder.path()) <= 40 << 20, "{}", log_bytes(folder.path()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);

    entries.extend(parts.try_collect::<Vec<_>>().await.unwrap());
    let ExportPart::Session(head) = entries.remove(0) else { panic!("no session first") };
    let entries = entries.into_iter().map(|part| match part {
        ExportPart::Entry(entry) => entry,
        ExportPart::Session(_) => panic!("another session"),
    });
    assert_eq!(vec![head.with(entries.collect())], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_proceed_while_an_export_reads_one_state() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()));
    fill(&store, "a", LONG).await;
    fill(&store, "z", LONG).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (writer, stopped) = (Arc::clone(&store), Arc::clone(&stop));
    let writes =
        tokio::task::JoinSet::from_iter([async move { write_until(&writer, &stopped).await }]);
    for _ in 0..3 {
        let sessions = exported(&store).await;
        let busy = sessions.iter().find(|it| it.id.as_str() == "busy");
        let Some(busy) = busy else { continue };
        // Positions without a gap up to the head: a state that there was.
        assert_eq!(busy.head, Some(Seq(busy.entries.len() as u64)));
        assert!(sessions.iter().filter(|it| it.entries.len() == LONG).count() == 2);
    }
    stop.store(true, Ordering::Release);
    let (count, longest) = writes.join_all().await[0];
    assert!(10 < count, "{count}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_only_so_many_exports_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, "a", 1).await;
    let mut held = Vec::new();
    let error = loop {
        match store.export(&Owner::local()).await {
            Ok(parts) => held.push(parts),
            Err(error) => break error,
        }
        assert!(held.len() < 100);
    };
    assert!(matches!(error.kind(), MemoryErrorKind::Overloaded { .. }), "{error:?}");
    held.pop();
    let parts: Vec<_> = store.export(&Owner::local()).await.unwrap().collect().await;
    assert_eq!(parts.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_takes_no_file_is_an_error_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Some(folder.path().join("missing"));
    let config = SqliteConfig { spool, ..config(folder.path()) };
    let store = SqliteStore::open(&config, Arc::new(ManualClock::new())).unwrap();
    fill(&store, "a", 1).await;
    let error = store.export(&Owner::local()).await.err().unwrap();
    assert_eq!(error.kind(), MemoryErrorKind::Unavailable);
    fill(&store, "b", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_thousand_entries_go_out_and_in_while_others_write() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(from.path());
    fill(&store, "long", 2 * LONG).await;
    let other = Arc::new(open(to.path()));
    let stop = Arc::new(AtomicBool::new(false));
    let (writer, stopped) = (Arc::clone(&other), Arc::clone(&stop));
    let writes =
        tokio::task::JoinSet::from_iter([async move { write_until(&writer, &stopped).await }]);
    let sessions = exported(&store).await;
    for session in &sessions {
        let restored = other.restore(&key("long"), session).await.unwrap();
        assert_eq!(restored, Restored::Created);
    }
    stop.store(true, Ordering::Release);
    let (count, longest) = writes.join_all().await[0];
    assert!(10 < count, "{count}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    other.forget(&key("busy"), Forget::Always).await.unwrap();
    assert_eq!(exported(&other).await, sessions);
}

fn part_of(session: &ExportedSession, entries: usize) -> ExportedSession {
    let mut part = session.clone();
    part.entries.truncate(entries);
    part.head = part.entries.last().map(|it| it.seq);
    part
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_extension_is_seen_whole_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()));
    fill(&store, "long", 3_000).await;
    let all = exported(&store).await.remove(0);
    let copy = key("copy");
    store.restore(&copy, &part_of(&all, 10)).await.unwrap();
    let (extending, extended) = (Arc::clone(&store), all.clone());
    let mut extending = tokio::task::JoinSet::from_iter([async move {
        extending.restore(&key("copy"), &extended).await
    }]);
    let restored = loop {
        let entries = store.session(&copy).await.unwrap().unwrap().entries;
        assert!([10, 3_000].contains(&entries), "{entries}");
        if let Some(restored) = extending.try_join_next() {
            break restored.unwrap();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(restored.unwrap(), Restored::Extended(2_990));
    let branch = store.read(&copy, ReadOptions::newest(usize::MAX)).await.unwrap().unwrap();
    assert_eq!(branch.entries.len(), 3_000);
    assert_eq!(store.restore(&copy, &all).await.unwrap(), Restored::Unchanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_import_twice_at_once_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, "long", 1_000).await;
    let all = exported(&store).await.remove(0);
    let copy = key("copy");
    let (one, two) =
        futures_util::future::join(store.restore(&copy, &all), store.restore(&copy, &all)).await;
    let mut restored = [one.unwrap(), two.unwrap()];
    restored.sort_by_key(|it| *it == Restored::Unchanged);
    assert_eq!(restored, [Restored::Created, Restored::Unchanged]);
    assert_eq!(rows(folder.path(), "messages"), 2_000);
}

fn rows(folder: &Path, table: &str) -> u32 {
    let connection = Connection::open(folder.join("memory.db")).unwrap();
    let sql = format!("SELECT count(*) FROM {table}");
    let start = Instant::now();
    loop {
        // What is hidden is erased in the background.
        let hidden = "SELECT count(*) FROM sessions WHERE owner = X''";
        let hidden: u32 = connection.query_row(hidden, [], |row| row.get(0)).unwrap();
        if hidden == 0 {
            return connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(30), "hidden sessions stay");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_whose_caller_leaves_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, "long", 2_000).await;
    let all = exported(&store).await.remove(0);
    for wait in [1, 5, 20] {
        let copy = key("copy");
        let restore = store.restore(&copy, &all);
        let left = tokio::time::timeout(Duration::from_millis(wait), restore).await.is_err();
        let expected = if left { 2_000 } else { 4_000 };
        assert_eq!(rows(folder.path(), "messages"), expected);
        assert_eq!(store.session(&copy).await.unwrap().is_none(), left);
        store.forget(&copy, Forget::Always).await.unwrap();
    }
}
