//! The clock and the spawner of `brain-core` on tokio.
//!
//! It holds no policy: how long a turn may take or how often it is retried is decided elsewhere.

mod clock;
mod runtime;
mod signals;
mod spawner;

pub use crate::{clock::TokioClock, runtime::runtime, signals::Signals, spawner::TokioSpawner};
