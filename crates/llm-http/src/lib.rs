//! What every HTTP provider shares: the client, the SSE decoder, the error classifier.
//!
//! It knows HTTP and the habits of model servers, but no provider: addresses, fields and models
//! are the business of the `llm-*` crates that use it.
//!
//! | item | what it does |
//! |---|---|
//! | [`Endpoint`] | where requests go, which headers they carry, how failures there are told |
//! | [`HttpClient`] | sends JSON, receives JSON or a stream of bytes; bounded and timed |
//! | [`SseDecoder`] | turns bytes, cut anywhere, into server-sent events |
//! | [`Refusal`], [`ErrorBody`] | what a server said when it refused, and which kind of failure that is |

mod classify;
mod client;
mod connect;
mod endpoint;
mod error_body;
mod fault;
mod redact;
mod refusal;
mod response;
mod retry_after;
mod sse;
mod surrogates;

pub use crate::{
    client::{CallError, HttpClient, Timeouts},
    endpoint::{Endpoint, InvalidEndpoint},
    error_body::ErrorBody,
    refusal::Refusal,
    response::{ByteStream, let_go},
    sse::{MAX_EVENT_BYTES, SseDecoder, SseError, SseEvent},
    surrogates::repair_surrogates,
};
