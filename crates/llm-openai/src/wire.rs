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
    /// Mistral's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) random_seed: Option<u64>,
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
    pub(crate) tool_call_id: Option<Cow<'a, str>>,
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
    pub(crate) id: Cow<'a, str>,
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
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) x_groq: Option<GroqExtra<'a>>,
}

/// What Groq adds to a chunk.
#[derive(Debug, Deserialize)]
pub(crate) struct GroqExtra<'a> {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) usage: Option<WireUsage>,
    /// Why it stopped early.
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) error: Option<Text<'a>>,
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
    /// In place of both where a gap is filled.
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) text: Option<Text<'a>>,
    /// OpenRouter's place for a failure of the provider behind it.
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
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
    /// Mistral's.
    pub(crate) max_context_length: Option<Value>,
    /// Tells the make of the server.
    #[serde(default, deserialize_with = "owned_lenient")]
    pub(crate) owned_by: Option<String>,
    /// Mistral's facts, each a yes or no.
    pub(crate) capabilities: Option<Value>,
    /// OpenRouter's, with what goes in.
    pub(crate) architecture: Option<Value>,
    /// OpenRouter's, with `tools` among them.
    pub(crate) supported_parameters: Option<Value>,
}

/// The answer to llama.cpp's `GET /props`.
#[derive(Debug, Deserialize)]
pub(crate) struct ServerProps {
    pub(crate) default_generation_settings: Option<Value>,
    pub(crate) modalities: Option<Value>,
}

/// The answer to TabbyML's `GET /v1/health`.
#[derive(Debug, Deserialize)]
pub(crate) struct TabbyHealth {
    #[serde(default, deserialize_with = "owned_lenient")]
    pub(crate) chat_model: Option<String>,
}

/// The answer to TabbyML's `GET /v1beta/models`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct TabbyModels {
    #[serde(default)]
    pub(crate) chat: Option<Vec<String>>,
}

/// The body of `POST /completions` and of Mistral's `/fim/completions`.
#[derive(Debug, Serialize)]
pub(crate) struct SuffixRequest<'a> {
    pub(crate) model: &'a str,
    pub(crate) prompt: &'a str,
    pub(crate) suffix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) stop: &'a [String],
    pub(crate) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_options: Option<StreamOptions>,
}

/// The body of llama.cpp's `POST /infill`.
#[derive(Debug, Serialize)]
pub(crate) struct InfillRequest<'a> {
    pub(crate) input_prefix: &'a str,
    pub(crate) input_suffix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) n_predict: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) stop: &'a [String],
    pub(crate) stream: bool,
}

/// One frame of the answer to `/infill`.
#[derive(Debug, Deserialize)]
pub(crate) struct InfillChunk<'a> {
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) content: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) model: Option<Text<'a>>,
    /// Whether it is the last one.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) stop: Option<bool>,
    /// `eos`, `word` or `limit`.
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub(crate) stop_type: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) tokens_evaluated: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) tokens_predicted: Option<u64>,
}

/// The body of TabbyML's `POST /v1/completions`.
#[derive(Debug, Serialize)]
pub(crate) struct SegmentsRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<&'a str>,
    pub(crate) segments: Segments<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Segments<'a> {
    pub(crate) prefix: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) suffix: &'a str,
}

/// The answer to it.
#[derive(Debug, Deserialize)]
pub(crate) struct SegmentsResponse {
    pub(crate) choices: Vec<SegmentsChoice>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SegmentsChoice {
    pub(crate) text: String,
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

/// A part of a `content`: words, or what the model thought before.
#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow, default, deserialize_with = "lenient")]
    text: Option<Text<'a>>,
    /// Mistral's, itself a list of parts.
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
}

/// Reasoning and text of a `content`: a string, or a list of parts.
pub(crate) fn content_text(raw: &RawValue) -> (String, Cow<'_, str>) {
    let json = raw.get();
    if let Ok(Text(text)) = serde_json::from_str(json) {
        return (String::new(), text);
    }
    let parts: Vec<WirePart<'_>> = serde_json::from_str(json).unwrap_or_default();
    let thoughts = parts.iter().filter_map(|part| part.thinking).map(|it| content_text(it).1);
    let texts = parts.iter().filter_map(|part| filled(part.text.as_ref()));
    (thoughts.collect(), texts.collect())
}

/// A tool call's arguments: the string's content, or the JSON itself; `null` is nothing.
pub(crate) fn argument_text(raw: &RawValue) -> Cow<'_, str> {
    match raw.get() {
        "null" => Cow::Borrowed(""),
        json => serde_json::from_str(json).map_or(Cow::Borrowed(json), |Text(text)| text),
    }
}

/// The same for types that borrow nothing, also from what is not a text.
fn owned_lenient<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let value = Option::<Value>::deserialize(from)?;
    Ok(value.as_ref().and_then(Value::as_str).map(str::to_owned))
}

/// A field that is missing, `null` or of another shape is `None`.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let raw = Option::<&'de RawValue>::deserialize(from)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}
