//! The ports of `brain-core` that a runtime fills, on tokio: the clock and the spawner; and what a
//! process on tokio needs beside them: a runtime, and signals.
//!
//! It holds no policy: how long a turn may take or what a signal means is decided elsewhere.

mod clock;
mod runtime;
mod signals;
mod spawner;

pub use crate::{clock::TokioClock, runtime::runtime, signals::Signals, spawner::TokioSpawner};
