//! Spawning as a port, so that this crate needs no runtime and a shutdown can wait for every task.

use std::fmt;

use futures_util::future::BoxFuture;

/// Runs tasks in the background.
///
/// # Contract
///
/// A spawned task runs to its end unless the process ends; whoever made the spawner can wait for
/// all of its tasks.
pub trait Spawner: fmt::Debug + Send + Sync + 'static {
    /// Runs `task`; returns at once.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}
