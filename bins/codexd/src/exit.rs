//! How commands end: exit codes, and the one place where an error becomes text for people.

use std::io;

use brain_tokio::Held;

use crate::{config::Problems, terminal};

/// It worked.
pub(crate) const OK: u8 = 0;
/// It did not.
pub(crate) const FAILED: u8 = 1;
/// The command line or a setting is wrong; nothing was started.
pub(crate) const USAGE: u8 = 64;
/// Somebody else has the data folder.
pub(crate) const BUSY: u8 = 75;
/// Stopped by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// Tells people about `error`, once and with its causes, and returns the exit code for it.
pub(crate) fn report(error: &anyhow::Error) -> u8 {
    if error.chain().any(is_broken_pipe) {
        // Whoever read our output has seen enough.
        return OK;
    }
    terminal::warn(format_args!("codexd: {}\n", terminal::harmless(&format!("{error:#}"))));
    if error.is::<Problems>() {
        USAGE
    } else if error.is::<Held>() {
        BUSY
    } else {
        FAILED
    }
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    let error = cause.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
