//! The commands that speak to a daemon over HTTP, what they print, and how commands end.
//!
//! It finds no daemon, reads no setting and ends no process: whoever has the command line gives a
//! [`http_client::Client`], and takes an exit code or a [`Failure`].
//!
//! | item | what it does |
//! |---|---|
//! | [`ask`], [`chat`] | one question; a conversation, with a person or line by line |
//! | [`sessions`], [`models`] | lists, what was said, what was found, what was erased |
//! | [`config`] | what holds where nobody says otherwise, and choosing it |
//! | [`export`], [`import`] | memory into a file, and out of one |
//! | [`pull`] | a model file into a folder |
//! | [`Failure`], [`Code`] | why not: a sentence for people, a word and an exit code for programs |
//! | [`Report`] | what was looked at, line by line |
//! | [`terminal`] | writes to people, and keeps what others wrote from moving their terminal |

mod ask;
mod code;
mod config;
mod failure;
mod listing;
mod pull;
mod repl;
mod report;
pub mod terminal;
mod transfer;

pub use crate::{
    ask::{Conversation, Question, ask, question},
    code::{Code, INTERRUPTED, OK, exit_of, reference, summary},
    config::{Config, config},
    failure::Failure,
    listing::{Sessions, models, sessions},
    pull::{Pull, is_gguf, pull},
    repl::{Repl, chat},
    report::{Mark, Report},
    transfer::{Format, Import, OnConflict, export, import},
};
