//! What holds for sessions and requests that say nothing else: showing it, and choosing it.

use axum::{
    Json,
    extract::{Request, State},
};
use brain_core::brain::{ConfigError, ConfigPatch, EffectiveConfig};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    api::App,
    body::{self, given},
    error::ApiError,
    fields::{check_model, check_prompt},
};

#[derive(Debug, Serialize)]
pub(crate) struct ConfigView {
    #[serde(flatten)]
    config: EffectiveConfig,
    /// Whether what is chosen outlives the process.
    lasting: bool,
}

impl ConfigView {
    fn of(app: &App, config: EffectiveConfig) -> Self {
        Self { config, lasting: app.brain.ports().settings.is_lasting() }
    }
}

/// What holds, and where it comes from.
pub(crate) async fn read(State(app): State<App>) -> Result<Json<ConfigView>, ApiError> {
    let config = app.brain.effective_config().await?;
    Ok(Json(ConfigView::of(&app, config)))
}

/// What to choose: a field that is left out stays, `null` goes back to what the daemon was started
/// with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchBody {
    #[serde(default, deserialize_with = "given")]
    model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    system_prompt: Option<Option<String>>,
}

/// Chooses what holds from the next turn on.
pub(crate) async fn patch(
    State(app): State<App>,
    request: Request,
) -> Result<Json<ConfigView>, ApiError> {
    let PatchBody { model, system_prompt } = body::json(&app, request).await?;
    if let Some(Some(name)) = &model {
        check_model(Some(name))?;
        if name.is_empty() {
            let detail = "`model` is empty; name one, or send null for the one of the environment";
            return Err(ApiError::invalid(detail));
        }
    }
    check_prompt("system_prompt", system_prompt.as_ref().and_then(Option::as_deref))?;
    let config = app.brain.configure(ConfigPatch { model, system_prompt }).await?;
    Ok(Json(ConfigView::of(&app, config)))
}

impl From<ConfigError> for ApiError {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::UnknownModel(sentence) => {
                Self::new(StatusCode::BAD_REQUEST, "model_not_found", sentence)
            }
            ConfigError::Memory(error) => error.into(),
        }
    }
}
