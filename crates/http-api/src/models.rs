//! The models that can be asked for, and whether their providers answer.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use brain_core::llm::{
    Capabilities, LlmError, LlmGateway, ModelInfo, ModelList, ProviderFault, ProviderState,
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{api::App, error::ApiError};

/// How long a list is told again before the providers are asked anew.
const FRESH: Duration = Duration::from_secs(3);

/// What the providers listed last, and when.
#[derive(Debug, Default)]
pub(crate) struct Listed(Mutex<Option<(Instant, Arc<ModelList>)>>);

impl Listed {
    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Arc<ModelList>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What they list now, or did a moment ago. The providers are asked outside of the lock, so that
    /// nobody waits for anybody else.
    async fn now(&self, llm: &dyn LlmGateway) -> Result<Arc<ModelList>, LlmError> {
        let known = self.lock().clone();
        if let Some((at, list)) = known
            && at.elapsed() < FRESH
        {
            return Ok(list);
        }
        let list = Arc::new(llm.models().await?);
        *self.lock() = Some((Instant::now(), Arc::clone(&list)));
        Ok(list)
    }
}

#[derive(Serialize)]
struct ModelView<'a> {
    id: &'a str,
    provider: Option<&'a str>,
    default: bool,
    capabilities: Capabilities,
}

impl<'a> ModelView<'a> {
    fn of(model: &'a ModelInfo, default: Option<&str>) -> Self {
        let ModelInfo { id, capabilities } = model;
        Self {
            id,
            provider: id.split_once('/').map(|(provider, _)| provider),
            default: default == Some(id),
            capabilities: *capabilities,
        }
    }
}

#[derive(Serialize)]
struct ProviderView<'a> {
    name: &'a str,
    status: &'static str,
    #[serde(flatten)]
    fault: Option<&'a ProviderFault>,
}

impl<'a> ProviderView<'a> {
    fn of(state: &'a ProviderState) -> Self {
        let fault = state.fault.as_ref();
        let status = if fault.is_none() { "ok" } else { "unavailable" };
        Self { name: &state.name, status, fault }
    }
}

#[derive(Serialize)]
struct Models<'a> {
    models: Vec<ModelView<'a>>,
    providers: Vec<ProviderView<'a>>,
}

/// The models of every provider that answers, and those that do not.
pub(crate) async fn models(State(app): State<App>) -> Result<Response, ApiError> {
    let list = app.listed.now(&*app.brain.ports().llm).await?;
    let default = default(&list, &app.brain.default_model().await);
    let models = list.models.iter().map(|it| ModelView::of(it, default)).collect();
    let providers = list.providers.iter().map(ProviderView::of).collect();
    Ok(Json(Models { models, providers }).into_response())
}

/// The model that answers where none is named, if its provider lists it.
fn default<'a>(list: &'a ModelList, wanted: &str) -> Option<&'a str> {
    let found = if wanted.is_empty() {
        let is_down = list.providers.first().is_some_and(|it| it.fault.is_some());
        list.models.first().filter(|_| !is_down)
    } else {
        list.find(wanted)
    };
    found.map(|it| it.id.as_str())
}
