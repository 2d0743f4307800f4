//! What people see: a line a round while it runs, and the counts at the end.

use std::{
    io::{self, Write},
    time::Instant,
};

use super::{Crash, Fault, audit::Audit, message::Ledger, round::Done};

/// Prints as it goes, and remembers whether every promise was kept.
#[derive(Debug)]
pub(super) struct Report {
    started: Instant,
    stored: usize,
    daemon_kills: u64,
    redis_kills: u64,
    asked_again: u64,
    panics: usize,
    is_clean: bool,
}

impl Report {
    pub(super) fn begin(seed: u64, crash: &Crash) -> Result<Self, Fault> {
        let Crash { rounds, sessions, writers, .. } = crash;
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "crash: {rounds} rounds, {sessions} sessions x {writers} writers, seed {seed}"
        )?;
        writeln!(
            out,
            "{:>5} {:>13} {:>8} {:>13} {:>11} {:>5} {:>8} {:>11} {:>7} {:>6}",
            "round",
            "acknowledged",
            "in all",
            "kills d/r",
            "sent again",
            "lost",
            "doubled",
            "disordered",
            "other",
            "s"
        )?;
        Ok(Self {
            started: Instant::now(),
            stored: 0,
            daemon_kills: 0,
            redis_kills: 0,
            asked_again: 0,
            panics: 0,
            is_clean: true,
        })
    }

    pub(super) fn round(
        &mut self,
        number: u32,
        done: &Done,
        audit: &Audit,
        panics: &[String],
    ) -> Result<(), Fault> {
        let stored = done.ledger.acknowledged();
        self.stored += stored;
        self.daemon_kills += done.daemon_kills;
        self.redis_kills += done.redis_kills;
        self.asked_again += done.asked_again;
        self.panics += panics.len();
        self.is_clean &= audit.is_clean() && done.refusals.is_empty() && panics.is_empty();
        let kills = format!("{}/{}", done.daemon_kills, done.redis_kills);
        let Audit { lost, doubled, disordered, .. } = audit;
        let other = audit.lost_answers + audit.strange + done.refusals.len() + panics.len();
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{number:>5} {stored:>13} {:>8} {kills:>13} {:>11} {lost:>5} {doubled:>8} {disordered:>11} {other:>7} {:>6.1}",
            self.stored,
            done.asked_again,
            done.took.as_secs_f64()
        )?;
        let sentences =
            done.refusals.iter().take(5).chain(panics.iter().take(5)).chain(&audit.sentences);
        for sentence in sentences {
            writeln!(out, "      {sentence}")?;
        }
        Ok(())
    }

    /// The counts of all sessions, read once more after a last kill; true if every promise was kept.
    pub(super) fn end(
        mut self,
        ledger: &Ledger,
        audit: &Audit,
        panics: &[String],
    ) -> Result<bool, Fault> {
        self.is_clean &= audit.is_clean() && panics.is_empty();
        self.panics += panics.len();
        let seconds = self.started.elapsed().as_secs_f64();
        let (sent, stored) = (ledger.messages().count(), ledger.acknowledged());
        let rate = stored as f64 / seconds;
        let Audit { lost, doubled, disordered, lost_answers, strange, unacknowledged, .. } = audit;
        let mut out = io::stdout().lock();
        for sentence in panics.iter().take(5).chain(&audit.sentences) {
            writeln!(out, "      {sentence}")?;
        }
        let silent = sent - stored;
        let rows = [
            ("acknowledged messages", stored.to_string()),
            ("  lost", lost.to_string()),
            ("  doubled", doubled.to_string()),
            ("  out of order", disordered.to_string()),
            ("acknowledged answers lost", lost_answers.to_string()),
            ("entries that should not be there", strange.to_string()),
            ("panics of the daemon", self.panics.to_string()),
            ("never acknowledged", format!("{silent}, of which stored once: {unacknowledged}")),
            ("sent again with the same key", self.asked_again.to_string()),
            (
                "kills of the daemon / of Redis",
                format!("{} / {}", self.daemon_kills + 1, self.redis_kills),
            ),
            ("entries read back at the end", audit.entries.to_string()),
            ("seconds", format!("{seconds:.0} ({rate:.0} acknowledged messages a second)")),
        ];
        for (name, value) in rows {
            writeln!(out, "{name:<34} {value}")?;
        }
        let verdict = if self.is_clean { "every promise was kept" } else { "PROMISES WERE BROKEN" };
        writeln!(out, "crash: {verdict}")?;
        Ok(self.is_clean)
    }
}
