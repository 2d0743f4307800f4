//! Closed, or open until some time; no I/O and no timers.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use brain_core::llm::LlmError;
use tokio::time::Instant;

use super::BreakerSettings;

/// Whether a provider is asked, as its last answers have it.
#[derive(Debug)]
pub(super) struct Circuit {
    settings: BreakerSettings,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// It is asked.
    Closed {
        /// Failures in a row so far.
        failures: u32,
    },
    /// It is asked once at `until`, and then once a `pause` until an answer comes.
    Open { until: Instant, pause: Duration, last_failure: String },
}

/// Why a request goes nowhere.
#[derive(Debug)]
pub(super) struct Refused {
    /// How long until the provider is asked again.
    pub(super) wait: Duration,
    /// What it said when it failed last.
    pub(super) last_failure: String,
}

/// One request that may go on. Dropped without a word, it counts for nothing.
#[derive(Debug)]
pub(super) struct Ticket {
    /// `None` once it has been judged.
    circuit: Option<Arc<Circuit>>,
    is_probe: bool,
}

impl Circuit {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    pub(super) fn admit(circuit: &Arc<Self>) -> Result<Ticket, Refused> {
        let ticket = |is_probe| Ticket { circuit: Some(Arc::clone(circuit)), is_probe };
        let now = Instant::now();
        match &mut *circuit.state() {
            State::Closed { .. } => Ok(ticket(false)),
            State::Open { until, pause, .. } if *until <= now => {
                *until = now + *pause;
                Ok(ticket(true))
            }
            State::Open { until, last_failure, .. } => {
                Err(Refused { wait: *until - now, last_failure: last_failure.clone() })
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, is_probe: bool) {
        let mut state = self.state();
        if is_probe || matches!(*state, State::Closed { .. }) {
            *state = State::Closed { failures: 0 };
        }
    }

    fn failed(&self, error: &LlmError, is_probe: bool) {
        let BreakerSettings { failures: limit, pause, longest_pause } = self.settings;
        let mut state = self.state();
        let pause = match &mut *state {
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                if *failures < limit {
                    return;
                }
                pause
            }
            State::Open { pause, .. } if is_probe => *pause * 2,
            // It was asked before the circuit opened.
            State::Open { .. } => return,
        };
        let pause = pause.max(error.retry_after().unwrap_or_default()).min(longest_pause);
        let until = Instant::now() + pause;
        *state = State::Open { until, pause, last_failure: error.to_string() };
    }

    /// A probe went without an answer: the next request is one.
    fn abandoned(&self) {
        if let State::Open { until, .. } = &mut *self.state() {
            *until = Instant::now();
        }
    }
}

impl Ticket {
    /// The provider answered, whatever it said.
    pub(super) fn answered(mut self) {
        if let Some(circuit) = self.circuit.take() {
            circuit.answered(self.is_probe);
        }
    }

    /// The provider failed.
    pub(super) fn failed(mut self, error: &LlmError) {
        if let Some(circuit) = self.circuit.take() {
            circuit.failed(error, self.is_probe);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(circuit) = self.circuit.take().filter(|_| self.is_probe) {
            circuit.abandoned();
        }
    }
}
