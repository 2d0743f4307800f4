//! A clock that stands still until a test moves it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use brain_core::time::{Clock, Timestamp};
use event_listener::Event;

/// Time that passes when a test says so; it begins at 2026-01-01T00:00:00Z.
#[derive(Debug)]
pub struct ManualClock {
    time: Mutex<Time>,
    changed: Event,
}

#[derive(Debug)]
struct Time {
    now: Timestamp,
    elapsed: Duration,
    sleepers: usize,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// A clock that stands still.
    #[must_use]
    pub fn new() -> Self {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let time = Time { now, elapsed: Duration::ZERO, sleepers: 0 };
        Self { time: Mutex::new(time), changed: Event::new() }
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Time)) {
        change(&mut self.time());
        self.changed.notify(usize::MAX);
    }

    /// Lets time pass, and wakes whoever has slept long enough.
    pub fn advance(&self, duration: Duration) {
        self.change(|it| {
            it.now = it.now.plus(duration);
            it.elapsed += duration;
        });
    }

    /// Sets the hour, forwards or backwards, without time passing.
    pub fn set_hour(&self, now: Timestamp) {
        self.change(|it| it.now = now);
    }

    /// Returns once `count` tasks sleep by this clock.
    pub async fn sleepers(&self, count: usize) {
        self.until(|it| count <= it.sleepers).await;
    }

    async fn until(&self, done: impl Fn(&Time) -> bool) {
        loop {
            let listener = self.changed.listen();
            if done(&self.time()) {
                return;
            }
            listener.await;
        }
    }
}

/// Counts a sleeper for as long as it sleeps, however its sleep ends.
struct Asleep<'a>(&'a ManualClock);

impl<'a> Asleep<'a> {
    fn new(clock: &'a ManualClock) -> Self {
        clock.change(|it| it.sleepers += 1);
        Self(clock)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.change(|it| it.sleepers -= 1);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.time().now
    }

    fn elapsed(&self) -> Duration {
        self.time().elapsed
    }

    async fn sleep(&self, duration: Duration) {
        let end = self.elapsed() + duration;
        let _asleep = Asleep::new(self);
        self.until(|it| end <= it.elapsed).await;
    }
}
