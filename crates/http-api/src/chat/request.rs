//! What a client may ask of a turn, as it writes it.

use std::{fmt, ops::RangeInclusive};

use brain_core::{
    brain::{OnBusy, OnDisconnect, StartedTurn, TurnInput, TurnRequest},
    chat::Part,
    ids::{IdempotencyKey, Seq, SessionId},
    json::RawJson,
    llm::GenerationOptions,
    memory::MemoryClass,
};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor, value::SeqAccessDeserializer},
};

use serde_json::value::RawValue;

use crate::{
    api::App,
    body::{Object, Word, without_place},
    error::ApiError,
    extract::Caller,
    fields::{check_model, check_stops, check_system, check_title, read_metadata},
};

/// The body of `POST /chat`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChatBody {
    message: Option<MessageBody>,
    session_id: Option<SessionId>,
    title: Option<String>,
    metadata: Option<Box<RawValue>>,
    model: Option<String>,
    pub(super) stream: Option<bool>,
    system: Option<String>,
    tools: Option<Vec<String>>,
    options: Option<Object<OptionsBody>>,
    memory: Option<Word<MemoryClass>>,
    recall: Option<bool>,
    parent: Option<Seq>,
    regenerate: Option<Seq>,
    on_busy: Option<Word<OnBusy>>,
    on_disconnect: Option<Word<OnDisconnect>>,
}

/// How to sample, as a client says it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionsBody {
    temperature: Option<f64>,
    top_p: Option<f64>,
    max_tokens: Option<u32>,
    stop: Option<Vec<String>>,
    seed: Option<u64>,
    response_format: Option<Box<RawValue>>,
    reasoning_effort: Option<String>,
}

/// A turn to open, and what the client takes its session for.
#[derive(Debug)]
pub(super) struct AskedTurn {
    request: TurnRequest,
    class: Option<MemoryClass>,
}

impl AskedTurn {
    /// Opens it, unless its session is of another class than the client says: that one stays as it
    /// was made.
    pub(super) async fn start(self, app: &App, caller: &Caller) -> Result<StartedTurn, ApiError> {
        let Self { request, class } = self;
        if let (Some(class), Some(id)) = (class, &request.session) {
            let session = app.brain.ports().store.session(&caller.key(id.clone())).await?;
            if session.is_some_and(|it| it.class != class) {
                return Err(ApiError::memory_mismatch());
            }
        }
        Ok(app.brain.chat(&caller.0, request).await?)
    }
}

/// A message: text, or content parts.
#[derive(Debug)]
struct MessageBody(Vec<Part>);

impl<'de> Deserialize<'de> for MessageBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MessageVisitor)
    }
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = MessageBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or an array of content parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<MessageBody, E> {
        Ok(MessageBody(vec![Part::Text { text: text.to_owned() }]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<MessageBody, A::Error> {
        let parts: Vec<Object<Part>> = Vec::deserialize(SeqAccessDeserializer::new(parts))?;
        Ok(MessageBody(parts.into_iter().map(|Object(it)| it).collect()))
    }
}

impl ChatBody {
    /// The request as the brain takes it.
    pub(super) fn into_turn(self, key: Option<IdempotencyKey>) -> Result<AskedTurn, ApiError> {
        check_title(self.title.as_deref())?;
        check_system(self.system.as_deref())?;
        check_model(self.model.as_deref())?;
        let metadata = self.metadata.as_deref().map(read_metadata).transpose()?;
        if self.regenerate.is_some() && self.parent.is_some() {
            return Err(ApiError::invalid(
                "`regenerate` names its place itself; leave `parent` out",
            ));
        }
        let options = self.options.map(|Object(it)| it.read()).transpose()?.unwrap_or_default();
        let class = self.memory.map(|Word(it)| it);
        let request = TurnRequest {
            session: self.session_id,
            input: input(self.message, self.regenerate)?,
            parent: self.parent,
            title: self.title,
            metadata,
            model: self.model.filter(|it| !it.is_empty()),
            system: self.system,
            tools: self.tools,
            options,
            class: class.unwrap_or_default(),
            recall: self.recall,
            on_busy: self.on_busy.map(|Word(it)| it).unwrap_or_default(),
            on_disconnect: self.on_disconnect.map(|Word(it)| it).unwrap_or_default(),
            idempotency_key: key,
        };
        Ok(AskedTurn { request, class })
    }
}

fn input(message: Option<MessageBody>, regenerate: Option<Seq>) -> Result<TurnInput, ApiError> {
    match (message, regenerate) {
        (Some(MessageBody(parts)), None) => {
            parts.iter().try_for_each(check_part)?;
            Ok(TurnInput::Message(parts))
        }
        (None, Some(seq)) => Ok(TurnInput::Regenerate(seq)),
        (Some(_), Some(_)) => {
            Err(ApiError::invalid("give `message` or `regenerate`, not both of them"))
        }
        (None, None) => Err(ApiError::invalid("`message` is missing; say something")),
    }
}

fn check_part(part: &Part) -> Result<(), ApiError> {
    match part {
        Part::Text { .. } => Ok(()),
        Part::Image { url } if url.starts_with("https://") || url.starts_with("data:") => Ok(()),
        Part::Image { .. } => {
            Err(ApiError::invalid("the `url` of an image must start with `https://` or `data:`"))
        }
        Part::File { .. } => Err(ApiError::not_supported(
            "files cannot be uploaded yet; put the text of the file into the message",
        )),
    }
}

impl OptionsBody {
    /// What a provider can take; the rest is refused before it is stored.
    fn read(self) -> Result<GenerationOptions, ApiError> {
        let stop = self.stop.unwrap_or_default();
        let within = |value: Option<f64>, range: RangeInclusive<f64>| {
            value.is_none_or(|it| range.contains(&it))
        };
        if !within(self.temperature, 0.0..=2.0) {
            return Err(ApiError::invalid("`options.temperature` must be 0 to 2"));
        }
        if !within(self.top_p, f64::MIN_POSITIVE..=1.0) {
            return Err(ApiError::invalid("`options.top_p` must be above 0 and at most 1"));
        }
        if self.max_tokens == Some(0) {
            return Err(ApiError::invalid("`options.max_tokens` must be at least 1"));
        }
        check_stops("options.stop", &stop)?;
        let response_format = self.response_format.as_deref().map(read_format).transpose()?;
        Ok(GenerationOptions {
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens: self.max_tokens,
            stop,
            seed: self.seed,
            response_format,
            reasoning_effort: self.reasoning_effort,
        })
    }
}

fn read_format(format: &RawValue) -> Result<RawJson, ApiError> {
    if !format.get().starts_with('{') {
        return Err(ApiError::invalid("`options.response_format` must be a JSON object"));
    }
    RawJson::parse_strict(format.get()).map_err(|error| {
        ApiError::invalid(format!("`options.response_format`: {}", without_place(&error)))
    })
}
