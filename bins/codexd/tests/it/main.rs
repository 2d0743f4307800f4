//! The daemon as people meet it: its settings, its commands, its end.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail"
)]

mod ask;
mod chat;
mod config;
mod crash;
mod daemon;
mod doctor;
mod fake;
mod fault_matrix;
mod providers;
mod pull;
#[path = "../../examples/reference.rs"]
mod reference;
mod serve;
mod settings;
mod tiers;
mod transfer;
