//! What happens inside the tree of a session: forking a branch off, and forgetting one entry.

use axum::{
    Json,
    extract::{Path, Request, State},
    response::Response,
};
use brain_core::{
    ids::{Seq, SessionId},
    memory::{self, Forgotten, ReadFrom},
};
use serde::Deserialize;

use super::sessions::{created, exists_or};
use crate::{
    api::App,
    body,
    chat::check_title_and_metadata,
    error::ApiError,
    extract::{Caller, SessionName, session_id},
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForkBody {
    at: Option<Seq>,
    id: Option<SessionId>,
    title: Option<String>,
}

/// Copies the head's branch, or the one that ends `at` an entry, into a new session.
pub(crate) async fn fork(
    State(app): State<App>,
    caller: Caller,
    SessionName(id): SessionName,
    request: Request,
) -> Result<Response, ApiError> {
    let body: ForkBody = body::json(&app, request).await?;
    check_title_and_metadata(body.title.as_deref(), None)?;
    let (ports, key) = (app.brain.ports(), caller.key(id));
    let now = ports.clock.now();
    let to = caller.key(body.id.unwrap_or_else(|| SessionId::generate(now)));
    let from = body.at.map_or(ReadFrom::Head, ReadFrom::Entry);
    let forked = memory::fork(&*ports.store, &key, from, (&to, body.title), now).await;
    let session = forked.map_err(exists_or)?;
    Ok(created(&session.ok_or_else(ApiError::session_not_found)?))
}

/// Erases what one entry says. One that is not there is erased already.
pub(crate) async fn forget_entry(
    State(app): State<App>,
    caller: Caller,
    Path((id, seq)): Path<(String, String)>,
) -> Result<Json<Forgotten>, ApiError> {
    let key = caller.key(session_id(id)?);
    let seq = seq.parse().map(Seq).map_err(|_| {
        ApiError::invalid("the last part of the path must be the `seq` of an entry, a number")
    })?;
    Ok(Json(app.brain.forget_entry(&key, seq).await?))
}
