//! What the store can do, and how Redis is.

use std::time::Duration;

use async_trait::async_trait;
use brain_core::memory::{Health, MemoryCapabilities, MemoryError, MemoryStore, TierHealth};
use redis::Value;

use crate::{
    error::Fault,
    scripts,
    store::{RedisStore, millis},
};

const CHECK: &str = "try every command that is needed";
const ASK: &str = "ask how Redis is";
/// What stands for what `INFO` would say.
const UNKNOWN: &str = "its persistence and eviction policy cannot be read: its ACL keeps the user of \
                       REDIS_URL from INFO";
/// How long what was tried is kept.
const KEPT: Duration = Duration::from_secs(1);

#[async_trait]
impl MemoryStore for RedisStore {
    fn capabilities(&self) -> MemoryCapabilities {
        MemoryCapabilities { durable: false, shared: true, ephemeral: self.ttl.is_some() }
    }

    async fn health(&self) -> Result<Health, MemoryError> {
        self.try_every_command().await?;
        let info = match self.pool.command(ASK, redis::cmd("INFO"), false).await {
            Ok(info) => Some(text(&info)),
            Err(error) if Fault::is_forbidden(&error) => None,
            Err(error) => return Err(error),
        };
        let problem = info.as_deref().and_then(problem);
        let note = Some(self.note(info.as_deref()));
        Ok(Health::of(TierHealth { problem, note, ..TierHealth::well("redis") }))
    }
}

/// The text of a reply; of the first node's where several answer.
fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } => text.clone(),
        Value::Map(nodes) => nodes.first().map(|(_, it)| text(it)).unwrap_or_default(),
        _ => String::new(),
    }
}

/// A field of what `INFO` says.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = info.lines().filter_map(|it| it.split_once(':'));
    fields.find(|(it, _)| *it == name).map(|(_, value)| value.trim())
}

/// What is wrong though Redis takes changes.
fn problem(info: &str) -> Option<String> {
    let failed = |name: &str| field(info, name).is_some_and(|it| it != "ok");
    let files = [
        ("aof_last_write_status", "its append-only file"),
        ("rdb_last_bgsave_status", "its snapshot"),
    ];
    let file = files.iter().find(|(name, _)| failed(name)).map(|(_, file)| file)?;
    Some(format!("Redis could not write {file}: see its log, and give its disk room"))
}

impl RedisStore {
    /// Sends each command that anything of the store sends, so that one which is refused is known, by
    /// its name, before somebody needs it.
    async fn try_every_command(&self) -> Result<(), MemoryError> {
        let (keys, args) = (self.keys.probes(), vec![millis(KEPT)]);
        self.pool.script(CHECK, &scripts::PROBE, &keys, args, true).await?;
        // A script is sent by its text only where Redis does not know it.
        let mut text = redis::cmd("EVAL");
        text.arg("return 1").arg(0);
        self.pool.command(CHECK, text, false).await.map(drop)
    }

    /// What an operator should know of this Redis.
    fn note(&self, info: Option<&str>) -> String {
        let keeps = info.map_or_else(|| UNKNOWN.to_owned(), keeps);
        let ends = match self.ttl {
            Some(ttl) => {
                format!("what it holds of a session ends {} s after the last append", ttl.as_secs())
            }
            None => "what it holds has no TTL".to_owned(),
        };
        format!("{keeps}; {ends}")
    }
}

/// How Redis keeps what it holds, by what `INFO` says.
fn keeps(info: &str) -> String {
    let keeps = if field(info, "aof_enabled") == Some("1") {
        "Redis keeps an append-only file: a restart loses as little as its appendfsync allows"
    } else {
        "Redis keeps no append-only file: a restart loses what is newer than its last snapshot"
    };
    let full = match (field(info, "maxmemory"), field(info, "maxmemory_policy")) {
        (Some("0") | None, _) => "it has no maxmemory".to_owned(),
        (Some(_), Some("noeviction")) => "a full Redis refuses what is new".to_owned(),
        (Some(_), policy) => {
            let policy = policy.unwrap_or("unknown");
            format!("a full Redis evicts sessions ({policy}); set maxmemory-policy noeviction")
        }
    };
    format!("{keeps}; {full}")
}
