//! The client against a server that answers as it is told, wrongly too.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail")]

mod answer;
mod client;
mod server;
