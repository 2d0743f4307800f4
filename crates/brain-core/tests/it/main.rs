//! The brain on the in-memory store: what a turn promises, whatever happens to it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken promise fails loudly"
)]

mod allocations;
mod faults;
mod fixture;
mod listeners;
mod recovery;
mod sessions;
mod tools;
mod turns;
