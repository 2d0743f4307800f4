//! Ollama's own wire: chats and gaps in lines of JSON, vectors, models.
//!
//! Fetching models is in `pull`.

mod pull;

use base64::{Engine, engine::general_purpose::STANDARD};
use brain_core::{
    chat::{ToolCall, Usage},
    llm::{ChatEvent, FinishReason, LlmErrorKind},
};
use http::Method;
use serde_json::{Value, json};

use super::{
    call::{Call, Generation, Outcome},
    frame::{Frame, Framing},
    openai,
    prompt::{self, Prompt},
    refusal::Refusal,
    speaker::{Speaker, Whole},
};
use crate::Answer;

/// The version it says it is.
const VERSION: &str = "0.33.0";

/// When everything was made.
const CREATED: &str = "2026-11-22T01:02:03.456789Z";

/// Tokens that a model can have in view.
const MODEL_CONTEXT: u64 = 8_192;

/// Tokens in view unless `num_ctx` says.
const DEFAULT_CONTEXT: u64 = 4_096;

/// Answers a request to `/api`, or to `/`.
pub(super) fn answer(call: &Call) -> Result<Outcome, Refusal> {
    match (&call.method, call.parts().as_slice()) {
        (&Method::GET | &Method::HEAD, []) => Ok(Outcome::Text("Ollama is running")),
        (&Method::GET | &Method::HEAD, ["version"]) => {
            Ok(Outcome::Json(json!({ "version": VERSION })))
        }
        (&Method::GET, ["tags"]) => Ok(Outcome::Json(json!({ "models": list(call) }))),
        (&Method::GET, ["ps"]) => Ok(Outcome::Json(running(call))),
        (&Method::POST, ["show"]) => show(call),
        (&Method::POST, ["chat"]) => chat(call),
        (&Method::POST, ["generate"]) => generate(call),
        (&Method::POST, ["embed"]) => embed(call),
        (&Method::POST, ["embeddings"]) => embeddings(call),
        (&Method::POST, ["pull"]) => pull::pull(call),
        (&Method::DELETE, ["delete"]) => delete(call),
        (
            _,
            [
                "version" | "tags" | "ps" | "show" | "chat" | "generate" | "embed" | "embeddings"
                | "pull" | "delete",
            ],
        ) => Err(Refusal::text(405, "405 method not allowed")),
        _ => Err(Refusal::text(404, "404 page not found")),
    }
}

/// The model that the body names.
fn named<'a>(call: &Call, body: &'a Value) -> Result<&'a str, Refusal> {
    let model = body["model"].as_str().or(body["name"].as_str()).unwrap_or_default();
    if model.is_empty() {
        return Err(call.refuse(LlmErrorKind::Rejected, "model is required"));
    }
    Ok(model)
}

/// The same, if it is here.
fn installed<'a>(call: &Call, body: &'a Value) -> Result<&'a str, Refusal> {
    let model = named(call, body)?;
    if call.has_model(model) {
        return Ok(model);
    }
    Err(call.refuse(LlmErrorKind::ModelNotFound, &format!("model '{model}' not found")))
}

/// The names of all models that are here.
fn names(call: &Call) -> Vec<String> {
    let tagged = |it: &String| if it.contains(':') { it.clone() } else { format!("{it}:latest") };
    let mut names: Vec<String> = call.shared.config.models.iter().map(tagged).collect();
    names.extend(call.shared.state().pulled.iter().map(tagged));
    names
}

fn details() -> Value {
    json!({
        "parent_model": "", "format": "gguf", "family": "mock", "families": ["mock"],
        "parameter_size": "1M", "quantization_level": "Q4_0",
    })
}

fn card(name: &str) -> Value {
    json!({
        "name": name, "model": name, "modified_at": CREATED, "size": pull::size(name),
        "digest": pull::digest(name, 0), "details": details(), "capabilities": capabilities(name),
    })
}

fn list(call: &Call) -> Vec<Value> {
    names(call).iter().map(|it| card(it)).collect()
}

fn running(call: &Call) -> Value {
    let models = names(call).into_iter().map(|name| {
        let mut card = card(&name);
        card["expires_at"] = CREATED.into();
        card["size_vram"] = 0.into();
        card["context_length"] = DEFAULT_CONTEXT.into();
        card
    });
    json!({ "models": models.collect::<Vec<_>>() })
}

/// What a model of this name can do.
fn capabilities(name: &str) -> Vec<&'static str> {
    if name.contains("embed") {
        return vec!["embedding"];
    }
    vec!["completion", "tools", "insert", "vision", "thinking"]
}

