//! Which words an entry holds: how it comes into the index, and how it leaves it without a trace.
//!
//! Words are the core's; their hashes are all that is written. An entry costs what its own text
//! costs, however long its session is.

#[cfg(test)]
mod tests;

use std::{fmt::Write as _, sync::Arc};

use brain_core::{
    ids::Owner,
    memory::{Draft, EntryBody},
    recall::Document,
};
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use crate::{error::Outcome, rows};

/// Raised when words are told apart in another way: then everything is indexed anew.
const VERSION: &str = "1";
/// Entries that are indexed between two looks at the table.
const BATCH: usize = 256;
/// Pages of the index that are rewritten in one step of erasing.
const ERASE_PAGES: i64 = 64;

/// Makes room on the connection for words that wait for the end of their transaction.
///
/// The index writes all that it was given whenever a savepoint or a statement begins that can be
/// rolled back; given the words of many entries at once, it writes them once.
pub(crate) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TEMP TABLE recall_waiting (message INTEGER PRIMARY KEY, terms TEXT NOT NULL) STRICT",
    )
}

/// Says whose a hidden session will be, so that it is indexed for them.
pub(crate) fn stage(connection: &Connection, session: i64, owner: &Owner) -> Outcome<()> {
    let sql = "INSERT OR IGNORE INTO recall_sessions (session, owner) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute((session, owner.as_str().as_bytes()))?;
    Ok(())
}

/// What can be found of each of these entries; worth doing before it is the writer's turn.
pub(crate) fn documents(drafts: &[Draft]) -> Vec<Option<Document>> {
    drafts.iter().map(|it| Document::of(it.body())).collect()
}

/// Makes an entry that was just written findable, once [`complete`] is done.
pub(crate) fn add(
    connection: &Connection,
    session: i64,
    message: i64,
    document: &Document,
) -> Outcome<()> {
    let sql = "SELECT coalesce((SELECT owner FROM recall_sessions WHERE session = ?1), \
                               (SELECT owner FROM sessions WHERE id = ?1))";
    let owner: Vec<u8> = connection.prepare_cached(sql)?.query_row([session], |row| row.get(0))?;
    let sql = "INSERT INTO recall_entries (message, session, place, words, asks) \
               SELECT ?1, ?2, 1 + coalesce(max(place), 0), ?3, ?4 \
               FROM recall_entries WHERE session = ?2";
    let count = rows::int(document.words.len() as u64);
    connection.prepare_cached(sql)?.execute((message, session, count, document.asks))?;
    let sql = "INSERT INTO temp.recall_waiting (message, terms) VALUES (?1, ?2)";
    let terms = terms_of(&owner, document.words.iter().map(String::as_str));
    connection.prepare_cached(sql)?.execute((message, terms))?;
    Ok(())
}

/// Gives the index the words that wait for it; to be done at the end of each transaction that adds.
pub(crate) fn complete(connection: &Connection) -> Outcome<()> {
    if !connection.prepare_cached("SELECT 1 FROM temp.recall_waiting")?.exists([])? {
        return Ok(());
    }
    let sql = "INSERT INTO recall_words (rowid, words) \
               SELECT message, terms FROM temp.recall_waiting";
    connection.prepare_cached(sql)?.execute([])?;
    connection.prepare_cached("DELETE FROM temp.recall_waiting")?.execute([])?;
    Ok(())
}

/// Makes sure that an entry is not found any more, and that its vector goes.
pub(crate) fn remove(connection: &Connection, message: i64) -> Outcome<()> {
    for sql in [
        "DELETE FROM temp.recall_waiting WHERE message = ?1",
        "DELETE FROM recall_entries WHERE message = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([message])?;
    }
    Ok(())
}

/// Takes some bytes of what has left the index out of it; whether more are left. To be asked
/// until none are, outside of a transaction.
pub(crate) fn erase_some(connection: &Connection) -> Outcome<bool> {
    let sql = "SELECT 1 FROM metadata WHERE key = 'recall_erasure'";
    if !connection.prepare_cached(sql)?.exists([])? {
        return Ok(false);
    }
    let before = connection.total_changes();
    let sql = "INSERT INTO recall_words (recall_words, rank) VALUES ('merge', ?1)";
    connection.prepare_cached(sql)?.execute([-ERASE_PAGES])?;
    // The statement itself is one change.
    if 1 < connection.total_changes() - before {
        return Ok(true);
    }
    let sql = "DELETE FROM metadata WHERE key = 'recall_erasure'";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(false)
}

/// Indexes everything, if it was not yet, or by other words.
pub(crate) fn bring_up_to_date(connection: &Connection) -> Outcome<()> {
    let sql = "SELECT value FROM metadata WHERE key = 'recall_version'";
    let version: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    if version.as_deref() == Some(VERSION) {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let indexed = index_all(connection);
    connection.execute_batch(if indexed.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    indexed
}

fn index_all(connection: &Connection) -> Outcome<()> {
    connection.execute("DELETE FROM recall_entries", [])?;
    let mut after = 0;
    loop {
        let entries = entries_after(connection, after)?;
        let Some((last, ..)) = entries.last() else { break };
        after = *last;
        for (message, session, body) in &entries {
            if let Some(document) = body.as_deref().and_then(Document::of) {
                add(connection, *session, *message, &document)?;
            }
        }
        complete(connection)?;
    }
    let sql = "INSERT OR REPLACE INTO metadata (key, value) VALUES ('recall_version', ?1)";
    connection.execute(sql, [VERSION])?;
    Ok(())
}

/// The numbers of an entry and of its session, and what it says.
type Stored = (i64, i64, Option<Arc<EntryBody>>);

/// Some entries of all sessions; nothing of those that do not decode.
fn entries_after(connection: &Connection, after: i64) -> Outcome<Vec<Stored>> {
    let sql = "SELECT id, session, seq, parent, json FROM messages \
               WHERE ?1 < id ORDER BY id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query((after, rows::limit(BATCH)))?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        entries.push((row.get(0)?, row.get(1)?, rows::entry(row, 2).ok().map(|it| it.body)));
    }
    Ok(entries)
}

/// What stands in the index for a word of the owner.
pub(super) fn term_of(owner: &Owner, word: &str) -> String {
    terms_of(owner.as_str().as_bytes(), [word].into_iter())
}

fn terms_of<'a>(owner: &[u8], words: impl Iterator<Item = &'a str>) -> String {
    let scope = Sha256::new().chain_update((owner.len() as u64).to_be_bytes()).chain_update(owner);
    let mut terms = String::new();
    for word in words {
        if !terms.is_empty() {
            terms.push(' ');
        }
        let hash = scope.clone().chain_update(word).finalize();
        for byte in hash.iter().take(8) {
            // Writing to a string does not fail.
            write!(terms, "{byte:02x}").ok();
        }
    }
    terms
}
