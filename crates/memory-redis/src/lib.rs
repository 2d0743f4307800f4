//! Session memory in Redis: the hot tier, or all of memory where nothing else is configured.
//!
//! It needs a plain Redis 6.2 or Valkey and no module. What is acknowledged here is kept as that
//! Redis is configured to keep it, and ends with its TTL; it is no database of record.

mod connect;
mod error;

pub use connect::{RedisConfig, UrlError};
