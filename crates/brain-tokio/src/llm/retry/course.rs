//! What follows from the failures of one request; it waits for nothing itself.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use brain_core::llm::{LlmError, LlmErrorKind, Progress};

use super::{RetrySettings, Shared, budget::Budget};

/// How often an answer that may have been made already is asked for.
const MAYBE_BILLED: u32 = 2;

/// How much longer than usual the pause for an overloaded provider is.
const OVERLOADED: u32 = 4;

/// The attempts of one request so far.
#[derive(Debug)]
pub(super) struct Course {
    attempts: u32,
    /// Attempts after which the answer may have been made, and billed; `None` where that is as good
    /// as free.
    maybe_billed: Option<u32>,
}

/// What to do after a failure.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Ask again after so long.
    After(Duration),
    /// Say that it failed.
    Fail,
    /// Say that it failed, and that the provider wants to be asked only after so long.
    NotBefore(Duration),
}

impl Course {
    /// The first attempt at an answer that costs.
    pub(super) fn generation() -> Self {
        Self { attempts: 1, maybe_billed: Some(0) }
    }

    /// The first attempt at what may be repeated.
    pub(super) fn repeatable() -> Self {
        Self { attempts: 1, maybe_billed: None }
    }

    /// What follows from this failure of the last attempt.
    pub(super) fn next(
        &mut self,
        error: &LlmError,
        settings: &RetrySettings,
        budget: &Budget,
    ) -> Next {
        let is_final = matches!(error.kind(), LlmErrorKind::QuotaExceeded);
        if is_final || !error.is_transient() {
            return Next::Fail;
        }
        if let Some(hint) = error.retry_after().filter(|it| settings.longest_hint < *it) {
            return Next::NotBefore(hint);
        }
        if let Some(count) = &mut self.maybe_billed
            && is_maybe_billed(error)
        {
            *count += 1;
            if MAYBE_BILLED <= *count {
                return Next::Fail;
            }
        }
        if settings.attempts <= self.attempts || !budget.spend() {
            return Next::Fail;
        }
        let pause = pause(self.attempts, error, settings);
        self.attempts += 1;
        Next::After(pause)
    }

    /// What people are told of the retry.
    pub(super) fn note(&self, shared: &Shared, error: &LlmError, pause: Duration) -> Progress {
        let (provider, pause) = (&shared.provider, pause.as_secs_f64());
        let stage = format!("asking {provider} again in {pause:.1} s, since it failed: {error}");
        let total = u64::from(shared.settings.attempts);
        Progress { stage, done: u64::from(self.attempts), total }
    }
}

/// Whether the provider may have made the answer, or a part of it, although it failed.
fn is_maybe_billed(error: &LlmError) -> bool {
    match error.kind() {
        LlmErrorKind::RateLimited | LlmErrorKind::Overloaded => false,
        LlmErrorKind::Unavailable
        | LlmErrorKind::Interrupted
        | LlmErrorKind::QuotaExceeded
        | LlmErrorKind::ContextOverflow
        | LlmErrorKind::Unauthorised
        | LlmErrorKind::ModelNotFound
        | LlmErrorKind::Rejected
        | LlmErrorKind::Unsupported
        | LlmErrorKind::Damaged
        | LlmErrorKind::Protocol => !error.is_unbilled(),
    }
}

/// How long to wait after so many attempts: what the provider asks for and a little, so that not
/// everybody comes back at once; else anything up to a limit that doubles.
fn pause(attempts: u32, error: &LlmError, settings: &RetrySettings) -> Duration {
    if let Some(hint) = error.retry_after() {
        return hint + settings.pause.mul_f64(random());
    }
    let is_overloaded = error.kind() == LlmErrorKind::Overloaded;
    let factor = if is_overloaded { OVERLOADED } else { 1 };
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1)).saturating_mul(factor);
    settings.pause.saturating_mul(doubled).min(settings.longest_pause).mul_f64(random())
}

/// From 0 to 1.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
}
