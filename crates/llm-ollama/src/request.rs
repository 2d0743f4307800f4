//! From a request of ours to the JSON of `POST /api/chat` and `POST /api/generate`; pure.

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use brain_core::{
    chat::{Message, Part, Role, ToolCall},
    json::RawJson,
    llm::{ChatRequest, CompletionRequest, LlmError, LlmErrorKind},
    tool::ToolSpec,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    config::KeepAlive,
    profile::Profile,
    version::Version,
    wire::{
        ChatBody, GenerateBody, RequestFunction, RequestFunctionCall, RequestMessage, RequestTool,
        RequestToolCall, Run, RunOptions, Think,
    },
};

/// What a request depends on beside itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Of the model.
    pub(crate) profile: Profile,
    /// Of the server, if it said.
    pub(crate) version: Option<Version>,
    pub(crate) keep_alive: Option<KeepAlive>,
}

impl Setting {
    fn knows(&self, what: impl Fn(Version) -> bool) -> bool {
        self.version.is_some_and(what)
    }

    /// What chats and completions have in common. A prompt that is too long shall be refused, not
    /// cut, and an answer shall end where the context does, not push its beginning out.
    fn run<'a>(&self, options: RunOptions<'a>, think: Option<Think>) -> Run<'a> {
        let never = self.knows(Version::knows_truncate).then_some(false);
        let options = RunOptions { num_ctx: self.profile.num_ctx, ..options };
        let keep_alive = self.keep_alive;
        Run { stream: true, think, truncate: never, shift: never, keep_alive, options }
    }

    /// How much to think; a model that cannot is not asked to.
    fn think(&self, effort: Option<&str>) -> Option<Think> {
        let effort = effort.filter(|_| self.profile.thinking)?;
        let level = match effort {
            "none" => return Some(Think::Whether(false)),
            "minimal" | "low" => "low",
            "high" => "high",
            "max" | "xhigh" if self.knows(Version::knows_max) => "max",
            "max" | "xhigh" => "high",
            _ => "medium",
        };
        let has_levels = self.knows(Version::knows_levels);
        Some(if has_levels { Think::Level(level) } else { Think::Whether(true) })
    }
}

/// The body for `request`, asking for `model`.
///
/// # Errors
///
/// [`LlmErrorKind::Rejected`] when `response_format` is nothing that Ollama has.
pub(crate) fn chat<'a>(
    request: &'a ChatRequest,
    model: &'a str,
    setting: &Setting,
) -> Result<ChatBody<'a>, LlmError> {
    let options = &request.options;
    let rounds = Rounds::of(&request.messages, setting.profile.capabilities.vision);
    let messages = request.messages.iter().enumerate();
    let sampling = RunOptions {
        num_predict: options.max_tokens,
        temperature: options.temperature,
        top_p: options.top_p,
        // The server reads it as a signed number.
        seed: options.seed.map(|it| it & i64::MAX.cast_unsigned()),
        stop: &options.stop,
        ..RunOptions::default()
    };
    let think = setting.think(options.reasoning_effort.as_deref());
    let takes_tools = setting.profile.capabilities.tools;
    Ok(ChatBody {
        model,
        messages: messages.map(|(place, it)| rounds.message(place, it)).collect(),
        tools: takes_tools.then(|| request.tools.iter().map(tool)).into_iter().flatten().collect(),
        format: options.response_format.as_ref().map(format).transpose()?.flatten(),
        run: setting.run(sampling, think),
    })
}

/// The body for a completion.
pub(crate) fn generate<'a>(
    request: &'a CompletionRequest,
    model: &'a str,
    setting: &Setting,
) -> GenerateBody<'a> {
    let options = RunOptions {
        num_predict: request.max_tokens,
        stop: &request.stop,
        ..RunOptions::default()
    };
    let raw = request.suffix.is_empty();
    let think = setting.profile.thinking.then_some(Think::Whether(false));
    let run = setting.run(options, think);
    GenerateBody { model, prompt: &request.prefix, suffix: &request.suffix, raw, run }
}

