//! What turns take where neither the request nor its session says: what was chosen at run time, or
//! else what the process was started with.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;

use super::{Brain, Inner};
use crate::{
    json::RawJson,
    llm::{ModelList, ProviderState},
    memory::{MemoryError, MemoryErrorKind},
    settings::{Assumed, Settings},
};

/// The setting that names the model.
const MODEL: &str = "model";
/// The setting that is the system prompt.
const SYSTEM_PROMPT: &str = "system_prompt";
/// How old what was chosen may be: another process may choose too.
const FRESH: Duration = Duration::from_secs(2);

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Somebody chose it at run time.
    Runtime,
    /// The process was started with it.
    Environment,
    /// Nobody said anything.
    Default,
}

/// A value that holds, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The value; `None` is the provider's own, or none at all.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

/// What holds for sessions and requests that say nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectiveConfig {
    /// The model that answers.
    pub model: Effective,
    /// The system prompt; an empty one is none.
    pub system_prompt: Effective,
}

/// What to choose; `None` leaves a value as it is, `Some(None)` goes back to what the process was
/// started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigPatch {
    /// The model that answers.
    pub model: Option<Option<String>>,
    /// The system prompt.
    pub system_prompt: Option<Option<String>>,
}

/// Nothing was chosen.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No model that answers has this name; the sentence says what to do.
    #[error("{0}")]
    UnknownModel(String),
    /// What was chosen could not be read or kept.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// What was chosen at run time.
#[derive(Debug, Default)]
struct Chosen {
    model: Option<String>,
    system: Option<String>,
}

/// What was chosen, as it was read last.
#[derive(Debug, Default)]
pub(super) struct LastRead(Mutex<Last>);

#[derive(Clone, Debug, Default)]
struct Last {
    chosen: Arc<Chosen>,
    /// When; `None` if it is to be read again.
    at: Option<Duration>,
    /// How often this process has chosen: what was read before that is old.
    choices: u64,
}

impl LastRead {
    fn lock(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_choice(&self) {
        let mut last = self.lock();
        (last.at, last.choices) = (None, last.choices + 1);
    }
}

/// What a turn takes where neither the request nor its session says.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    /// The model; empty for the gateway's own default.
    pub(super) model: String,
    /// The system prompt.
    pub(super) system: Option<String>,
}

impl Inner {
    /// What holds now, or did a moment ago. What cannot be read is as it was read last.
    pub(super) async fn defaults(&self) -> Defaults {
        let chosen = self.chosen().await;
        let system = chosen.system.as_ref().or(self.config.system.as_ref());
        Defaults {
            model: chosen.model.as_ref().unwrap_or(&self.config.model).clone(),
            system: system.filter(|it| !it.is_empty()).cloned(),
        }
    }

    async fn chosen(&self) -> Arc<Chosen> {
        let now = self.ports.clock.elapsed();
        let last = self.last_read.lock().clone();
        if last.at.is_some_and(|at| now.saturating_sub(at) < FRESH) {
            return last.chosen;
        }
        let read = read(&*self.ports.settings).await;
        let chosen = read.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was chosen at run time could not be read");
            last.chosen
        });
        let mut known = self.last_read.lock();
        if known.choices == last.choices {
            (known.chosen, known.at) = (Arc::clone(&chosen), Some(now));
        }
        drop(known);
        chosen
    }

    fn effective(&self, chosen: &Chosen) -> EffectiveConfig {
        let model = Some(&self.config.model).filter(|it| !it.is_empty());
        EffectiveConfig {
            model: Effective::of(chosen.model.as_ref(), model),
            system_prompt: Effective::of(chosen.system.as_ref(), self.config.system.as_ref()),
        }
    }
}

impl Effective {
    fn of(chosen: Option<&String>, given: Option<&String>) -> Self {
        let origin = match (chosen, given) {
            (Some(_), _) => Origin::Runtime,
            (None, Some(_)) => Origin::Environment,
            (None, None) => Origin::Default,
        };
        Self { value: chosen.or(given).cloned(), origin }
    }
}

async fn read(settings: &dyn Settings) -> Result<Arc<Chosen>, MemoryError> {
    let (model, system) = (text(settings, MODEL).await?, text(settings, SYSTEM_PROMPT).await?);
    Ok(Arc::new(Chosen { model, system }))
}

async fn text(settings: &dyn Settings, name: &str) -> Result<Option<String>, MemoryError> {
    let corrupt = |error| corrupt("read a setting", error);
    let found = settings.get(name).await?;
    found.map(|it| serde_json::from_str(it.value.as_str()).map_err(corrupt)).transpose()
}

fn corrupt(operation: &'static str, error: serde_json::Error) -> MemoryError {
    MemoryError::new(operation, MemoryErrorKind::Corrupt).with_source(error)
}

async fn keep(
    settings: &dyn Settings,
    name: &str,
    value: Option<Option<String>>,
) -> Result<(), MemoryError> {
    match value {
        None => Ok(()),
        Some(None) => settings.unset(name, Assumed::Anything).await.map(drop),
        Some(Some(text)) => {
            let value = RawJson::of(&text).map_err(|error| corrupt("set a setting", error))?;
            settings.set(name, value, Assumed::Anything).await.map(drop)
        }
    }
}

