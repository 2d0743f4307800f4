//! The daemon in a process of its own: started on a data folder, killed, started again.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Fault, model::Model, panics::Log};

/// Where the daemon is now; writers look again when it does not answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Address(Arc<Mutex<String>>);

impl Address {
    fn lock(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self) -> String {
        self.lock().clone()
    }

    pub(super) fn set(&self, url: String) {
        *self.lock() = url;
    }
}

/// A daemon, which ends with this value.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    /// Kept open: it would not survive writing to a pipe that nobody reads.
    output: BufReader<ChildStdout>,
    address: Address,
    start: Start,
}

/// All that it takes to start it.
#[derive(Debug)]
struct Start {
    binary: PathBuf,
    folder: PathBuf,
    log: Log,
    model: String,
    redis: Option<String>,
}

impl Daemon {
    /// Starts it, and waits until it listens.
    pub(super) fn start(
        binary: PathBuf,
        folder: &Path,
        model: &Model,
        redis: Option<String>,
    ) -> Result<Self, Fault> {
        let (model, log) = (model.url.clone(), Log::new(folder.join("daemon.log")));
        let start = Start { binary, folder: folder.to_owned(), log, model, redis };
        let (child, output, url) = start.spawn()?;
        let address = Address::default();
        address.set(url);
        Ok(Self { child, output, address, start })
    }

    pub(super) fn address(&self) -> Address {
        self.address.clone()
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Result<(), Fault> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again where it was.
    pub(super) fn restart(&mut self) -> Result<(), Fault> {
        let (child, output, url) = self.start.spawn()?;
        (self.child, self.output) = (child, output);
        self.address.set(url);
        Ok(())
    }

    /// What it has said of panics since this was last asked.
    pub(super) fn panics(&mut self) -> Result<Vec<String>, Fault> {
        self.start.log.panics()
    }

    pub(super) fn kill_and_restart(&mut self) -> Result<(), Fault> {
        self.kill()?;
        self.restart()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.kill());
    }
}

impl Start {
    fn spawn(&self) -> Result<(Child, BufReader<ChildStdout>, String), Fault> {
        let mut command = Command::new(&self.binary);
        command
            .args(["serve", "--port", "0"])
            .env_clear()
            .env("CODEXD_DATA_DIR", &self.folder)
            .env("MODEL_PROVIDER", "openai")
            .env("OPENAI_BASE_URL", &self.model)
            .env("MODEL", "fake")
            .env("EMBEDDING_MODEL", "off")
            .env("SQLITE_SYNCHRONOUS", "full")
            .env("LOG", "error")
            .envs(self.redis.iter().map(|url| ("REDIS_URL", url)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.log.append()?);
        let mut child = command.spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("the daemon has no output")?);
        let Some(url) = address(&mut output)? else {
            child.wait()?;
            return Err(format!("the daemon did not start:\n{}", self.log.end()?).into());
        };
        Ok((child, output, url))
    }
}

/// Reads the banner as far as the address; `None` if it ends before.
fn address(output: &mut impl BufRead) -> Result<Option<String>, Fault> {
    let mut line = String::new();
    while output.read_line(&mut line)? != 0 {
        if let Some(url) = line.trim().strip_prefix("address") {
            return Ok(Some(url.trim().to_owned()));
        }
        line.clear();
    }
    Ok(None)
}
