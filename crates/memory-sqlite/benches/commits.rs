//! What sharing commits is worth: 64 writers at once, against one append and one commit at a time.
//!
//! Both do the same appends to the same 64 sessions, on a real disk, in one run; the ratios are
//! printed, and one that is too small fails. How long an append takes is the business of `store`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that prints its figures"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey},
    memory::{Append, Draft, EntryBody, Expect, SessionLog},
    time::Timestamp,
};
use brain_testkit::ManualClock;
use memory_sqlite::{SqliteConfig, SqliteStore, Synchronous};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

const WRITERS: usize = 64;
/// How long each side appends, in each round.
const TIME: Duration = Duration::from_millis(1_500);
/// Rounds; the best of each side counts, since others use the disk too.
const ROUNDS: usize = 3;

fn main() {
    // `cargo test --benches` asks for nothing to be measured.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    let full = compare(Synchronous::Full);
    let normal = compare(Synchronous::Normal);
    assert!(8.0 <= full, "sharing commits is worth {full:.1}x at FULL, and should be 8x");
    assert!(2.5 <= normal, "sharing commits is worth {normal:.1}x at NORMAL, and should be 2.5x");
}

/// Prints the rates at this setting; returns how many times faster sharing is.
fn compare(synchronous: Synchronous) -> f64 {
    let (mut alone, mut bare, mut shared) = (0.0_f64, 0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        alone = alone.max(Bench::new(synchronous).alone());
        bare = bare.max(Bench::new(synchronous).bare());
        shared = shared.max(Bench::new(synchronous).shared());
    }
    let ratio = shared / alone;
    println!("synchronous = {synchronous:?}, acknowledged appends a second:");
    println!("  one append, one commit   {alone:>8.0}");
    println!("  the same, SQL alone      {bare:>8.0}   {:.1}x", shared / bare);
    println!("  {WRITERS} writers at once     {shared:>8.0}   {ratio:.1}x");
    ratio
}

/// Who appends.
#[derive(Clone)]
struct Client {
    store: Arc<SqliteStore>,
    draft: Draft,
}

impl Client {
    async fn append(&self, writer: usize, number: i32, parent: Option<Seq>) -> Option<Seq> {
        let append = Append {
            parent,
            expect: if parent.is_none() { Expect::Absent } else { Expect::Attach },
            append_id: AppendId::new(number.to_string()).unwrap(),
            fence: None,
            drafts: vec![self.draft.clone()],
        };
        self.store.append(&key(writer), append).await.unwrap().last
    }

    /// Returns how many appends that were.
    async fn appends_until(self, writer: usize, end: Instant) -> i32 {
        let (mut parent, mut number) = (None, 0);
        while Instant::now() < end {
            parent = self.append(writer, number, parent).await;
            number += 1;
        }
        number
    }
}

struct Bench {
    runtime: Runtime,
    client: Client,
    synchronous: Synchronous,
    folder: TempDir,
}

impl Bench {
    fn new(synchronous: Synchronous) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let config =
            SqliteConfig { synchronous, ..SqliteConfig::new(folder.path().join("memory.db")) };
        let store = Arc::new(SqliteStore::open(&config, Arc::new(ManualClock::new())).unwrap());
        let message = Message::user("five hundred bytes of text ".repeat(18));
        let draft = Draft::new(EntryBody::complete(message, Timestamp::from_millis(0))).unwrap();
        Self { runtime, client: Client { store, draft }, synchronous, folder }
    }

    /// Appends a second by one caller, who waits for each.
    fn alone(&self) -> f64 {
        self.runtime.block_on(async {
            let mut parents = [None; WRITERS];
            let (start, mut number) = (Instant::now(), 0);
            while start.elapsed() < TIME {
                for (writer, parent) in parents.iter_mut().enumerate() {
                    *parent = self.client.append(writer, number, *parent).await;
                    number += 1;
                }
            }
            rate(number, start)
        })
    }

    /// Appends a second by callers who each wait for their own.
    fn shared(&self) -> f64 {
        self.runtime.block_on(async {
            let start = Instant::now();
            let mut writers: JoinSet<i32> = (0..WRITERS)
                .map(|writer| self.client.clone().appends_until(writer, start + TIME))
                .collect();
            let mut appended = 0;
            while let Some(number) = writers.join_next().await {
                appended += number.unwrap();
            }
            rate(appended, start)
        })
    }

    /// Appends a second of a connection that does nothing but store the row of a message.
    fn bare(&self) -> f64 {
        let connection = Connection::open(self.folder.path().join("bare.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        let level = match self.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", level).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE messages (id INTEGER PRIMARY KEY, session INTEGER, seq INTEGER, \
                     json TEXT, UNIQUE (session, seq))",
            )
            .unwrap();
        let sql = "INSERT INTO messages (session, seq, json) VALUES (?1, ?2, ?3)";
        let mut insert = connection.prepare(sql).unwrap();
        let (start, mut number) = (Instant::now(), 0);
        while start.elapsed() < TIME {
            let json = self.client.draft.json().as_ref();
            insert.execute((number % 64, number / 64, json)).unwrap();
            number += 1;
        }
        rate(number, start)
    }
}

fn rate(appends: i32, start: Instant) -> f64 {
    f64::from(appends) / start.elapsed().as_secs_f64()
}

fn key(writer: usize) -> SessionKey {
    SessionKey::new(Owner::local(), SessionId::new(format!("session {writer}")).unwrap())
}
