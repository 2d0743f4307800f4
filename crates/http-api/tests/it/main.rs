//! The surface over real sockets, with a scripted model and the in-memory store.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken promise fails loudly"
)]

mod bad_input;
mod bodies;
mod branches;
mod chat;
mod client;
mod complete;
mod configuration;
mod connections;
mod deep;
mod disconnects;
mod edge;
mod events;
mod fallback;
mod faults;
mod health;
mod owners;
mod portable;
mod query;
mod server;
mod sessions;
mod shutdown;
mod socket;
mod socket_errors;
mod turns;
