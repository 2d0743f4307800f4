//! HTTP for programs that wait: a daemon's API, and files by their address.
//!
//! It blocks, and is not for the threads of a runtime. It shows nothing: what comes is given to
//! whoever asked, piece by piece where it is long.
//!
//! | item | what it does |
//! |---|---|
//! | [`Client`] | asks a daemon: JSON, bodies of any length, and answers as they come |
//! | [`obtain`] | gets a file by its address or path, whole and verified |
//! | [`ClientError`] | why not, as a sentence for people |

mod answer;
mod client;
mod error;
mod fetch;
mod obtain;
mod sse;

pub use crate::{
    answer::Piece,
    client::{Body, Client, array, text},
    error::{ClientError, ClientErrorKind},
    fetch::Progress,
    obtain::{Expected, is_address, obtain},
};
