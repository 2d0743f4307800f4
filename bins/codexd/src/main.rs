//! The brain daemon.
fn main() {}
