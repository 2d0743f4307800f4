//! A piece of work for the writer, with whoever waits for its outcome.

use std::fmt;

use brain_core::memory::MemoryError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{Failure, Outcome};

/// How a job went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    Done,
    /// It failed by what it asked for.
    Refused,
    /// It failed for want of room, or by a fault of the disk.
    Faulty,
}

/// Work that can be done again from the start.
pub(super) trait Job: fmt::Debug + Send {
    /// Does the work and keeps the outcome.
    fn run(&mut self, connection: &Connection) -> Ran;

    /// Makes this failure the outcome.
    fn fail(&mut self, failure: Failure);

    /// Tells whoever waits, if anybody still does.
    fn answer(self: Box<Self>);
}

impl<T, F> fmt::Debug for Task<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("operation", &self.operation).finish_non_exhaustive()
    }
}

/// The one implementation.
pub(super) struct Task<T, F> {
    operation: &'static str,
    work: F,
    outcome: Option<Result<T, MemoryError>>,
    reply: oneshot::Sender<Result<T, MemoryError>>,
}

impl<T, F: FnMut(&Connection) -> Outcome<T>> Task<T, F> {
    pub(super) fn new(
        operation: &'static str,
        work: F,
    ) -> (Self, oneshot::Receiver<Result<T, MemoryError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { operation, work, outcome: None, reply }, answer)
    }
}

impl<T: Send, F: FnMut(&Connection) -> Outcome<T> + Send> Job for Task<T, F> {
    fn run(&mut self, connection: &Connection) -> Ran {
        let outcome = (self.work)(connection);
        let ran = match &outcome {
            Ok(_) => Ran::Done,
            Err(failure) if failure.is_of_the_disk() => Ran::Faulty,
            Err(_) => Ran::Refused,
        };
        self.outcome = Some(outcome.map_err(|failure| failure.during(self.operation)));
        ran
    }

    fn fail(&mut self, failure: Failure) {
        self.outcome = Some(Err(failure.during(self.operation)));
    }

    fn answer(self: Box<Self>) {
        let Self { outcome, reply, .. } = *self;
        if let Some(outcome) = outcome {
            // Whoever asked may have left; what was done stays done.
            reply.send(outcome).ok();
        }
    }
}
