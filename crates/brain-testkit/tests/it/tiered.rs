//! Two tiers as one store: the whole suite, whatever the hot tier does, and what is theirs alone.
#![expect(
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a broken promise fails loudly; tests wait for what they spawn, on one thread"
)]

mod adopt;
mod chaos;
mod checked;
mod copies;
mod ephemeral;
mod faults;
mod fixture;
mod forget;
mod moves;
mod suites;
