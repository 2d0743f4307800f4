//! Memory over HTTP: sessions and their entries, search, forgetting, export and import.
//!
//! It writes no entry: those come from turns and imports.

mod branches;
mod portable;
mod sessions;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use brain_core::memory::{Forgotten, Hit, ListOptions, PageKey};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    branches::{Forks, forget_entry, fork},
    portable::{Imports, export, import},
    sessions::{create, entries, forget, list, patch, pending, read},
};
use crate::{
    api::App,
    chat::EntryView,
    error::ApiError,
    extract::{Caller, Params, bounded},
};

/// Hits of a search: by default, and at most.
const HITS: (usize, usize) = (20, 100);
/// Sessions that are listed at a time to forget them all.
const PAGE: usize = 500;

#[derive(Debug, Deserialize)]
pub(crate) struct SearchQuery {
    q: String,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct HitView<'a> {
    session_id: &'a str,
    entry: EntryView<'a>,
    score: f32,
}

impl<'a> HitView<'a> {
    fn of(hit: &'a Hit) -> Self {
        let (session_id, score) = (hit.session.id.as_str(), hit.score);
        Self { session_id, entry: EntryView::of(&hit.entry), score }
    }
}

#[derive(Serialize)]
struct Hits<'a> {
    hits: Vec<HitView<'a>>,
}

/// Finds entries by what they say.
pub(crate) async fn search(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<SearchQuery>,
) -> Result<Response, ApiError> {
    let limit = bounded("limit", query.limit, HITS)?;
    let found = app.brain.search(&caller.0, &query.q, limit).await?;
    Ok(Json(Hits { hits: found.iter().map(HitView::of).collect() }).into_response())
}

#[derive(Debug, Default, Serialize)]
struct AllForgotten {
    erased: u64,
    pending: u64,
    sessions: u64,
}

/// Erases every session of the caller's.
pub(crate) async fn forget_all(
    State(app): State<App>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let (mut sum, mut before) = (AllForgotten::default(), None);
    loop {
        let options = ListOptions { before, limit: PAGE };
        let page = app.brain.ports().store.named(&caller.0, options).await?;
        let Some(last) = page.last() else { return Ok(Json(sum).into_response()) };
        before = Some(PageKey::from(last));
        for session in page {
            let Forgotten { erased, pending } = app.brain.forget(&caller.key(session.id)).await?;
            sum.erased += erased;
            sum.pending += pending;
            sum.sessions += 1;
        }
    }
}
