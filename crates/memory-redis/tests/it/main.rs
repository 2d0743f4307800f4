//! The store on real Redis servers.
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod cluster;
mod commands;
mod faults;
mod harness;
mod suite;

#[test]
fn placeholder() {
    Some(()).unwrap();
}
