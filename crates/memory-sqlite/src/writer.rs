//! The one thread that writes: it commits jobs in groups and answers them after the commit.
//!
//! What the jobs do is not its business.

mod job;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use brain_core::memory::{MemoryError, MemoryErrorKind};
use rusqlite::Connection;

use self::{
    job::{Job, Task},
    worker::Worker,
};
use crate::{
    error::Outcome,
    queue::{Queue, Rejected},
    rows,
};

/// What a job costs beside the bytes that it carries.
const JOB_BYTES: usize = 1 << 10;
/// How much a probe writes.
const PROBE_BYTES: usize = 64 << 10;
/// When a caller that found the queue full should come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Hands jobs to the thread; dropping it finishes what is queued and ends the thread.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<Queue<Box<dyn Job>>>,
    flags: Arc<Flags>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and its callers tell each other.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    chores_asked: AtomicBool,
    /// How many groups failed, or had a job that failed for want of room or by a fault of the disk;
    faults: AtomicU64,
    /// and up to which of them a probe has written since.
    probed: AtomicU64,
}

impl Flags {
    /// Asks for the chores to begin after the next commit.
    pub(crate) fn ask_for_chores(&self) {
        self.chores_asked.store(true, Ordering::Release);
    }

    fn note_fault(&self) {
        self.faults.fetch_add(1, Ordering::AcqRel);
    }
}

/// Work of the thread's own. Most of it nobody waits for: the thread does a little of that after each
/// group, and goes on with it while nothing is queued.
pub(crate) trait Chores: fmt::Debug + Send + 'static {
    /// Does what the jobs of a transaction have left for its end. If it fails, none of it is stored.
    fn complete(&self, connection: &Connection) -> Outcome<()>;

    /// Does a few milliseconds of work, outside of any transaction; returns when to come back,
    /// `None` when that is as soon as somebody asks.
    fn step(&mut self, connection: &Connection) -> Option<Duration>;
}

impl Writer {
    /// Starts the thread on `connection`, with the chores first; at most `queue_bytes` wait for it.
    pub(crate) fn start(
        connection: Connection,
        queue_bytes: usize,
        chores: impl Chores,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(queue_bytes));
        let flags = Arc::new(Flags::default());
        let (to_queue, to_flags) = (Arc::clone(&queue), Arc::clone(&flags));
        let worker = Worker::new(connection, Box::new(chores), to_queue, to_flags);
        let thread = thread::Builder::new().name("sqlite-writer".to_owned());
        let thread = thread.spawn(move || worker.run())?;
        Ok(Self { queue, flags, thread: Some(thread) })
    }

    pub(crate) fn flags(&self) -> &Arc<Flags> {
        &self.flags
    }

    /// Does `work` in a transaction and returns after its commit. It may be done again from the
    /// start if the transaction was lost. `bytes` is what it carries.
    ///
    /// Once polled, it happens whether or not the future is kept.
    pub(crate) async fn run<T, F>(
        &self,
        operation: &'static str,
        bytes: usize,
        work: F,
    ) -> Result<T, MemoryError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (task, answer) = Task::new(operation, work);
        self.queue.push(Box::new(task), bytes.saturating_add(JOB_BYTES)).map_err(|rejected| {
            let kind = match rejected {
                Rejected::Full => MemoryErrorKind::Overloaded { retry_after: RETRY_AFTER },
                Rejected::Closed => MemoryErrorKind::Unavailable,
            };
            MemoryError::new(operation, kind)
        })?;
        answer
            .await
            .unwrap_or_else(|_| Err(MemoryError::new(operation, MemoryErrorKind::OutcomeUnknown)))
    }

    /// Goes the way of a job. It writes nothing unless a write has failed for want of room or by a
    /// fault of the disk: then only a real write tells whether the next one would. It takes as much
    /// room as a turn does, and gives it back before its transaction ends.
    pub(crate) async fn probe(&self) -> Result<(), MemoryError> {
        let flags = Arc::clone(&self.flags);
        let work = move |connection: &Connection| {
            let faults = flags.faults.load(Ordering::Acquire);
            if flags.probed.load(Ordering::Acquire) < faults {
                let sql = "INSERT OR REPLACE INTO metadata (key, value) \
                           VALUES ('probe', hex(randomblob(?1)))";
                connection.prepare_cached(sql)?.execute([rows::limit(PROBE_BYTES / 2)])?;
                let sql = "DELETE FROM metadata WHERE key = 'probe'";
                connection.prepare_cached(sql)?.execute([])?;
            }
            Ok(faults)
        };
        let faults = self.run("write", 0, work).await?;
        self.flags.probed.fetch_max(faults, Ordering::AcqRel);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the memory had panicked");
        }
    }
}
