//! Azure OpenAI's wire: deployments with an `api-version`, and the v1 surface.
//!
//! The model is the deployment. Answers are OpenAI's with the filter's findings.

use brain_core::llm::{ChatEvent, LlmErrorKind};
use http::Method;
use serde_json::{Value, json};

use super::{
    call::{Call, Generation, Outcome},
    frame::{Data, Frame, Framing},
    openai,
    refusal::Refusal,
    speaker::{Speaker, Whole},
};

/// Answers a request to `/openai`.
pub(super) fn answer(call: &Call) -> Result<Outcome, Refusal> {
    call.authorise()?;
    let parts = call.parts();
    let (deployment, operation) = match parts.as_slice() {
        ["deployments", name, rest @ ..] if has_version(call) => (Some(*name), rest),
        ["models"] if has_version(call) => (None, &parts[..]),
        ["v1", rest @ ..] => (None, rest),
        _ => return Err(not_found()),
    };
    match (&call.method, operation) {
        (&Method::POST, ["chat", "completions"]) => {
            let generation = openai::chat(call, model(call, deployment)?)?;
            let speaker = Box::new(FilterSpeaker(generation.speaker));
            Ok(Outcome::Generate(Generation { speaker, ..generation }))
        }
        (&Method::POST, ["completions"]) => openai::completion(call, model(call, deployment)?),
        (&Method::POST, ["embeddings"]) => openai::embeddings(call, &model(call, deployment)?),
        (&Method::GET, ["models"]) => Ok(Outcome::Json(openai::models(call))),
        _ => Err(not_found()),
    }
}

fn has_version(call: &Call) -> bool {
    call.query.get("api-version").is_some_and(|it| {
        it == "preview" || it.split('-').take(3).all(|it| it.parse::<u32>().is_ok())
    })
}

fn not_found() -> Refusal {
    Refusal::json(404, json!({ "error": { "code": "404", "message": "Resource not found" } }))
}

/// The deployment of the address, or of the body.
fn model(call: &Call, deployment: Option<&str>) -> Result<String, Refusal> {
    let named = match deployment {
        Some(name) => name,
        None => call.json()?["model"].as_str().unwrap_or_default(),
    };
    if call.has_model(named) {
        return Ok(named.to_owned());
    }
    let message = "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.";
    Err(call.refuse(LlmErrorKind::ModelNotFound, message))
}

/// Spells chats with the filter's findings.
struct FilterSpeaker(Box<dyn Speaker>);

fn safe() -> Value {
    let safe = json!({ "filtered": false, "severity": "safe" });
    json!({ "hate": safe, "self_harm": safe, "sexual": safe, "violence": safe })
}

fn filtered(mut frame: Frame) -> Frame {
    if let Data::Json(value) = &mut frame.data {
        mark(value, frame.is_content);
    }
    frame
}

/// Puts findings beside each choice: of content that was judged, else none.
fn mark(value: &mut Value, judged: bool) {
    for choice in value["choices"].as_array_mut().into_iter().flatten() {
        choice["content_filter_results"] = if judged { safe() } else { json!({}) };
    }
}

impl Speaker for FilterSpeaker {
    fn framing(&self) -> Framing {
        self.0.framing()
    }

    fn begin(&mut self) -> Vec<Frame> {
        let findings = json!([{ "prompt_index": 0, "content_filter_results": safe() }]);
        let prelude = json!({
            "id": "", "object": "", "created": 0, "model": "",
            "prompt_filter_results": findings, "choices": [],
        });
        let rest = self.0.begin().into_iter().map(filtered);
        std::iter::once(Frame::json(prelude)).chain(rest).collect()
    }

    /// The end is followed by a late note of the filter, which has no delta.
    fn event(&mut self, event: &ChatEvent) -> Vec<Frame> {
        let mut frames: Vec<Frame> = self.0.event(event).into_iter().map(filtered).collect();
        if matches!(event, ChatEvent::Finished(_)) {
            let offsets = json!({ "check_offset": 0, "start_offset": 0, "end_offset": 1 });
            let choice = json!({
                "index": 0, "finish_reason": null,
                "content_filter_offsets": offsets, "content_filter_results": safe(),
            });
            let note =
                json!({ "id": "", "object": "", "created": 0, "model": "", "choices": [choice] });
            frames.insert(1.min(frames.len()), Frame::json(note));
        }
        frames
    }

    fn error(&self, message: &str) -> Value {
        self.0.error(message)
    }

    fn whole(&mut self, whole: Whole) -> Value {
        let mut value = self.0.whole(whole);
        mark(&mut value, true);
        let findings = json!([{ "prompt_index": 0, "content_filter_results": safe() }]);
        value["prompt_filter_results"] = findings;
        value
    }
}
