//! What the store can do, and how Redis is.

use async_trait::async_trait;
use brain_core::memory::{Health, MemoryCapabilities, MemoryError, MemoryStore, TierHealth};
use redis::Value;

use crate::store::RedisStore;

const CHECK: &str = "write in time";

#[async_trait]
impl MemoryStore for RedisStore {
    fn capabilities(&self) -> MemoryCapabilities {
        MemoryCapabilities { durable: false, shared: true, ephemeral: self.ttl.is_some() }
    }

    async fn health(&self) -> Result<Health, MemoryError> {
        let mut write = redis::cmd("SET");
        write.arg(self.keys.probe()).arg("").arg("PX").arg(1000);
        self.pool.command(CHECK, write, true).await?;
        let info = self.pool.command(CHECK, redis::cmd("INFO"), false).await?;
        let info = text(&info);
        let tier = TierHealth::well("redis");
        Ok(Health::of(TierHealth { problem: problem(&info), note: Some(self.note(&info)), ..tier }))
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
    /// What an operator should know of this Redis.
    fn note(&self, info: &str) -> String {
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
        let ends = match self.ttl {
            Some(ttl) => {
                format!("what it holds of a session ends {} s after the last append", ttl.as_secs())
            }
            None => "what it holds has no TTL".to_owned(),
        };
        format!("{keeps}; {full}; {ends}")
    }
}
