//! What a large export holds in memory, and how long one goes out and comes in.
//!
//! The figures are printed, and one that is too large fails. What others do meanwhile is tried in
//! `tests/it/export.rs`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that prints its figures"
)]

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, SessionId, SessionKey},
    memory::{
        self, Append, Draft, EntryBody, Expect, ExportPart, ExportedSession, Portable, Restored,
        SessionLog,
    },
    time::Timestamp,
};
use brain_testkit::ManualClock;
use futures_util::{StreamExt, TryStreamExt};
use memory_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const MILLION: u32 = 1_000_000;
const LONG: u32 = 40_000;
/// Most memory that an export of a million messages may hold, in KiB.
const MAX_KIB: u64 = 64 << 10;
/// Longest that exporting, parsing and restoring [`LONG`] messages may take.
const MAX_TIME: Duration = Duration::from_secs(5);

fn main() {
    // `cargo test --benches` asks for nothing to be measured.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    a_million(&runtime);
    out_and_in(&runtime);
}

/// A store in which one session has so many messages of about 500 bytes.
fn filled(runtime: &Runtime, messages: u32) -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = open(folder.path());
    let message = Message::user("five hundred bytes of text ".repeat(18));
    let draft = Draft::new(EntryBody::complete(message, Timestamp::from_millis(0))).unwrap();
    let append = Append {
        parent: None,
        expect: Expect::Absent,
        append_id: AppendId::new("first").unwrap(),
        fence: None,
        drafts: vec![draft],
    };
    runtime.block_on(store.append(&key("long"), append)).unwrap();
    let connection = Connection::open(folder.path().join("memory.db")).unwrap();
    let sql = "WITH RECURSIVE numbers (n) AS \
                   (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1) \
               INSERT INTO messages (session, seq, parent, role, status, created_at, json) \
               SELECT m.session, n, n - 1, m.role, m.status, m.created_at, m.json \
               FROM numbers, messages m WHERE m.seq = 1";
    connection.execute(sql, [messages]).unwrap();
    connection.execute("UPDATE sessions SET entries = ?1, head = ?1", [messages]).unwrap();
    (store, folder)
}

fn open(folder: &Path) -> SqliteStore {
    let config = SqliteConfig::new(folder.join("memory.db"));
    SqliteStore::open(&config, Arc::new(ManualClock::new())).unwrap()
}

fn key(id: &str) -> SessionKey {
    SessionKey::new(Owner::local(), SessionId::new(id).unwrap())
}

/// A line of what the system says about this process, in KiB.
fn kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn a_million(runtime: &Runtime) {
    let (store, _folder) = filled(runtime, MILLION);
    // The largest amount so far is forgotten.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = kib("VmRSS:");
    let start = Instant::now();
    let (messages, first) = runtime.block_on(async {
        let mut parts = store.export(&Owner::local()).await.unwrap();
        let first = start.elapsed();
        let mut messages = 0;
        while let Some(part) = parts.next().await {
            messages += u32::from(matches!(part.unwrap(), ExportPart::Entry(_)));
        }
        (messages, first)
    });
    assert_eq!(messages, MILLION);
    let held = kib("VmHWM:") - before;
    let (first, all) = (first.as_secs_f64(), start.elapsed().as_secs_f64());
    println!("export of {messages} messages of one session:");
    println!("  {held} KiB of memory; the first after {first:.2} s, the last after {all:.2} s");
    assert!(held < MAX_KIB, "an export held {held} KiB, and may hold {MAX_KIB} KiB");
}

fn out_and_in(runtime: &Runtime) {
    let (store, _folder) = filled(runtime, LONG);
    let store = Arc::new(store);
    let to = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let other = Arc::new(open(to.path()));
    let start = Instant::now();
    let (first, parsed) = runtime.block_on(async {
        let exported = document(&store).await;
        let sessions: Vec<ExportedSession> = serde_json::from_slice(&exported).unwrap();
        let parsed = start.elapsed();
        for session in &sessions {
            let restored = other.restore(&key(session.id.as_str()), session).await;
            assert_eq!(restored.unwrap(), Restored::Created);
        }
        (exported, parsed)
    });
    let (parsed, all) = (parsed.as_secs_f64(), start.elapsed());
    assert!(first == runtime.block_on(document(&other)), "the second export is another one");
    println!("{LONG} messages out and in:");
    println!(
        "  exported and parsed after {parsed:.2} s, restored after {:.2} s",
        all.as_secs_f64()
    );
    assert!(all <= MAX_TIME, "it took {all:?}, and may take {MAX_TIME:?}");
}

/// Everything there is, as JSON.
async fn document(store: &Arc<SqliteStore>) -> Vec<u8> {
    let store = Arc::clone(store);
    let sessions: Vec<_> = memory::export(store, Owner::local()).try_collect().await.unwrap();
    serde_json::to_vec(&sessions).unwrap()
}
