//! Putting an export back, ours or another program's.
//!
//! The whole of it is read twice: first to see that it holds together, so that a file that does
//! not changes nothing; then session by session, each all or nothing.

use std::{fs::File, io::Seek as _, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use brain_core::ids::SessionId;
use brain_core::memory::{
    ExportedSession, ImportError, ImportErrorKind, ImportItem, ImportReader, ImportReport,
    Importer, MemoryCapabilities, MemoryClass, OnConflict, Refused,
};
use http::StatusCode;
use serde::Deserialize;
use tokio::{
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
};

use super::{NDJSON, spool::spool};
use crate::{
    api::App,
    body,
    error::ApiError,
    extract::{Caller, Params},
    fields::check_session,
};

/// Imports at once, most of which wait for their body.
const MAX_IMPORTS: usize = 4;

/// What imports share.
#[derive(Debug)]
pub(crate) struct Imports {
    open: Arc<Semaphore>,
    /// One is read at a time, since a session takes some times its length.
    reading: Semaphore,
}

impl Default for Imports {
    fn default() -> Self {
        Self { open: Arc::new(Semaphore::new(MAX_IMPORTS)), reading: Semaphore::new(1) }
    }
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
    let headers = request.headers();
    let known = body::is_json(headers) || body::media_type(headers).as_deref() == Some(NDJSON);
    let _open = app.imports.open.try_acquire().map_err(|_| {
        ApiError::overloaded("too many imports are under way; try again in a moment")
    })?;
    let file = spool(&app, request).await?;
    if !known {
        return Err(body::unsupported_media_type(
            "send an export, with `content-type: application/json` or `application/x-ndjson`",
        ));
    }
    let _reading = app.imports.reading.acquire().await.map_err(internal)?;
    let max_bytes = app.config.max_session_bytes;
    let file = spawn_blocking(move || check(file, max_bytes)).await.map_err(internal)??;
    let store = &*app.brain.ports().store;
    let importer = Importer::new(store, &caller.0, query.on_conflict);
    let reader = ImportReader::new(file, max_bytes);
    let report = restore(importer, reader, store.capabilities()).await?;
    Ok(Json(report).into_response())
}

/// Reads all of it, and returns it to be read again.
fn check(mut file: File, max_bytes: usize) -> Result<File, ApiError> {
    for item in ImportReader::new(&mut file, max_bytes) {
        item.map_err(nothing_came)?;
    }
    file.rewind().map_err(internal)?;
    Ok(file)
}

async fn restore(
    mut importer: Importer<'_>,
    reader: ImportReader<File>,
    capabilities: MemoryCapabilities,
) -> Result<ImportReport, ApiError> {
    // One session is read while another is written.
    let (sender, mut items) = mpsc::channel(1);
    let reading = spawn_blocking(move || {
        for item in reader {
            if sender.blocking_send(item).is_err() {
                break;
            }
        }
    });
    while let Some(item) = items.recv().await {
        let item = match item {
            Ok(ImportItem::Session(session, _))
                if let Some(refused) = refusal(&session, capabilities) =>
            {
                ImportItem::Refused(refused)
            }
            Ok(item) => item,
            Err(error) => return Err(broken_off(importer, error.into(), None)),
        };
        let id = match &item {
            ImportItem::Session(session, _) => Some(session.id.clone()),
            ImportItem::Nothing(_) | ImportItem::Refused(_) => None,
        };
        if let Err(error) = importer.take(item).await {
            return Err(broken_off(importer, error.into(), id));
        }
    }
    match reading.await {
        Ok(()) => Ok(importer.finish()),
        Err(error) => Err(broken_off(importer, internal(error), None)),
    }
}

/// It cannot be read, which is found before anything is written.
fn nothing_came(error: ImportError) -> ApiError {
    let error = ApiError::from(error);
    let detail = format!("{}; nothing was imported", error.detail());
    error.with_detail(detail)
}

/// Something failed half way: what came in before stays, and importing again is safe. Sessions come
/// in as the file has them, so that the one at which it failed tells which did.
fn broken_off(importer: Importer<'_>, error: ApiError, at: Option<SessionId>) -> ApiError {
    let report = importer.finish();
    let came = report.created + report.extended + report.unchanged;
    let before = at.as_ref().map_or(String::new(), |id| format!("before session `{id}` "));
    let detail = format!(
        "{}; {before}{came} sessions came in or were there already; import it again for the rest",
        error.detail()
    );
    let report = serde_json::to_value(report).unwrap_or_default();
    error
        .with_detail(detail)
        .with_member("imported", report)
        .with_member("failed_at", at.map(|it| it.as_str().to_owned()))
}

/// Why a session is left out: what cannot be made here is not imported either.
fn refusal(session: &ExportedSession, capabilities: MemoryCapabilities) -> Option<Refused> {
    let id = session.id.clone();
    if session.class == MemoryClass::Ephemeral && !capabilities.ephemeral {
        let why = "the session is ephemeral, and this service has no short-term memory".to_owned();
        return Some(Refused { id, code: "not_supported", why });
    }
    let error = check_session(session).err();
    error.map(|it| Refused { id, code: "invalid_request", why: it.detail().to_owned() })
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        let (code, more) = match error.kind() {
            ImportErrorKind::Syntax => ("invalid_json", ""),
            ImportErrorKind::Truncated => {
                ("truncated_import", "; export it again, or send all of it")
            }
            ImportErrorKind::Format => ("invalid_import", ""),
            ImportErrorKind::Version => ("unsupported_version", "; use a newer codexd"),
            ImportErrorKind::Io => return internal(error),
        };
        let (place, detail) = (error.place(), format!("{error}{more}"));
        let problem = Self::new(StatusCode::BAD_REQUEST, code, detail)
            .with_member("line", place.line)
            .with_member("column", place.column)
            .with_member("sessions_read", error.sessions());
        match error.tree_error() {
            Some((session, fault)) => problem
                .with_member("session_id", session.as_str())
                .with_member("seq", fault.seq().0),
            None => problem,
        }
    }
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> ApiError {
    ApiError::internal().with_source(error)
}
