//! What the store says when Redis fails, and what it leaves behind.
//!
//! Each case compares what Redis holds before and after: an error leaves nothing half done.

pub(crate) mod cuts;
mod eviction;
mod outages;
pub(crate) mod permissions;
mod refusals;
