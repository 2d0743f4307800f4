//! The JSON of Chat Completions, embeddings and models, as it is sent and as it comes.
//!
//! What comes is read leniently: a field of the wrong shape is a field that is not there.

use std::borrow::Cow;

use brain_core::json::RawJson;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, value::RawValue};

/// The body of `POST /chat/completions`.
#[derive(Debug, Serialize)]
pub(crate) struct ChatCompletionRequest<'a> {
    pub(crate) model: &'a str,
    pub(crate) messages: Vec<RequestMessage<'a>>,
    pub(crate) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_format: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<RequestTool<'a>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StreamOptions {
    pub(crate) include_usage: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestMessage<'a> {
    pub(crate) role: &'static str,
    /// `null` only beside tool calls.
    pub(crate) content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<RequestToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_call_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<ContentPart<'a>>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ContentPart<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Debug, Serialize)]
pub(crate) struct ImageUrl<'a> {
    pub(crate) url: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestToolCall<'a> {
    pub(crate) id: &'a str,
    pub(crate) r#type: &'static str,
    pub(crate) function: RequestFunctionCall<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestFunctionCall<'a> {
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a str,
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

/// One `chat.completion.chunk`, or a whole `chat.completion`.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatCompletionChunk<'a> {
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) object: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) model: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) choices: Option<Vec<Choice<'a>>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) usage: Option<WireUsage>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Choice<'a> {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) index: Option<u64>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) delta: Option<Delta<'a>>,
    /// In place of `delta` in an answer that is not a stream.
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) message: Option<Delta<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) finish_reason: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(crate) content: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) reasoning: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) tool_calls: Option<Vec<CallFragment<'a>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct CallFragment<'a> {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) index: Option<u64>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) function: Option<FunctionFragment<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct FunctionFragment<'a> {
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) name: Option<Text<'a>>,
    /// A string, or the object itself.
    #[serde(borrow, default)]
    pub(crate) arguments: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct WireUsage {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) prompt_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) prompt_tokens_details: Option<PromptTokensDetails>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct PromptTokensDetails {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) cached_tokens: Option<u64>,
}

/// The answer to `GET /models`.
#[derive(Debug, Deserialize)]
pub(crate) struct ModelCards {
    /// Ollama sends `null` when it has none.
    pub(crate) data: Option<Vec<ModelCard>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ModelCard {
    pub(crate) id: String,
    /// vLLM's name for the context length.
    pub(crate) max_model_len: Option<Value>,
    /// OpenRouter's.
    pub(crate) context_length: Option<Value>,
    /// Groq's.
    pub(crate) context_window: Option<Value>,
}

/// The body of `POST /embeddings`.
#[derive(Debug, Serialize)]
pub(crate) struct EmbeddingsRequest<'a> {
    pub(crate) model: &'a str,
    pub(crate) input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encoding_format: Option<&'static str>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct EmbeddingsResponse {
    pub(crate) model: Option<String>,
    pub(crate) data: Vec<EmbeddingItem>,
    #[serde(default)]
    pub(crate) usage: Option<WireUsage>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct EmbeddingItem {
    pub(crate) index: Option<usize>,
    pub(crate) embedding: WireVector,
}

/// A vector in either encoding, whichever was asked for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum WireVector {
    Base64(String),
    Floats(Vec<f32>),
}

/// Text that borrows from the JSON where it holds no escapes.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// The text of a field, if it is there and not empty.
pub(crate) fn filled<'a>(field: Option<&'a Text<'_>>) -> Option<&'a str> {
    field.map(|text| &*text.0).filter(|text| !text.is_empty())
}

/// The text of a `content`: a string, or a list of parts with a `text` each.
pub(crate) fn content_text(raw: &RawValue) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct TextPart<'a> {
        #[serde(borrow, default, deserialize_with = "lenient")]
        text: Option<Text<'a>>,
    }
    let json = raw.get();
    if let Ok(Text(text)) = serde_json::from_str(json) {
        return text;
    }
    let parts: Vec<TextPart<'_>> = serde_json::from_str(json).unwrap_or_default();
    parts.iter().filter_map(|part| filled(part.text.as_ref())).collect()
}

/// A tool call's arguments: the string's content, or the JSON itself; `null` is nothing.
pub(crate) fn argument_text(raw: &RawValue) -> Cow<'_, str> {
    match raw.get() {
        "null" => Cow::Borrowed(""),
        json => serde_json::from_str(json).map_or(Cow::Borrowed(json), |Text(text)| text),
    }
}

/// A field that is missing, `null` or of another shape is `None`.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let raw = Option::<&'de RawValue>::deserialize(from)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}
