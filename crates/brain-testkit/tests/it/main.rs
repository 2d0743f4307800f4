//! The suites hold for the reference implementations and the fakes, and the fakes keep their word.
#![expect(clippy::unwrap_used, reason = "a broken promise fails loudly")]

mod cache;
mod clock;
mod faulty;
mod gateways;
mod memory;
mod model_server;
mod portable;
mod redis;
mod scripted;
mod settings;
mod suites;
mod tiered;
