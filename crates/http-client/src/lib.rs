//! HTTP for programs that wait: a daemon's API, and files by their address.
//!
//! It blocks, and is not for the threads of a runtime. It shows nothing: what comes is given to
//! whoever asked, piece by piece where it is long.
//!
//! | item | what it does |
//! |---|---|
//! | [`Client`] | asks a daemon: JSON, bodies of any length, and answers as they come |
//! | [`array_of`], [`text_of`] | read members of the JSON that comes |
//! | [`obtain`] | gets a file by its address or path, whole and verified |
//! | [`shown`] | an address as people may see it |
//! | [`ClientError`] | why not, as a sentence for people |

mod address;
mod answer;
mod body;
mod client;
mod error;
mod fetch;
mod json;
mod obtain;
mod sse;

pub use crate::{
    address::{is_address, shown},
    answer::Piece,
    body::{Body, spool},
    client::Client,
    error::{ClientError, ClientErrorKind},
    fetch::Progress,
    json::{array_of, text_of},
    obtain::{Expected, obtain},
};
