//! The one thread that writes: it commits jobs in groups and answers them after the commit.
//!
//! What the jobs do is not its business.

mod job;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
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
};

/// What a job costs beside the bytes that it carries.
const JOB_BYTES: usize = 1 << 10;
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
    erasure_asked: AtomicBool,
    erasure_due: AtomicBool,
    faulty: AtomicBool,
}

impl Flags {
    /// Asks for the log to be emptied after the next commit, since erased text stands in it.
    pub(crate) fn ask_for_erasure(&self) {
        self.erasure_asked.store(true, Ordering::Release);
    }

    /// Whether the log was to be emptied and could not be; it is tried again until it can.
    pub(crate) fn is_erasure_due(&self) -> bool {
        self.erasure_due.load(Ordering::Acquire)
    }
}

impl Writer {
    /// Starts the thread on `connection`; at most `queue_bytes` wait for it.
    pub(crate) fn start(
        connection: Connection,
        queue_bytes: usize,
        busy_timeout: Duration,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(queue_bytes));
        let flags = Arc::new(Flags::default());
        let worker = Worker::new(connection, busy_timeout, Arc::clone(&queue), Arc::clone(&flags));
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

    /// Goes the way of a job. It writes nothing unless the last commit failed: then only a real
    /// write tells whether the next one would.
    pub(crate) async fn probe(&self) -> Result<(), MemoryError> {
        let flags = Arc::clone(&self.flags);
        let sql = "INSERT OR REPLACE INTO metadata (key, value) \
                   VALUES ('probe', hex(randomblob(8)))";
        let work = move |connection: &Connection| {
            if flags.faulty.load(Ordering::Acquire) {
                connection.prepare_cached(sql)?.execute([])?;
            }
            Ok(())
        };
        self.run("write", 0, work).await
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
