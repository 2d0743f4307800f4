//! What every HTTP provider shares: the client, the decoders, the error classifier.
//!
//! It knows HTTP and the habits of model servers, but no provider: addresses, fields and models
//! are the business of the `llm-*` crates that use it.
//!
//! | item | what it does |
//! |---|---|
//! | [`Endpoint`] | where requests go, which headers they carry, how failures there are told |
//! | [`Names`] | what an operator calls the settings, for errors that say which to mend |
//! | [`HttpClient`] | sends JSON, receives JSON or a stream of bytes; bounded and timed |
//! | [`Network`] | the way there: proxies, certificate authorities, the protocol |
//! | [`SseDecoder`] | turns bytes, cut anywhere, into server-sent events |
//! | [`NdjsonDecoder`] | the same into lines of JSON |
//! | [`Refusal`], [`ErrorBody`] | what a server said when it refused, and which kind of failure that is |

mod classify;
mod client;
mod connect;
mod endpoint;
mod error_body;
mod fault;
mod frame;
mod names;
mod ndjson;
mod network;
mod proxies;
mod redact;
mod refusal;
mod response;
mod retry_after;
mod roots;
mod sse;
mod surrogates;
mod transport;

pub use crate::{
    client::{CallError, HttpClient, Timeouts},
    endpoint::{Endpoint, InvalidEndpoint},
    error_body::ErrorBody,
    frame::{FrameTooLarge, MAX_FRAME_BYTES},
    names::Names,
    ndjson::NdjsonDecoder,
    network::{Network, Protocol},
    proxies::{InvalidProxy, Proxies},
    refusal::Refusal,
    response::{ByteStream, let_go},
    roots::{InvalidRoots, Roots},
    sse::{SseDecoder, SseEvent},
    surrogates::repair_surrogates,
};
