//! Everything an owner has, out and in again: one JSON document, or a session a line.

use std::pin::Pin;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use brain_core::memory::{
    self, Document, ExportedSession, FormatVersion, MemoryClass, MemoryError, OnConflict, Refused,
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::{
    api::App,
    body,
    chat::check_title_and_metadata,
    error::ApiError,
    extract::{Caller, Params},
};

/// The media type of a session a line.
const NDJSON: &str = "application/x-ndjson";

/// What an export begins with, whatever its form.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    v: u32,
}

/// Streams everything that the caller has, one session at a time.
pub(crate) async fn export(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let store = app.brain.ports().store.clone();
    let mut sessions = memory::export(store, caller.0).peekable();
    // What fails before the first byte gets a status; later it breaks the body off.
    if let Some(Err(_)) = Pin::new(&mut sessions).peek().await
        && let Some(Err(error)) = sessions.next().await
    {
        return Err(error.into());
    }
    let lines = wants_lines(&headers);
    let media_type = if lines { NDJSON } else { "application/json" };
    let chunks = if lines { as_lines(sessions.boxed()) } else { as_document(sessions.boxed()) };
    let chunks = chunks.inspect(|it| {
        if let Err(error) = it {
            tracing::error!(%error, "an export broke off");
        }
    });
    Ok(([(header::CONTENT_TYPE, media_type)], Body::from_stream(chunks)).into_response())
}

fn wants_lines(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
    accepts.flat_map(|it| it.split(',')).any(|it| it.trim().starts_with(NDJSON))
}

type Sessions = BoxStream<'static, Result<ExportedSession, MemoryError>>;
type Chunks = BoxStream<'static, Result<Bytes, axum::BoxError>>;

/// The bytes of [`Document`], without ever holding one.
fn as_document(sessions: Sessions) -> Chunks {
    let empty = serde_json::to_string(&Document::new(Vec::new())).unwrap_or_default();
    let (start, end) = empty.split_at(empty.len().saturating_sub(2));
    let (start, end) = (Bytes::from(start.to_owned()), Bytes::from(end.to_owned()));
    let sessions = sessions.enumerate().map(|(index, session)| {
        let before: &[u8] = if index == 0 { b"" } else { b"," };
        write(before, &session?, b"")
    });
    stream::iter([Ok(start)]).chain(sessions).chain(stream::iter([Ok(end)])).boxed()
}

fn as_lines(sessions: Sessions) -> Chunks {
    let header = Header { format: Document::FORMAT.to_owned(), v: FormatVersion::NUMBER };
    let sessions = sessions.map(|session| write(b"", &session?, b"\n"));
    stream::iter([write(b"", &header, b"\n")]).chain(sessions).boxed()
}

fn write<T: Serialize>(before: &[u8], value: &T, after: &[u8]) -> Result<Bytes, axum::BoxError> {
    let mut bytes = BytesMut::from(before).writer();
    serde_json::to_writer(&mut bytes, value)?;
    let mut bytes = bytes.into_inner();
    bytes.extend_from_slice(after);
    Ok(bytes.freeze())
}

#[derive(Debug, Deserialize)]
pub(crate) struct ImportQuery {
    #[serde(default)]
    on_conflict: OnConflict,
}

/// Puts an export back. Nothing is written unless all of it can be read.
pub(crate) async fn import(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<ImportQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let media_type = body::media_type(request.headers());
    let lines = media_type.as_deref() == Some(NDJSON);
    let known = lines || body::is_json(request.headers());
    let held = body::read(&app, request, app.config.max_import_bytes).await?;
    if !known {
        return Err(body::unsupported_media_type(
            "send an export, with `content-type: application/json` or `application/x-ndjson`",
        ));
    }
    let (bytes, permit) = held.into_parts();
    let read = if lines { read_lines } else { read_document };
    let sessions = tokio::task::spawn_blocking(move || read(&bytes));
    let mut sessions =
        sessions.await.map_err(|error| ApiError::internal().with_source(error))??;
    let mut refused = Vec::new();
    sessions.retain(|it| {
        let refusal = refusal(it);
        let is_fit = refusal.is_none();
        refused.extend(refusal);
        is_fit
    });
    let sessions = stream::iter(sessions.into_iter().map(Ok));
    let store = &*app.brain.ports().store;
    let mut report = memory::import(store, &caller.0, sessions, query.on_conflict).await?;
    report.refused.extend(refused);
    drop(permit);
    Ok(Json(report).into_response())
}

/// Why a session is left out: what cannot be made here is not imported either.
fn refusal(session: &ExportedSession) -> Option<Refused> {
    let id = session.id.clone();
    if session.class == MemoryClass::Ephemeral {
        let why = "the session is ephemeral, and this service has no short-term memory".to_owned();
        return Some(Refused { id, code: "not_supported", why });
    }
    let error = check_title_and_metadata(session.title.as_deref(), session.metadata.as_ref()).err();
    error.map(|it| Refused { id, code: "invalid_request", why: it.detail().to_owned() })
}

fn read_document(bytes: &Bytes) -> Result<Vec<ExportedSession>, ApiError> {
    check_header(bytes, 0)?;
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| malformed(bytes, 0, &error))?;
    Ok(document.sessions)
}

fn read_lines(bytes: &Bytes) -> Result<Vec<ExportedSession>, ApiError> {
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let mut lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let (first, header) = lines.next().unwrap_or_default();
    check_header(header, first)?;
    let read =
        |(index, line)| serde_json::from_slice(line).map_err(|it| malformed(line, index, &it));
    lines.map(read).collect()
}

/// Refuses what is no export, or one of a later version, before its fields are looked at.
fn check_header(bytes: &[u8], line: usize) -> Result<(), ApiError> {
    let header: Header =
        serde_json::from_slice(bytes).map_err(|error| malformed(bytes, line, &error))?;
    let (format, known) = (Document::FORMAT, FormatVersion::NUMBER);
    if header.format != format {
        let detail = format!("the body is no export: its `format` is not `{format}`");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_import", detail));
    }
    if header.v == known {
        return Ok(());
    }
    Err(unsupported_version(format!(
        "the export has version {}, and this service knows version {known}; use a newer one",
        header.v
    )))
}

fn unsupported_version(detail: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "unsupported_version", detail)
}

/// Names the place; `before` is the number of lines before the bytes that were read.
fn malformed(bytes: &[u8], before: usize, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    if text.starts_with("format version") {
        return unsupported_version(text);
    }
    let syntax = body::syntax_error(bytes);
    let code = if syntax.is_some() { "invalid_json" } else { "invalid_import" };
    let error = syntax.as_ref().unwrap_or(error);
    let (line, column, text) = (error.line() + before, error.column(), error.to_string());
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    let detail = format!("the export cannot be read at line {line}, column {column}: {what}");
    ApiError::new(StatusCode::BAD_REQUEST, code, detail)
        .with_member("line", line)
        .with_member("column", column)
}
