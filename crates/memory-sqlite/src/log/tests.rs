//! What an append, a turn and a read cost in steps of SQLite's machine: the same whatever the
//! history is. Allocations and bytes read are counted in `tests/allocations.rs`.
#![expect(clippy::print_stdout, reason = "tests that print their figures")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use brain_core::{
    chat::Message,
    ids::{AppendId, HolderId, Owner, Seq, SessionId, SessionKey, TurnId},
    json::RawJson,
    memory::{
        Append, Authority, CloseTurn, Draft, EntryBody, Expect, OpenTurn, ReadOptions, Summary,
        TurnState,
    },
    time::Timestamp,
};
use rusqlite::Connection;

use crate::{
    SqliteConfig,
    log::{self, Ready},
    open, recall, turns,
};

const ROUNDS: u64 = 20;

fn now() -> Timestamp {
    Timestamp::from_millis(0)
}

/// A connection that counts its steps.
struct Bench {
    connection: Connection,
    steps: Arc<AtomicU64>,
    key: SessionKey,
    number: u64,
    last: Option<Seq>,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// With a session of so many entries, and a summary at the first one.
    fn new(entries: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig::new(folder.path().join("memory.db"));
        let connection = open::open(&config, now()).unwrap();
        let steps = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&steps);
        let handler = move || {
            count.fetch_add(1, Ordering::Relaxed);
            false
        };
        connection.progress_handler(1, Some(handler)).unwrap();
        let key = SessionKey::new(Owner::local(), SessionId::new("s").unwrap());
        let mut bench = Self { connection, steps, key, number: 0, last: None, _folder: folder };
        let append = bench.ready(entries);
        bench.last = log::append(&bench.connection, &bench.key, &append, now()).unwrap().last;
        let text = "in short".to_owned();
        let summary = Summary { at: Seq(1), text, model: None, created_at: now() };
        let edition =
            crate::catalog::find(&bench.connection, &bench.key).unwrap().unwrap().session.edition;
        log::keep_summary(&bench.connection, &bench.key, edition, &summary).unwrap();
        recall::complete(&bench.connection).unwrap();
        bench
    }

    /// An append of so many entries, ready to be written.
    fn ready(&mut self, entries: usize) -> Ready<Append> {
        let append = self.say(entries);
        Ready { documents: recall::documents(&append.drafts), what: append }
    }

    /// An append of so many entries.
    fn say(&mut self, entries: usize) -> Append {
        self.number += 1;
        let body = EntryBody::complete(Message::user("good day ".repeat(50)), now());
        Append {
            parent: self.last,
            expect: if self.last.is_none() { Expect::Absent } else { Expect::Attach },
            append_id: AppendId::new(self.number.to_string()).unwrap(),
            fence: None,
            drafts: vec![Draft::new(body).unwrap(); entries],
        }
    }

    /// Steps a round of `work`, each in a transaction.
    fn steps(&mut self, mut work: impl FnMut(&mut Self)) -> u64 {
        let before = self.steps.load(Ordering::Relaxed);
        for _ in 0..ROUNDS {
            self.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            work(self);
            recall::complete(&self.connection).unwrap();
            self.connection.execute_batch("COMMIT").unwrap();
        }
        (self.steps.load(Ordering::Relaxed) - before) / ROUNDS
    }

    fn append(&mut self) {
        let append = self.ready(1);
        self.last = log::append(&self.connection, &self.key, &append, now()).unwrap().last;
    }

    fn read(&mut self) {
        let branch = log::read(&self.connection, &self.key, ReadOptions::newest(20));
        assert_eq!(branch.unwrap().unwrap().entries.len(), 20);
    }

    fn turn(&mut self) {
        let (append, holder) = (self.say(1), HolderId::random());
        let open = OpenTurn {
            id: TurnId::generate(now()),
            session: self.key.clone(),
            create: None,
            idempotency: None,
            request: RawJson::parse("{}").unwrap(),
            holder,
            lease: Duration::from_secs(10),
            append,
        };
        let documents = recall::documents(&open.append.drafts);
        let open = Ready { documents, what: open };
        turns::open(&self.connection, &open, now()).unwrap();
        self.last = self.last.map(|it| Seq(it.0 + 1));
        let close = CloseTurn {
            turn: open.what.id,
            authority: Authority::Holder(holder),
            state: TurnState::Completed,
            append: self.say(1),
            error: None,
            usage: None,
            context: None,
            last_event: 1,
        };
        let documents = recall::documents(&close.append.drafts);
        let close = Ready { documents, what: close };
        self.last = turns::close(&self.connection, &close, now()).unwrap().answer;
    }
}

/// Steps of an append, a turn and a read in a session of so many entries.
fn costs(entries: usize) -> [u64; 3] {
    let mut bench = Bench::new(entries);
    [bench.steps(Bench::append), bench.steps(Bench::turn), bench.steps(Bench::read)]
}

#[test]
fn steps_do_not_grow_with_the_history() {
    let (short, long) = (costs(50), costs(5_000));
    println!("steps of (append, turn, read 20): {short:?} of 50 entries, {long:?} of 5,000");
    for (short, long) in short.into_iter().zip(long) {
        assert_ne!(short, 0);
        assert!(long * 10 <= short * 12, "{short} steps grew to {long}");
    }
}
