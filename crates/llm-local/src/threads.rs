//! How many threads compute; candle reads that from the environment, once, for the whole process.
//!
//! It is not a setting of one gateway, because candle's pool is one a process.

use std::{fs, thread};

/// The threads could not be limited, because the process has more than one already.
///
/// Changing the environment is only sound while nobody else can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadsError;

impl std::fmt::Display for ThreadsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the number of threads can only be set before other threads start")
    }
}

impl std::error::Error for ThreadsError {}

/// One thread fewer than there are cores, but at least one.
///
/// With as many threads as cores, every other busy program makes all of them wait for the one
/// that lost its core.
#[must_use]
pub fn default_threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.saturating_sub(1).max(1)
}

/// Sets how many threads the engine uses; 0 is [`default_threads`].
///
/// Call it first thing in `main`, before a runtime starts. Without it candle takes one thread for
/// each physical core.
///
/// # Errors
///
/// [`ThreadsError`] when other threads run already, or when that cannot be told (no `/proc`);
/// then nothing has changed.
pub fn limit_threads(threads: usize) -> Result<(), ThreadsError> {
    if fs::read_dir("/proc/self/task").map_or(0, Iterator::count) != 1 {
        return Err(ThreadsError);
    }
    let threads = if threads == 0 { default_threads() } else { threads }.to_string();
    for name in ["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"] {
        #[expect(unsafe_code, reason = "candle takes the number of threads from nowhere else")]
        #[expect(clippy::disallowed_methods, reason = "this is the only thread, as checked above")]
        // SAFETY: this is the only thread of the process, so nobody reads the environment now.
        unsafe {
            std::env::set_var(name, &threads);
        }
    }
    Ok(())
}
