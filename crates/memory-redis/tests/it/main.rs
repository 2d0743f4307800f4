//! The store on real Redis servers.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests"
)]

mod cluster;
mod commands;
mod databases;
mod faults;
mod forgetting;
mod harness;
mod indexes;
mod lifetime;
mod part;
mod restores;
mod search;
mod suite;

use std::time::Duration;

use brain_testkit::{
    redis::Server,
    say::{draft, key, say},
};
use memory_redis::{RedisClock, RedisConfig, RedisStore};

/// A store on this server, by the server's clock.
fn store_on(server: &Server, ttl: Option<Duration>) -> RedisStore {
    let mut config = RedisConfig::parse(&server.url()).unwrap();
    config.ttl = ttl;
    RedisStore::new(&config, RedisClock::Server).unwrap()
}
