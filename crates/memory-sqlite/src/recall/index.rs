//! Which words an entry holds: how it comes into the index, and how it leaves it without a trace.
//!
//! Words are the core's; their hashes are all that is written. An entry costs what its own text
//! costs, however long its session is.

#[cfg(test)]
mod tests;

use std::{fmt::Write as _, sync::Arc};

use brain_core::{
    ids::{Owner, Seq},
    memory::{Draft, EntryBody},
    recall::Document,
};
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use crate::{error::Outcome, rows};

/// Raised when words are told apart in another way: then everything is indexed anew.
const VERSION: &str = "2";
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

/// What can be found of each of these entries; worth doing before it is the writer's turn.
pub(crate) fn documents(drafts: &[Draft]) -> Vec<Option<Document>> {
    drafts.iter().map(|it| Document::of(it.body())).collect()
}

/// How much of a session can be found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Findable {
    entries: i64,
    words: i64,
}

impl Findable {
    /// Counts one more entry.
    pub(crate) fn add(&mut self, document: &Document) {
        self.entries += 1;
        self.words += words_of(document);
    }
}

/// How many words an entry has, as its row says.
pub(crate) fn words_of(document: &Document) -> i64 {
    rows::int(document.words.len() as u64)
}

/// Makes an entry of this owner, whose row says that it can be found, findable once [`complete`]
/// is done.
pub(crate) fn add(
    connection: &Connection,
    owner: &[u8],
    message: i64,
    document: &Document,
) -> Outcome<()> {
    let sql = "INSERT INTO temp.recall_waiting (message, terms) VALUES (?1, ?2)";
    let terms = terms_of(owner, document.words.iter().map(String::as_str));
    connection.prepare_cached(sql)?.execute((message, terms))?;
    Ok(())
}

/// Notes that so much more of the session can be found; what goes is counted by the schema.
pub(crate) fn count(connection: &Connection, session: i64, added: Findable) -> Outcome<()> {
    if added.entries == 0 {
        return Ok(());
    }
    let sql = "UPDATE sessions SET findable = findable + ?2, words = words + ?3 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute((session, added.entries, added.words))?;
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
        "UPDATE messages SET words = NULL, asks = NULL, model = NULL WHERE id = ?1",
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

/// What was embedded stays so: vectors are of texts, not of words.
fn index_all(connection: &Connection) -> Outcome<()> {
    connection.execute("INSERT INTO recall_words (recall_words) VALUES ('delete-all')", [])?;
    let mut after = 0;
    loop {
        let entries = entries_after(connection, after)?;
        let Some(last) = entries.last() else { break };
        after = last.message;
        for entry in &entries {
            index_again(connection, entry)?;
        }
        complete(connection)?;
    }
    count_again(connection)?;
    let sql = "INSERT OR REPLACE INTO metadata (key, value) VALUES ('recall_version', ?1)";
    connection.execute(sql, [VERSION])?;
    Ok(())
}

/// Indexes an entry; those before it in its session are done.
fn index_again(connection: &Connection, entry: &Stored) -> Outcome<()> {
    let document = entry.body.as_deref().and_then(Document::of);
    let sql = "UPDATE messages SET words = ?4, asks = ?5, place = ?6 + coalesce( \
                   (SELECT place FROM messages WHERE session = ?2 AND seq < ?3 \
                    ORDER BY seq DESC LIMIT 1), 0) \
               WHERE id = ?1";
    connection.prepare_cached(sql)?.execute((
        entry.message,
        entry.session,
        rows::position(entry.seq),
        document.as_ref().map(words_of),
        document.as_ref().map(|it| it.asks),
        document.is_some(),
    ))?;
    let Some(document) = document else { return Ok(()) };
    add(connection, &entry.owner, entry.message, &document)
}

/// Says of sessions and owners how much of them can be found, and of vectors where they stand.
fn count_again(connection: &Connection) -> Outcome<()> {
    connection.execute_batch(
        "UPDATE messages SET model = NULL WHERE words IS NULL AND model IS NOT NULL; \
         UPDATE recall_vectors SET place = m.place FROM messages m \
             WHERE m.session = recall_vectors.session AND m.seq = recall_vectors.seq \
                 AND m.place <> recall_vectors.place; \
         UPDATE sessions SET (findable, words) = \
             (SELECT count(m.words), coalesce(sum(m.words), 0) FROM messages m \
              WHERE m.session = sessions.id) WHERE owner <> X''; \
         DELETE FROM recall_owners; \
         INSERT INTO recall_owners (owner, sessions, entries, words) \
             SELECT owner, count(*), sum(findable), sum(words) FROM sessions \
             WHERE owner <> X'' AND 0 < findable GROUP BY owner",
    )?;
    Ok(())
}

/// An entry, whose it is, and what it says; nothing if that does not decode.
struct Stored {
    message: i64,
    session: i64,
    owner: Vec<u8>,
    seq: Seq,
    body: Option<Arc<EntryBody>>,
}

/// Some entries of all sessions that somebody may see.
fn entries_after(connection: &Connection, after: i64) -> Outcome<Vec<Stored>> {
    let sql = "SELECT m.id, m.session, s.owner, m.seq, m.parent, m.json \
               FROM messages m CROSS JOIN sessions s ON s.id = m.session \
               WHERE ?1 < m.id AND s.owner <> X'' ORDER BY m.id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query((after, rows::limit(BATCH)))?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        entries.push(Stored {
            message: row.get(0)?,
            session: row.get(1)?,
            owner: row.get(2)?,
            seq: Seq(rows::unsigned(row, 3)?),
            body: rows::entry(row, 3).ok().map(|it| it.body),
        });
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
