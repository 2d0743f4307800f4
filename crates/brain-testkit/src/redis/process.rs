//! A process that ends when it is dropped, with all that it started.

use std::{
    cell::RefCell,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::PATIENCE;

/// Longest that a process lives when nothing ends it, since the test was killed; in seconds.
const LIFETIME: u32 = 900;

/// A process group of ours: the process, and one that ends both when their time is over.
#[derive(Debug)]
pub(super) struct Process {
    child: RefCell<Child>,
    watchdog: Child,
    group: i32,
    /// Both were waited for: the group's number may be another's by now.
    gone: bool,
}

impl Process {
    pub(super) fn spawn(mut command: Command) -> Self {
        let child = silent(command.process_group(0)).spawn().unwrap();
        let group = i32::try_from(child.id()).unwrap();
        let mut watchdog = Command::new("sh");
        watchdog.arg("-c").arg(format!("sleep {LIFETIME}; kill -KILL -{group}"));
        let watchdog = silent(&mut watchdog).process_group(group).spawn();
        // The process may have ended by now, and its group with it.
        let watchdog = watchdog.or_else(|_| silent(&mut Command::new("true")).spawn()).unwrap();
        Self { child: RefCell::new(child), watchdog, group, gone: false }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.child.borrow_mut().try_wait().unwrap().is_some()
    }

    /// Ends it, and waits until it is gone. `at_once` gives it no time to clean up.
    pub(super) fn end(&mut self, at_once: bool) {
        if !at_once && !self.has_ended() {
            self.signal(Signal::SIGTERM);
            self.signal(Signal::SIGCONT);
            let begin = Instant::now();
            while !self.has_ended() && begin.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.signal(Signal::SIGKILL);
        let _status = self.child.borrow_mut().wait();
        let _status = self.watchdog.wait();
        self.gone = true;
    }

    pub(super) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(super) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Signals the whole group.
    fn signal(&self, signal: Signal) {
        if !self.gone {
            let _ended = killpg(Pid::from_raw(self.group), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(true);
    }
}

fn silent(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
