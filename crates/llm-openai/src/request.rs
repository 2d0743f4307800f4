//! From a request of ours to the JSON of `POST /chat/completions`; pure.

mod ids;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use brain_core::{
    chat::{Message, Part, Role, ToolCall},
    llm::ChatRequest,
    tool::ToolSpec,
};

use self::ids::WireIds;
use crate::{
    dialect::{Dialect, Field},
    wire::{
        ChatCompletionRequest, Content, ContentPart, ImageUrl, RequestFunction,
        RequestFunctionCall, RequestMessage, RequestTool, RequestToolCall, StreamOptions,
    },
};

/// The body for `request`, asking for `model` in the server's dialect.
pub(crate) fn chat<'a>(
    request: &'a ChatRequest,
    model: &'a str,
    dialect: &Dialect,
) -> ChatCompletionRequest<'a> {
    let options = &request.options;
    let limit = |field| options.max_tokens.filter(|_| dialect.token_limit() == field);
    let ids = WireIds::of(request, dialect.short_ids);
    let seed = |random| options.seed.filter(|_| random == dialect.random_seed);
    ChatCompletionRequest {
        model,
        messages: request.messages.iter().map(|it| message(it, &ids)).collect(),
        stream: true,
        stream_options: dialect
            .takes(Field::StreamOptions)
            .then_some(StreamOptions { include_usage: true }),
        max_tokens: limit(Field::MaxTokens),
        max_completion_tokens: limit(Field::MaxCompletionTokens),
        temperature: options.temperature.filter(|_| dialect.takes(Field::Temperature)),
        top_p: options.top_p.filter(|_| dialect.takes(Field::TopP)),
        stop: &options.stop,
        seed: seed(false).filter(|_| dialect.takes(Field::Seed)),
        random_seed: seed(true),
        response_format: options.response_format.as_ref(),
        reasoning_effort: options
            .reasoning_effort
            .as_deref()
            .filter(|_| dialect.takes(Field::ReasoningEffort)),
        tools: request.tools.iter().map(tool).collect(),
    }
}

fn message<'a>(message: &'a Message, ids: &WireIds<'a>) -> RequestMessage<'a> {
    let silent = message.content.is_empty() && !message.tool_calls.is_empty();
    RequestMessage {
        role: message.role.as_str(),
        content: (!silent).then(|| content(message)),
        tool_calls: message.tool_calls.iter().map(|call| tool_call(call, ids)).collect(),
        tool_call_id: message.tool_call_id.as_deref().map(|id| ids.get(id)),
    }
}

/// One string wherever that says everything: many servers take nothing else.
fn content(message: &Message) -> Content<'_> {
    let pictures = message.content.iter().any(|part| matches!(part, Part::Image { .. }));
    if pictures && message.role == Role::User {
        return Content::Parts(message.content.iter().map(part).collect());
    }
    if let [Part::Text { text }] = message.content.as_slice() {
        return Content::Text(Cow::Borrowed(text));
    }
    let texts: Vec<_> = message.content.iter().map(part_text).collect();
    Content::Text(Cow::Owned(texts.join("\n")))
}

fn part(part: &Part) -> ContentPart<'_> {
    match part {
        Part::Image { url } => ContentPart::ImageUrl { image_url: ImageUrl { url } },
        Part::Text { .. } | Part::File { .. } => ContentPart::Text { text: part_text(part) },
    }
}

/// What a part is in words; the model is told of what it cannot see.
fn part_text(part: &Part) -> Cow<'_, str> {
    match part {
        Part::Text { text } => Cow::Borrowed(text),
        Part::Image { .. } => Cow::Borrowed("[a picture that is not shown here]"),
        Part::File { file_id, name } => {
            let name = name.as_deref().unwrap_or(file_id);
            Cow::Owned(format!("[the file {name:?}, whose content is not shown here]"))
        }
    }
}

fn tool_call<'a>(call: &'a ToolCall, ids: &WireIds<'a>) -> RequestToolCall<'a> {
    let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
    let function = RequestFunctionCall { name: &call.name, arguments };
    RequestToolCall { id: ids.get(&call.id), r#type: "function", function }
}

fn tool(spec: &ToolSpec) -> RequestTool<'_> {
    let ToolSpec { name, description, parameters } = spec;
    RequestTool { r#type: "function", function: RequestFunction { name, description, parameters } }
}
