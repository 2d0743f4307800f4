//! A surface that is served on a free port, and the model behind it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use brain_core::{
    brain::{Brain, BrainConfig, Limits, Ports},
    memory::InMemoryStore,
    settings::InMemorySettings,
    tool::ToolBox,
};
use brain_testkit::{Answer, FaultyStore, ScriptedLlm};
use brain_tokio::{TokioClock, TokioSpawner};
use http_api::{Api, ApiConfig};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) llm: ScriptedLlm,
    pub(crate) brain: Brain,
    pub(crate) store: Arc<FaultyStore>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinSet<()>,
}

/// What a test wants other than the defaults.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) api: ApiConfig,
    pub(crate) limits: Limits,
    pub(crate) tools: ToolBox,
    /// The model that the process is started with, and its system prompt.
    pub(crate) model: String,
    pub(crate) system: Option<String>,
    /// The models that stand in for it.
    pub(crate) fallback: Vec<String>,
    /// How long ephemeral sessions last; none are made without.
    pub(crate) ttl: Option<Duration>,
}

impl Server {
    /// With these answers.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::with(ScriptedLlm::new(answers), Wishes::default()).await
    }

    /// With a model that repeats what it is told.
    pub(crate) async fn echo() -> Self {
        Self::with(ScriptedLlm::echo(), Wishes::default()).await
    }

    pub(crate) async fn configured(
        answers: impl IntoIterator<Item = Answer>,
        api: ApiConfig,
    ) -> Self {
        Self::with(ScriptedLlm::new(answers), Wishes { api, ..Wishes::default() }).await
    }

    pub(crate) async fn with(llm: ScriptedLlm, wishes: Wishes) -> Self {
        let clock = Arc::new(TokioClock::new());
        let store = InMemoryStore::new(clock.clone()).with_ttl(wishes.ttl);
        let store = Arc::new(FaultyStore::new(Arc::new(store)));
        let ports = Ports {
            store: store.clone(),
            llm: Arc::new(llm.clone()),
            tools: wishes.tools,
            settings: Arc::new(InMemorySettings::new(clock.clone())),
            clock,
            spawner: Arc::new(TokioSpawner::current()),
        };
        let Wishes { limits, model, system, fallback, .. } = wishes;
        let config = BrainConfig { limits, model, system, fallback, ..BrainConfig::default() };
        let brain = Brain::new(ports, config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let api = Api::new(brain.clone(), wishes.api);
        let (stop, stopped) = oneshot::channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let shutdown = async move { drop(stopped.await) };
            api.serve(listener, shutdown).await.unwrap();
        });
        Self { address, llm, brain, store, stop: Some(stop), serving }
    }

    /// Asks the surface to end.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Returns once the surface has ended.
    pub(crate) async fn ended(&mut self) {
        self.serving.join_next().await.unwrap().unwrap();
    }
}

/// Fails if it takes longer.
pub(crate) async fn within<T>(limit: Duration, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, what).await.unwrap()
}
