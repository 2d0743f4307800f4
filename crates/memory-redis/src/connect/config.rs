//! The settings of the store: where Redis is, how long things are kept, how long they may take.

use std::{fmt, time::Duration};

use brain_core::ids::DatabaseId;

use super::{target::Target, url_error::UrlError};

/// How to reach Redis, and how to use it.
///
/// | URL | what it leads to |
/// |---|---|
/// | `redis://[[USER]:PASSWORD@]HOST[:6379][/DATABASE]` | one server; `rediss://` with TLS |
/// | `unix:///PATH/TO/SOCKET[?db=N&user=…&pass=…]` | one server on a socket; also `redis+unix://` |
/// | `redis-cluster://[…@]HOST[:6379],HOST…` | Redis Cluster, by any of its nodes; `rediss-cluster://` with TLS; also `redis://HOST,HOST?cluster=true` |
/// | `redis-sentinel://[…@]HOST[:26379],HOST…/MASTER[/DATABASE]` | the master of this name, as the sentinels have it; `rediss-sentinel://` with TLS to both. `sentinelUsername=`, `sentinelPassword=` log in at the sentinels; the name may also stand in `?master=`, `?sentinelServiceName=` or `#` |
///
/// `valkey` may stand for `redis` everywhere. With TLS, certificates are always checked, against
/// the public authorities or the one in `?ssl_ca_certs=FILE`; `ssl_certfile=` and `ssl_keyfile=`
/// name a certificate of the client. Names and passwords are percent-encoded.
#[derive(Clone)]
pub struct RedisConfig {
    pub(super) target: Target,
    /// How long a session is kept after its last append; `None` keeps it.
    pub ttl: Option<Duration>,
    /// What every key begins with, so that others may use the same Redis.
    pub prefix: String,
    /// The database that the store is in front of: its sessions and copies are apart from those of
    /// any other. `None` where Redis is all of memory.
    pub database: Option<DatabaseId>,
    /// Longest that a call may take, with waiting for a connection and connecting.
    pub command_timeout: Duration,
    /// Longest that connecting may take, name resolution, TLS and login included.
    pub connect_timeout: Duration,
    /// Most connections at once; a call has one to itself. For a cluster, to each node.
    pub pool_size: usize,
}

impl RedisConfig {
    /// The settings for this URL: no TTL, the prefix `codexd`, no database, 2 s a call, 1 s to
    /// connect, 16 connections. Reads the certificates that the URL names, and connects to nothing.
    ///
    /// # Errors
    ///
    /// [`UrlError`], which says what to write, and repeats no password.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        Ok(Self {
            target: Target::parse(url)?,
            ttl: None,
            prefix: "codexd".to_owned(),
            database: None,
            command_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            pool_size: 16,
        })
    }

    /// Where Redis is, for people: the URL without its secrets and parameters.
    #[must_use]
    pub fn address(&self) -> String {
        self.target.address()
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("address", &self.address())
            .field("ttl", &self.ttl)
            .field("prefix", &self.prefix)
            .field("database", &self.database)
            .field("command_timeout", &self.command_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}
