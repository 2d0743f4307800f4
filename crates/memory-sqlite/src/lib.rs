//! Long-term memory in SQLite: everything that was acknowledged outlives the process.
//!
//! [`SqliteStore`] is [`brain_core::memory::MemoryStore`] on one file. It is not a cache and not
//! shared: one daemon owns the file, and other processes may look into it at most.
//!
//! | module | what it holds |
//! |---|---|
//! | `config`, `error` | where the file is, and what can go wrong |
//! | `open`, `schema`, `upgrade` | refusing what is not ours, migrations, pragmas |
//! | `queue`, `writer` | the one thread that writes, and the groups it commits |
//! | `reader` | pooled read-only connections |
//! | `log`, `catalog`, `summaries`, `recall`, `turns`, `upkeep` | the SQL, as functions over a connection |
//! | `tombstones`, `hidden`, `erasure` | what was forgotten, until no byte of it is left |
//! | `export`, `spool`, `restore` | moving sessions out and in while others write |
//! | `rows` | rows to values and back |
//! | `store` | the port, on top of all that |

mod catalog;
mod config;
mod erasure;
mod error;
mod export;
mod hidden;
mod log;
mod open;
mod queue;
mod reader;
mod recall;
mod restore;
mod rows;
mod schema;
mod spool;
mod store;
mod summaries;
mod tombstones;
mod turns;
mod upgrade;
mod upkeep;
mod writer;

pub use crate::{
    config::{SqliteConfig, Synchronous},
    error::OpenError,
    store::SqliteStore,
};
