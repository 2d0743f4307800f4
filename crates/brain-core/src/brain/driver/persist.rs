//! Storing once what must be stored, although the store may fail for a moment.

use std::time::Duration;

use super::Driver;
use crate::memory::MemoryError;

/// Waits between attempts, as long as a lease bears.
const RETRY_AFTER: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

impl Driver {
    /// Asks the store, and again while its failure may pass. What is asked must do nothing twice.
    pub(super) async fn persist<T, F>(&self, ask: impl Fn() -> F + Send) -> Result<T, MemoryError>
    where
        F: Future<Output = Result<T, MemoryError>> + Send,
    {
        let mut waits = RETRY_AFTER.iter();
        loop {
            let error = match ask().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            match waits.next() {
                Some(wait) if error.is_transient() => {
                    tracing::warn!(%error, "could not store a part of a turn yet");
                    self.inner.ports.clock.sleep(*wait).await;
                }
                Some(_) | None => return Err(error),
            }
        }
    }
}