fn show(call: &Call) -> Result<Outcome, Refusal> {
    let body = call.json()?;
    let model = installed(call, body)?;
    Ok(Outcome::Json(json!({
        "license": "none", "modelfile": format!("FROM {model}"), "parameters": "stop \"<|end|>\"",
        "template": "{{ .Prompt }}", "details": details(), "modified_at": CREATED,
        "model_info": {
            "general.architecture": "mock", "mock.context_length": MODEL_CONTEXT,
            "mock.embedding_length": openai::dimensions(&Value::Null),
        },
        "capabilities": capabilities(model),
    })))
}

fn chat(call: &Call) -> Result<Outcome, Refusal> {
    let body = call.json()?;
    let model = installed(call, body)?.to_owned();
    let none = Vec::new();
    let messages = body["messages"].as_array().unwrap_or(&none);
    check_messages(call, messages)?;
    let mut prompt = openai::prompt_of(body, messages);
    prompt.thinks = body["think"] == true || body["think"].is_string();
    prompt.must_call = None;
    respond(call, body, model, (prompt, Field::Message), messages.is_empty())
}

fn check_messages(call: &Call, messages: &[Value]) -> Result<(), Refusal> {
    for message in messages {
        if !message["content"].is_string() && !message["content"].is_null() {
            let text = "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string";
            return Err(call.refuse(LlmErrorKind::Rejected, text));
        }
        let images = message["images"].as_array().into_iter().flatten();
        if images.clone().any(|it| it.as_str().is_none_or(|it| STANDARD.decode(it).is_err())) {
            let text = "illegal base64 data at input byte 0";
            return Err(call.refuse(LlmErrorKind::Rejected, text));
        }
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        if calls.clone().any(|it| !it["function"]["arguments"].is_object()) {
            let text = "json: cannot unmarshal string into Go struct field ChatRequest.messages.tool_calls.function.arguments";
            return Err(call.refuse(LlmErrorKind::Rejected, text));
        }
    }
    Ok(())
}

fn generate(call: &Call) -> Result<Outcome, Refusal> {
    let body = call.json()?;
    let model = installed(call, body)?.to_owned();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (before, after) = (text("prompt"), text("suffix"));
    let nothing = before.is_empty() && after.is_empty();
    let text = format!("{before}\n{after}");
    let prompt = Prompt { text, thinks: body["think"] == true, ..Prompt::default() };
    respond(call, body, model, (prompt, Field::Response), nothing)
}

/// Where a line has its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Message,
    Response,
}

fn respond(
    call: &Call,
    body: &Value,
    model: String,
    (prompt, field): (Prompt, Field),
    is_empty: bool,
) -> Result<Outcome, Refusal> {
    let options = &body["options"];
    let context = options["num_ctx"].as_u64().unwrap_or(DEFAULT_CONTEXT);
    if context < prompt.tokens() && body["truncate"] == false {
        let text = "the input length exceeds the context length";
        return Err(call.refuse(LlmErrorKind::Rejected, text));
    }
    let limit = options["num_predict"].as_u64();
    let prompt = Prompt { max_words: limit, ..prompt };
    let streams = body["stream"].as_bool().unwrap_or(true);
    let mut speaker =
        LineSpeaker { model, field, context, usage: Usage::default(), reason: None, calls: 0 };
    let mut generation_answer = None;
    if is_empty {
        let unload = body["keep_alive"] == 0 || body["keep_alive"] == "0";
        speaker.reason = Some(if unload { "unload" } else { "load" });
        generation_answer = Some(Answer::new().finish());
    }
    let generation = Generation::new(prompt, speaker, streams);
    let takes_script = !is_empty;
    Ok(Outcome::Generate(Generation { answer: generation_answer, takes_script, ..generation }))
}

fn embed(call: &Call) -> Result<Outcome, Refusal> {
    let body = call.json()?;
    let model = embedder(call, body)?;
    let texts: Vec<&str> = match &body["input"] {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => return Err(call.refuse(LlmErrorKind::Rejected, "invalid input type")),
    };
    let (seed, dimensions) = (call.shared.config.seed, openai::dimensions(body));
    let vectors: Vec<_> = texts.iter().map(|it| prompt::embed(seed, it, dimensions)).collect();
    let tokens: u64 = texts.iter().map(|it| prompt::tokens(it)).sum();
    Ok(Outcome::Json(json!({
        "model": model, "embeddings": vectors, "total_duration": 1_000_000,
        "load_duration": 1_000, "prompt_eval_count": tokens,
    })))
}

