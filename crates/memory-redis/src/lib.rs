//! Session memory in Redis: the hot tier, or all of memory where nothing else is configured.
//!
//! It needs a plain Redis 6.2 or Valkey and no module. What is acknowledged here is kept as that
//! Redis is configured to keep it, and ends with its TTL; it is no database of record.

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
mod turns;
mod upkeep;
mod value;

pub use connect::{RedisConfig, UrlError};
pub use store::{RedisClock, RedisStore};
