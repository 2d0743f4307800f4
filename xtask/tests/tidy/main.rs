//! The rules of the workspace that neither rustc nor clippy checks.
//!
//! A rule is a function from files or packages to violations, each a sentence that says what to do. Two
//! tests go with it: the workspace keeps the rule, and the rule sees a breach.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken checkout fails loudly"
)]

mod dependencies;
mod functions;
mod layout;
mod links;
mod ports;
mod words;
mod workspace;

/// Fails with all violations of a rule at once.
#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "{} found:\n  {}", violations.len(), violations.join("\n  "));
}
