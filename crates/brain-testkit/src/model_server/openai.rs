//! OpenAI's wire: chat completions, completions, embeddings, models.
//!
//! Azure and TabbyML speak dialects of it, in files of their own.

use base64::{Engine, engine::general_purpose::STANDARD};
use brain_core::{
    chat::{ToolCall, Usage},
    llm::{ChatEvent, LlmErrorKind},
};
use http::Method;
use serde_json::{Value, json};

use super::{
    call::{Call, Generation, Outcome},
    frame::{Frame, Framing},
    prompt::{self, Prompt, Tool},
    refusal::{self, Refusal},
    speaker::{Speaker, Whole, finish_reason},
};

/// When everything was made, in seconds.
const CREATED: u64 = 1_790_000_000;

/// Components of a vector unless the request says.
const DIMENSIONS: u64 = 64;

/// Most components that may be asked for.
const MAX_DIMENSIONS: u64 = 4_096;

/// Answers a request to `/v1`.
pub(super) fn answer(call: &Call) -> Result<Outcome, Refusal> {
    call.authorise()?;
    let parts = call.parts();
    match (&call.method, parts.as_slice()) {
        (&Method::POST, ["chat", "completions"]) => {
            let model = named_model(call)?;
            Ok(Outcome::Generate(chat(call, model)?))
        }
        (&Method::POST, ["completions"]) => {
            let model = named_model(call)?;
            completion(call, model)
        }
        (&Method::POST, ["embeddings"]) => {
            let model = named_model(call)?;
            embeddings(call, &model)
        }
        (&Method::GET, ["models"]) => Ok(Outcome::Json(models(call))),
        (&Method::GET, ["models", name @ ..]) => {
            let name = name.join("/");
            find_model(call, &name)?;
            Ok(Outcome::Json(card(&name)))
        }
        (_, ["chat", "completions"] | ["completions" | "embeddings" | "models"]) => {
            let message = format!("Method not allowed: {}", call.method);
            let body = refusal::openai(&message, "invalid_request_error", None);
            Err(Refusal::json(405, body))
        }
        _ => {
            let message = format!("Unknown request URL: {} /{}", call.method, parts.join("/"));
            let body = refusal::openai(&message, "invalid_request_error", Some("unknown_url"));
            Err(Refusal::json(404, body))
        }
    }
}

/// The model that the body names, if there is one of that name.
pub(super) fn named_model(call: &Call) -> Result<String, Refusal> {
    let model = call.json()?["model"].as_str().unwrap_or_default();
    if model.is_empty() {
        return Err(call.refuse(LlmErrorKind::Rejected, "you must provide a model parameter"));
    }
    find_model(call, model)?;
    Ok(model.to_owned())
}

fn find_model(call: &Call, model: &str) -> Result<(), Refusal> {
    if call.has_model(model) {
        return Ok(());
    }
    let message = format!("The model `{model}` does not exist or you do not have access to it.");
    Err(call.refuse(LlmErrorKind::ModelNotFound, &message))
}

/// A chat with this model.
pub(super) fn chat(call: &Call, model: String) -> Result<Generation, Refusal> {
    let body = call.json()?;
    let Some(messages) = body["messages"].as_array().filter(|it| !it.is_empty()) else {
        return Err(call.refuse(LlmErrorKind::Rejected, "Missing required parameter: 'messages'."));
    };
    let speaker = ChatSpeaker::new(call, model);
    Ok(Generation::new(prompt_of(body, messages), speaker, wants_stream(body)))
}

pub(super) fn wants_stream(body: &Value) -> bool {
    body["stream"].as_bool().unwrap_or(false)
}

/// What a chat in OpenAI's shape asks for.
pub(super) fn prompt_of(body: &Value, messages: &[Value]) -> Prompt {
    let texts: Vec<String> = messages.iter().map(|it| content_text(&it["content"])).collect();
    let of_person = messages.last().is_some_and(|it| it["role"] == "user");
    let last = texts.last().filter(|_| of_person).cloned().unwrap_or_default();
    let choice = &body["tool_choice"];
    let must_call = match choice.as_str() {
        Some("required") => Some(String::new()),
        _ => choice["function"]["name"].as_str().map(str::to_owned),
    };
    let forbidden = choice == "none";
    let effort = body["reasoning_effort"].as_str();
    let limit = body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64());
    Prompt {
        text: texts.join("\n"),
        last,
        tools: if forbidden { Vec::new() } else { Tool::list(body) },
        must_call: must_call.filter(|_| of_person),
        thinks: effort.is_some_and(|it| it != "none"),
        max_words: limit,
    }
}

