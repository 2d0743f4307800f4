//! What the thread does: groups, savepoints, and what becomes of a group that fails.
//!
//! A group takes what is queued while it runs. If it has fewer jobs than the last one had, it waits
//! for more, but no longer than that one's commit took: a lone job is committed at once, and many
//! who write again as soon as they are answered share one trip to the disk.

use std::{
    cell::Cell,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use brain_core::memory::MemoryErrorKind;
use rusqlite::Connection;

use super::{
    Chores, Flags,
    job::{Job, Ran},
};
use crate::{
    error::{Failure, Outcome},
    queue::{Queue, Taken},
};

/// A group takes no further job after this many,
const GROUP_JOBS: usize = 256;
/// after this many bytes,
const GROUP_BYTES: usize = 1 << 20;
/// or after this time.
const GROUP_TIME: Duration = Duration::from_millis(5);

/// The thread.
pub(super) struct Worker {
    connection: Connection,
    chores: Box<dyn Chores>,
    queue: Arc<Queue<Box<dyn Job>>>,
    flags: Arc<Flags>,
    pace: Cell<Pace>,
    /// Whether a job of this group failed for want of room, or by a fault of the disk.
    met_fault: Cell<bool>,
}

/// What the last group was like.
#[derive(Clone, Copy, Default)]
struct Pace {
    jobs: usize,
    /// How long its commit took.
    commit: Duration,
}

/// Jobs that share a transaction.
#[derive(Default)]
struct Group {
    jobs: Vec<Box<dyn Job>>,
    bytes: usize,
}

impl Group {
    fn push(&mut self, job: Box<dyn Job>, bytes: usize) {
        self.jobs.push(job);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// How a transaction ended.
enum End {
    /// All jobs that did not fail are stored.
    Committed,
    /// It did not begin.
    NotBegun(Failure),
    /// The job with this index took the transaction with it; nothing is stored.
    Lost(usize),
    /// It was not committed; nothing is stored unless the failure says that nobody knows.
    NotCommitted(Failure),
}

impl Worker {
    pub(super) fn new(
        connection: Connection,
        chores: Box<dyn Chores>,
        queue: Arc<Queue<Box<dyn Job>>>,
        flags: Arc<Flags>,
    ) -> Self {
        let (pace, met_fault) = (Cell::default(), Cell::default());
        Self { connection, chores, queue, flags, pace, met_fault }
    }

    /// Works until the queue is closed and empty; chores that are not done then stay undone.
    pub(super) fn run(mut self) {
        let mut due = Some(Instant::now());
        loop {
            let patience = due.map(|due| due.saturating_duration_since(Instant::now()));
            match self.queue.take(patience) {
                Taken::Item(job, bytes) => self.write(job, bytes),
                Taken::Idle => {}
                Taken::Closed => return,
            }
            let now = Instant::now();
            if self.flags.chores_asked.swap(false, Ordering::AcqRel) {
                due = Some(now);
            }
            if due.is_some_and(|due| due <= now) {
                due = self.chores.step(&self.connection).map(|wait| Instant::now() + wait);
            }
        }
    }

    /// Commits a group that begins with `job`, and answers all of it.
    fn write(&self, job: Box<dyn Job>, bytes: usize) {
        let start = Instant::now();
        let mut group = Group::default();
        group.push(job, bytes);
        let mut patience = self.pace.get().commit;
        self.met_fault.set(false);
        let end = self.transact(&mut group, |group| {
            let more = group.jobs.len() < GROUP_JOBS
                && group.bytes < GROUP_BYTES
                && start.elapsed() < GROUP_TIME;
            if more { self.next(group.jobs.len(), &mut patience) } else { None }
        });
        self.pace.set(Pace { jobs: group.jobs.len(), ..self.pace.get() });
        self.settle(&mut group, end);
        if self.met_fault.get() {
            // That its neighbours were stored says nothing of the next one like it.
            self.flags.note_fault();
        }
        self.queue.release(group.bytes);
        group.jobs.into_iter().for_each(|job| job.answer());
    }

    /// The next job for a group that has so many; `patience` is how long it may still wait.
    fn next(&self, jobs: usize, patience: &mut Duration) -> Option<(Box<dyn Job>, usize)> {
        if self.pace.get().jobs <= jobs || patience.is_zero() {
            return self.queue.try_take();
        }
        let start = Instant::now();
        let taken = self.queue.take(Some(*patience));
        *patience = patience.saturating_sub(start.elapsed());
        match taken {
            Taken::Item(job, bytes) => Some((job, bytes)),
            Taken::Idle | Taken::Closed => None,
        }
    }

    /// Runs the jobs of `group` and those that `next` adds to it, in one transaction.
    fn transact(
        &self,
        group: &mut Group,
        mut next: impl FnMut(&Group) -> Option<(Box<dyn Job>, usize)>,
    ) -> End {
        if let Err(failure) = self.execute("BEGIN IMMEDIATE") {
            return self.failed(End::NotBegun(failure));
        }
        let mut index = 0;
        while let Some(job) = group.jobs.get_mut(index) {
            match self.attempt(job.as_mut()) {
                Ok(true) => {}
                Ok(false) => return self.failed(End::Lost(index)),
                Err(failure) => return self.roll_back(failure),
            }
            index += 1;
            if index == group.jobs.len()
                && let Some((job, bytes)) = next(group)
            {
                group.push(job, bytes);
            }
        }
        if let Err(failure) = self.chores.complete(&self.connection) {
            return self.roll_back(failure);
        }
        let start = Instant::now();
        if let Err(failure) = self.execute("COMMIT") {
            return self.roll_back(failure.in_commit());
        }
        self.pace.set(Pace { commit: start.elapsed(), ..self.pace.get() });
        End::Committed
    }

    /// Runs one job in a savepoint; `false` if the whole transaction went with it.
    fn attempt(&self, job: &mut dyn Job) -> Outcome<bool> {
        self.execute("SAVEPOINT job")?;
        let ran = job.run(&self.connection);
        if ran == Ran::Faulty {
            self.met_fault.set(true);
        }
        if ran != Ran::Done {
            if self.connection.is_autocommit() {
                return Ok(false);
            }
            self.execute("ROLLBACK TO job")?;
        }
        self.execute("RELEASE job")?;
        Ok(true)
    }

    fn roll_back(&self, failure: Failure) -> End {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(?error, "a transaction of the memory could not be rolled back");
        }
        self.failed(End::NotCommitted(failure))
    }

    fn failed(&self, end: End) -> End {
        self.flags.note_fault();
        end
    }

    fn execute(&self, sql: &str) -> Outcome<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Gives each job of a group that was not committed its own chance or its error.
    fn settle(&self, group: &mut Group, end: End) {
        match end {
            End::Committed => {}
            End::NotBegun(failure) => {
                // Whoever holds the file was waited for once; nobody waits behind it again.
                while let Some((job, bytes)) = self.queue.try_take() {
                    group.push(job, bytes);
                }
                group.jobs.iter_mut().for_each(|job| job.fail(failure.clone()));
            }
            End::Lost(culprit) => self.replay(group, Some(culprit)),
            End::NotCommitted(failure)
                if group.jobs.len() == 1 || failure.kind() == MemoryErrorKind::OutcomeUnknown =>
            {
                group.jobs.iter_mut().for_each(|job| job.fail(failure.clone()));
            }
            End::NotCommitted(_) => self.replay(group, None),
        }
    }

    /// Runs each job but the culprit again, in a transaction of its own.
    fn replay(&self, group: &mut Group, culprit: Option<usize>) {
        let mut unreachable = None;
        for (index, job) in std::mem::take(&mut group.jobs).into_iter().enumerate() {
            let mut alone = Group { jobs: vec![job], bytes: 0 };
            if Some(index) != culprit {
                let end = match &unreachable {
                    None => self.transact(&mut alone, |_| None),
                    Some(failure) => End::NotBegun(Failure::clone(failure)),
                };
                if let End::NotBegun(failure) | End::NotCommitted(failure) = end {
                    alone.jobs.iter_mut().for_each(|job| job.fail(failure.clone()));
                    unreachable = Some(failure);
                }
            }
            group.jobs.append(&mut alone.jobs);
        }
    }
}

/// Whoever still waits when the thread ends, also by a panic, is answered by losing its sender.
impl Drop for Worker {
    fn drop(&mut self) {
        self.queue.close();
        while self.queue.try_take().is_some() {}
    }
}
