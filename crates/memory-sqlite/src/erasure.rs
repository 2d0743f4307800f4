//! Erasing: taking what was forgotten out of the tables, the index and the files, a little at a
//! time, until no byte of it is left.
//!
//! What is forgotten is decided elsewhere. A round looks at what was buried before it began; only
//! when it has come to its end do the tombstones of that say that nothing is pending.

use std::{fmt, time::Duration};

use rusqlite::Connection;
use tokio::sync::watch;

use crate::{error::Outcome, hidden, open::truncate_log, recall, tombstones, writer::Chores};

/// How long emptying the log waits for readers,
const PATIENCE: Duration = Duration::from_millis(20);
/// and when it is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// Whoever waits for a proof is told after so many steps that there is none yet.
const STEPS: u32 = 32;

/// The writer's chores.
#[derive(Debug)]
pub(crate) struct Erasure {
    phase: Phase,
    /// The newest tombstone that the round takes in.
    newest: Option<i64>,
    /// Steps since somebody was told.
    steps: u32,
    busy_timeout: Duration,
    told: watch::Sender<u64>,
}

/// What a round does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Begin,
    Tables,
    Index,
    Log,
}

/// What a step came to.
enum Step {
    /// There is more to do.
    More,
    /// Readers of an older state stand in the way.
    Blocked,
    /// The round is over.
    Done,
}

/// Hears how far erasing has come.
#[derive(Clone)]
pub(crate) struct Told(watch::Receiver<u64>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

impl Told {
    /// How often somebody was told so far.
    pub(crate) fn times(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits until erasing has come to its end or to a halt once more than so many `times`.
    pub(crate) async fn more_than(&self, times: u64) {
        // Without a thread that erases there is nothing to wait for.
        self.0.clone().wait_for(|told| times < *told).await.ok();
    }
}

impl Erasure {
    /// Chores that leave the connection with this busy time-out.
    pub(crate) fn new(busy_timeout: Duration) -> (Self, Told) {
        let (told, hears) = watch::channel(0);
        let erasure = Self { phase: Phase::Begin, newest: None, steps: 0, busy_timeout, told };
        (erasure, Told(hears))
    }

    fn advance(&mut self, connection: &Connection) -> Outcome<Step> {
        match self.phase {
            Phase::Begin => {
                self.newest = tombstones::newest_pending(connection)?;
                self.phase = Phase::Tables;
            }
            Phase::Tables => {
                if !hidden::erase_some(connection)? {
                    self.phase = Phase::Index;
                }
            }
            Phase::Index => {
                if !recall::erase_some(connection)? {
                    self.phase = Phase::Log;
                }
            }
            Phase::Log => {
                self.phase = Phase::Begin;
                return self.empty_log(connection);
            }
        }
        Ok(Step::More)
    }

    /// The end of a round: what is erased leaves the log and the file, and its tombstones say so.
    fn empty_log(&self, connection: &Connection) -> Outcome<Step> {
        if !self.truncate(connection)? {
            return Ok(Step::Blocked);
        }
        if let Some(newest) = self.newest {
            tombstones::note_erased(connection, newest)?;
            // The names on the tombstones; if it is in the way of a reader, the next round does it.
            self.truncate(connection)?;
        }
        let more = tombstones::newest_pending(connection)?.is_some();
        Ok(if more { Step::More } else { Step::Done })
    }

    fn truncate(&self, connection: &Connection) -> Outcome<bool> {
        let emptied = truncate_log(connection, PATIENCE);
        connection.busy_timeout(self.busy_timeout)?;
        Ok(emptied?)
    }

    fn tell(&mut self) {
        self.steps = 0;
        self.told.send_modify(|times| *times += 1);
    }
}

impl Chores for Erasure {
    fn complete(&self, connection: &Connection) -> Outcome<()> {
        recall::complete(connection)
    }

    fn step(&mut self, connection: &Connection) -> Option<Duration> {
        self.steps += 1;
        let next = match self.advance(connection) {
            Ok(Step::More) if self.steps < STEPS => return Some(Duration::ZERO),
            Ok(Step::More) => Some(Duration::ZERO),
            Ok(Step::Blocked) => Some(AGAIN),
            Ok(Step::Done) => None,
            Err(failure) => {
                tracing::warn!(?failure, "what was forgotten could not be erased yet");
                self.phase = Phase::Begin;
                Some(AGAIN)
            }
        };
        self.tell();
        next
    }
}
