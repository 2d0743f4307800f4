//! Groups, refusals, full disks and full queues, on a connection of which the test sees all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use brain_core::memory::{MemoryError, MemoryErrorKind};
use futures_util::future::join_all;
use rusqlite::{Connection, TransactionBehavior};

use super::{Chores, Writer};
use crate::error::{Failure, Outcome};

/// Nothing to do beside the jobs; one number cannot be completed.
#[derive(Debug)]
struct Idle;

impl Chores for Idle {
    fn complete(&self, connection: &Connection) -> Outcome<()> {
        let sql = "SELECT 1 FROM numbers WHERE number = 666";
        let is_refused = connection.prepare_cached(sql)?.exists([])?;
        if is_refused { Err(Failure::Refused(MemoryErrorKind::Conflict)) } else { Ok(()) }
    }

    fn step(&mut self, _: &Connection) -> Option<Duration> {
        None
    }
}

/// A writer on a table of numbers, and how often it has committed.
struct Bench {
    writer: Writer,
    commits: Arc<AtomicUsize>,
    path: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(queue_bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.db");
        let connection = Connection::open(&path).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection
            .execute_batch(
                "CREATE TABLE numbers (number INTEGER PRIMARY KEY, padding BLOB); \
                 CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT)",
            )
            .unwrap();
        let commits = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&commits);
        connection
            .commit_hook(Some(move || {
                count.fetch_add(1, Ordering::SeqCst);
                false
            }))
            .unwrap();
        let writer = Writer::start(connection, queue_bytes, Idle).unwrap();
        Self { writer, commits, path, _folder: folder }
    }

    async fn insert(&self, number: u32, padding: usize) -> Result<(), MemoryError> {
        let work = move |connection: &Connection| {
            let sql = "INSERT INTO numbers (number, padding) VALUES (?1, zeroblob(?2))";
            connection.execute(sql, (number, crate::rows::limit(padding)))?;
            if number == 13 { Err(Failure::Refused(MemoryErrorKind::Conflict)) } else { Ok(()) }
        };
        self.writer.run("insert", padding, work).await
    }

    /// Keeps the thread busy until the sender is dropped; returns once it is.
    async fn block(&self) -> mpsc::Sender<()> {
        let (release, wait) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let mut started = Some(started);
        let work = move |_: &Connection| {
            started.take().map(|it| it.send(()));
            wait.recv().unwrap_err();
            Ok(())
        };
        let mut blocked = Box::pin(self.writer.run("block", 0, work));
        assert!(futures_util::poll!(blocked.as_mut()).is_pending());
        running.await.unwrap();
        release
    }

    /// Lets the jobs queue up behind a busy thread, so that they share a group.
    async fn together<T>(&self, jobs: impl IntoIterator<Item = T>) -> Vec<T::Output>
    where
        T: Future,
    {
        let release = self.block().await;
        let mut all = Box::pin(join_all(jobs));
        assert!(futures_util::poll!(all.as_mut()).is_pending());
        drop(release);
        all.await
    }

    fn stored(&self) -> Vec<u32> {
        let connection = Connection::open(&self.path).unwrap();
        let mut statement = connection.prepare("SELECT number FROM numbers").unwrap();
        let numbers = statement.query_map([], |row| row.get(0)).unwrap();
        numbers.map(Result::unwrap).collect()
    }
}

