//! Sessions: listing, making, reading, changing and forgetting them.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use brain_core::{
    brain::ChatError,
    ids::{Seq, SessionId, SessionKey, Token},
    json::RawJson,
    memory::{
        Forgotten, ListOptions, MemoryClass, MemoryError, MemoryErrorKind, NewSession, PageKey,
        ReadFrom, ReadOptions, Session, SessionPatch,
    },
    time::Timestamp,
};
use http::{StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    api::App,
    body::{self, Word, given},
    chat::EntryView,
    error::ApiError,
    extract::{Caller, Params, SessionName, bounded, session_id},
    fields::{check_model, check_system, check_title, read_metadata},
};

/// Sessions of a page: by default, and at most.
const SESSIONS: (usize, usize) = (50, 200);
/// Entries of an answer: by default, and at most.
const ENTRIES: (usize, usize) = (100, 1_000);

/// A session without its entries.
#[derive(Debug, Serialize)]
struct SessionView<'a> {
    id: &'a SessionId,
    title: Option<&'a str>,
    metadata: Option<&'a RawJson>,
    system: Option<&'a str>,
    model: Option<&'a str>,
    recall: bool,
    memory: MemoryClass,
    head: Option<Seq>,
    token: Token,
    entry_count: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> SessionView<'a> {
    fn of(session: &'a Session) -> Self {
        Self {
            id: &session.id,
            title: session.title.as_deref(),
            metadata: session.metadata.as_ref(),
            system: session.system.as_deref(),
            model: session.model.as_deref(),
            recall: session.recall,
            memory: session.class,
            head: session.head,
            token: session.token,
            entry_count: session.entries,
            created_at: session.created_at,
            updated_at: session.updated_at,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    id: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    from: Option<u64>,
}

#[derive(Serialize)]
struct Page<'a> {
    sessions: Vec<SessionView<'a>>,
    next_cursor: Option<String>,
}

/// One page of the caller's sessions, newest first; or the session that `?id=` names.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Result<Response, ApiError> {
    if let Some(id) = query.id {
        let branch = BranchQuery { limit: query.limit, from: query.from };
        return read_branch(&app, &caller.key(session_id(id)?), &branch).await;
    }
    if query.from.is_some() {
        return Err(ApiError::invalid("`from` goes with `id` only"));
    }
    let limit = bounded("limit", query.limit, SESSIONS)?;
    let before = query.cursor.as_deref().map(read_cursor).transpose()?;
    let options = ListOptions { before, limit: limit + 1 };
    let mut sessions = app.brain.ports().store.list(&caller.0, options).await?;
    let has_more = limit < sessions.len();
    sessions.truncate(limit);
    let last = sessions.last().filter(|_| has_more);
    let next_cursor = last.map(|it| write_cursor(&PageKey::from(it)));
    let sessions = sessions.iter().map(SessionView::of).collect();
    Ok(Json(Page { sessions, next_cursor }).into_response())
}

fn write_cursor(key: &PageKey) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{}", key.created_at.as_millis(), key.id))
}

fn read_cursor(cursor: &str) -> Result<PageKey, ApiError> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (millis, id) = text.split_once(':')?;
        let created_at = Timestamp::from_millis(millis.parse().ok()?);
        Some(PageKey { created_at, id: SessionId::new(id).ok()? })
    };
    read().ok_or_else(|| {
        ApiError::invalid("`cursor` must be the `next_cursor` of the page before, as it came")
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    id: Option<SessionId>,
    title: Option<String>,
    metadata: Option<Box<RawValue>>,
    system: Option<String>,
    model: Option<String>,
    recall: Option<bool>,
    memory: Option<Word<MemoryClass>>,
}

/// Makes an empty session.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let body: CreateBody = body::json(&app, request).await?;
    check_title(body.title.as_deref())?;
    check_system(body.system.as_deref())?;
    check_model(body.model.as_deref())?;
    let metadata = body.metadata.as_deref().map(read_metadata).transpose()?;
    let ports = app.brain.ports();
    let class = body.memory.map(|Word(it)| it).unwrap_or_default();
    if class == MemoryClass::Ephemeral && !ports.store.capabilities().ephemeral {
        return Err(ChatError::NoEphemeralMemory.into());
    }
    let key = caller.key(body.id.unwrap_or_else(|| SessionId::generate(ports.clock.now())));
    let new = NewSession {
        title: body.title,
        metadata,
        system: body.system,
        model: body.model.filter(|it| !it.is_empty()),
        recall: body.recall.unwrap_or_default(),
        class,
    };
    Ok(created(&ports.store.create(&key, new).await.map_err(exists_or)?))
}

/// The answer to a request that made a session.
pub(super) fn created(session: &Session) -> Response {
    let id = session.id.as_str();
    // Clients take these away from a path, however they are written.
    let sign = if matches!(id, "." | "..") { "?id=" } else { "/" };
    let name = utf8_percent_encode(id, NON_ALPHANUMERIC);
    let location = [(header::LOCATION, format!("/memory/sessions{sign}{name}"))];
    (StatusCode::CREATED, location, Json(SessionView::of(session))).into_response()
}

