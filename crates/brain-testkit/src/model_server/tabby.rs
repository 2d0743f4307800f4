//! TabbyML's wire: chats that always stream, gaps by segments, health.
//!
//! Its errors have no body. Its streams end without a mark.

use brain_core::llm::{ChatEvent, LlmError};
use http::Method;
use serde_json::{Value, json};

use super::{
    call::{Call, Generation, Outcome},
    frame::{Data, Frame, Framing},
    openai,
    prompt::Prompt,
    refusal::Refusal,
    speaker::{Speaker, Whole},
};

/// Words of a completion.
const MAX_WORDS: u64 = 12;

/// Answers a request to `/tabby`, or to one of Tabby's own paths.
pub(super) fn answer(call: &Call) -> Result<Outcome, Refusal> {
    let parts = call.parts();
    if !matches!(parts.as_slice(), ["v1", "health"]) {
        call.authorise()?;
    }
    match (&call.method, parts.as_slice()) {
        (&Method::POST, ["v1" | "v1beta", "chat", "completions"]) => chat(call),
        (&Method::POST, ["v1", "completions"]) => completion(call),
        (&Method::GET | &Method::POST, ["v1", "health"]) => Ok(Outcome::Json(health(call))),
        (&Method::GET, ["v1beta", "models"]) => {
            let models = &call.shared.config.models;
            Ok(Outcome::Json(json!({ "completion": models, "chat": models })))
        }
        (_, ["v1" | "v1beta", "chat", "completions"] | ["v1", "completions" | "health"]) => {
            Err(Refusal::empty(405))
        }
        _ => Err(Refusal::empty(404)),
    }
}

fn chat(call: &Call) -> Result<Outcome, Refusal> {
    let Some(body) = &call.body else {
        return Err(Refusal::text(400, "Failed to parse the request body as JSON"));
    };
    let messages = body["messages"].as_array();
    let developer = messages.into_iter().flatten().any(|it| it["role"] == "developer");
    let Some(model) = body["model"].as_str().filter(|_| messages.is_some() && !developer) else {
        let text = "Failed to deserialize the JSON body into the target type";
        return Err(Refusal::text(422, text));
    };
    if !openai::wants_stream(body) {
        return Err(Refusal::empty(500));
    }
    let default = call.shared.config.models.first().cloned().unwrap_or_default();
    let model = if call.has_model(model) { model.to_owned() } else { default };
    let generation = openai::chat(call, model)?;
    // Its server knows no newer name of the limit.
    let max_words = body["max_tokens"].as_u64();
    let prompt = Prompt { max_words, ..generation.prompt };
    let speaker = Box::new(StrictSpeaker(generation.speaker));
    Ok(Outcome::Generate(Generation { prompt, speaker, ..generation }))
}

fn completion(call: &Call) -> Result<Outcome, Refusal> {
    let segments = call.body.as_ref().map(|it| &it["segments"]);
    let prefix = segments.and_then(|it| it["prefix"].as_str()).unwrap_or_default();
    if prefix.is_empty() {
        return Err(Refusal::empty(400));
    }
    let suffix = segments.and_then(|it| it["suffix"].as_str()).unwrap_or_default();
    let text = format!("{prefix}\n{suffix}");
    let prompt = Prompt { text, max_words: Some(MAX_WORDS), ..Prompt::default() };
    let speaker = GapSpeaker(format!("cmpl-{:08}", call.number));
    Ok(Outcome::Generate(Generation::new(prompt, speaker, false)))
}

fn health(call: &Call) -> Value {
    let model = call.shared.config.models.first();
    let local = json!({ "local": { "model_id": model, "device": "cpu" } });
    json!({
        "model": model, "chat_model": model, "chat_device": "cpu", "device": "cpu",
        "cuda_devices": [], "models": { "completion": local, "chat": local, "embedding": local },
        "arch": "x86_64", "cpu_info": "none", "cpu_count": 1,
        "version": {
            "build_date": "2026-06-30", "build_timestamp": "2026-06-30T00:00:00Z",
            "git_sha": "0000000", "git_describe": "v0.0.0-mock",
        },
        "webserver": true,
    })
}

/// Spells chats with every field of a delta, mostly empty, and no end mark.
struct StrictSpeaker(Box<dyn Speaker>);

fn strict(mut frame: Frame) -> Option<Frame> {
    let Data::Json(value) = &mut frame.data else { return None };
    for choice in value["choices"].as_array_mut().into_iter().flatten() {
        for field in ["role", "content", "function_call", "tool_calls"] {
            let delta = &mut choice["delta"];
            if delta.get(field).is_none() {
                delta[field] = Value::Null;
            }
        }
    }
    Some(frame)
}

impl Speaker for StrictSpeaker {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn begin(&mut self) -> Vec<Frame> {
        self.0.begin().into_iter().filter_map(strict).collect()
    }

    fn event(&mut self, event: &ChatEvent) -> Vec<Frame> {
        self.0.event(event).into_iter().filter_map(strict).collect()
    }

    /// It just stops.
    fn fail(&mut self, _: &LlmError) -> Vec<Frame> {
        Vec::new()
    }

    fn error(&self, message: &str) -> Value {
        self.0.error(message)
    }

    fn whole(&mut self, whole: Whole) -> Value {
        self.0.whole(whole)
    }
}

/// Spells what is put into a gap; by its id.
struct GapSpeaker(String);

impl Speaker for GapSpeaker {
    fn framing(&self) -> Framing {
        Framing::Whole
    }

    fn event(&mut self, _: &ChatEvent) -> Vec<Frame> {
        Vec::new()
    }

    fn error(&self, message: &str) -> Value {
        json!({ "error": message })
    }

    fn whole(&mut self, whole: Whole) -> Value {
        json!({ "id": self.0, "choices": [{ "index": 0, "text": whole.text }], "mode": "standard" })
    }
}
