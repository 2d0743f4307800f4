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
mod faults;
mod harness;
mod indexes;
mod lifetime;
mod suite;

use std::time::Duration;

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey},
    memory::{Append, Draft, EntryBody, Expect},
    time::Timestamp,
};
use brain_testkit::redis::Server;
use memory_redis::{RedisClock, RedisConfig, RedisStore};

/// A store on this server, by the server's clock.
fn store_on(server: &Server, ttl: Option<Duration>) -> RedisStore {
    let mut config = RedisConfig::parse(&server.url()).unwrap();
    config.ttl = ttl;
    RedisStore::new(&config, RedisClock::Server).unwrap()
}

fn key(id: &str) -> SessionKey {
    SessionKey::new(Owner::local(), SessionId::new(id).unwrap())
}

fn draft(text: &str) -> Draft {
    Draft::new(EntryBody::complete(Message::user(text), Timestamp::from_millis(0))).unwrap()
}

/// An append of one entry, named like its text.
fn say(text: &str, parent: Option<Seq>, expect: Expect) -> Append {
    Append {
        parent,
        expect,
        append_id: AppendId::new(text).unwrap(),
        fence: None,
        drafts: vec![draft(text)],
    }
}