/// A conflict says that the session to make is there.
pub(super) fn exists_or(error: MemoryError) -> ApiError {
    if error.kind() != MemoryErrorKind::Conflict {
        return ApiError::from(error);
    }
    let detail = "there is a session of this id already; choose another id, or PATCH it";
    ApiError::new(StatusCode::CONFLICT, "session_exists", detail)
}

#[derive(Debug, Deserialize)]
pub(crate) struct BranchQuery {
    limit: Option<usize>,
    from: Option<u64>,
}

#[derive(Serialize)]
struct BranchView<'a> {
    session: SessionView<'a>,
    entries: Vec<EntryView<'a>>,
    has_older: bool,
}

/// A session with the newest entries of one branch.
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    SessionName(id): SessionName,
    Params(query): Params<BranchQuery>,
) -> Result<Response, ApiError> {
    read_branch(&app, &caller.key(id), &query).await
}

async fn read_branch(
    app: &App,
    key: &SessionKey,
    query: &BranchQuery,
) -> Result<Response, ApiError> {
    let limit = bounded("limit", query.limit, ENTRIES)?;
    let from = query.from.map_or(ReadFrom::Head, |seq| ReadFrom::Entry(Seq(seq)));
    let branch =
        app.brain.ports().store.read(key, ReadOptions { from, limit, unverified: false }).await?;
    let branch = branch.ok_or_else(ApiError::session_not_found)?;
    let view = BranchView {
        session: SessionView::of(&branch.session),
        entries: branch.entries.iter().map(EntryView::of).collect(),
        has_older: branch.has_older(),
    };
    Ok(Json(view).into_response())
}

#[derive(Debug, Deserialize)]
pub(crate) struct EntriesQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct EntriesView<'a> {
    entries: Vec<EntryView<'a>>,
    next_after: Option<Seq>,
}

/// Entries of all branches, by position.
pub(crate) async fn entries(
    State(app): State<App>,
    caller: Caller,
    SessionName(id): SessionName,
    Params(query): Params<EntriesQuery>,
) -> Result<Response, ApiError> {
    let limit = bounded("limit", query.limit, ENTRIES)?;
    let (store, key) = (&app.brain.ports().store, caller.key(id));
    store.session(&key).await?.ok_or_else(ApiError::session_not_found)?;
    let mut entries = store.scan(&key, Seq(query.after), limit + 1).await?;
    let has_more = limit < entries.len();
    entries.truncate(limit);
    let next_after = entries.last().map(|it| it.seq).filter(|_| has_more);
    let entries = entries.iter().map(EntryView::of).collect();
    Ok(Json(EntriesView { entries, next_after }).into_response())
}

/// What to change: a field that is left out stays, `null` clears it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchBody {
    #[serde(default, deserialize_with = "given")]
    title: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    metadata: Option<Option<Box<RawValue>>>,
    #[serde(default, deserialize_with = "given")]
    system: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    recall: Option<Option<bool>>,
    #[serde(default, deserialize_with = "given")]
    head: Option<Option<Seq>>,
    token: Option<Token>,
}

/// Changes a session: its head first, since that may be refused.
pub(crate) async fn patch(
    State(app): State<App>,
    caller: Caller,
    SessionName(id): SessionName,
    request: Request,
) -> Result<Response, ApiError> {
    let body: PatchBody = body::json(&app, request).await?;
    check_title(body.title.as_ref().and_then(Option::as_deref))?;
    check_system(body.system.as_ref().and_then(Option::as_deref))?;
    check_model(body.model.as_ref().and_then(Option::as_deref))?;
    let metadata = body.metadata.map(|it| it.as_deref().map(read_metadata).transpose());
    let metadata = metadata.transpose()?;
    let (store, key) = (&app.brain.ports().store, caller.key(id));
    store.session(&key).await?.ok_or_else(ApiError::session_not_found)?;
    match (body.head, body.token) {
        (Some(head), Some(token)) => drop(app.brain.move_head(&key, token, head).await?),
        (Some(_), None) => {
            return Err(ApiError::invalid("`head` needs the session's `token`, as you read it"));
        }
        (None, Some(_)) => return Err(ApiError::invalid("`token` goes with `head` only")),
        (None, None) => {}
    }
    let (title, system) = (body.title, body.system);
    let model = body.model.map(|it| it.filter(|name| !name.is_empty()));
    let recall = body.recall.map(Option::unwrap_or_default);
    let patch = SessionPatch { title, metadata, system, model, recall, ..SessionPatch::default() };
    let session = store.patch(&key, patch).await?.ok_or_else(ApiError::session_not_found)?;
    Ok(Json(SessionView::of(&session)).into_response())
}

/// Erases a session. One that is not there is erased already.
pub(crate) async fn forget(
    State(app): State<App>,
    caller: Caller,
    SessionName(id): SessionName,
) -> Result<Json<Forgotten>, ApiError> {
    Ok(Json(app.brain.forget(&caller.key(id)).await?))
}

#[derive(Debug, Serialize)]
pub(crate) struct PendingView {
    pending: u64,
}

/// What is not erased yet of the forgotten sessions of this name.
pub(crate) async fn pending(
    State(app): State<App>,
    caller: Caller,
    SessionName(id): SessionName,
) -> Result<Json<PendingView>, ApiError> {
    let pending = app.brain.ports().store.pending(&caller.key(id)).await?;
    Ok(Json(PendingView { pending }))
}
