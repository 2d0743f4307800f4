//! What the service says of itself: its models, its health, its version.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use brain_core::{
    llm::{Capabilities, ModelInfo, ModelList, ProviderFault, ProviderState},
    memory::{Health, TierHealth},
};
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    api::{App, routes},
    error::{ApiError, chain},
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

#[derive(Serialize)]
struct ModelView {
    id: String,
    provider: Option<String>,
    default: bool,
    capabilities: Capabilities,
}

#[derive(Serialize)]
struct ProviderView {
    name: String,
    status: &'static str,
    #[serde(flatten)]
    fault: Option<ProviderFault>,
}

impl From<ProviderState> for ProviderView {
    fn from(state: ProviderState) -> Self {
        let status = if state.fault.is_none() { "ok" } else { "unavailable" };
        Self { name: state.name, status, fault: state.fault }
    }
}

#[derive(Serialize)]
struct Models {
    models: Vec<ModelView>,
    providers: Vec<ProviderView>,
}

/// The models that can be asked for.
pub(crate) async fn models(State(app): State<App>) -> Result<Response, ApiError> {
    let ModelList { models: found, providers } = app.brain.ports().llm.models().await?;
    let wanted = app.brain.config().model.as_str();
    let default = found.iter().position(|it| wanted.is_empty() || is_named(&it.id, wanted));
    let view = |(index, ModelInfo { id, capabilities }): (usize, ModelInfo)| {
        let provider = id.split_once('/').map(|(provider, _)| provider.to_owned());
        ModelView { id, provider, default: default == Some(index), capabilities }
    };
    let models = found.into_iter().enumerate().map(view).collect();
    let providers = providers.into_iter().map(ProviderView::from).collect();
    Ok(Json(Models { models, providers }).into_response())
}

/// Whether a model goes by a name, with its provider or without.
fn is_named(id: &str, name: &str) -> bool {
    id == name || id.split_once('/').is_some_and(|(_, rest)| rest == name)
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
