//! What the service says of itself: its health, its version, its routes.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use brain_core::memory::{Health, TierHealth};
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    api::{App, routes},
    error::chain,
};

/// How long one check may take.
const CHECK_TIME: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
pub(crate) struct FrontPage {
    name: &'static str,
    version: String,
    documentation: &'static str,
    routes: Vec<&'static str>,
}

/// Names the service and where to go on.
pub(crate) async fn front_page(State(app): State<App>) -> Json<FrontPage> {
    Json(FrontPage {
        name: "codexd",
        version: app.config.version.clone(),
        documentation: "docs/API.md",
        routes: routes().into_iter().map(|(path, _)| path).collect(),
    })
}

#[derive(Debug, Serialize)]
pub(crate) struct Live {
    status: &'static str,
}

/// Whether the process answers at all.
pub(crate) async fn live() -> Json<Live> {
    Json(Live { status: "ok" })
}

#[derive(Serialize)]
struct Ready {
    status: &'static str,
    checks: Vec<CheckView>,
}

#[derive(Serialize)]
struct CheckView {
    name: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl CheckView {
    fn of(name: &str, failure: Option<String>) -> Self {
        let status = if failure.is_none() { "ok" } else { "failed" };
        Self { name: name.to_owned(), status, detail: failure }
    }

    fn of_tier(tier: TierHealth) -> Self {
        let status = if tier.problem.is_none() { "ok" } else { "degraded" };
        Self { name: format!("memory:{}", tier.name), status, detail: tier.problem.or(tier.note) }
    }

    fn is_ok(&self) -> bool {
        self.status == "ok"
    }
}

/// Whether turns can be acknowledged, and what else is wrong.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let late = || Err::<(), _>(format!("no answer within {} s", CHECK_TIME.as_secs()));
    let memory = timeout(CHECK_TIME, app.brain.ports().store.health()).await;
    let memory = match memory {
        Ok(Ok(health)) => Ok(health),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => late().map(|()| Health::default()),
    };
    let is_up = memory.is_ok();
    let memory = match memory {
        Ok(health) => health.tiers.into_iter().map(CheckView::of_tier).collect(),
        Err(error) => vec![CheckView::of("memory", Some(error))],
    };
    let others = join_all(app.config.checks.iter().map(|it| async move {
        let result = timeout(CHECK_TIME, it.check()).await.unwrap_or_else(|_| late());
        CheckView::of(it.name(), result.err())
    }));
    let others = others.await;
    let checks: Vec<CheckView> = memory.into_iter().chain(others).collect();
    let (status, word) = match (is_up, checks.iter().all(CheckView::is_ok)) {
        (true, true) => (StatusCode::OK, "ok"),
        (true, false) => (StatusCode::OK, "degraded"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    (status, Json(Ready { status: word, checks })).into_response()
}
