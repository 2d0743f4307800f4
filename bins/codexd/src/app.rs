//! The wiring: which store and which gateways a configuration means. The only file that names them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use async_trait::async_trait;
use brain_core::{
    brain::{Brain, BrainConfig, Ports},
    ids::DatabaseId,
    llm::{LlmGateway, Router},
    memory::{HotTier, InMemoryStore, MemoryError, MemoryStore, TieredMemory, TieredPorts},
    time::Clock,
    tool::ToolBox,
};
use brain_tokio::{TokioClock, TokioSpawner};
use http_api::HealthCheck;
#[cfg(feature = "redis")]
use secrecy::ExposeSecret as _;

use crate::config::{Config, Database, OPENAI_MODEL, OpenAi, Provider, Redis, no_model_file};
#[cfg(feature = "sqlite")]
use crate::exit;

type Store = Arc<dyn MemoryStore>;
type Hot = Arc<dyn HotTier>;
type Gateway = Arc<dyn LlmGateway>;

/// A brain on its ports.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) brain: Brain,
    pub(crate) spawner: TokioSpawner,
    /// What `GET /health/ready` looks at besides memory; nothing that asks another machine.
    pub(crate) checks: Vec<Arc<dyn HealthCheck>>,
}

/// Opens the store and joins the ports, on the current runtime.
pub(crate) fn build(config: &Config) -> anyhow::Result<App> {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let spawner = TokioSpawner::current();
    let gateways = gateways(config)?;
    let checks = checks(config, &gateways);
    let ports = Ports {
        store: open_store(config, Arc::clone(&clock), spawner.clone())?,
        llm: Arc::new(router(config, gateways)?),
        tools: ToolBox::default(),
        clock,
        spawner: Arc::new(spawner.clone()),
    };
    let brain_config = BrainConfig {
        model: config.model.clone().unwrap_or_default(),
        system: config.system_prompt.clone(),
        summary_model: config.summary_model.clone(),
        embedding_model: config.embeddings.model(),
        titles: true,
        retention: config.retention,
        ..BrainConfig::default()
    };
    Ok(App { brain: Brain::new(ports, brain_config), spawner, checks })
}

/// The store that is configured; needs a runtime.
pub(crate) fn open_store(
    config: &Config,
    clock: Arc<dyn Clock>,
    spawner: TokioSpawner,
) -> anyhow::Result<Store> {
    let durable = config.database.as_ref().map(|it| open_database(it, Arc::clone(&clock)));
    let durable = durable.transpose()?;
    let (hot, hot_name): (Hot, _) = match &config.redis {
        Some(redis) => {
            let database = durable.as_ref().map(|it| it.1);
            (open_redis(redis, config.session_ttl, database)?, "redis")
        }
        None => {
            let store = InMemoryStore::new(Arc::clone(&clock)).with_budget(config.memory_budget);
            (Arc::new(store.with_ttl(config.session_ttl)), "process")
        }
    };
    let Some((durable, _)) = durable else { return Ok(hot) };
    let ports = TieredPorts { hot, hot_name, durable, clock, spawner: Arc::new(spawner) };
    Ok(Arc::new(TieredMemory::new(ports)))
}

