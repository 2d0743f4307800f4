//! The contract of the port, on the combinations of tiers that can be configured. Redis alone runs it in its own crate,
//! with two stores on one server.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use brain_core::{
    ids::{DatabaseId, Seq, SessionKey},
    memory::{HotTier, InMemoryStore, MemoryStore, TieredMemory, TieredPorts},
};
use brain_testkit::{
    ManualClock,
    memory::Fresh,
    redis::{Prefix, Server},
};
use brain_tokio::TokioSpawner;
use memory_redis::{RedisClock, RedisConfig, RedisStore};
use memory_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

/// How long erasing in the background may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one case has of a Redis.
struct Hot {
    server: Arc<Server>,
    prefix: Prefix,
}

impl Hot {
    fn new() -> Self {
        Self { server: Server::shared(), prefix: Prefix::new() }
    }

    fn store(&self, clock: Arc<ManualClock>, database: DatabaseId) -> RedisStore {
        let mut config = RedisConfig::parse(&self.server.socket_url()).unwrap();
        config.database = Some(database);
        config.prefix = self.prefix.to_string();
        config.ttl = Some(Duration::from_secs(3600));
        RedisStore::new(&config, RedisClock::Given(clock)).unwrap()
    }

    fn holds(&self, text: &str) -> bool {
        self.prefix.holds(self.server.client().contents(), &[text])
    }
}

/// A database in a folder of its own.
struct Durable {
    folder: TempDir,
}

impl Durable {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("memory.db")
    }

    fn store(&self, clock: Arc<ManualClock>) -> SqliteStore {
        SqliteStore::open(&SqliteConfig::new(self.path()), clock).unwrap()
    }

    fn damage(&self, key: &SessionKey, seq: Seq) {
        let sql = "UPDATE messages SET json = substr(json, 2) WHERE seq = ?1 AND session = \
                   (SELECT id FROM sessions WHERE owner = ?2 AND name = ?3)";
        let connection = Connection::open(self.path()).unwrap();
        let (owner, name) = (key.owner.as_str().as_bytes(), key.id.as_str().as_bytes());
        let position = i64::try_from(seq.0).unwrap();
        assert_eq!(connection.execute(sql, (position, owner, name)).unwrap(), 1);
    }

    /// Whether nothing waits to be erased.
    fn is_clean(&self) -> bool {
        let sql = "SELECT count(*) FROM tombstones WHERE 0 < pending";
        let connection = Connection::open(self.path()).unwrap();
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 0
    }

    async fn holds(&self, text: &str) -> bool {
        let clean = async {
            while !self.is_clean() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, clean).await.unwrap();
        let files = fs::read_dir(self.folder.path()).unwrap().map(|it| it.unwrap().path());
        files.filter_map(|it| fs::read(it).ok()).any(|bytes| holds(&bytes, text))
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
}

/// A database with this before it.
fn joined(
    clock: Arc<ManualClock>,
    hot: Arc<dyn HotTier>,
    hot_name: &'static str,
    durable: SqliteStore,
) -> Arc<dyn MemoryStore> {
    let (durable, spawner) = (Arc::new(durable), Arc::new(TokioSpawner::current()));
    Arc::new(TieredMemory::new(TieredPorts { hot, hot_name, durable, clock, spawner }))
}

/// A store with what may be done behind its back.
fn fresh(store: Arc<dyn MemoryStore>, durable: Durable, hot: Option<Hot>) -> Fresh {
    let (durable, hot) = (Arc::new(durable), Arc::new(hot));
    let (damaged, seen) = (Arc::clone(&durable), Arc::clone(&durable));
    let seen_hot = Arc::clone(&hot);
    Fresh::new(store)
        .with_damage(move |key, seq| {
            let durable = Arc::clone(&damaged);
            Box::pin(async move { durable.damage(&key, seq) })
        })
        .with_look(move |text| {
            let (durable, hot) = (Arc::clone(&seen), Arc::clone(&seen_hot));
            Box::pin(async move {
                durable.holds(&text).await || (*hot).as_ref().is_some_and(|it| it.holds(&text))
            })
        })
        .keeping((durable, hot))
}

/// Neither `SQLITE_DB_PATH` nor `REDIS_URL`.
mod process {
    use brain_core::memory::InMemoryStore;

    brain_testkit::memory_store_suite!(async |clock| {
        InMemoryStore::new(clock).with_budget(1 << 30)
    });
}

/// `SQLITE_DB_PATH` alone.
mod sqlite {
    use super::{Arc, Durable, InMemoryStore, fresh, joined};

    brain_testkit::memory_store_suite!(async |clock| {
        let durable = Durable::new();
        let hot = Arc::new(InMemoryStore::new(clock.clone()).with_budget(64 << 20));
        let store = joined(clock.clone(), hot, "process", durable.store(clock));
        fresh(store, durable, None)
    });
}

/// `SQLITE_DB_PATH` and `REDIS_URL`.
mod redis_and_sqlite {
    use super::{Arc, Durable, Hot, fresh, joined};

    brain_testkit::memory_store_suite!(async |clock| {
        let (durable, hot) = (Durable::new(), Hot::new());
        let database = durable.store(clock.clone());
        let redis = Arc::new(hot.store(clock.clone(), database.database_id()));
        let store = joined(clock, redis, "redis", database);
        fresh(store, durable, Some(hot))
    });
}