impl Brain {
    /// What holds for sessions and requests that say nothing else.
    ///
    /// # Errors
    ///
    /// When what was chosen at run time cannot be read.
    pub async fn effective_config(&self) -> Result<EffectiveConfig, MemoryError> {
        let chosen = read(&*self.inner.ports.settings).await?;
        Ok(self.inner.effective(&chosen))
    }

    /// The model that answers where neither a request nor its session names one; empty for the
    /// gateway's own default.
    pub async fn default_model(&self) -> String {
        self.inner.defaults().await.model
    }

    /// Chooses what holds from the next turn on; returns all that holds then. Where a store of
    /// settings serves several processes, the others follow within some seconds.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownModel`] where it is certain that nobody has the model; then nothing is
    /// changed. When something could not be kept, what the patch names before it may be.
    pub async fn configure(&self, patch: ConfigPatch) -> Result<EffectiveConfig, ConfigError> {
        if let Some(Some(name)) = &patch.model {
            self.check_model(name).await?;
        }
        let settings = &*self.inner.ports.settings;
        let kept = async {
            keep(settings, MODEL, patch.model).await?;
            keep(settings, SYSTEM_PROMPT, patch.system_prompt).await
        };
        let kept = kept.await;
        self.inner.last_read.note_choice();
        kept?;
        Ok(self.effective_config().await?)
    }

    /// Refuses a model that nobody has, or that answers no chats. Where a provider cannot be asked,
    /// or may have more than it lists, that is seen when the model is asked.
    async fn check_model(&self, name: &str) -> Result<(), ConfigError> {
        let refusal = match self.inner.ports.llm.models().await {
            Ok(list) => refusal(&list, name),
            Err(error) => {
                tracing::warn!(%error, "a model was chosen that could not be looked for");
                None
            }
        };
        refusal.map_or(Ok(()), |sentence| Err(ConfigError::UnknownModel(sentence)))
    }
}

/// Why a model of this list cannot be the default, if that is certain: a sentence.
fn refusal(list: &ModelList, name: &str) -> Option<String> {
    if let Some(model) = list.find(name) {
        let answers = model.capabilities.chat;
        return (!answers).then(|| format!("`{}` answers no chats; name another model", model.id));
    }
    let is_of = |provider: &str| name.split_once('/').is_some_and(|(before, _)| before == provider);
    let named = list.providers.iter().find(|it| is_of(&it.name)).or(list.providers.first());
    let is_open =
        |it: &ProviderState| it.open || it.fault.is_some() || !list.has_models_of(&it.name);
    if named.map_or(list.open, is_open) {
        return None;
    }
    let providers: Vec<&str> = list.providers.iter().map(|it| it.name.as_str()).collect();
    let providers = providers.join(", ");
    let of = if providers.is_empty() { providers } else { format!(" (providers: {providers})") };
    Some(format!(
        "no provider that is configured has the model `{name}`{of}; name one of GET /models, which \
         `codexd models` lists"
    ))
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use crate::llm::{Capabilities, ModelInfo, ModelList, ProviderFault, ProviderState};

    fn list() -> ModelList {
        let model = |id: &str, chat| ModelInfo {
            id: id.to_owned(),
            capabilities: Capabilities { chat, ..Capabilities::default() },
        };
        let fault = ProviderFault { code: "x".to_owned(), message: "down".to_owned() };
        let provider = |name: &str, fault| ProviderState {
            name: name.to_owned(),
            fault,
            open: name == "tabbyml",
        };
        ModelList {
            models: vec![
                model("local/small", true),
                model("local/vectors", false),
                model("ollama/llama3.2:latest", true),
                model("openai/org/big", true),
                model("tabbyml/default", true),
            ],
            open: false,
            providers: vec![
                provider("local", None),
                provider("azure", Some(fault)),
                provider("ollama", None),
                provider("openai", None),
                provider("tabbyml", None),
            ],
        }
    }

    #[test]
    fn only_what_nobody_can_have_is_refused() {
        let list = list();
        for good in [
            "local/small",
            "small",
            "openai/org/big",
            "ollama/llama3.2",
            "azure/any",
            "tabbyml/any",
        ] {
            assert_eq!(refusal(&list, good), None, "{good}");
        }
        for bad in [
            "big",
            "org/big",
            "openai/small",
            "OpenAI/org/big",
            "local/",
            "nobody/small",
            "local/vectors",
        ] {
            let sentence = refusal(&list, bad).unwrap_or_default();
            assert!(sentence.contains(bad) && sentence.contains("; name "), "{bad}: {sentence}");
        }
        let alone = ModelList { providers: Vec::new(), ..list };
        assert_eq!(refusal(&alone, "local/small"), None);
        assert!(refusal(&alone, "x").is_some_and(|it| !it.contains("providers:")));
    }
}