#[tokio::test]
async fn waiting_jobs_share_a_commit() {
    let bench = Bench::new(1 << 20);
    let results = bench.together((0..64).map(|it| bench.insert(it + 100, 0))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(bench.stored().len(), 64);
    assert!(bench.commits.load(Ordering::SeqCst) <= 2, "{:?}", bench.commits);
}

#[tokio::test]
async fn a_refused_job_leaves_its_neighbours_alone() {
    let bench = Bench::new(1 << 20);
    let results = bench.together([12, 13, 14].map(|it| bench.insert(it, 0))).await;
    let kinds: Vec<_> = results.iter().map(|it| it.as_ref().map_err(MemoryError::kind)).collect();
    assert_eq!(kinds, [Ok(&()), Err(MemoryErrorKind::Conflict), Ok(&())]);
    assert_eq!(bench.stored(), [12, 14]);
}

#[tokio::test]
async fn what_cannot_be_completed_is_not_stored() {
    let bench = Bench::new(1 << 20);
    let results = bench.together([12, 14, 666].map(|it| bench.insert(it, 0))).await;
    let kinds: Vec<_> = results.iter().map(|it| it.as_ref().map_err(MemoryError::kind)).collect();
    assert_eq!(kinds, [Ok(&()), Ok(&()), Err(MemoryErrorKind::Conflict)]);
    assert_eq!(bench.stored(), [12, 14]);
}

#[tokio::test]
async fn a_job_that_takes_the_transaction_along_is_left_out() {
    let bench = Bench::new(1 << 30);
    let limit = |pages: u32| {
        bench.writer.run("limit", 0, move |connection| {
            connection.pragma_update(None, "max_page_count", pages)?;
            Ok(())
        })
    };
    // Room for what a probe writes, 16 pages, and not for a megabyte.
    limit(40).await.unwrap();
    let jobs = [(1, 10), (2, 1_000_000), (3, 10), (4, 10)];
    let results = bench.together(jobs.map(|(number, size)| bench.insert(number, size))).await;
    let kinds: Vec<_> = results.iter().map(|it| it.as_ref().map_err(MemoryError::kind)).collect();
    assert_eq!(kinds, [Ok(&()), Err(MemoryErrorKind::Full), Ok(&()), Ok(&())]);
    assert_eq!(bench.stored(), [1, 3, 4]);

    let error = bench.insert(5, 1_000_000).await.unwrap_err();
    assert_eq!(error.kind(), MemoryErrorKind::Full);
    bench.writer.probe().await.unwrap();
    limit(10_000).await.unwrap();
    bench.insert(5, 1_000_000).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_shows_in_the_probe_until_there_is_room() {
    let bench = Bench::new(1 << 30);
    let limit = |pages: u32| {
        bench.writer.run("limit", 0, move |connection| {
            connection.pragma_update(None, "max_page_count", pages)?;
            Ok(())
        })
    };
    bench.writer.probe().await.unwrap();
    // No room is left at all, not even for a row of the probe.
    limit(1).await.unwrap();
    let mut number = 100;
    while bench.insert(number, 500).await.is_ok() {
        number += 1;
    }
    let filler = |connection: &Connection| {
        let sql = "INSERT INTO metadata (key, value) VALUES (hex(randomblob(8)), 'x')";
        Ok(connection.execute(sql, [])?)
    };
    while bench.writer.run("fill", 0, filler).await.is_ok() {}
    assert_eq!(bench.writer.probe().await.unwrap_err().kind(), MemoryErrorKind::Full);
    limit(10_000).await.unwrap();
    bench.writer.probe().await.unwrap();
}

#[tokio::test]
async fn a_job_without_room_shows_in_the_probe_though_its_neighbours_were_stored() {
    let bench = Bench::new(1 << 30);
    let limit = |pages: u32| {
        bench.writer.run("limit", 0, move |connection| {
            connection.pragma_update(None, "max_page_count", pages)?;
            Ok(())
        })
    };
    limit(12).await.unwrap();
    let jobs = [(1, 10), (2, 100_000), (3, 10)];
    let results = bench.together(jobs.map(|(number, size)| bench.insert(number, size))).await;
    let kinds: Vec<_> = results.iter().map(|it| it.as_ref().map_err(MemoryError::kind)).collect();
    assert_eq!(kinds, [Ok(&()), Err(MemoryErrorKind::Full), Ok(&())]);
    // A message that is refused for what it asks says nothing of the disk.
    bench.insert(13, 0).await.unwrap_err();
    assert_eq!(bench.writer.probe().await.unwrap_err().kind(), MemoryErrorKind::Full);
    assert_eq!(bench.writer.probe().await.unwrap_err().kind(), MemoryErrorKind::Full);
    limit(10_000).await.unwrap();
    bench.writer.probe().await.unwrap();
    bench.insert(2, 100_000).await.unwrap();
    assert_eq!(bench.stored(), [1, 2, 3]);
}

#[tokio::test]
async fn every_probe_of_a_full_disk_says_so() {
    let bench = Bench::new(1 << 30);
    let limit = |connection: &Connection| {
        connection.pragma_update(None, "max_page_count", 12)?;
        Ok(())
    };
    bench.writer.run("limit", 0, limit).await.unwrap();
    bench.insert(1, 100_000).await.unwrap_err();
    for result in bench.together([bench.writer.probe(), bench.writer.probe()]).await {
        assert_eq!(result.unwrap_err().kind(), MemoryErrorKind::Full);
    }
}

#[tokio::test]
async fn a_probe_that_nobody_waits_for_leaves_nothing() {
    let bench = Bench::new(1 << 30);
    bench.writer.flags().note_fault();
    let release = bench.block().await;
    let mut probe = Box::pin(bench.writer.probe());
    assert!(futures_util::poll!(probe.as_mut()).is_pending());
    drop(probe);
    drop(release);
    bench.insert(1, 0).await.unwrap();
    let connection = Connection::open(&bench.path).unwrap();
    let sql = "SELECT count(*) FROM metadata";
    assert_eq!(connection.query_row(sql, [], |row| row.get(0)), Ok(0));
}

#[tokio::test]
async fn more_than_the_queue_holds_is_refused_and_not_done() {
    let bench = Bench::new(10_000);
    let release = bench.block().await;
    let mut first = Box::pin(bench.insert(1, 5_000));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    let kind = bench.insert(2, 5_000).await.unwrap_err().kind();
    assert!(matches!(kind, MemoryErrorKind::Overloaded { retry_after } if !retry_after.is_zero()));
    drop(release);
    first.await.unwrap();
    bench.insert(3, 5_000).await.unwrap();
    assert_eq!(bench.stored(), [1, 3]);
}

#[tokio::test]
async fn a_file_that_another_process_holds_is_unavailable() {
    let bench = Bench::new(1 << 20);
    let mut other = Connection::open(&bench.path).unwrap();
    let held = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let results = join_all([1, 2].map(|it| bench.insert(it, 0))).await;
    for result in results {
        assert_eq!(result.unwrap_err().kind(), MemoryErrorKind::Unavailable);
    }
    assert_eq!(bench.writer.probe().await.unwrap_err().kind(), MemoryErrorKind::Unavailable);
    drop(held);
    bench.writer.probe().await.unwrap();
    bench.insert(1, 0).await.unwrap();
}

#[tokio::test]
async fn dropping_the_writer_finishes_what_was_accepted() {
    let bench = Bench::new(1 << 20);
    let release = bench.block().await;
    for number in 100..200 {
        let mut job = Box::pin(bench.insert(number, 0));
        assert!(futures_util::poll!(job.as_mut()).is_pending());
    }
    drop(release);
    let Bench { writer, commits, path, _folder: folder } = bench;
    drop(writer);
    let connection = Connection::open(&path).unwrap();
    let count: u32 =
        connection.query_row("SELECT count(*) FROM numbers", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 100);
    assert_ne!(commits.load(Ordering::SeqCst), 0);
    drop(folder);
}

#[tokio::test]
async fn a_panic_ends_the_thread_and_nobody_waits() {
    let bench = Bench::new(1 << 20);
    let panics = bench.writer.run("panic", 0, |_| -> Result<(), Failure> { panic!("as intended") });
    let error = panics.await.unwrap_err();
    assert_eq!(error.kind(), MemoryErrorKind::OutcomeUnknown);
    let error = loop {
        let error = bench.insert(1, 0).await.unwrap_err();
        if error.kind() != MemoryErrorKind::OutcomeUnknown {
            break error;
        }
    };
    assert_eq!(error.kind(), MemoryErrorKind::Unavailable);
}
