//! Sessions that nobody sees: those that are being restored, and those that are being erased.
//!
//! A hidden session has no owner, and so it is in no list, no search and no export. What was
//! forgotten is hidden at once and taken out of the tables a little at a time.

use std::time::{Duration, Instant};

use brain_core::{
    ids::{SessionKey, Token},
    memory::Session,
};
use rusqlite::{Connection, OptionalExtension};

use crate::{error::Outcome, rows};

/// A transaction that erases deletes no more rows after this time,
const STEP_TIME: Duration = Duration::from_millis(5);
/// or after so many statements,
const STEP_STATEMENTS: usize = 8;
/// each of which deletes at most so many rows.
const STATEMENT_ROWS: i64 = 16;

/// What a hidden session is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HiddenName(Token);

impl HiddenName {
    /// A name that no other session has.
    pub(crate) fn random() -> Self {
        Self(Token::random())
    }

    fn as_blob(self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }
}

/// Makes a hidden session with the class and age of this one; returns its row.
pub(crate) fn insert(connection: &Connection, name: HiddenName, session: &Session) -> Outcome<i64> {
    let sql = "INSERT INTO sessions (owner, name, recall, class, token, entries, \
                                     created_at, updated_at) \
               VALUES (X'', ?1, FALSE, ?2, '', 0, ?3, ?3)";
    connection.prepare_cached(sql)?.execute((
        name.as_blob(),
        rows::class_name(session.class),
        session.created_at.as_millis(),
    ))?;
    Ok(connection.last_insert_rowid())
}

/// The row of a hidden session that is not doomed.
pub(crate) fn find(connection: &Connection, name: HiddenName) -> Outcome<Option<i64>> {
    let sql = "SELECT id FROM sessions WHERE owner = X'' AND name = ?1 AND NOT doomed";
    let row = connection.prepare_cached(sql)?.query_row([name.as_blob()], |row| row.get(0));
    Ok(row.optional()?)
}

/// Gives a hidden session its name, and lets everybody see it.
pub(crate) fn reveal(connection: &Connection, row: i64, key: &SessionKey) -> Outcome<()> {
    let sql = "UPDATE sessions SET owner = ?2, name = ?3 WHERE id = ?1";
    let names = (row, key.owner.as_str().as_bytes(), key.id.as_str().as_bytes());
    connection.prepare_cached(sql)?.execute(names)?;
    Ok(())
}

/// Moves the entries of a hidden session into one that everybody sees.
pub(crate) fn merge(connection: &Connection, hidden: i64, session: i64) -> Outcome<()> {
    let sql = "SELECT coalesce((SELECT place FROM messages WHERE session = ?1 \
                                ORDER BY seq DESC LIMIT 1), 0)";
    let place: i64 = connection.prepare_cached(sql)?.query_row([session], |row| row.get(0))?;
    let sql = "UPDATE messages SET session = ?2, place = ?3 + place WHERE session = ?1";
    connection.prepare_cached(sql)?.execute((hidden, session, place))?;
    let sql = "UPDATE sessions SET findable = sessions.findable + h.findable, \
                   words = sessions.words + h.words \
               FROM (SELECT findable, words FROM sessions WHERE id = ?1) h WHERE id = ?2";
    connection.prepare_cached(sql)?.execute((hidden, session))?;
    connection.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([hidden])?;
    Ok(())
}

/// Hides a session for good: what it is called is free again, and all of it will be erased.
pub(crate) fn doom(connection: &Connection, row: i64) -> Outcome<()> {
    let sql = "UPDATE sessions SET owner = X'', name = randomblob(16), title = NULL, \
                   metadata = NULL, system = NULL, model = NULL, doomed = TRUE \
               WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([row])?;
    Ok(())
}

/// Dooms what an earlier process hid and did not come to reveal.
pub(crate) fn doom_all(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE sessions SET doomed = TRUE WHERE owner = X'' AND NOT doomed";
    connection.execute(sql, [])?;
    Ok(())
}

/// Deletes some rows of what is doomed, in a transaction of its own; whether more are left.
pub(crate) fn erase_some(connection: &Connection) -> Outcome<bool> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let more = erase_rows(connection);
    let end = if more.is_ok() { "COMMIT" } else { "ROLLBACK" };
    if !connection.is_autocommit() {
        connection.prepare_cached(end)?.execute([])?;
    }
    more
}

fn erase_rows(connection: &Connection) -> Outcome<bool> {
    let start = Instant::now();
    for _ in 0..STEP_STATEMENTS {
        let sql = "SELECT id FROM sessions WHERE doomed LIMIT 1";
        let doomed = connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
        let Some(row) = doomed else { return Ok(false) };
        erase_of(connection, row)?;
        if STEP_TIME <= start.elapsed() {
            break;
        }
    }
    Ok(true)
}

/// Deletes rows of a session: its own last of all.
fn erase_of(connection: &Connection, session: i64) -> Outcome<()> {
    for sql in [
        "DELETE FROM messages WHERE id IN \
             (SELECT id FROM messages WHERE session = ?1 LIMIT ?2)",
        "DELETE FROM appends WHERE session = ?1 AND name IN \
             (SELECT name FROM appends WHERE session = ?1 LIMIT ?2)",
        "DELETE FROM summaries WHERE session = ?1 AND at IN \
             (SELECT at FROM summaries WHERE session = ?1 LIMIT ?2)",
    ] {
        if 0 < connection.prepare_cached(sql)?.execute((session, STATEMENT_ROWS))? {
            return Ok(());
        }
    }
    connection.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([session])?;
    Ok(())
}