#[cfg(feature = "sqlite")]
fn open_database(
    database: &Database,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<(Store, DatabaseId)> {
    use memory_sqlite::{SqliteConfig, SqliteStore, Synchronous};
    let synchronous = if database.full_sync { Synchronous::Full } else { Synchronous::Normal };
    let config = SqliteConfig { synchronous, ..SqliteConfig::new(&database.path) };
    let store = SqliteStore::open(&config, clock).map_err(|error| exit::of_database(&error))?;
    let id = store.database_id();
    Ok((Arc::new(store), id))
}

#[cfg(not(feature = "sqlite"))]
fn open_database(database: &Database, _: Arc<dyn Clock>) -> anyhow::Result<(Store, DatabaseId)> {
    anyhow::bail!("{}: this codexd was built without SQLite", database.path.display())
}

/// The Redis that is configured, in front of this database; connects to nothing yet.
#[cfg(feature = "redis")]
pub(crate) fn open_redis(
    redis: &Redis,
    ttl: Option<Duration>,
    database: Option<DatabaseId>,
) -> anyhow::Result<Hot> {
    use memory_redis::{RedisClock, RedisConfig, RedisStore};
    let mut config = RedisConfig::parse(redis.url.expose_secret())?;
    config.ttl = ttl;
    config.database = database;
    Ok(Arc::new(RedisStore::new(&config, RedisClock::Server)?))
}

/// Whether Redis failed for another reason than that its address, a password or a certificate is
/// wrong.
#[cfg(feature = "redis")]
pub(crate) fn lets_in(error: &MemoryError) -> bool {
    error.is_transient() && !memory_redis::is_locked_out(error)
}

#[cfg(not(feature = "redis"))]
pub(crate) fn lets_in(error: &MemoryError) -> bool {
    error.is_transient()
}

#[cfg(not(feature = "redis"))]
pub(crate) fn open_redis(
    redis: &Redis,
    _: Option<Duration>,
    _: Option<DatabaseId>,
) -> anyhow::Result<Hot> {
    anyhow::bail!("{}: this codexd was built without Redis", redis.address)
}

/// Where the Redis of a URL is, for people; or what is wrong with the URL, without repeating it.
#[cfg(feature = "redis")]
pub(crate) fn redis_address(url: &str) -> Result<String, String> {
    let config = memory_redis::RedisConfig::parse(url);
    config.map(|it| it.address()).map_err(|error| error.to_string())
}

#[cfg(not(feature = "redis"))]
pub(crate) fn redis_address(_: &str) -> Result<String, String> {
    Err("this codexd was built without Redis; unset it".to_owned())
}

/// Every configured provider, the default one first.
fn router(config: &Config, mut gateways: Vec<(Provider, Gateway)>) -> anyhow::Result<Router> {
    gateways.sort_by_key(|(provider, _)| *provider != config.provider);
    let mut gateways = gateways.into_iter().map(|(provider, gateway)| (provider.name(), gateway));
    let (name, first) = gateways.next().context("no provider is built into this codexd")?;
    Ok(gateways.fold(Router::new(name, first), |router, (name, it)| router.with(name, it)))
}

/// Every configured provider with its gateway.
pub(crate) fn gateways(config: &Config) -> anyhow::Result<Vec<(Provider, Gateway)>> {
    let chosen = config.model.as_deref().filter(|_| config.provider == Provider::OpenAi);
    let model = chosen.map_or(OPENAI_MODEL, |it| it.strip_prefix("openai/").unwrap_or(it));
    let openai = config.openai.as_ref().map(|it| openai(it, model)).transpose()?;
    Ok(openai.into_iter().chain(local(config)).collect())
}

#[cfg(feature = "openai")]
fn openai(settings: &OpenAi, model: &str) -> anyhow::Result<(Provider, Gateway)> {
    use llm_openai::{OpenAiConfig, OpenAiGateway};
    let server = OpenAiConfig::new(settings.base_url.as_str(), model);
    let config = OpenAiConfig { api_key: settings.api_key.clone(), ..server };
    Ok((Provider::OpenAi, Arc::new(OpenAiGateway::new(config)?)))
}

#[cfg(not(feature = "openai"))]
fn openai(settings: &OpenAi, model: &str) -> anyhow::Result<(Provider, Gateway)> {
    anyhow::bail!("{model} at {}: built without openai", settings.base_url)
}

#[cfg(feature = "local")]
fn local(config: &Config) -> Option<(Provider, Gateway)> {
    use llm_local::{LocalConfig, LocalGateway};
    let local = LocalConfig {
        chat_model: Some(config.local.chat_model.clone()),
        embedding_model: match &config.embeddings {
            crate::config::Embeddings::Local(folder) => Some(folder.clone()),
            crate::config::Embeddings::Off | crate::config::Embeddings::Provider(_) => None,
        },
        ..LocalConfig::new(config.data_dir.join("cache"))
    };
    Some((Provider::Local, Arc::new(LocalGateway::new(local))))
}

#[cfg(not(feature = "local"))]
fn local(_: &Config) -> Option<(Provider, Gateway)> {
    None
}

/// The local model, if it answers by default.
fn checks(config: &Config, gateways: &[(Provider, Gateway)]) -> Vec<Arc<dyn HealthCheck>> {
    let (file, default) = (&config.local.chat_model, config.provider);
    let local = gateways.iter().filter(|it| it.0 == default && default == Provider::Local);
    local.map(|(_, it)| Arc::new(LocalModel(file.clone(), Arc::clone(it))) as _).collect()
}

/// The model that answers: its file, and what became of loading it.
#[derive(Debug)]
struct LocalModel(PathBuf, Gateway);

#[async_trait]
impl HealthCheck for LocalModel {
    fn name(&self) -> &str {
        "model"
    }

    async fn check(&self) -> Result<(), String> {
        match no_model_file(&self.0) {
            None => self.1.models().await.map(drop).map_err(|error| error.to_string()),
            Some(problem) => Err(problem),
        }
    }
}

/// Whether `model` is the name of the local model in this file.
pub(crate) fn is_local_model(model: &str, file: &Path) -> bool {
    #[cfg(feature = "local")]
    let name = llm_local::chat_id(file);
    #[cfg(not(feature = "local"))]
    let name = file.display().to_string();
    model.eq_ignore_ascii_case(&name)
}

/// Tells the local model's engine how many threads it may use; the process must have one yet.
pub(crate) fn limit_threads(config: &Config) {
    #[cfg(feature = "local")]
    if let Err(error) = llm_local::limit_threads(config.local.threads) {
        tracing::debug!(%error, "the local model takes a thread for each core");
    }
    #[cfg(not(feature = "local"))]
    let _: usize = config.local.threads;
}
