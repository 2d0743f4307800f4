//! What bringing a large database of version 5 up to date takes: time, log, disk and memory.
//!
//! The figures are printed; one that is above what an upgrade asks the disk for fails.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that prints its figures"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use brain_core::{
    chat::Message,
    ids::{Owner, Token},
    memory::{Draft, EntryBody},
    time::Timestamp,
};
use brain_testkit::ManualClock;
use memory_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::Connection;
use tokio::runtime::Builder;

const MESSAGES: u32 = 1_000_000;
/// Messages of a session.
const LONG: u32 = 1_000;
/// How often what an upgrade leaves on the disk is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// What an upgrade asks for, in fourths of the file.
const ASKED: u64 = 13;

const STEPS: [&str; 5] = [
    include_str!("../migrations/0001_memory.sql"),
    include_str!("../migrations/0002_upkeep.sql"),
    include_str!("../migrations/0003_recall.sql"),
    include_str!("../migrations/0004_titles.sql"),
    include_str!("../migrations/0005_reports.sql"),
];

fn main() {
    // `cargo test --benches` asks for nothing to be measured.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("memory.db");
    version_5(&path);
    let file = fs::metadata(&path).unwrap().len();
    // The largest amount so far is forgotten.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = kib("VmRSS:");
    let (start, peaks) = (Instant::now(), Peaks::watch(folder.path()));
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let guard = runtime.enter();
    let store = SqliteStore::open(&SqliteConfig::new(&path), Arc::new(ManualClock::new())).unwrap();
    let took = start.elapsed().as_secs_f64();
    let (log, all) = peaks.end();
    drop((store, guard));
    let held = kib("VmHWM:") - before;
    let after = fs::metadata(&path).unwrap().len();
    println!("{MESSAGES} messages of about 500 bytes, from version 5 on:");
    println!("  {took:.1} s, {} MiB of memory", held >> 10);
    println!("  file {} MiB before, {} MiB after", file >> 20, after >> 20);
    println!(
        "  at most {} MiB of log, {} MiB of both beside the file",
        log >> 20,
        (all - file) >> 20
    );
    assert!(all - file <= ASKED * file / 4, "it took more of the disk than it asks for");
}

/// The most that was there, of the log and of all files.
struct Peaks {
    is_over: Arc<AtomicBool>,
    looks: thread::JoinHandle<(u64, u64)>,
}

impl Peaks {
    fn watch(folder: &Path) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (folder, over) = (folder.to_path_buf(), Arc::clone(&is_over));
        let looks = thread::spawn(move || {
            let mut peaks = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let (log, all) = sizes(&folder);
                peaks = (log.max(peaks.0), all.max(peaks.1));
                thread::sleep(LOOK);
            }
            peaks
        });
        Self { is_over, looks }
    }

    fn end(self) -> (u64, u64) {
        self.is_over.store(true, Ordering::Relaxed);
        self.looks.join().unwrap()
    }
}

fn sizes(folder: &Path) -> (u64, u64) {
    let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |it| it.len());
    let log = files.iter().filter(|it| it.extension().is_some_and(|it| it == "db-wal"));
    (log.map(size).sum(), files.iter().map(size).sum())
}

/// A line of what the system says about this process, in KiB.
fn kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Sessions whose messages can all be found and are embedded, as version 5 kept them.
fn version_5(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    STEPS.iter().for_each(|it| connection.execute_batch(it).unwrap());
    connection.pragma_update(None, "user_version", 5).unwrap();
    let (owner, token) = (Owner::local(), Token::random().to_string());
    let message = Message::user("five hundred bytes of text ".repeat(18));
    let draft = Draft::new(EntryBody::complete(message, Timestamp::from_millis(0))).unwrap();
    let all = connection.unchecked_transaction().unwrap();
    let numbers = "WITH RECURSIVE numbers (n) AS \
                       (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1) ";
    let sql = "INSERT INTO sessions (id, owner, name, recall, class, head, token, entries, \
                                     created_at, updated_at) \
               SELECT n, ?2, CAST('session ' || n AS BLOB), TRUE, 'durable', ?3, ?4, ?3, 1, 2 \
               FROM numbers";
    let row = (MESSAGES / LONG, owner.as_str().as_bytes(), LONG, token);
    all.execute(&format!("{numbers}{sql}"), row).unwrap();
    let sql = "INSERT INTO messages (id, session, seq, parent, role, status, created_at, json) \
               SELECT n, (n - 1) / ?2 + 1, (n - 1) % ?2 + 1, nullif((n - 1) % ?2, 0), 'user', \
                      'complete', 0, ?3 FROM numbers";
    all.execute(&format!("{numbers}{sql}"), (MESSAGES, LONG, draft.json().as_ref())).unwrap();
    let sql = "INSERT INTO recall_entries (message, session, place, words, asks, model) \
               SELECT id, session, seq, 90, FALSE, 'm' FROM messages";
    all.execute(sql, []).unwrap();
    let sql = "INSERT INTO recall_vectors (session, place, model, scale, numbers) \
               SELECT session, seq, 'm', 0.1, randomblob(384) FROM messages";
    all.execute(sql, []).unwrap();
    // Twenty different words of each.
    let words = vec!["printf('%016x', abs(random()) % 50000)"; 20].join(" || ' ' || ");
    let sql = format!("INSERT INTO recall_words (rowid, words) SELECT id, {words} FROM messages");
    all.execute(&sql, []).unwrap();
    // The index is as new as ours, so that only what is copied is measured.
    let sql = "INSERT INTO metadata (key, value) VALUES ('recall_version', '2')";
    all.execute(sql, []).unwrap();
    all.commit().unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}
