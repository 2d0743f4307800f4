//! The store as a whole, on real files.
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod crash;
mod crowded;
mod erase;
mod export;
mod lasting;
mod migrate;
mod model;
mod recall;
mod refuse;
mod suite;

use std::{path::Path, sync::Arc};

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, Seq, SessionId, SessionKey},
    memory::{Append, Draft, EntryBody, Expect},
    time::Timestamp,
};
use brain_testkit::ManualClock;
use memory_sqlite::{SqliteConfig, SqliteStore, Synchronous};

/// The database `memory.db` in `folder`, on a clock that stands still.
fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(&config(folder), Arc::new(ManualClock::new())).unwrap()
}

fn config(folder: &Path) -> SqliteConfig {
    SqliteConfig { synchronous: Synchronous::Normal, ..SqliteConfig::new(folder.join("memory.db")) }
}

fn key(id: &str) -> SessionKey {
    SessionKey::new(Owner::local(), SessionId::new(id).unwrap())
}

fn draft(text: &str) -> Draft {
    Draft::new(EntryBody::complete(Message::user(text), Timestamp::from_millis(0))).unwrap()
}

/// An append of one entry, named like its text.
fn say(text: &str, parent: Option<Seq>, expect: Expect) -> Append {
    Append {
        parent,
        expect,
        append_id: AppendId::new(text).unwrap(),
        fence: None,
        drafts: vec![draft(text)],
    }
}
