//! What stands between a provider and whoever asks it: limits, retries, a breaker, time limits and
//! figures, each a type that wraps a gateway.
//!
//! None of them knows a provider or a wire. Which model is asked instead of one that fails is not
//! decided here, but by the turn.
//!
//! # Order
//!
//! [`stack`] puts them together, from the caller to the provider:
//!
//! 1. [`Metrics`] sees what the caller sees: each request once, with the time it waited.
//! 2. [`Limit`] lets so many requests through at once. It stands before the retries, so that its own
//!    refusal is not retried and no fault of the provider; a request that waits to ask again keeps
//!    its place, so that less is sent to a provider that wants a pause.
//! 3. [`Retry`] asks again while nothing has been said.
//! 4. [`Breaker`] judges each attempt; an attempt that it refuses is not retried.
//! 5. [`Timeouts`] holds for each attempt, and not for the time in the queue.
//!
//! Dropping a stream, or the future of one, drops what is below it at once: the connection closes,
//! the place is free.

mod breaker;
mod limit;
mod metrics;
mod retry;
mod timeouts;

use std::sync::Arc;

use brain_core::llm::LlmGateway;

pub use self::{
    breaker::{Breaker, BreakerSettings},
    limit::{Limit, LimitSettings},
    metrics::{Call, Counters, LlmObserver, Metrics, Operation, Outcome, Totals},
    retry::{BudgetSettings, Retry, RetrySettings},
    timeouts::{TimeoutSettings, Timeouts},
};

/// Which wrappers a gateway gets; `None` leaves one out.
#[derive(Clone, Debug)]
pub struct StackSettings {
    /// The provider's name, as sentences and figures tell it.
    pub provider: String,
    /// How many requests at once.
    pub limit: Option<LimitSettings>,
    /// When to ask again.
    pub retry: Option<RetrySettings>,
    /// When to ask no more for a while.
    pub breaker: Option<BreakerSettings>,
    /// How long to wait for an event.
    pub timeouts: Option<TimeoutSettings>,
    /// Who is told of each request.
    pub observer: Option<Arc<dyn LlmObserver>>,
}

impl StackSettings {
    /// All that a server over the network needs, with the defaults of each; nobody observes.
    #[must_use]
    pub fn remote(provider: impl Into<String>) -> Self {
        Self {
            limit: Some(LimitSettings::default()),
            retry: Some(RetrySettings::default()),
            breaker: Some(BreakerSettings::default()),
            timeouts: Some(TimeoutSettings::default()),
            ..Self::in_process(provider)
        }
    }

    /// Nothing, as for a model in this process: it has a queue of its own, may take as long as it
    /// computes, and fails for reasons that do not pass.
    #[must_use]
    pub fn in_process(provider: impl Into<String>) -> Self {
        let provider = provider.into();
        Self { provider, limit: None, retry: None, breaker: None, timeouts: None, observer: None }
    }

    /// The same, with somebody who is told of each request.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn LlmObserver>) -> Self {
        self.observer = Some(observer);
        self
    }
}

/// `gateway` in the wrappers of `settings`; see the [order](self#order).
#[must_use]
pub fn stack(gateway: Arc<dyn LlmGateway>, settings: &StackSettings) -> Arc<dyn LlmGateway> {
    let provider = settings.provider.as_str();
    let mut stacked = gateway;
    if let Some(timeouts) = settings.timeouts {
        stacked = Arc::new(Timeouts::new(stacked, provider, timeouts));
    }
    if let Some(breaker) = settings.breaker {
        stacked = Arc::new(Breaker::new(stacked, provider, breaker));
    }
    if let Some(retry) = settings.retry {
        stacked = Arc::new(Retry::new(stacked, provider, retry));
    }
    if let Some(limit) = settings.limit {
        stacked = Arc::new(Limit::new(stacked, provider, limit));
    }
    if let Some(observer) = &settings.observer {
        stacked = Arc::new(Metrics::new(stacked, provider, Arc::clone(observer)));
    }
    stacked
}
