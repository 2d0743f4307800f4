//! The runtime of a daemon. What runs on it is the caller's business.

use std::{io, num::NonZero, thread};

use tokio::runtime::{Builder, Runtime};

/// A runtime of few threads, for work that is mostly waiting.
///
/// # Errors
///
/// When the system has no threads to give.
pub fn runtime() -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread().worker_threads(cores.min(4)).enable_all().build()
}
