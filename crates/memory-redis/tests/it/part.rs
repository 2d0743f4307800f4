//! A part of a server or of a cluster for one case of a suite: a prefix that no other case uses.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use brain_core::ids::{DatabaseId, Seq, SessionKey};
use brain_testkit::{
    ManualClock,
    memory::Fresh,
    redis::{Cluster, Prefix, Reply, Server},
};
use memory_redis::{RedisClock, RedisConfig, RedisStore};

/// What the cases of a suite share.
pub(crate) trait Shared: Send + Sync + 'static {
    fn url(&self) -> String;

    /// The server that has a key.
    fn server_of(&self, key: &str) -> &Server;

    /// All that it holds: keys and what `DUMP` says of them.
    fn contents(&self) -> Vec<(Vec<u8>, Reply)>;
}

impl Shared for Server {
    fn url(&self) -> String {
        self.socket_url()
    }

    fn server_of(&self, _key: &str) -> &Server {
        self
    }

    fn contents(&self) -> Vec<(Vec<u8>, Reply)> {
        self.client().contents()
    }
}

impl Shared for Cluster {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn server_of(&self, key: &str) -> &Server {
        self.owner_and_other(key).0
    }

    fn contents(&self) -> Vec<(Vec<u8>, Reply)> {
        self.nodes().iter().flat_map(Shared::contents).collect()
    }
}

/// A part of it that no other case uses.
pub(crate) struct Part {
    shared: Arc<dyn Shared>,
    prefix: Prefix,
    config: RedisConfig,
    clock: Arc<ManualClock>,
}

impl Part {
    /// One that is before no database.
    pub(crate) fn new(shared: Arc<dyn Shared>, clock: Arc<ManualClock>) -> Self {
        let prefix = Prefix::new();
        let mut config = RedisConfig::parse(&shared.url()).unwrap();
        config.prefix = prefix.to_string();
        config.ttl = Some(Duration::from_secs(3600));
        // Many cases run at once.
        config.pool_size = 4;
        Self { shared, prefix, config, clock }
    }

    /// The same before a database.
    pub(crate) fn before_a_database(mut self) -> Self {
        self.config.database = Some(DatabaseId::random());
        self
    }

    pub(crate) fn store(&self) -> RedisStore {
        RedisStore::new(&self.config, RedisClock::Given(self.clock.clone())).unwrap()
    }

    /// Makes what an entry says something that is no JSON.
    fn damage(&self, key: &SessionKey, seq: Seq) {
        let name = [key.owner.as_str(), key.id.as_str()].map(|it| URL_SAFE_NO_PAD.encode(it));
        let database = self.config.database.map(|it| format!("{it}:")).unwrap_or_default();
        let session = format!("{}:{database}s:{{{}}}", self.prefix, name.join("."));
        let server = self.shared.server_of(&session);
        let field = format!("e:{seq}");
        let value = server.ask(&["HGET", &session, &field]).text();
        let spoilt = value.replacen('{', "?", 1);
        assert_ne!(value, spoilt);
        assert_eq!(server.ask(&["HSET", &session, &field, &spoilt]), Reply::Integer(0));
    }

    /// Whether a text is in any key or value.
    fn holds(&self, text: &str) -> bool {
        let named = URL_SAFE_NO_PAD.encode(text);
        self.prefix.holds(self.shared.contents(), &[text, &named])
    }

    /// What a suite asks of a store and of what is behind it.
    pub(crate) fn fresh(self) -> Fresh {
        let part = Arc::new(self);
        let (damaged, seen) = (Arc::clone(&part), Arc::clone(&part));
        Fresh::from(part.store())
            .with_second(Arc::new(part.store()))
            .with_damage(move |key, seq| {
                let part = Arc::clone(&damaged);
                Box::pin(async move { part.damage(&key, seq) })
            })
            .with_look(move |text| {
                let part = Arc::clone(&seen);
                Box::pin(async move { part.holds(&text) })
            })
            .keeping(part)
    }
}
