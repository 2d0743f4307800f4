//! Background tasks that a shutdown can wait for.

use brain_core::task::Spawner;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Spawns on one tokio runtime and knows all of its tasks.
#[derive(Clone, Debug)]
pub struct TokioSpawner {
    runtime: Handle,
    tasks: TaskTracker,
}

impl TokioSpawner {
    /// A spawner on `runtime`.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, tasks: TaskTracker::new() }
    }

    /// A spawner on the runtime that the caller runs on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self::new(Handle::current())
    }

    /// Waits until every task has ended. Tasks may still be spawned meanwhile; those are waited
    /// for too.
    pub async fn wait(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Spawner for TokioSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(self.tasks.spawn_on(task, &self.runtime));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use brain_core::task::Spawner;

    use super::TokioSpawner;

    #[tokio::test]
    async fn waiting_sees_the_end_of_every_task() {
        let spawner = TokioSpawner::current();
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        spawner.spawn(Box::pin(async move {
            tokio::task::yield_now().await;
            flag.store(true, Ordering::SeqCst);
        }));
        spawner.wait().await;
        assert!(done.load(Ordering::SeqCst));
    }
}
