//! The wrappers of model gateways: each by itself, then all of them. Time is paused: nothing here
//! waits for real.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail")]

mod breaker;
mod fake;
mod limit;
mod limit_property;
mod metrics;
mod retry;
mod retry_table;
mod stack;
mod suites;
mod timeouts;