/// Embeddings have words of their own for a model that is missing.
fn embedder<'a>(call: &Call, body: &'a Value) -> Result<&'a str, Refusal> {
    let model = named(call, body)?;
    if call.has_model(model) {
        return Ok(model);
    }
    let text = format!("model \"{model}\" not found, try pulling it first");
    Err(call.refuse(LlmErrorKind::ModelNotFound, &text))
}

fn embeddings(call: &Call) -> Result<Outcome, Refusal> {
    let body = call.json()?;
    embedder(call, body)?;
    let text = body["prompt"].as_str().unwrap_or_default();
    let vector = prompt::embed(call.shared.config.seed, text, openai::dimensions(body));
    Ok(Outcome::Json(json!({ "embedding": vector })))
}

fn delete(call: &Call) -> Result<Outcome, Refusal> {
    let body = call.json()?;
    let model = installed(call, body)?;
    let name = model.trim_end_matches(":latest");
    call.shared.change(|it| {
        it.pulled.remove(name);
        it.layers.remove(name);
    });
    Ok(Outcome::Text(""))
}

/// Spells answers in lines.
struct LineSpeaker {
    model: String,
    field: Field,
    context: u64,
    usage: Usage,
    /// Instead of the answer's own.
    reason: Option<&'static str>,
    calls: usize,
}

impl LineSpeaker {
    fn line(&self, text: &str) -> Value {
        let mut line = json!({ "model": self.model, "created_at": CREATED, "done": false });
        match self.field {
            Field::Message => line["message"] = json!({ "role": "assistant", "content": text }),
            Field::Response => line["response"] = text.into(),
        }
        line
    }

    fn thought(&self, text: &str) -> Value {
        let mut line = self.line("");
        match self.field {
            Field::Message => line["message"]["thinking"] = text.into(),
            Field::Response => line["thinking"] = text.into(),
        }
        line
    }

    fn call(&mut self, call: &ToolCall) -> Value {
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
        let index = self.calls;
        self.calls += 1;
        let function = json!({ "index": index, "name": call.name, "arguments": arguments });
        json!({ "id": call.id, "function": function })
    }

    fn last(&self, mut line: Value, reason: Option<FinishReason>) -> Value {
        let said = match reason {
            Some(FinishReason::Length) => "length",
            Some(FinishReason::Stop | FinishReason::ToolCalls | FinishReason::ContentFilter)
            | None => "stop",
        };
        line["done"] = true.into();
        line["done_reason"] = self.reason.unwrap_or(said).into();
        let counters = json!({
            "total_duration": 4_000_000_000_u64, "load_duration": 900_000_000,
            "prompt_eval_count": self.usage.input_tokens.min(self.context),
            "prompt_eval_duration": 100_000_000,
            "eval_count": self.usage.output_tokens, "eval_duration": 900_000_000,
        });
        // A zero is left out.
        for (name, value) in counters.as_object().into_iter().flatten() {
            if value != 0 {
                line[name] = value.clone();
            }
        }
        line
    }
}

impl Speaker for LineSpeaker {
    fn framing(&self) -> Framing {
        Framing::Ndjson
    }

    fn event(&mut self, event: &ChatEvent) -> Vec<Frame> {
        match event {
            ChatEvent::Text(text) => vec![Frame::content(self.line(text))],
            ChatEvent::Reasoning(text) => vec![Frame::content(self.thought(text))],
            ChatEvent::ToolCall(call) => {
                let call = self.call(call);
                let mut line = self.line("");
                if self.field == Field::Message {
                    line["message"]["tool_calls"] = json!([call]);
                }
                vec![Frame::content(line)]
            }
            ChatEvent::Usage(usage) => {
                self.usage = *usage;
                Vec::new()
            }
            ChatEvent::Finished(finish) => {
                vec![Frame::json(self.last(self.line(""), Some(finish.reason)))]
            }
            ChatEvent::Progress(_) | ChatEvent::ToolCallDelta(_) => Vec::new(),
        }
    }

    fn error(&self, message: &str) -> Value {
        json!({ "error": message })
    }

    fn whole(&mut self, whole: Whole) -> Value {
        self.usage = whole.usage;
        let mut line = self.line(&whole.text);
        let calls: Vec<Value> = whole.calls.iter().map(|it| self.call(it)).collect();
        if !calls.is_empty() && self.field == Field::Message {
            line["message"]["tool_calls"] = calls.into();
        }
        if !whole.reasoning.is_empty() {
            match self.field {
                Field::Message => line["message"]["thinking"] = whole.reasoning.into(),
                Field::Response => line["thinking"] = whole.reasoning.into(),
            }
        }
        self.last(line, whole.reason)
    }
}
