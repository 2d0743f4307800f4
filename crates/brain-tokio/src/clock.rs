//! The system's time and tokio's timers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use brain_core::time::{Clock, Timestamp};
use tokio::time::Instant;

/// The real clock; timers run on the current tokio runtime.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: Instant,
}

impl TokioClock {
    /// A clock whose [`Clock::elapsed`] starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the port's real implementation")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use brain_core::time::Clock;

    use super::TokioClock;

    #[tokio::test(start_paused = true)]
    async fn sleeping_takes_the_time_it_says() {
        let clock = TokioClock::new();
        clock.sleep(Duration::from_secs(3)).await;
        assert_eq!(clock.elapsed().as_secs(), 3);
    }
}