/// The `format` for OpenAI's `response_format`; `None` for text.
fn format(wanted: &RawJson) -> Result<Option<RawJson>, LlmError> {
    #[derive(Deserialize)]
    struct ResponseFormat<'a> {
        r#type: String,
        #[serde(borrow)]
        json_schema: Option<JsonSchema<'a>>,
    }
    #[derive(Deserialize)]
    struct JsonSchema<'a> {
        #[serde(borrow)]
        schema: &'a RawValue,
    }
    let read: Option<ResponseFormat<'_>> = serde_json::from_str(wanted.as_str()).ok();
    let found = match &read {
        Some(ResponseFormat { r#type, .. }) if r#type == "text" => return Ok(None),
        Some(ResponseFormat { r#type, .. }) if r#type == "json_object" => {
            RawJson::parse("\"json\"").ok()
        }
        Some(ResponseFormat { r#type, json_schema: Some(it) }) if r#type == "json_schema" => {
            RawJson::parse(it.schema.get()).ok()
        }
        Some(_) | None => None,
    };
    let message = "response_format is none that Ollama has; use `text`, `json_object` or \
                   `json_schema` with a `schema`";
    found.map(Some).ok_or_else(|| LlmError::new(LlmErrorKind::Rejected, message))
}

/// What a message depends on beside itself.
struct Rounds<'a> {
    /// By our id: the id on the wire and the tool's name.
    calls: HashMap<&'a str, (&'a str, &'a str)>,
    /// The first message after the person's last one; from there on the model's thoughts count.
    current: usize,
    /// Whether the model sees pictures.
    vision: bool,
}

impl<'a> Rounds<'a> {
    /// The id on the wire is the provider's own; ours where it gave none or one that an earlier call
    /// has already.
    fn of(messages: &'a [Arc<Message>], vision: bool) -> Self {
        let mut taken = HashSet::new();
        let calls = messages.iter().flat_map(|message| &message.tool_calls).map(|call| {
            let theirs = call.provider_id.as_deref().filter(|id| taken.insert(*id));
            (call.id.as_str(), (theirs.unwrap_or(&call.id), call.name.as_str()))
        });
        let asked = messages.iter().rposition(|it| it.role == Role::User);
        Self { calls: calls.collect(), current: asked.map_or(0, |it| it + 1), vision }
    }

    fn message(&self, place: usize, message: &'a Message) -> RequestMessage<'a> {
        let answered = message.tool_call_id.as_deref().map(|id| self.call(id));
        let reasoning = message.reasoning.as_deref().filter(|_| self.current <= place);
        RequestMessage {
            role: message.role.as_str(),
            content: self.content(message),
            thinking: reasoning,
            images: message.content.iter().filter_map(|it| self.image(it)).collect(),
            tool_calls: message.tool_calls.iter().map(|it| self.tool_call(it)).collect(),
            tool_name: answered.map(|(_, name)| name).filter(|name| !name.is_empty()),
            tool_call_id: answered.map(|(id, _)| id),
        }
    }

    fn call(&self, id: &'a str) -> (&'a str, &'a str) {
        self.calls.get(id).copied().unwrap_or((id, ""))
    }

    fn tool_call(&self, call: &'a ToolCall) -> RequestToolCall<'a> {
        let function = RequestFunctionCall { name: &call.name, arguments: arguments(call) };
        RequestToolCall { id: self.call(&call.id).0, function }
    }

    fn content(&self, message: &'a Message) -> Cow<'a, str> {
        if let [Part::Text { text }] = message.content.as_slice() {
            return Cow::Borrowed(text);
        }
        let texts: Vec<_> = message.content.iter().filter_map(|it| self.text(it)).collect();
        Cow::Owned(texts.join("\n"))
    }

    /// What a part is in words; the model is told of what it cannot see.
    fn text(&self, part: &'a Part) -> Option<Cow<'a, str>> {
        match part {
            Part::Text { text } => Some(Cow::Borrowed(text)),
            Part::Image { .. } if self.image(part).is_some() => None,
            Part::Image { .. } => Some(Cow::Borrowed("[a picture that is not shown here]")),
            Part::File { file_id, name } => {
                let name = name.as_deref().unwrap_or(file_id);
                Some(Cow::Owned(format!("[the file {name:?}, whose content is not shown here]")))
            }
        }
    }

    /// A picture's base64; Ollama fetches none by its address.
    fn image(&self, part: &'a Part) -> Option<&'a str> {
        match part {
            Part::Image { url } if self.vision => {
                let (kind, data) = url.strip_prefix("data:")?.split_once(',')?;
                kind.ends_with(";base64").then_some(data)
            }
            Part::Image { .. } | Part::Text { .. } | Part::File { .. } => None,
        }
    }
}

/// The arguments, which must be an object: what is none was refused by the tool already.
fn arguments(call: &ToolCall) -> Cow<'_, RawValue> {
    let object = Some(call.arguments.trim()).filter(|it| it.starts_with('{'));
    match object.and_then(|it| serde_json::from_str::<&RawValue>(it).ok()) {
        Some(object) => Cow::Borrowed(object),
        None => Cow::Owned(RawValue::from_string("{}".to_owned()).unwrap_or_default()),
    }
}

fn tool(spec: &ToolSpec) -> RequestTool<'_> {
    let ToolSpec { name, description, parameters } = spec;
    RequestTool { r#type: "function", function: RequestFunction { name, description, parameters } }
}
