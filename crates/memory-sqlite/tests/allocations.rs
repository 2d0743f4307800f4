//! What one append and one read may allocate, and how much they may read from files, on all threads
//! together: ceilings that only go down. Steps of SQLite's machine are counted in `src/log/tests.rs`.
//!
//! A test binary of its own, because it counts the whole process.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a test that prints its figures")]

use std::{alloc::System, sync::Arc};

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey},
    memory::{Append, Draft, EntryBody, Expect, ReadOptions, SessionLog},
    time::Timestamp,
};
use brain_testkit::ManualClock;
use memory_sqlite::{SqliteConfig, SqliteStore};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Most allocations of an append of one entry of a hundred words, which are indexed.
const APPEND_CEILING: usize = 310;
/// Most allocations of a read of the newest 20 entries.
const READ_CEILING: usize = 180;
/// Entries that are read where bytes are counted: as many of a long session as a short one has.
const WINDOW: usize = 50;
/// Rounds that are averaged, so that what happens once in a while does not count.
const ROUNDS: usize = 50;

fn append(number: usize, parent: Option<Seq>, count: usize) -> Append {
    let body = EntryBody::complete(Message::user("good day ".repeat(50)), Timestamp::default());
    let expect = if parent.is_none() { Expect::Absent } else { Expect::Attach };
    let append_id = AppendId::new(number.to_string()).unwrap();
    Append {
        parent,
        expect,
        append_id,
        fence: None,
        drafts: vec![Draft::new(body).unwrap(); count],
    }
}

/// Allocations a round of `work`.
fn allocations(runtime: &Runtime, mut work: impl AsyncFnMut(usize)) -> usize {
    runtime.block_on(work(0));
    let region = Region::new(ALLOCATOR);
    for round in 1..=ROUNDS {
        runtime.block_on(work(round));
    }
    region.change().allocations / ROUNDS
}

/// How many bytes this process has read from files, where the system counts that.
fn bytes_read() -> usize {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|it| it.strip_prefix("rchar: "));
    line.map_or(0, |it| it.parse().unwrap())
}

/// Allocations of an append and of a read in a session of `entries` entries, and the bytes that one
/// append and a read of [`WINDOW`] after it take from the files.
fn costs(entries: usize) -> (usize, usize, usize) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("memory.db"));
    let store = SqliteStore::open(&config, Arc::new(ManualClock::new())).unwrap();
    let key = SessionKey::new(Owner::local(), SessionId::new("s").unwrap());
    let first = runtime.block_on(store.append(&key, append(1_000, None, entries))).unwrap();
    let mut last = first.last;
    // What was just written moves from the log into the file, which is not what is measured.
    drop(store);
    let store = SqliteStore::open(&config, Arc::new(ManualClock::new())).unwrap();
    let appends = allocations(&runtime, async |round| {
        last = store.append(&key, append(round, last, 1)).await.unwrap().last;
    });
    let reads = allocations(&runtime, async |_| {
        let branch = store.read(&key, ReadOptions::newest(20)).await.unwrap().unwrap();
        assert_eq!(branch.entries.len(), 20);
    });
    let before = bytes_read();
    allocations(&runtime, async |round| {
        last = store.append(&key, append(2_000 + round, last, 1)).await.unwrap().last;
        store.read(&key, ReadOptions::newest(WINDOW)).await.unwrap().unwrap();
    });
    (appends, reads, (bytes_read() - before) / ROUNDS)
}

#[test]
fn appends_and_reads_allocate_the_same_whatever_the_history() {
    let (short, long) = (costs(50), costs(5_000));
    println!(
        "(allocations of an append, of a read of 20, bytes read by an append and a read of 50):"
    );
    println!("{short:?} of 50 entries, {long:?} of 5,000");
    assert!(long.0 <= APPEND_CEILING, "an append: {}, ceiling {APPEND_CEILING}", long.0);
    assert!(long.1 <= READ_CEILING, "a read: {}, ceiling {READ_CEILING}", long.1);
    assert!(
        long.0 * 10 <= short.0 * 12 && long.1 * 10 <= short.1 * 12,
        "{short:?} grew to {long:?}"
    );
    assert!(long.2 * 10 <= short.2 * 12, "{short:?} grew to {long:?}");
}
