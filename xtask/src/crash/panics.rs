//! The daemon's log over all its lives, and the panics in it. What else it says is for people.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

use super::Fault;

/// Lines of its end that are shown.
const END: usize = 40;

/// A log that every life of the daemon goes on with.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// How many panics were told of.
    told: usize,
}

impl Log {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, told: 0 }
    }

    /// Where a life writes to.
    pub(super) fn append(&self) -> io::Result<File> {
        File::options().create(true).append(true).open(&self.path)
    }

    /// The last of what was said.
    pub(super) fn end(&self) -> io::Result<String> {
        let said = self.said()?;
        let lines: Vec<_> = said.lines().collect();
        Ok(lines.get(lines.len().saturating_sub(END)..).unwrap_or_default().join("\n"))
    }

    /// The panics since this was last asked: where, and the line below.
    pub(super) fn panics(&mut self) -> Result<Vec<String>, Fault> {
        let said = self.said()?;
        let lines: Vec<_> = said.lines().collect();
        let panics = lines.iter().enumerate().filter(|(_, line)| line.contains("panicked"));
        let below = |at: usize| lines.get(at + 1).copied().unwrap_or_default();
        let told = panics.skip(self.told).map(|(at, line)| format!("{line} {}", below(at)));
        let told: Vec<_> = told.collect();
        self.told += told.len();
        Ok(told)
    }

    fn said(&self) -> io::Result<String> {
        // A kill may cut a line anywhere.
        fs::read(&self.path).map(|it| String::from_utf8_lossy(&it).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::Log;

    #[test]
    fn panics_of_every_life_are_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::new(folder.path().join("daemon.log"));
        let say = |log: &Log, text: &str| log.append().unwrap().write_all(text.as_bytes()).unwrap();
        say(&log, "started\nthread 'a' panicked at src/a.rs:1:2:\nno such thing\n  0: main\n");
        say(&log, "started again\n");
        let told = log.panics().unwrap();
        assert_eq!(told, ["thread 'a' panicked at src/a.rs:1:2: no such thing"]);
        assert_eq!(log.panics().unwrap(), [""; 0]);
        say(&log, "ERROR background work panicked\n");
        assert_eq!(log.panics().unwrap(), ["ERROR background work panicked "]);
        assert!(log.end().unwrap().starts_with("started\n"));
    }
}
