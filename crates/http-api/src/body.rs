//! Reading the bodies of requests: bounded, one by one and all together, and JSON out of them.

use std::{fmt, marker::PhantomData, sync::Arc};

use axum::{body::Body, extract::Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, Error, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer,
    },
};
use serde_json::value::RawValue;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Duration, timeout},
};

use crate::{api::App, error::ApiError};

/// How long a client may go on sending what is too much, so that it gets to read why.
const LINGER: Duration = Duration::from_secs(2);

/// A body, and its share of what all bodies may hold.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Reads a whole body of at most `max_bytes`.
pub(crate) async fn read(app: &App, request: Request, max_bytes: usize) -> Result<Held, ApiError> {
    let waits = request.headers().contains_key(header::EXPECT);
    let mut body = request.into_body();
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let read = if max_bytes < declared {
        Err(ApiError::too_large(max_bytes))
    } else {
        read_frames(app, &mut body, max_bytes).await
    };
    // Whoever still sends would lose the answer with the connection; whoever waits for a sign
    // gets the answer instead.
    if read.is_err() && !waits {
        drop(timeout(LINGER, discard(&mut body)).await);
    }
    read
}

async fn read_frames(app: &App, body: &mut Body, max_bytes: usize) -> Result<Held, ApiError> {
    let mut bytes = BytesMut::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(chunk) = next_chunk(app, body).await? {
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

async fn next_chunk(app: &App, body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = timeout(app.config.body_timeout, body.frame()).await.map_err(|_| {
            let detail = "the body did not arrive; send it without pauses";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
        })?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => {
                let error = ApiError::invalid("the body broke off").with_source(error);
                return Err(error);
            }
            // What is no data are trailers, which mean nothing here.
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    return Ok(Some(chunk));
                }
            }
        }
    }
}

async fn discard(body: &mut Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// A body that is read piece by piece, and kept by whoever reads it.
pub(crate) struct Pieces<'a> {
    app: &'a App,
    body: Body,
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
        next_chunk(self.app, &mut self.body).await
    }

    /// Takes more for a moment and forgets it, so that the client gets to read why.
    pub(crate) async fn linger(mut self) {
        if !self.waits {
            drop(timeout(LINGER, discard(&mut self.body)).await);
        }
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

/// What is read from a JSON object only: an array of its fields' values is none.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
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
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        explain(bytes, &path, &error.into_inner())
    })?;
    reader.end().map_err(|error| explain(bytes, ".", &error))?;
    Ok(value)
}

fn explain(bytes: &[u8], path: &str, error: &serde_json::Error) -> ApiError {
    if let Some(error) = syntax_error(bytes) {
        return ApiError::invalid_json(format!("the body is not JSON: {error}"));
    }
    match error.to_string() {
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
