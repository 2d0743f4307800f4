//! The hot tier, asked so that it can cost time and nothing else: with a deadline, and not at all
//! while it fails.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    future::{Either, select},
    lock::Mutex as AsyncMutex,
};

use super::Tiers;
use crate::{
    memory::{Health, HotTier, MemoryError, MemoryErrorKind, TierHealth},
    time::Clock,
};

/// How long a reader waits for a copy.
pub(super) const READ: Duration = Duration::from_millis(100);
/// How long a change of a copy may take, and asking how the tier is.
pub(super) const WRITE: Duration = Duration::from_millis(250);
/// After so many failures in a row the tier is left alone.
const FAILURES: u32 = 3;

/// The hot tier and its breaker.
pub(super) struct Hot {
    pub(super) tier: Arc<dyn HotTier>,
    name: &'static str,
    clock: Arc<dyn Clock>,
    breaker: Mutex<Breaker>,
    /// Changes of copies happen one after the other.
    pub(super) writing: AsyncMutex<()>,
}

#[derive(Default)]
struct Breaker {
    /// In a row.
    failures: u32,
    is_open: bool,
    /// The last failure, until the tier works again.
    trouble: Option<String>,
}

impl Hot {
    pub(super) fn new(tier: Arc<dyn HotTier>, name: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self { tier, name, clock, breaker: Mutex::default(), writing: AsyncMutex::new(()) }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the tier is left alone.
    pub(super) fn is_open(&self) -> bool {
        self.breaker().is_open
    }

    /// The result of a call, if it came in time.
    pub(super) async fn within<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = Result<T, MemoryError>>,
    ) -> Result<T, MemoryError> {
        match select(pin!(call), self.clock.sleep(deadline)).await {
            Either::Left((done, _)) => done,
            Either::Right(((), _)) => {
                let late = format!("no answer within {} ms", deadline.as_millis());
                Err(unavailable("ask the hot tier").with_source(late))
            }
        }
    }

    fn worked(&self) {
        let mut breaker = self.breaker();
        breaker.failures = 0;
        if !breaker.is_open {
            breaker.trouble = None;
        }
    }

    /// Returns whether this failure was the one too many.
    fn failed(&self, error: &MemoryError) -> bool {
        let mut breaker = self.breaker();
        breaker.failures += 1;
        if breaker.trouble.is_none() {
            tracing::warn!(tier = self.name, error = %Chain(error), "the hot tier fails");
        }
        breaker.trouble = Some(self.sentence(error));
        let opens = !breaker.is_open && FAILURES <= breaker.failures;
        breaker.is_open |= opens;
        opens
    }

    fn closes(&self) {
        let mut breaker = self.breaker();
        if breaker.is_open {
            tracing::info!(tier = self.name, "the hot tier works again");
        }
        *breaker = Breaker::default();
    }

    fn sentence(&self, error: &MemoryError) -> String {
        let name = self.name;
        format!("{name} does not work ({}); durable sessions go on without it", Chain(error))
    }

    /// How the tier is, asked now.
    pub(super) async fn health(&self) -> Vec<TierHealth> {
        match self.within(WRITE, self.tier.health()).await {
            Ok(Health { mut tiers }) => {
                let is_open = self.is_open();
                let trouble = self.breaker().trouble.clone().filter(|_| !is_open);
                if let Some(tier) = tiers.first_mut().filter(|it| it.problem.is_none()) {
                    tier.problem = trouble;
                }
                tiers
            }
            Err(error) => {
                let problem = Some(self.sentence(&error));
                vec![TierHealth { problem, ..TierHealth::well(self.name) }]
            }
        }
    }

    /// Whether the tier says that it is well; then it is asked again.
    pub(super) async fn probe(&self) -> bool {
        match self.within(WRITE, self.tier.health()).await {
            Ok(_) => {
                self.closes();
                true
            }
            Err(error) => {
                tracing::debug!(tier = self.name, error = %Chain(&error), "it still fails");
                false
            }
        }
    }
}

impl Tiers {
    /// A call about copies; `None` if it failed, came too late, or was not made.
    pub(super) async fn hot_copy<T>(
        self: &Arc<Self>,
        deadline: Duration,
        call: impl Future<Output = Result<T, MemoryError>>,
    ) -> Option<T> {
        if self.hot.is_open() {
            return None;
        }
        let done = self.hot.within(deadline, call).await;
        match &done {
            Ok(_) => self.hot.worked(),
            Err(error) if error.is_transient() => self.note_failure(error),
            Err(error) => tracing::debug!(error = %Chain(error), "the hot tier refuses one thing"),
        }
        done.ok()
    }

    /// A call about sessions that live in the hot tier alone.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Unavailable`] while the tier is left alone, and those of the call.
    pub(super) async fn hot_store<T>(
        self: &Arc<Self>,
        call: impl Future<Output = Result<T, MemoryError>>,
    ) -> Result<T, MemoryError> {
        if self.hot.is_open() {
            let trouble = self.hot.breaker().trouble.clone().unwrap_or_default();
            return Err(unavailable("ask the hot tier").with_source(trouble));
        }
        let done = call.await;
        match &done {
            Err(error) if error.is_transient() => self.note_failure(error),
            Ok(_) | Err(_) => self.hot.worked(),
        }
        done
    }

    /// Such a call about something that the hot tier may well not have: it gets a moment only.
    ///
    /// # Errors
    ///
    /// Those of [`Self::hot_store`]; [`MemoryErrorKind::Unavailable`] when the moment is over.
    pub(super) async fn hot_moment<T>(
        self: &Arc<Self>,
        call: impl Future<Output = Result<T, MemoryError>>,
    ) -> Result<T, MemoryError> {
        self.hot_store(self.hot.within(WRITE, call)).await
    }

    fn note_failure(self: &Arc<Self>, error: &MemoryError) {
        if self.hot.failed(error) {
            self.heal_later();
        }
    }
}

pub(super) fn unavailable(operation: &'static str) -> MemoryError {
    MemoryError::new(operation, MemoryErrorKind::Unavailable)
}

/// An error and what caused it, on one line.
pub(super) struct Chain<'a>(pub(super) &'a MemoryError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = std::error::Error::source(self.0);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
