//! Figures of requests since the start, in memory; how they are shown is not its business.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use brain_core::chat::Usage;

use super::{Call, LlmObserver, Operation, Outcome};

/// Totals by provider and operation.
type ByProvider = BTreeMap<String, BTreeMap<Operation, Totals>>;

/// Counts what it is told. Its size is that of providers times operations times kinds of failures.
#[derive(Debug, Default)]
pub struct Counters {
    totals: Mutex<ByProvider>,
}

/// The requests of one kind to one provider so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that have not ended.
    pub under_way: u64,
    /// Requests that were answered to the end.
    pub answered: u64,
    /// Requests whose asker left.
    pub cancelled: u64,
    /// Requests that failed, by the code of the failure's kind.
    pub failed: BTreeMap<&'static str, u64>,
    /// Answers of which an event came.
    pub begun: u64,
    /// The times to the first event of those, added up.
    pub first_event: Duration,
    /// The times that the ended requests took, added up.
    pub duration: Duration,
    /// What the ended requests cost.
    pub usage: Usage,
}

impl Counters {
    /// The figures so far, by provider and operation.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<String, BTreeMap<Operation, Totals>> {
        self.locked().clone()
    }

    fn change(&self, provider: &str, operation: Operation, change: impl FnOnce(&mut Totals)) {
        let mut totals = self.locked();
        if !totals.contains_key(provider) {
            totals.insert(provider.to_owned(), BTreeMap::new());
        }
        if let Some(operations) = totals.get_mut(provider) {
            change(operations.entry(operation).or_default());
        }
    }

    fn locked(&self) -> MutexGuard<'_, ByProvider> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    fn add(&mut self, call: &Call) {
        self.under_way = self.under_way.saturating_sub(1);
        match call.outcome {
            Outcome::Answered => self.answered += 1,
            Outcome::Cancelled => self.cancelled += 1,
            Outcome::Failed(kind) => *self.failed.entry(kind.code()).or_default() += 1,
        }
        self.begun += u64::from(call.first_event.is_some());
        self.first_event = self.first_event.saturating_add(call.first_event.unwrap_or_default());
        self.duration = self.duration.saturating_add(call.duration);
        self.usage += call.usage;
    }
}

impl LlmObserver for Counters {
    fn began(&self, provider: &str, operation: Operation) {
        self.change(provider, operation, |totals| totals.under_way += 1);
    }

    fn ended(&self, provider: &str, call: &Call) {
        self.change(provider, call.operation, |totals| totals.add(call));
    }
}
