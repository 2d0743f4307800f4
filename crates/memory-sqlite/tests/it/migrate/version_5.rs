//! A database in which what search keeps of an entry, and what an append did, were rows of their
//! own.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, Token},
    memory::{
        Append, Appended, Draft, Embedded, EntryBody, Expect, Forget, MemoryErrorKind, QueryVector,
        ReadOptions, Recall, Search, SessionLog,
    },
    time::Timestamp,
};
use memory_sqlite::SqliteStore;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::{crash::child, draft, erase::prove_forgotten, key, open, say};

const STEPS: [&str; 5] = [
    include_str!("../../../migrations/0001_memory.sql"),
    include_str!("../../../migrations/0002_upkeep.sql"),
    include_str!("../../../migrations/0003_recall.sql"),
    include_str!("../../../migrations/0004_titles.sql"),
    include_str!("../../../migrations/0005_reports.sql"),
];

/// What stood in the index for a word of the local owner.
fn term(word: &str) -> String {
    let owner = Owner::local();
    let owner = owner.as_str().as_bytes();
    let hash = Sha256::new().chain_update((owner.len() as u64).to_be_bytes()).chain_update(owner);
    hash.chain_update(word).finalize().iter().take(8).map(|it| format!("{it:02x}")).collect()
}

fn tool(text: &str) -> Draft {
    let message = Message::tool("c1", text);
    Draft::new(EntryBody::complete(message, Timestamp::from_millis(0))).unwrap()
}

/// One session: a question, what a tool said, two answers, of which `m` embedded the first.
fn version_5(path: &Path) -> Token {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    STEPS.iter().for_each(|it| connection.execute_batch(it).unwrap());
    connection.pragma_update(None, "user_version", 5).unwrap();
    let (owner, token) = (Owner::local(), Token::random());
    let sql = "INSERT INTO sessions (id, owner, name, recall, class, head, token, entries, \
                                     created_at, updated_at) \
               VALUES (1, ?1, 's', TRUE, 'durable', 4, ?2, 4, 1, 2)";
    // Names are bytes.
    let sql = sql.replace("'s'", "X'73'");
    connection.execute(&sql, (owner.as_str().as_bytes(), token.to_string())).unwrap();
    for (seq, text, word) in [
        (1, "where is the heron?", Some("heron")),
        (2, "it looked", None),
        (3, "in the tall reeds", Some("reed")),
        (4, "it flew", Some("flew")),
    ] {
        let sql = "INSERT INTO messages (id, session, seq, parent, role, status, created_at, json) \
                   VALUES (?1 + 10, 1, ?1, nullif(?1 - 1, 0), 'user', 'complete', 0, ?2)";
        let draft = if word.is_some() { draft(text) } else { tool(text) };
        connection.execute(sql, (seq, draft.json().as_ref())).unwrap();
        let Some(word) = word else { continue };
        let sql = "INSERT INTO recall_entries (message, session, place, words, asks, model) \
                   VALUES (?1 + 10, 1, ?1 - (1 < ?1), 6, ?1 = 1, iif(?1 = 3, 'm', NULL))";
        connection.execute(sql, [seq]).unwrap();
        let sql = "INSERT INTO recall_words (rowid, words) VALUES (?1 + 10, ?2)";
        connection.execute(sql, (seq, term(word))).unwrap();
    }
    let sql = "INSERT INTO recall_vectors (session, place, model, scale, numbers) \
               VALUES (1, 2, 'm', 0.1, X'0A00'); \
               INSERT INTO metadata (key, value) VALUES ('recall_version', '1')";
    connection.execute_batch(sql).unwrap();
    for (name, last) in [("all", 4), ("nothing", 4)] {
        let sql =
            "INSERT INTO appends (session, name, last, head, token) VALUES (1, ?1, ?2, 4, ?3)";
        connection.execute(sql, (name.as_bytes(), last, token.to_string())).unwrap();
    }
    token
}

async fn found(store: &SqliteStore, search: &Search) -> Vec<String> {
    let hits = store.search(&Owner::local(), search).await.unwrap();
    hits.iter().map(|it| it.entry.body.message.joined_text()).collect()
}

