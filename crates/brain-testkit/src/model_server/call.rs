//! A request, taken apart: which wire, what is asked for, which fault it wishes for.

use std::{collections::HashMap, sync::Arc};

use brain_core::llm::LlmErrorKind;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{
    Fault, Wire,
    prompt::Prompt,
    record::{Asked, Shared},
    refusal::Refusal,
    speaker::Speaker,
};
use crate::Answer;

/// Header with the name of a fault.
const FAULT_HEADER: &str = "x-mock-fault";

/// Beginning of the models that are faults.
const FAULT_MODELS: &str = "mock/";

/// A request, taken apart.
pub(super) struct Call {
    pub(super) wire: Wire,
    pub(super) method: Method,
    /// The parts of the path below where the wire begins, decoded.
    pub(super) path: Vec<String>,
    pub(super) query: HashMap<String, String>,
    pub(super) headers: HeaderMap,
    /// `None` when it is no JSON.
    pub(super) body: Option<Value>,
    pub(super) number: usize,
    pub(super) shared: Arc<Shared>,
}

/// What a request is answered with.
pub(super) enum Outcome {
    Json(Value),
    Text(&'static str),
    Generate(Generation),
}

/// An answer that a model gives.
pub(super) struct Generation {
    pub(super) prompt: Prompt,
    pub(super) speaker: Box<dyn Speaker>,
    pub(super) streams: bool,
    /// What is said where neither the script nor the seed is asked.
    pub(super) answer: Option<Answer>,
    /// Whether the script's next answer is meant for it.
    pub(super) takes_script: bool,
}

impl Generation {
    pub(super) fn new(prompt: Prompt, speaker: impl Speaker + 'static, streams: bool) -> Self {
        let speaker = Box::new(speaker);
        Self { prompt, speaker, streams, answer: None, takes_script: true }
    }
}

impl Call {
    /// Takes a request apart; `None` if its path belongs to no wire.
    pub(super) fn read(asked: &Asked, number: usize, shared: &Arc<Shared>) -> Option<Self> {
        let decode = |it: &str| percent_decode_str(it).decode_utf8_lossy().into_owned();
        let parts = asked.path.split('/').filter(|it| !it.is_empty());
        let parts: Vec<String> = parts.map(decode).collect();
        let body: Option<Value> = serde_json::from_slice(&asked.body).ok();
        let (wire, below) = wire_of(&parts, body.as_ref())?;
        let pairs = asked.query.split('&').filter_map(|it| it.split_once('='));
        Some(Self {
            wire,
            method: asked.method.clone(),
            path: parts.get(below..).unwrap_or_default().to_vec(),
            query: pairs.map(|(name, value)| (decode(name), decode(value))).collect(),
            headers: asked.headers.clone(),
            body,
            number,
            shared: Arc::clone(shared),
        })
    }

    /// The path as it can be matched.
    pub(super) fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    pub(super) fn json(&self) -> Result<&Value, Refusal> {
        let body = self.body.as_ref().filter(|it| it.is_object());
        body.ok_or_else(|| self.refuse(LlmErrorKind::Rejected, "the body is no JSON object"))
    }

    pub(super) fn refuse(&self, kind: LlmErrorKind, message: &str) -> Refusal {
        Refusal::of(self.wire, kind, message)
    }

    /// Refuses credentials that are not the configured ones.
    pub(super) fn authorise(&self) -> Result<(), Refusal> {
        let Some(key) = &self.shared.config.api_key else { return Ok(()) };
        let text = |name| self.headers.get(name).and_then(|it| it.to_str().ok());
        let bearer = text("authorization").and_then(|it| it.strip_prefix("Bearer "));
        let api_key = text("api-key").filter(|_| self.wire == Wire::Azure);
        if bearer.or(api_key) == Some(key) {
            return Ok(());
        }
        Err(self.refuse(LlmErrorKind::Unauthorised, "Incorrect API key provided."))
    }

    /// Whether there is a model of this name.
    pub(super) fn has_model(&self, name: &str) -> bool {
        let name = name.trim_end_matches(":latest");
        name.starts_with(FAULT_MODELS)
            || self.shared.config.models.iter().any(|it| it == name)
            || self.shared.state().pulled.contains(name)
    }

    /// The fault that the request wishes for, by a header or as its model.
    pub(super) fn fault(&self) -> Result<Option<Fault>, Refusal> {
        let header = self.headers.get(FAULT_HEADER).and_then(|it| it.to_str().ok());
        let deployment = self.path.windows(2).find(|it| it[0] == "deployments");
        let model = self.body.as_ref().and_then(|it| it["model"].as_str());
        // Who only asks about a model gets to know it.
        let model = model.filter(|_| !self.path.iter().any(|it| it == "show"));
        let model = deployment.map(|it| it[1].as_str()).or(model);
        let name = header.or(model.and_then(|it| it.strip_prefix(FAULT_MODELS)));
        let name = name.map(|it| it.trim_end_matches(":latest"));
        let fault = name.map(str::parse::<Fault>).transpose();
        fault.map_err(|error| self.refuse(LlmErrorKind::Rejected, &error.to_string()))
    }
}

/// The wire of a path, and how many parts of it come before the wire's own.
fn wire_of(parts: &[String], body: Option<&Value>) -> Option<(Wire, usize)> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let gap = body.is_some_and(|it| it.get("segments").is_some());
    match parts.as_slice() {
        ["v1", "health"] | ["v1beta", ..] => Some((Wire::TabbyMl, 0)),
        ["v1", "completions"] if gap => Some((Wire::TabbyMl, 0)),
        ["tabby", ..] => Some((Wire::TabbyMl, 1)),
        ["v1", ..] => Some((Wire::OpenAi, 1)),
        ["openai", ..] => Some((Wire::Azure, 1)),
        ["api", ..] => Some((Wire::Ollama, 1)),
        [] => Some((Wire::Ollama, 0)),
        _ => None,
    }
}
