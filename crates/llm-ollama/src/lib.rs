//! Ollama's own API as a language-model gateway.
//!
//! It speaks `/api/…` and not Ollama's OpenAI-compatible surface, which cannot set the length of the
//! context. It pulls models that are missing, and notices when a prompt was cut. HTTP itself is
//! `llm-http`'s; retry, fallback and limits are wrappers over the port.
//!
//! | module | what it does |
//! |---|---|
//! | `config` | what an operator decides |
//! | `wire` | the JSON of the API, as it is sent and as it comes |
//! | `request` | from a request of ours to theirs; pure |
//! | `decode` | from their lines to our events; pure |
//! | `prompt` | whether the server read the whole prompt; pure |
//! | `profile` | what a model can do and how long its context is; pure |
//! | `version` | what a server knows, by its version; pure |
//! | `failure` | the sentences of failures that only Ollama has; pure |
//! | `answer` | bytes in, events out |
//! | `pull` | fetching a missing model once for all who wait for it |
//! | `embeddings` | vectors; pure |
//! | `server` | one server: what is asked of it and what was learnt |
//! | `gateway` | the port |

mod answer;
mod config;
mod decode;
mod embeddings;
mod failure;
mod gateway;
mod profile;
mod prompt;
mod pull;
mod request;
mod server;
mod version;
mod wire;

pub use llm_http::{
    InvalidEndpoint, InvalidProxy, InvalidRoots, Names, Network, Protocol, Proxies, Roots, Timeouts,
};

pub use crate::{
    config::{KeepAlive, OllamaConfig},
    gateway::OllamaGateway,
};
