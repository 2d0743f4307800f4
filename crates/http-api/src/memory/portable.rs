//! Everything an owner has, out and in again, and other programs' exports in.

mod export;
mod import;
mod spool;

pub(crate) use self::{
    export::export,
    import::{Imports, import},
};

/// The media type of a session a line.
const NDJSON: &str = "application/x-ndjson";
