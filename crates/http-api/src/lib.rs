//! The HTTP surface of the brain: routes, Server-Sent Events, WebSocket.
//!
//! It speaks to the ports of `brain-core` only: it knows no backend, reads no environment and
//! decides nothing about a turn. `docs/API.md` is its contract with clients.
//!
//! | module | what it holds |
//! |---|---|
//! | `api`, `config` | what a daemon builds and starts |
//! | `server` | sockets: accepting, time-outs, draining |
//! | `edge` | what every request passes: ids, hosts, limits, errors on the wire |
//! | `error` | from every failure to a status, a code and a sentence |
//! | `query`, `extract`, `body`, `fields` | reading requests |
//! | `chat` | turns as JSON, as events and over WebSocket |
//! | `memory` | sessions, search, export and import |
//! | `complete` | filling gaps in texts |
//! | `sse` | answers as events |
//! | `configuration` | what holds where nobody says otherwise |
//! | `models` | what can be asked for, and who answers |
//! | `about` | health and the front page |

mod about;
mod api;
mod body;
mod chat;
mod complete;
mod config;
mod configuration;
mod edge;
mod error;
mod extract;
mod fields;
mod memory;
mod models;
mod query;
mod server;
mod sse;

pub use crate::{
    api::Api,
    config::{ApiConfig, HealthCheck},
    fields::MAX_SYSTEM_BYTES,
};
