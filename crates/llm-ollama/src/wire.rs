//! The JSON of the API, as it is sent and as it comes.
//!
//! What comes is read leniently: a field of the wrong shape is a field that is not there.

use std::{borrow::Cow, collections::HashMap};

use brain_core::json::RawJson;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Value, value::RawValue};

use crate::config::KeepAlive;

/// The body of `POST /api/chat`.
#[derive(Debug, Serialize)]
pub(crate) struct ChatBody<'a> {
    pub(crate) model: &'a str,
    pub(crate) messages: Vec<RequestMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<RequestTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<RawJson>,
    #[serde(flatten)]
    pub(crate) run: Run<'a>,
}

/// The body of `POST /api/generate`.
#[derive(Debug, Serialize)]
pub(crate) struct GenerateBody<'a> {
    pub(crate) model: &'a str,
    pub(crate) prompt: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) suffix: &'a str,
    /// Without a suffix there is no template to put it in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) raw: bool,
    #[serde(flatten)]
    pub(crate) run: Run<'a>,
}

/// What chats and completions have in common.
#[derive(Debug, Serialize)]
pub(crate) struct Run<'a> {
    pub(crate) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) think: Option<Think>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truncate: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shift: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) options: RunOptions<'a>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Think {
    Whether(bool),
    Level(&'static str),
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct RunOptions<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) num_ctx: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) num_predict: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) stop: &'a [String],
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestMessage<'a> {
    pub(crate) role: &'static str,
    pub(crate) content: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thinking: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<RequestToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_call_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestToolCall<'a> {
    pub(crate) id: &'a str,
    pub(crate) function: RequestFunctionCall<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestFunctionCall<'a> {
    pub(crate) name: &'a str,
    /// An object.
    pub(crate) arguments: Cow<'a, RawValue>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestTool<'a> {
    pub(crate) r#type: &'static str,
    pub(crate) function: RequestFunction<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestFunction<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) parameters: &'a Value,
}

/// One line of a chat's or a completion's answer.
#[derive(Debug, Deserialize)]
pub(crate) struct AnswerLine<'a> {
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) model: Option<Text<'a>>,
    /// Of a chat.
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) message: Option<AnswerMessage<'a>>,
    /// Of a completion.
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) response: Option<Text<'a>>,
    /// Of a completion.
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) thinking: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) done: Option<bool>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) done_reason: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) prompt_eval_count: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) prompt_eval_cached_count: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) eval_count: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AnswerMessage<'a> {
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) content: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) thinking: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) tool_calls: Option<Vec<AnswerToolCall<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AnswerToolCall<'a> {
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) function: Option<AnswerFunction<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AnswerFunction<'a> {
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) name: Option<Text<'a>>,
    /// An object; some proxies send its text.
    #[serde(borrow, default)]
    pub(crate) arguments: Option<&'a RawValue>,
}

/// The body of `POST /api/show`.
#[derive(Debug, Serialize)]
pub(crate) struct ShowBody<'a> {
    pub(crate) model: &'a str,
}

/// The answer to it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ShowResponse {
    /// Lines of a name and a value.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) parameters: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) template: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) model_info: Option<HashMap<String, Value>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) projector_info: Option<HashMap<String, Value>>,
    /// Since 0.6.4.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) capabilities: Option<Vec<String>>,
    /// Of a model that runs elsewhere.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) remote_model: Option<String>,
}

/// The answer to `GET /api/tags`.
#[derive(Debug, Deserialize)]
pub(crate) struct TagsResponse {
    /// `null` where there are none.
    pub(crate) models: Option<Vec<Tag>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Tag {
    pub(crate) name: String,
}

/// The answer to `GET /api/version`.
#[derive(Debug, Deserialize)]
pub(crate) struct VersionResponse {
    pub(crate) version: String,
}

/// The body of `POST /api/embed`.
#[derive(Debug, Serialize)]
pub(crate) struct EmbedBody<'a> {
    pub(crate) model: &'a str,
    pub(crate) input: &'a [String],
    /// A text that is too long is read as far as it fits.
    pub(crate) truncate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) options: RunOptions<'a>,
}

/// The answer to it.
#[derive(Debug, Deserialize)]
pub(crate) struct EmbedResponse {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) embeddings: Option<Vec<Vec<f32>>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) prompt_eval_count: Option<u64>,
}

/// The body of `POST /api/pull`.
#[derive(Debug, Serialize)]
pub(crate) struct PullBody<'a> {
    pub(crate) model: &'a str,
    pub(crate) stream: bool,
}

/// One line of its answer.
#[derive(Debug, Deserialize)]
pub(crate) struct PullLine<'a> {
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) status: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) digest: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) total: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) completed: Option<u64>,
}

/// Reads a line, which must be an object: serde takes a list for a struct as well.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, serde_json::Error> {
    if json.trim_start().starts_with('{') {
        serde_json::from_str(json)
    } else {
        Err(de::Error::custom("the line is no object"))
    }
}

/// Text that borrows from the JSON where it holds no escapes.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// The text of a field, if it is there and not empty.
pub(crate) fn filled<'a>(field: Option<&'a Text<'_>>) -> Option<&'a str> {
    field.map(|text| &*text.0).filter(|text| !text.is_empty())
}

/// Whether an `error` is there and says something.
pub(crate) fn states_error(error: Option<&RawValue>) -> bool {
    error.is_some_and(|error| error.get() != "null")
}

/// A tool call's arguments as JSON text; nothing is an empty object.
pub(crate) fn argument_text(raw: Option<&RawValue>) -> String {
    let json = raw.map_or("null", RawValue::get);
    let text = serde_json::from_str(json).map_or(Cow::Borrowed(json), |Text(text)| text);
    if matches!(text.trim(), "" | "null") { "{}".to_owned() } else { text.into_owned() }
}

/// A field that is missing, `null` or of another shape is `None`.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let raw = Option::<&'de RawValue>::deserialize(from)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}
