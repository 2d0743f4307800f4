//! Reading the bodies of requests: bounded, one by one and all together, and JSON out of them.

mod none;
mod words;

use std::{fmt, marker::PhantomData, sync::Arc};

use axum::{body::Body, extract::Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor,
        value::MapAccessDeserializer,
    },
};
use serde_json::value::RawValue;
use serde_path_to_error::Track;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Duration, timeout},
};

pub(crate) use self::{
    none::refuse_unexpected,
    words::{plain, without_place},
};
use crate::{api::App, error::ApiError};

/// How long a client may go on sending what is refused, so that it gets to read why.
const LINGER: Duration = Duration::from_secs(30);
/// How long it may pause meanwhile.
const LINGER_PAUSE: Duration = Duration::from_secs(2);

/// A body, and its share of what all bodies may hold.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Reads a whole body of at most `max_bytes`.
pub(crate) async fn read(app: &App, request: Request, max_bytes: usize) -> Result<Held, ApiError> {
    let plain = check_encoding(request.headers());
    let mut pieces = Pieces::of(app, request);
    let declared = usize::try_from(pieces.declared()).unwrap_or(usize::MAX);
    let read = match plain {
        Ok(()) if max_bytes < declared => Err(ApiError::too_large(max_bytes)),
        Ok(()) => hold(app, &mut pieces, max_bytes).await,
        Err(error) => Err(error),
    };
    if read.is_err() {
        pieces.linger().await;
    }
    read
}

/// Refuses a body that is packed: nobody unpacks it here.
pub(crate) fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_plain = |it: &[u8]| it.is_empty() || it.eq_ignore_ascii_case(b"identity");
    let is_plain = |it: &HeaderValue| {
        it.as_bytes().split(|it| *it == b',').all(|it| is_plain(it.trim_ascii()))
    };
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Ok(());
    }
    Err(unsupported_media_type("send the body as it is, without `content-encoding`"))
}

async fn hold(app: &App, pieces: &mut Pieces<'_>, max_bytes: usize) -> Result<Held, ApiError> {
    let mut bytes = BytesMut::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(chunk) = pieces.next().await? {
        if max_bytes < bytes.len() + chunk.len() {
            return Err(ApiError::too_large(max_bytes));
        }
        let share = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        let permit = Arc::clone(&app.held_bytes).try_acquire_many_owned(share).map_err(|_| {
            ApiError::overloaded("too many large requests are open; try again in a moment")
        })?;
        match &mut held {
            Some(held) => held.merge(permit),
            None => held = Some(permit),
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Held { bytes: bytes.freeze(), _permit: held })
}

/// A body that is read piece by piece, and kept by whoever reads it.
pub(crate) struct Pieces<'a> {
    app: &'a App,
    body: Body,
    /// Whether the client sends nothing before it is told to, which reading does.
    waits: bool,
}

impl<'a> Pieces<'a> {
    /// The body of `request`.
    pub(crate) fn of(app: &'a App, request: Request) -> Self {
        let waits = request.headers().contains_key(header::EXPECT);
        Self { app, body: request.into_body(), waits }
    }

    /// How many bytes the body has at least, as far as it says so.
    pub(crate) fn declared(&self) -> u64 {
        self.body.size_hint().lower()
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        self.waits = false;
        loop {
            let frame = timeout(self.app.config.body_timeout, self.body.frame()).await;
            let frame = frame.map_err(|_| {
                let detail = "the body did not arrive; send it without pauses";
                ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
            })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame
                .map_err(|error| ApiError::invalid("the body broke off").with_source(error))?;
            // What is no data are trailers, which mean nothing here.
            if let Ok(chunk) = frame.into_data() {
                return Ok(Some(chunk));
            }
        }
    }

    /// Takes what still comes and forgets it: whoever sends would lose the answer with the
    /// connection. Whoever waits to be told gets the answer instead.
    pub(crate) async fn linger(mut self) {
        if self.waits {
            return;
        }
        let discard =
            async { while let Ok(Some(Ok(_))) = timeout(LINGER_PAUSE, self.body.frame()).await {} };
        drop(timeout(LINGER, discard).await);
    }
}

/// Reads a JSON body.
pub(crate) async fn json<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, ApiError> {
    let is_json = is_json(request.headers());
    let held = read(app, request, app.config.max_body_bytes).await?;
    if !is_json {
        return Err(unsupported_media_type("send JSON, with `content-type: application/json`"));
    }
    parse(&held.bytes)
}

pub(crate) fn unsupported_media_type(detail: &'static str) -> ApiError {
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

/// Whether the body is said to be JSON. A page of another origin cannot say so unasked.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|it| it == "application/json" || it.ends_with("+json"))
}

/// The media type of the body, in lower case, without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Reads a field that may be `null`: `None` is a field that was left out.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What is read from a JSON object only: an array of its fields' values is none.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

/// Reads an object; the fields that somebody else reads are passed over.
struct ObjectVisitor<'a, T> {
    others: &'a [&'a str],
    value: PhantomData<T>,
}

impl<'a, T> ObjectVisitor<'a, T> {
    fn without(others: &'a [&'a str]) -> Self {
        Self { others, value: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<'_, T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        let fields = Without { fields, others: self.others };
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor::without(&[]))
    }
}

/// The fields of an object but for some.
struct Without<'a, A> {
    fields: A,
    others: &'a [&'a str],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Without<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.fields.next_key::<String>()? {
            if !self.others.contains(&name.as_str()) {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
            self.fields.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.fields.next_value_seed(seed)
    }
}

/// One of a few words, which is text and nothing else: serde_json also takes `{"word":null}` for
/// one, and calls other types a fault of the syntax.
#[derive(Debug)]
pub(crate) struct Word<T>(pub(crate) T);

struct WordVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for WordVisitor<T> {
    type Value = Word<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Word<T>, E> {
        T::deserialize(word.into_deserializer()).map(Word)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(WordVisitor(PhantomData))
    }
}

/// Reads one JSON object, naming the field that is wrong.
pub(crate) fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, ApiError> {
    parse_without(bytes, &[])
}

/// The same, where some fields are read by somebody else.
pub(crate) fn parse_without<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    others: &[&str],
) -> Result<T, ApiError> {
    let (mut reader, mut track) = (serde_json::Deserializer::from_slice(bytes), Track::new());
    let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let read = tracked.deserialize_map(ObjectVisitor::without(others));
    let Object(value) = read.map_err(|error| explain(bytes, &track.path().to_string(), &error))?;
    reader.end().map_err(|error| explain(bytes, ".", &error))?;
    Ok(value)
}

fn explain(bytes: &[u8], path: &str, error: &serde_json::Error) -> ApiError {
    if let Some(error) = syntax_error(bytes) {
        return ApiError::invalid_json(format!("the body is not JSON: {error}"));
    }
    match plain(&error.to_string()) {
        text if text.starts_with("unknown field") => ApiError::unknown_field(text),
        text if path == "." => ApiError::invalid(text),
        text => ApiError::invalid(format!("`{path}`: {text}")),
    }
}

/// Why the bytes are not one JSON value, whatever that says. The category of another error does not
/// tell: to serde_json, a number out of range or in the place of a word is a fault of the syntax.
pub(crate) fn syntax_error(bytes: &[u8]) -> Option<serde_json::Error> {
    serde_json::from_slice::<&RawValue>(bytes).err()
}