/// The text of a content: a string, or the texts of its parts.
fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|it| it["text"].as_str()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

/// Text after a prompt, or between it and a suffix.
pub(super) fn completion(call: &Call, model: String) -> Result<Outcome, Refusal> {
    let body = call.json()?;
    let before = body["prompt"].as_str().or_else(|| body["prompt"][0].as_str());
    let Some(before) = before else {
        return Err(call.refuse(LlmErrorKind::Rejected, "Missing required parameter: 'prompt'."));
    };
    let after = body["suffix"].as_str().unwrap_or_default();
    let max_words = body["max_tokens"].as_u64().or(Some(16));
    let prompt = Prompt { text: format!("{before}\n{after}"), max_words, ..Prompt::default() };
    let speaker = TextSpeaker(ChatSpeaker::new(call, model));
    Ok(Outcome::Generate(Generation::new(prompt, speaker, wants_stream(body))))
}

/// Vectors of texts.
pub(super) fn embeddings(call: &Call, model: &str) -> Result<Outcome, Refusal> {
    let body = call.json()?;
    let texts: Vec<String> = match &body["input"] {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) if texts.iter().all(Value::is_string) => {
            texts.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Value::Array(tokens) if tokens.iter().all(Value::is_number) => {
            vec![body["input"].to_string()]
        }
        Value::Array(lists) => lists.iter().map(Value::to_string).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    if texts.is_empty() || 2_048 < texts.len() {
        return Err(call.refuse(LlmErrorKind::Rejected, "'$.input' is invalid."));
    }
    let dimensions = dimensions(body);
    let packed = body["encoding_format"] == "base64";
    let data = texts.iter().enumerate().map(|(index, text)| {
        let vector = prompt::embed(call.shared.config.seed, text, dimensions);
        json!({ "object": "embedding", "index": index, "embedding": encode(&vector, packed) })
    });
    let tokens: u64 = texts.iter().map(|it| prompt::tokens(it)).sum();
    Ok(Outcome::Json(json!({
        "object": "list", "model": model, "data": data.collect::<Vec<_>>(),
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })))
}

/// Components that a request for vectors wants.
pub(super) fn dimensions(body: &Value) -> usize {
    let wanted = body["dimensions"].as_u64().unwrap_or(DIMENSIONS).clamp(1, MAX_DIMENSIONS);
    usize::try_from(wanted).unwrap_or_default()
}

fn encode(vector: &[f32], packed: bool) -> Value {
    if packed {
        let bytes: Vec<u8> = vector.iter().flat_map(|it| it.to_le_bytes()).collect();
        return STANDARD.encode(bytes).into();
    }
    vector.into()
}

/// The list of models.
pub(super) fn models(call: &Call) -> Value {
    let cards: Vec<Value> = call.shared.config.models.iter().map(|it| card(it)).collect();
    json!({ "object": "list", "data": cards })
}

fn card(name: &str) -> Value {
    json!({ "id": name, "object": "model", "created": CREATED, "owned_by": "mock-llm" })
}

/// Spells chats.
pub(super) struct ChatSpeaker {
    id: String,
    model: String,
    with_usage: bool,
    usage: Usage,
    calls: usize,
}

impl ChatSpeaker {
    pub(super) fn new(call: &Call, model: String) -> Self {
        let body = call.body.as_ref();
        let with_usage = body.is_some_and(|it| it["stream_options"]["include_usage"] == true);
        let id = format!("chatcmpl-{:08}", call.number);
        Self { id, model, with_usage, usage: Usage::default(), calls: 0 }
    }

    fn chunk(&self, delta: &Value, reason: Option<&str>) -> Value {
        let choice =
            json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason });
        self.framed("chat.completion.chunk", &json!([choice]))
    }

    fn framed(&self, object: &str, choices: &Value) -> Value {
        let (id, model) = (&self.id, &self.model);
        json!({
            "id": id, "object": object, "created": CREATED, "model": model,
            "system_fingerprint": "fp_mock", "choices": choices,
        })
    }

    fn call(&mut self, call: &ToolCall) -> Vec<Frame> {
        let index = self.calls;
        self.calls += 1;
        let function = json!({ "name": call.name, "arguments": "" });
        let begin = json!({
            "tool_calls": [{ "index": index, "id": call.id, "type": "function", "function": function }],
        });
        let half = (call.arguments.len() / 2..).find(|it| call.arguments.is_char_boundary(*it));
        let (first, second) = call.arguments.split_at(half.unwrap_or_default());
        let pieces = [first, second].into_iter().filter(|it| !it.is_empty());
        let mut frames = vec![Frame::content(self.chunk(&begin, None))];
        frames.extend(pieces.map(|it| {
            let delta =
                json!({ "tool_calls": [{ "index": index, "function": { "arguments": it } }] });
            Frame::content(self.chunk(&delta, None))
        }));
        frames
    }

    fn end(&self, last: Value) -> Vec<Frame> {
        let mut frames = vec![Frame::json(last)];
        if self.with_usage {
            let mut value = self.framed("chat.completion.chunk", &json!([]));
            value["usage"] = usage(self.usage);
            frames.push(Frame::json(value));
        }
        frames.push(Frame::mark("[DONE]"));
        frames
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0 },
    })
}

