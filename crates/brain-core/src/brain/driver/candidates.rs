//! Which models a turn asks, one after the other.
//!
//! It decides and asks nobody. Nothing is asked twice, but for a model that found the conversation
//! too long: that one is asked once more, with less of it.

use std::vec;

use super::ending::Stop;
use crate::{llm::LlmErrorKind, window::PassedOver};

/// The models of one turn. One that answered stays until it fails.
#[derive(Debug)]
pub(super) struct Candidates {
    current: String,
    later: vec::IntoIter<String>,
    /// What the model under way needs because it found the conversation too long.
    tight: Option<Tight>,
    /// The first failure since a model last answered.
    first: Option<Stop>,
    /// Models that have failed since.
    failed: usize,
    passed_over: Vec<PassedOver>,
}

#[derive(Debug)]
struct Tight {
    budget_tokens: u64,
    because: Stop,
}

/// What to do after a failure.
#[derive(Debug)]
pub(super) enum Next {
    /// Ask [`Candidates::current`], once listeners know this.
    Ask(String),
    /// Give up.
    Stop(Stop),
}

impl Candidates {
    /// First the model of the turn, empty for the gateway's default; then those of `configured`.
    pub(super) fn new(first: String, configured: &[String]) -> Self {
        let mut later: Vec<String> = Vec::new();
        for model in configured {
            if *model != first && !later.contains(model) {
                later.push(model.clone());
            }
        }
        Self {
            current: first,
            later: later.into_iter(),
            tight: None,
            first: None,
            failed: 0,
            passed_over: Vec::new(),
        }
    }

    /// The model to ask; empty for the gateway's default.
    pub(super) fn current(&self) -> &str {
        &self.current
    }

    /// What its windows may have of this many tokens.
    pub(super) fn budget(&self, tokens: u64) -> u64 {
        self.tight.as_ref().map_or(tokens, |it| it.budget_tokens.min(tokens))
    }

    /// The models that did not answer, in order.
    pub(super) fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// The model has answered.
    pub(super) fn on_answer(&mut self) {
        self.first = None;
        self.failed = 0;
    }

    /// The model failed before anything came of it; its window had so many tokens.
    pub(super) fn on_failure(&mut self, stop: Stop, window_tokens: u64) -> Next {
        if self.tight.is_none() && is_overflow(&stop) {
            let stage = format!(
                "{} finds the conversation too long; asking it with less of it",
                name(&self.current)
            );
            self.tight = Some(Tight { budget_tokens: window_tokens / 4 * 3, because: stop });
            return Next::Ask(stage);
        }
        if !is_the_models(&stop) {
            return Next::Stop(stop);
        }
        let stop = match (self.tight.take(), stop) {
            // How little room was left after its own failure is no news of the model.
            (Some(tight), Stop::Window(_)) => tight.because,
            (_, stop) => stop,
        };
        let why = reason(&stop);
        let next = why.and_then(|why| Some((why, self.later.next()?)));
        self.failed += 1;
        if next.is_some() || !self.passed_over.is_empty() {
            let (model, code) = (self.current.clone(), stop.code().to_owned());
            self.passed_over.push(PassedOver { model, code });
        }
        let Some((why, model)) = next else { return Next::Stop(self.told(stop)) };
        let stage = format!("{} {why}; asking {}", name(&self.current), name(&model));
        self.first.get_or_insert(stop);
        self.current = model;
        Next::Ask(stage)
    }

    /// What is told in the end, after `last`: the first failure, since it is that of the model that
    /// was wanted.
    fn told(&mut self, last: Stop) -> Stop {
        match self.first.take() {
            Some(first) => Stop::NoneAnswered { first: Box::new(first), asked: self.failed },
            None => last,
        }
    }
}

fn name(model: &str) -> &str {
    if model.is_empty() { "the default model" } else { model }
}

/// Whether the provider found the conversation too long.
fn is_overflow(stop: &Stop) -> bool {
    matches!(stop, Stop::Llm(error) if error.kind() == LlmErrorKind::ContextOverflow)
}

/// Whether the model, or what it can do, ended it.
fn is_the_models(stop: &Stop) -> bool {
    match stop {
        Stop::Window(_) | Stop::Llm(_) => true,
        Stop::Cancelled
        | Stop::Superseded
        | Stop::TimeUp
        | Stop::TooLong
        | Stop::TooManyRounds
        | Stop::Panicked
        | Stop::Tool(..)
        | Stop::Memory(_)
        | Stop::NoneAnswered { .. } => false,
    }
}

/// What is the matter with a model, in words that follow its name, where another may do better.
fn reason(stop: &Stop) -> Option<&'static str> {
    let Stop::Llm(error) = stop else { return Some("has too little room for the conversation") };
    match error.kind() {
        LlmErrorKind::RateLimited => Some("is asked too often"),
        LlmErrorKind::QuotaExceeded => Some("has no credit left"),
        LlmErrorKind::ContextOverflow => Some("finds the conversation too long"),
        LlmErrorKind::Unauthorised => Some("refuses the credentials"),
        LlmErrorKind::ModelNotFound => Some("is not known"),
        LlmErrorKind::Unsupported => Some("cannot do what is asked"),
        LlmErrorKind::Overloaded => Some("is overloaded"),
        LlmErrorKind::Unavailable => Some("is unavailable"),
        LlmErrorKind::Damaged => Some("is damaged"),
        LlmErrorKind::Interrupted => Some("broke off"),
        LlmErrorKind::Protocol => Some("cannot be understood"),
        // What the client got wrong, every model would refuse.
        LlmErrorKind::Rejected => None,
    }
}

#[cfg(test)]
mod tests;
