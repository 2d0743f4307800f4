//! Session memory in Redis: the hot tier, or all of memory where nothing else is configured.
//!
//! [`RedisStore`] is [`brain_core::memory::MemoryStore`] and
//! [`brain_core::memory::SessionCache`] on a plain Redis 6.2 or Valkey, without modules: one server,
//! a cluster, or what sentinels watch. What is acknowledged here is kept as that Redis is configured
//! to keep it, and ends with its TTL; it is no database of record.
//!
//! A session is one hash, and each change of it one script on keys of one hash tag. An append is one
//! round trip, and outside of turns a second one every five minutes, that notes the session as
//! changed. Everything else looks, decides here by the rules of `brain-core`, and commits if nothing
//! has changed meanwhile. What is too large for one script is put together beside the session, and
//! then takes its place.
//!
//! | module | what it holds |
//! |---|---|
//! | `connect`, `error` | where Redis is, and what it means when it does not do what it was asked |
//! | `keys` | the layout of the data |
//! | `scripts`, `lua/` | what runs in Redis |
//! | `store`, `plan` | looking, deciding, committing |
//! | `state`, `value`, `record`, `reply` | values to bytes and back |
//! | `log`, `branch`, `erase` | appending, reading, forgetting |
//! | `catalog`, `summaries`, `portable` | sessions as a whole |
//! | `open`, `turns` | turns |
//! | `index`, `known`, `upkeep` | what is found without a session's name |
//! | `recall`, `embeddings` | search |
//! | `cache` | copies of sessions that live elsewhere |
//! | `take_over` | sessions from a time without a database |
//! | `health` | how Redis is |

mod branch;
mod cache;
mod catalog;
mod connect;
mod embeddings;
mod erase;
mod error;
mod health;
mod index;
mod keys;
mod known;
mod log;
mod open;
mod plan;
mod portable;
mod recall;
mod record;
mod reply;
mod scripts;
mod state;
mod store;
mod summaries;
mod take_over;
mod turns;
mod upkeep;
mod value;

pub use connect::{RedisConfig, UrlError};
pub use error::is_locked_out;
pub use store::{RedisClock, RedisStore};
