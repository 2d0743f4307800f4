//! What an append and a read cost, in time and in allocations of the calling thread.
//!
//! Writes are not synced to the disk: that would measure the disk.
#![expect(clippy::unwrap_used, reason = "a benchmark has nobody to answer to")]

use std::sync::Arc;

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey},
    memory::{
        Append, Draft, Embedded, EntryBody, Expect, QueryVector, ReadOptions, Recall, Search,
        SessionLog,
    },
    time::Timestamp,
};
use brain_testkit::ManualClock;
use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use futures_util::future::join_all;
use memory_sqlite::{SqliteConfig, SqliteStore, Synchronous};
use tempfile::TempDir;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

struct Bench {
    runtime: Runtime,
    store: SqliteStore,
    draft: Draft,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig {
            synchronous: Synchronous::Normal,
            ..SqliteConfig::new(folder.path().join("memory.db"))
        };
        let store = SqliteStore::open(&config, Arc::new(ManualClock::new())).unwrap();
        let message = Message::user("five hundred bytes of text ".repeat(18));
        let draft = Draft::new(EntryBody::complete(message, Timestamp::from_millis(0))).unwrap();
        Self { runtime, store, draft, _folder: folder }
    }

    fn key(session: usize) -> SessionKey {
        SessionKey::new(Owner::local(), SessionId::new(format!("session {session}")).unwrap())
    }

    fn append(&self, number: usize, parent: Option<Seq>) -> Append {
        Append {
            parent,
            expect: if parent.is_none() { Expect::Absent } else { Expect::Attach },
            append_id: AppendId::new(number.to_string()).unwrap(),
            fence: None,
            drafts: vec![self.draft.clone()],
        }
    }

    /// A session with this many entries.
    fn fill(&self, entries: usize) {
        let append = Append { drafts: vec![self.draft.clone(); entries], ..self.append(0, None) };
        self.runtime.block_on(self.store.append(&Self::key(0), append)).unwrap();
    }
}

#[divan::bench(sample_count = 1000)]
fn append_by_one_writer(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    let key = Bench::key(0);
    let (mut number, mut parent) = (0, None);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        number += 1;
        let append = bench.append(number, parent);
        parent = bench.runtime.block_on(bench.store.append(&key, append)).unwrap().last;
    });
}

#[divan::bench(sample_count = 200)]
fn append_by_64_writers(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    let keys: Vec<SessionKey> = (0..64).map(Bench::key).collect();
    let (mut number, mut parents) = (0, vec![None; 64]);
    bencher.counter(ItemsCount::new(64_usize)).bench_local(|| {
        number += 1;
        let appends = keys.iter().zip(&parents);
        let appends =
            appends.map(|(key, parent)| bench.store.append(key, bench.append(number, *parent)));
        let done = bench.runtime.block_on(join_all(appends));
        parents = done.into_iter().map(|it| it.unwrap().last).collect();
    });
}

#[divan::bench(sample_count = 1000, args = [20, 5_000, 100_000])]
fn read_newest_20_of(bencher: Bencher<'_, '_>, entries: usize) {
    let bench = Bench::new();
    bench.fill(entries);
    let key = Bench::key(0);
    bencher.counter(ItemsCount::new(20_usize)).bench_local(|| {
        let branch = bench.store.read(&key, ReadOptions::newest(20));
        bench.runtime.block_on(branch).unwrap().unwrap()
    });
}

/// Many sessions, each with one vector of 384 numbers.
#[divan::bench(sample_count = 20, args = [100, 20_000])]
fn search_by_meaning_in_sessions(bencher: Bencher<'_, '_>, sessions: usize) {
    let bench = Bench::new();
    for first in (0..sessions).step_by(1_000) {
        let keys: Vec<_> = (first..sessions.min(first + 1_000)).map(Bench::key).collect();
        let appends = keys.iter().map(|key| bench.store.append(key, bench.append(0, None)));
        let appended = bench.runtime.block_on(join_all(appends));
        assert!(appended.iter().all(Result::is_ok));
        let vector = |(n, session)| Embedded { session, seq: Seq(1), values: vector(first + n) };
        let vectors = keys.into_iter().enumerate().map(vector).collect();
        bench.runtime.block_on(bench.store.keep_embeddings("m", vectors)).unwrap();
    }
    let query = QueryVector { model: "m".to_owned(), values: vector(7) };
    let search = Search { vector: Some(query), ..Search::words("", 8) };
    let owner = Owner::local();
    bencher.bench_local(|| {
        let found = bench.store.search(&owner, &search);
        assert_eq!(bench.runtime.block_on(found).unwrap().len(), 8);
    });
}

fn vector(number: usize) -> Arc<[f32]> {
    (0..384).map(|n| ((n * (number + 1)) as f32).sin()).collect()
}