impl Speaker for ChatSpeaker {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn begin(&mut self) -> Vec<Frame> {
        let delta = json!({ "role": "assistant", "content": "", "refusal": null });
        vec![Frame::json(self.chunk(&delta, None))]
    }

    fn event(&mut self, event: &ChatEvent) -> Vec<Frame> {
        match event {
            ChatEvent::Text(text) => {
                vec![Frame::content(self.chunk(&json!({ "content": text }), None))]
            }
            ChatEvent::Reasoning(text) => {
                vec![Frame::content(self.chunk(&json!({ "reasoning_content": text }), None))]
            }
            ChatEvent::ToolCall(call) => self.call(call),
            ChatEvent::Usage(usage) => {
                self.usage = *usage;
                Vec::new()
            }
            ChatEvent::Finished(finish) => {
                self.end(self.chunk(&json!({}), Some(finish_reason(finish.reason))))
            }
            ChatEvent::Progress(_) | ChatEvent::ToolCallDelta(_) => Vec::new(),
        }
    }

    fn error(&self, message: &str) -> Value {
        refusal::openai(message, "server_error", None)
    }

    fn whole(&mut self, whole: Whole) -> Value {
        let calls = whole.calls.iter().map(|it| {
            let function = json!({ "name": it.name, "arguments": it.arguments });
            json!({ "id": it.id, "type": "function", "function": function })
        });
        let calls: Vec<Value> = calls.collect();
        let content = if whole.text.is_empty() { Value::Null } else { whole.text.into() };
        let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        if !whole.reasoning.is_empty() {
            message["reasoning_content"] = whole.reasoning.into();
        }
        let reason = whole.reason.map(finish_reason);
        let choice =
            json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": reason });
        let mut value = self.framed("chat.completion", &json!([choice]));
        value["usage"] = usage(whole.usage);
        value
    }
}

/// Spells completions of texts.
struct TextSpeaker(ChatSpeaker);

impl TextSpeaker {
    fn chunk(&self, text: &str, reason: Option<&str>) -> Value {
        let choice = json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": reason });
        self.0.framed("text_completion", &json!([choice]))
    }
}

impl Speaker for TextSpeaker {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn event(&mut self, event: &ChatEvent) -> Vec<Frame> {
        match event {
            ChatEvent::Text(text) => vec![Frame::content(self.chunk(text, None))],
            ChatEvent::Usage(usage) => {
                self.0.usage = *usage;
                Vec::new()
            }
            ChatEvent::Finished(finish) => {
                self.0.end(self.chunk("", Some(finish_reason(finish.reason))))
            }
            ChatEvent::Reasoning(_)
            | ChatEvent::ToolCall(_)
            | ChatEvent::Progress(_)
            | ChatEvent::ToolCallDelta(_) => Vec::new(),
        }
    }

    fn error(&self, message: &str) -> Value {
        self.0.error(message)
    }

    fn whole(&mut self, whole: Whole) -> Value {
        let mut value = self.chunk(&whole.text, whole.reason.map(finish_reason));
        value["usage"] = usage(whole.usage);
        value
    }
}
