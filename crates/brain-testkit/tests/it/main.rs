//! The suites hold for the reference implementations and the fakes.

mod memory;
