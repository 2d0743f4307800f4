//! What was chosen at run time: who sees it when, and what holds while it cannot be read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use brain_core::{
    brain::{Brain, BrainConfig, ConfigPatch, Origin, Ports},
    json::RawJson,
    llm::{
        Capabilities, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
        Estimate, LlmError, LlmErrorKind, LlmGateway, ModelInfo, ModelList, Router, TokenCounter,
    },
    memory::{MemoryError, MemoryErrorKind},
    settings::{Assumed, InMemorySettings, Setting, Settings},
};
use brain_testkit::ScriptedLlm;
use brain_tokio::TokioClock;

use crate::fixture::{in_memory, ports, say};

/// Settings that cannot be read while they are away.
#[derive(Debug)]
struct Away {
    inner: InMemorySettings,
    away: AtomicBool,
}

impl Away {
    fn new() -> Arc<Self> {
        let inner = InMemorySettings::new(Arc::new(TokioClock::new()));
        Arc::new(Self { inner, away: AtomicBool::new(false) })
    }

    fn check(&self) -> Result<(), MemoryError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(MemoryError::new("read a setting", MemoryErrorKind::Unavailable));
        }
        Ok(())
    }
}

#[async_trait]
impl Settings for Away {
    async fn get(&self, name: &str) -> Result<Option<Setting>, MemoryError> {
        self.check()?;
        self.inner.get(name).await
    }

    async fn list(&self) -> Result<Vec<Setting>, MemoryError> {
        self.check()?;
        self.inner.list().await
    }

    async fn set(
        &self,
        name: &str,
        value: RawJson,
        assumed: Assumed,
    ) -> Result<Setting, MemoryError> {
        self.check()?;
        self.inner.set(name, value, assumed).await
    }

    async fn unset(&self, name: &str, assumed: Assumed) -> Result<bool, MemoryError> {
        self.check()?;
        self.inner.unset(name, assumed).await
    }

    fn is_lasting(&self) -> bool {
        self.inner.is_lasting()
    }
}

/// A brain whose model is `given`, and the model.
fn brain(settings: Arc<Away>) -> (Brain, ScriptedLlm) {
    let info = |id: &str| ModelInfo {
        id: id.to_owned(),
        capabilities: Capabilities { chat: true, ..Capabilities::default() },
    };
    let llm = ScriptedLlm::echo().with_models([info("given"), info("chosen"), info("other")]);
    let ports = Ports { settings, ..ports(in_memory(), Arc::new(llm.clone())) };
    let config = BrainConfig { model: "given".to_owned(), ..BrainConfig::default() };
    (Brain::new(ports, config), llm)
}

fn choose(model: &str) -> ConfigPatch {
    ConfigPatch { model: Some(Some(model.to_owned())), ..ConfigPatch::default() }
}

async fn asked((brain, llm): &(Brain, ScriptedLlm)) -> String {
    say(brain, "s", "hi").await;
    llm.requests().pop().unwrap().model
}

#[tokio::test(start_paused = true)]
async fn another_process_sees_it_within_seconds() {
    let settings = Away::new();
    let (here, there) = (brain(settings.clone()), brain(settings));
    assert_eq!((asked(&here).await, asked(&there).await), ("given".into(), "given".into()));
    here.0.configure(choose("chosen")).await.unwrap();
    assert_eq!(asked(&here).await, "chosen", "at once where it was chosen");
    assert_eq!(asked(&there).await, "given");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(asked(&there).await, "chosen");
    let holds = there.0.effective_config().await.unwrap();
    assert_eq!(holds.model.origin, Origin::Runtime);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_as_it_was() {
    let settings = Away::new();
    let here = brain(settings.clone());
    here.0.configure(choose("chosen")).await.unwrap();
    assert_eq!(asked(&here).await, "chosen");
    settings.away.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(asked(&here).await, "chosen");
    assert!(here.0.effective_config().await.is_err());
    assert!(here.0.configure(choose("other")).await.is_err());
    assert_eq!(asked(&here).await, "chosen");
    settings.away.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(asked(&here).await, "chosen");
}

#[tokio::test]
async fn what_is_no_text_is_not_obeyed() {
    let settings = Away::new();
    settings.set("model", RawJson::parse("7").unwrap(), Assumed::Anything).await.unwrap();
    let here = brain(settings);
    assert_eq!(asked(&here).await, "given");
    let error = here.0.effective_config().await.unwrap_err();
    assert_eq!(error.kind(), MemoryErrorKind::Corrupt);
    here.0.configure(choose("other")).await.unwrap();
    assert_eq!(asked(&here).await, "other");
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_does_not_hold_the_list() {
    let slow = Arc::new(Silent);
    let router = Router::new("slow", slow).with("fast", Arc::new(ScriptedLlm::echo()));
    let clock = Arc::new(TokioClock::new());
    let router = router.listing_within(clock, Duration::from_secs(5));
    let begun = tokio::time::Instant::now();
    let list = router.models().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!(list.models[0].id, "fast/scripted");
    let fault = list.providers[0].fault.as_ref().unwrap();
    assert_eq!(fault.code, LlmErrorKind::Unavailable.code());
    assert!(list.providers[1].fault.is_none());
}

/// A provider that never lists anything.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl LlmGateway for Silent {
    async fn stream(&self, _: ChatRequest) -> Result<ChatStream, LlmError> {
        std::future::pending().await
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        Err(LlmError::fills_no_gaps(&request.model))
    }

    async fn embed(&self, _: EmbedRequest) -> Result<Embeddings, LlmError> {
        std::future::pending().await
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        std::future::pending().await
    }

    fn capabilities(&self, _: &str) -> Capabilities {
        Capabilities::default()
    }

    fn tokens(&self, _: &str) -> Arc<dyn TokenCounter> {
        Estimate::counter()
    }
}
