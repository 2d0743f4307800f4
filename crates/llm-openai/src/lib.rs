//! OpenAI Chat Completions and every server that speaks it, as a language-model gateway: OpenAI,
//! Azure OpenAI, TabbyML, and compatible servers of many makes.
//!
//! It knows the wire, its dialects and its accidents. HTTP itself is `llm-http`'s; retry, fallback
//! and limits are wrappers over the port.
//!
//! | module | what it does |
//! |---|---|
//! | `config` | what an operator decides |
//! | `routes` | where the parts of the API are; pure |
//! | `make` | what makes of servers do differently; data |
//! | `wire` | the JSON of the API, as it is sent and as it comes |
//! | `request`, `fill` | from a request of ours to theirs; pure |
//! | `dialect` | which optional fields a server and model take; pure |
//! | `decode` | from their chunks to our events; pure |
//! | `answer` | bytes in, events out |
//! | `embeddings` | vectors; pure |
//! | `families` | what is known about models by their names; pure |
//! | `learnt` | what a server said of itself and its models |
//! | `tokens` | counting as OpenAI's models do |
//! | `gateway` | the port, and the I/O |

mod answer;
mod config;
mod decode;
mod dialect;
mod embeddings;
mod families;
mod fill;
mod gateway;
mod learnt;
mod make;
mod request;
mod routes;
mod tokens;
mod wire;

pub use llm_http::{
    InvalidEndpoint, InvalidProxy, InvalidRoots, Names, Network, Protocol, Proxies, Roots, Timeouts,
};

pub use crate::{
    config::{OpenAiConfig, Server},
    gateway::OpenAiGateway,
};
