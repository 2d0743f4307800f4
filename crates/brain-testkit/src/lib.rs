//! Conformance suites and fakes for the ports of `brain-core`; a dev-dependency only.
//!
//! | for | there is |
//! |---|---|
//! | a memory store | [`memory_store_suite!`], and [`FaultyStore`] to make any store fail |
//! | a cache of sessions | [`session_cache_suite!`] |
//! | settings that change at run time | [`settings_suite!`] |
//! | a language model | [`llm_gateway_suite!`], and [`ScriptedLlm`] to say what a test needs |
//! | the bytes of a provider's wire | [`llm_wire_suite!`] |
//! | a provider's wire | `model_server::ModelServer`, with faults (feature `model-server`) |
//! | what needs a Redis | [`redis::Server`], [`redis::Cluster`], [`redis::Sentinel`], with faults |
//! | something to append | [`say::say`] |
//! | time | [`ManualClock`] |
//! | the order of things | [`Gate`] |
//!
//! The bodies of suites are plain functions, so that a failure points at a line here; the macros
//! only declare tests.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cognitive_complexity,
    reason = "assertions are the purpose of this crate"
)]

pub mod cache;
mod clock;
mod faulty;
mod gate;
pub mod gateway;
pub mod memory;
#[cfg(feature = "model-server")]
pub mod model_server;
pub mod redis;
pub mod say;
mod scripted;
pub mod settings;
pub mod wire_suite;

pub use crate::{
    clock::ManualClock,
    faulty::{FaultyStore, Operation},
    gate::Gate,
    scripted::{Answer, ScriptedLlm},
};
