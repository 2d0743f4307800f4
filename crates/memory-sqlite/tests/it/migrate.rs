//! Databases of earlier versions: brought up to date, whatever happens meanwhile.

mod version_5;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use brain_core::{
    ids::{AppendId, HolderId, IdempotencyKey, Owner, Seq, Token, TurnId},
    memory::{
        Append, Catalog, Expect, ListOptions, MemoryStore, Portable, ReadOptions, SessionLog,
        TurnIndex,
    },
    time::{Clock, Timestamp},
};
use brain_testkit::ManualClock;
use futures_util::StreamExt;
use memory_sqlite::SqliteStore;
use rusqlite::Connection;

use crate::{crash::child, draft, key, open, say};

const SESSIONS: i64 = 3;
const ENTRIES: i64 = 1_500;

/// A database as version 1 left it, with an open turn in the last session.
pub(crate) fn version_1(path: &Path) -> TurnId {
    let mut connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    let all = connection.transaction().unwrap();
    all.execute_batch(include_str!("../../migrations/0001_memory.sql")).unwrap();
    all.pragma_update(None, "user_version", 1).unwrap();
    for session in 1..=SESSIONS {
        let sql = "INSERT INTO sessions (id, owner, name, title, recall, class, head, token, \
                                         entries, created_at, updated_at) \
                   VALUES (?1, ?2, ?3, 'a title', FALSE, 'durable', ?4, ?5, ?4, 1, 2)";
        let (owner, name) = (Owner::local(), format!("session {session}"));
        let token = Token::random().to_string();
        let row = (session, owner.as_str().as_bytes(), name.as_bytes(), ENTRIES, token);
        all.execute(sql, row).unwrap();
        for seq in 1..=ENTRIES {
            add_entry(&all, session, seq);
        }
    }
    let turn = TurnId::generate(Timestamp::from_millis(0));
    let sql = "INSERT INTO turns (id, session, owner, key, request_hash, request, state, holder, \
                                  lease_until, text, tail, input, opened_at) \
               VALUES (?1, ?2, ?3, ?4, 'h', '{}', 'running', ?5, 9, 'so far', ?6, ?6, ?7)";
    let (holder, owner) = (HolderId::random().to_string(), Owner::local());
    let (owner, key) = (owner.as_str().as_bytes(), "key".as_bytes());
    let opened_at = ManualClock::new().now().as_millis();
    let row = (turn.to_string(), SESSIONS, owner, key, holder, ENTRIES, opened_at);
    all.execute(sql, row).unwrap();
    all.commit().unwrap();
    turn
}

fn add_entry(connection: &Connection, session: i64, seq: i64) {
    let text = format!("entry {seq} of session {session} with some Words");
    let sql = "INSERT INTO messages (session, seq, parent, role, status, created_at, json, folded) \
               VALUES (?1, ?2, ?3, 'user', 'complete', 1, ?4, ?5)";
    let (draft, parent) = (draft(&text), (1 < seq).then_some(seq - 1));
    let row = (session, seq, parent, draft.json().as_ref(), text.to_lowercase().into_bytes());
    connection.prepare_cached(sql).unwrap().execute(row).unwrap();
}

/// All that version 1 kept is there, and all that came later works.
pub(crate) async fn check(folder: &Path, turn: TurnId) {
    let store = open(folder);
    let page = ListOptions { before: None, limit: 9 };
    assert_eq!(store.list(&Owner::local(), page).await.unwrap().len(), 3);
    for session in 1..=SESSIONS {
        let key = key(&format!("session {session}"));
        let branch = store.read(&key, ReadOptions::newest(usize::MAX)).await.unwrap().unwrap();
        assert_eq!(branch.session.title.as_deref(), Some("a title"));
        let texts = branch.entries.iter().map(|it| it.body.message.joined_text());
        let expected =
            (1..=ENTRIES).map(|it| format!("entry {it} of session {session} with some Words"));
        assert!(texts.eq(expected));
    }
    check_turn(&store, turn).await;
    let append_id = AppendId::new("new").unwrap();
    let append = Append { append_id, ..say("new", Some(Seq(7)), Expect::Attach) };
    store.append(&key("session 1"), append).await.unwrap();
    let parts = store.export(&Owner::local()).await.unwrap().count().await;
    assert_eq!(i64::try_from(parts).unwrap(), SESSIONS * (ENTRIES + 1) + 1);
    store.health().await.unwrap();
    drop(store);
    let connection = Connection::open(folder.join("memory.db")).unwrap();
    let verdict: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

async fn check_turn(store: &SqliteStore, turn: TurnId) {
    let mut unfinished = store.unfinished().await.unwrap();
    let open = unfinished.pop().unwrap();
    assert_eq!((open.id, open.checkpoint.text.as_str()), (turn, "so far"));
    assert!(unfinished.is_empty());
    let asked = IdempotencyKey::new("key").unwrap();
    assert_eq!(store.turn_by_key(&Owner::local(), &asked).await.unwrap().unwrap().id, turn);
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let turn = version_1(&folder.path().join("memory.db"));
    check(folder.path(), turn).await;
}

/// Runs a process that opens the database, and kills it after this time if it still runs; returns
/// whether it did.
fn open_and_kill(folder: &Path, after: Duration) -> bool {
    let start = Instant::now();
    let mut child = child(folder, "open");
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if after <= start.elapsed() {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_killed_is_done_at_the_next_start() {
    const ROUNDS: u32 = 24;
    let made = tempfile::tempdir().unwrap();
    let turn = version_1(&made.path().join("memory.db"));
    let copy = || {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (made.path().join("memory.db"), folder.path().join("memory.db"));
        fs::copy(from, to).unwrap();
        folder
    };
    let start = Instant::now();
    assert!(!open_and_kill(copy().path(), Duration::from_secs(60)));
    let whole = start.elapsed();
    let mut killed = 0;
    for round in 1..=ROUNDS {
        let folder = copy();
        killed += u32::from(open_and_kill(folder.path(), whole * round / ROUNDS));
        check(folder.path(), turn).await;
    }
    assert!(ROUNDS / 4 < killed, "{killed} were killed in time");
}
