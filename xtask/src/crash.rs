//! `cargo xtask crash`: writers talk to a daemon that is killed again and again, and no acknowledged message may be lost,
//! doubled or out of order.
//!
//! It runs the real binary on a database of its own, with a model server that answers at once. It is no benchmark: the
//! rate that it prints is that of a daemon which keeps dying.

mod audit;
mod client;
mod daemon;
mod message;
mod model;
mod panics;
mod random;
mod redis;
mod report;
mod round;

use std::{error::Error, hash::BuildHasher, path::PathBuf, time::Duration};

use clap::{Args, value_parser};
use tempfile::TempDir;

use self::{
    audit::{Audit, audit},
    client::Client,
    daemon::Daemon,
    message::Ledger,
    model::Model,
    random::Random,
    redis::Redis,
    report::Report,
    round::{Plan, Tiers},
};

/// What can go wrong with the tool itself, as a sentence.
type Fault = Box<dyn Error + Send + Sync>;

/// Kills the daemon under load, and reads back every message that it acknowledged.
#[derive(Args, Debug)]
pub(crate) struct Crash {
    /// How often writers start on new sessions; in each round the daemon is killed at least once.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..))]
    rounds: u32,
    /// Acknowledged messages to reach over all rounds, at least.
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u64).range(1..))]
    messages: u64,
    /// Sessions written to at once.
    #[arg(long, default_value_t = 24, value_parser = value_parser!(u32).range(1..))]
    sessions: u32,
    /// Writers of each session.
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..))]
    writers: u32,
    /// Puts a Redis in front of the database, and kills it too.
    #[arg(long)]
    redis: bool,
    /// Chooses the same moments again; they are counted in messages, so that two runs are alike but not equal.
    #[arg(long)]
    seed: Option<u64>,
    /// The longest that a round may take, in seconds.
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// The daemon; `codexd` beside this program if it is not given.
    #[arg(long)]
    binary: Option<PathBuf>,
}

impl Crash {
    /// Runs all rounds; tells whether every promise was kept.
    ///
    /// # Errors
    ///
    /// A sentence when the daemon or Redis cannot be started or the daemon refuses to be read.
    pub(crate) fn run(self) -> Result<bool, Fault> {
        let binary = self.binary()?;
        let seed = self.seed.unwrap_or_else(|| std::hash::RandomState::new().hash_one(0));
        let mut random = Random::new(seed);
        let folder = TempDir::new()?;
        let redis = self.redis.then(|| Redis::start(folder.path())).transpose()?;
        let model = Model::start()?;
        let url = redis.as_ref().map(Redis::url);
        let daemon = Daemon::start(binary, folder.path(), &model, url)?;
        let mut tiers = Tiers { daemon, redis };
        let mut report = Report::begin(seed, &self)?;
        let mut ledger = Ledger::default();
        for number in 1..=self.rounds {
            let done = round::run(&self.plan(number), &mut tiers, random.fork())?;
            let findings = audit(&Client::new(tiers.daemon.address()), &done.ledger)?;
            report.round(number, &done, &findings, &tiers.daemon.panics()?)?;
            ledger.add(done.ledger);
        }
        tiers.daemon.kill_and_restart()?;
        let all: Audit = audit(&Client::new(tiers.daemon.address()), &ledger)?;
        report.end(&ledger, &all, &tiers.daemon.panics()?)
    }

    fn plan(&self, number: u32) -> Plan {
        Plan {
            number,
            sessions: self.sessions,
            writers: self.writers,
            messages: self.messages.div_ceil(self.rounds.into()),
            limit: Duration::from_secs(self.limit),
        }
    }

    fn binary(&self) -> Result<PathBuf, Fault> {
        let beside = || std::env::current_exe().map(|it| it.with_file_name("codexd"));
        let binary = self.binary.clone().map_or_else(beside, Ok)?;
        let path = binary.display();
        let advice = || format!("there is no daemon {path}; build it: cargo build -p codexd");
        // It is started in a folder of its own.
        Ok(binary.canonicalize().map_err(|_| advice())?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Crash;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        crash: Crash,
    }

    #[test]
    fn nothing_is_proved_by_trying_nothing() {
        for option in ["--rounds", "--messages", "--sessions", "--writers"] {
            assert!(Command::try_parse_from(["crash", option, "0"]).is_err(), "{option}");
            assert!(Command::try_parse_from(["crash", option, "1"]).is_ok(), "{option}");
        }
    }
}
