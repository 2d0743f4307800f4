//! What happens inside the tree of a session: forking a branch off, and forgetting one entry.

use std::time::Duration;

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
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::sessions::{created, exists_or};
use crate::{
    api::App,
    body,
    error::ApiError,
    extract::{Caller, SessionName, session_id},
    fields::check_title,
};

/// How long a fork waits for those before it.
const WAIT: Duration = Duration::from_secs(10);

/// What forks share: one is made at a time, since it takes some times the length of its branch.
#[derive(Debug)]
pub(crate) struct Forks(Semaphore);

impl Default for Forks {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Forks {
    async fn turn(&self, wait: Duration) -> Result<SemaphorePermit<'_>, ApiError> {
        match timeout(wait, self.0.acquire()).await {
            Ok(permit) => permit.map_err(|error| ApiError::internal().with_source(error)),
            Err(_) => {
                Err(ApiError::overloaded("too many forks are under way; try again in a moment"))
            }
        }
    }
}

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
    check_title(body.title.as_deref())?;
    let _turn = app.forks.turn(WAIT).await?;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Forks, WAIT};

    #[tokio::test]
    async fn forks_wait_for_each_other_and_not_for_ever() {
        let forks = Forks::default();
        let first = forks.turn(WAIT).await.unwrap();
        let late = forks.turn(Duration::ZERO).await.unwrap_err();
        assert_eq!(late.headers()["retry-after"], "1");
        let (second, ()) = tokio::join!(forks.turn(WAIT), async { drop(first) });
        assert!(second.is_ok());
    }
}