/// Adds so many messages to the session of [`version_5`].
fn more(path: &Path, messages: u32) {
    let sql = "WITH RECURSIVE numbers (n) AS \
                   (SELECT 5 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1 + 4) \
               INSERT INTO messages (id, session, seq, parent, role, status, created_at, json) \
               SELECT n + 10, 1, n, n - 1, 'user', 'complete', 0, ?2 FROM numbers";
    let connection = Connection::open(path).unwrap();
    connection.execute(sql, (messages, draft(&"reeds ".repeat(80)).json().as_ref())).unwrap();
    let sql = "UPDATE sessions SET entries = ?1 + 4, head = ?1 + 4";
    connection.execute(sql, [messages]).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

/// What a plain look at a copy of the files finds: the version, and how many messages.
fn looked_at(folder: &Path) -> (u32, u32) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["memory.db", "memory.db-wal"] {
        fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    let connection = Connection::open(copy.path().join("memory.db")).unwrap();
    let verdict: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let sql = "SELECT count(*) FROM messages";
    (version, connection.query_row(sql, [], |row| row.get(0)).unwrap())
}

/// The copy of all messages is half written, and nobody sees it.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_killed_while_it_copies_leaves_all_as_it_was() {
    const MESSAGES: u32 = 20_000;
    const HALF_WRITTEN: u64 = 4 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    version_5(&path);
    more(&path, MESSAGES);
    let log = folder.path().join("memory.db-wal");
    let mut child = child(folder.path(), "open");
    let start = Instant::now();
    while fs::metadata(&log).map_or(0, |it| it.len()) < HALF_WRITTEN {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        assert!(start.elapsed() < Duration::from_secs(60), "it writes nothing");
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(looked_at(folder.path()), (5, MESSAGES + 4));
    let store = open(folder.path());
    let branch = store.read(&key("s"), ReadOptions::newest(usize::MAX)).await.unwrap().unwrap();
    assert_eq!(branch.entries.len(), 20_004);
    store.append(&key("s"), say("an egret", Some(Seq(20_004)), Expect::Attach)).await.unwrap();
    assert_eq!(found(&store, &Search::words("egret", 9)).await[0], "an egret");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_are_known_and_what_was_said_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let token = version_5(&folder.path().join("memory.db"));
    let store = open(folder.path());
    for name in ["all", "nothing"] {
        let append_id = AppendId::new(name).unwrap();
        let append = Append { append_id, ..say(name, None, Expect::Absent) };
        let known = store.append(&key("s"), append).await.unwrap();
        assert_eq!(known, Appended { last: Some(Seq(4)), head: Some(Seq(4)), token });
    }
    // An answer gains by the question before it, and by its length.
    let found_now = found(&store, &Search::words("herons", 9)).await;
    assert_eq!(found_now, ["in the tall reeds", "where is the heron?", "it flew"]);
    let left = store.unembedded("m", 9).await.unwrap();
    let texts: Vec<_> = left.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, ["where is the heron?", "it flew"]);
    let away = |seq| Embedded { session: key("s"), seq, values: Arc::from([0.0, 1.0].as_slice()) };
    store.keep_embeddings("m", vec![away(Seq(1)), away(Seq(4))]).await.unwrap();
    let close = QueryVector { model: "m".into(), values: Arc::from([1.0, 0.0].as_slice()) };
    let search = Search { vector: Some(close), ..Search::words("", 1) };
    assert_eq!(found(&store, &search).await, ["in the tall reeds"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_goes_on_and_all_of_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    version_5(&folder.path().join("memory.db"));
    let store = open(folder.path());
    store.append(&key("s"), say("an egret", Some(Seq(4)), Expect::Attach)).await.unwrap();
    let counted = |sql: &str| -> Vec<i64> {
        let connection = Connection::open(folder.path().join("memory.db")).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let numbers = statement.query_map([], |row| row.get(0)).unwrap();
        numbers.map(Result::unwrap).collect()
    };
    assert_eq!(counted("SELECT place FROM messages ORDER BY seq"), [1, 1, 2, 3, 4]);
    assert_eq!(counted("SELECT entries FROM recall_owners"), [4]);
    let vector =
        Embedded { session: key("s"), seq: Seq(5), values: Arc::from([0.0, 1.0].as_slice()) };
    store.keep_embeddings("m", vec![vector]).await.unwrap();
    assert_eq!(counted("SELECT seq FROM recall_vectors"), [3, 5]);
    store.forget_entry(&key("s"), Seq(3)).await.unwrap();
    assert_eq!(counted("SELECT seq FROM recall_vectors"), [5]);
    assert_eq!(counted("SELECT entries FROM recall_owners"), [3]);
    let old = store.append(&key("s"), say("late", Some(Seq(9)), Expect::Attach)).await;
    assert_eq!(old.unwrap_err().kind(), MemoryErrorKind::UnknownParent);
    store.forget(&key("s"), Forget::Always).await.unwrap();
    prove_forgotten(&store, &key("s")).await;
    for table in ["messages", "recall_vectors", "recall_owners", "appends", "recall_words_docsize"]
    {
        assert_eq!(counted(&format!("SELECT count(*) FROM {table}")), [0], "{table}");
    }
}
