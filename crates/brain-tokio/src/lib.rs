//! The ports of `brain-core` that a runtime fills, on tokio: the clock and the spawner; and what a
//! process on tokio needs beside them: a runtime, signals, and locks between processes; and what
//! stands between a model's provider and whoever asks it ([`llm`]).
//!
//! It holds no policy: how long a turn may take or what a signal means is decided elsewhere.

mod clock;
mod interrupt;
pub mod llm;
mod lock;
mod runtime;
mod signals;
mod spawner;

pub use crate::{
    clock::TokioClock,
    interrupt::Interrupt,
    lock::{Held, Holder, LockError, take_lock},
    runtime::runtime,
    signals::{EndSignal, Signals},
    spawner::TokioSpawner,
};
