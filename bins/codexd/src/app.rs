//! The wiring: which stores a configuration means, and what a brain is made of. With
//! [`crate::gateways`], the only file that names what is behind a port.

use std::{sync::Arc, time::Duration};

use brain_core::{
    brain::{Brain, BrainConfig, Ports},
    ids::DatabaseId,
    memory::{HotTier, InMemoryStore, MemoryError, MemoryStore, TieredMemory, TieredPorts},
    settings::{InMemorySettings, Settings},
    time::Clock,
    tool::ToolBox,
};
use brain_tokio::{TokioClock, TokioSpawner};
use http_api::HealthCheck;
#[cfg(feature = "redis")]
use secrecy::ExposeSecret as _;

#[cfg(feature = "sqlite")]
use crate::exit;
use crate::{
    config::{Config, Database, Redis},
    gateways,
};

type Store = Arc<dyn MemoryStore>;
type Hot = Arc<dyn HotTier>;
/// Where sessions and turns are kept, and what was chosen at run time.
type Kept = (Store, Arc<dyn Settings>);

/// How long a provider may take to list its models, for `GET /models`.
const LISTING: Duration = Duration::from_secs(5);

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
    let gateways = gateways::all(config)?;
    let checks = gateways::checks(config, &gateways);
    let router = gateways::router(config, gateways)?;
    let (store, settings) = open_store(config, Arc::clone(&clock), spawner.clone())?;
    let ports = Ports {
        store,
        llm: Arc::new(router.listing_within(Arc::clone(&clock), LISTING)),
        tools: ToolBox::default(),
        settings,
        clock,
        spawner: Arc::new(spawner.clone()),
    };
    let brain_config = BrainConfig {
        model: config.model.clone().unwrap_or_default(),
        fallback: config.fallback.clone(),
        system: config.system_prompt.clone(),
        summary_model: config.summary_model.clone(),
        embedding_model: config.embeddings.model(),
        titles: true,
        retention: config.retention,
        ..BrainConfig::default()
    };
    Ok(App { brain: Brain::new(ports, brain_config), spawner, checks })
}

/// The store that is configured, with the settings beside it; needs a runtime.
pub(crate) fn open_store(
    config: &Config,
    clock: Arc<dyn Clock>,
    spawner: TokioSpawner,
) -> anyhow::Result<Kept> {
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
    let Some(((durable, settings), _)) = durable else {
        return Ok((hot, Arc::new(InMemorySettings::new(clock))));
    };
    let ports = TieredPorts { hot, hot_name, durable, clock, spawner: Arc::new(spawner) };
    Ok((Arc::new(TieredMemory::new(ports)), settings))
}

#[cfg(feature = "sqlite")]
fn open_database(database: &Database, clock: Arc<dyn Clock>) -> anyhow::Result<(Kept, DatabaseId)> {
    use memory_sqlite::{SqliteConfig, SqliteStore, Synchronous};
    let synchronous = if database.full_sync { Synchronous::Full } else { Synchronous::Normal };
    let config = SqliteConfig { synchronous, ..SqliteConfig::new(&database.path) };
    let store = SqliteStore::open(&config, clock).map_err(|error| exit::of_database(&error))?;
    let id = store.database_id();
    let store = Arc::new(store);
    Ok(((Arc::clone(&store) as Store, store), id))
}

#[cfg(not(feature = "sqlite"))]
fn open_database(database: &Database, _: Arc<dyn Clock>) -> anyhow::Result<(Kept, DatabaseId)> {
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
