//! The brain on the in-memory store: what a turn promises, whatever happens to it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a broken promise fails loudly, and figures are printed"
)]

mod allocations;
mod background;
mod cases;
mod choices;
mod fallback;
mod faults;
mod fixture;
mod listeners;
mod recall;
mod recovery;
mod sessions;
mod store_faults;
mod tools;
mod turns;
mod windows;
