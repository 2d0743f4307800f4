//! What was forgotten, for as long as a trace of it may be left; taking the traces away is not
//! its business.

use brain_core::{ids::SessionKey, time::Timestamp};
use rusqlite::Connection;

use crate::{error::Outcome, rows};

/// How long a copy elsewhere is waited for. A Redis that is away for longer may come back with what
/// was forgotten; a store that nobody settles must not keep its names for ever.
const LIFE_MILLIS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// Whether something that was forgotten may have copies elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    Possible,
    None,
}

/// Notes that so many entries of the session were forgotten, and that their bytes are still there.
pub(crate) fn bury(
    connection: &Connection,
    key: &SessionKey,
    (entries, copies): (u64, Copies),
    now: Timestamp,
) -> Outcome<()> {
    let sql = "INSERT INTO tombstones (owner, name, pending, settled, buried_at) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute((
        key.owner.as_str().as_bytes(),
        key.id.as_str().as_bytes(),
        // A session without entries has bytes too.
        rows::int(entries.max(1)),
        copies == Copies::None,
        now.as_millis(),
    ))?;
    Ok(())
}

/// Of how many forgotten entries of the session bytes may still stand in the files.
pub(crate) fn pending(connection: &Connection, key: &SessionKey) -> Outcome<u64> {
    let sql = "SELECT coalesce(sum(pending), 0) FROM tombstones WHERE owner = ?1 AND name = ?2";
    let names = (key.owner.as_str().as_bytes(), key.id.as_str().as_bytes());
    Ok(connection.prepare_cached(sql)?.query_row(names, |row| rows::unsigned(row, 0))?)
}

/// The newest tombstone of something whose bytes may still stand in the files.
pub(crate) fn newest_pending(connection: &Connection) -> Outcome<Option<i64>> {
    let sql = "SELECT max(id) FROM tombstones WHERE 0 < pending";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Notes that no byte is left of what was buried up to this tombstone.
pub(crate) fn note_erased(connection: &Connection, newest: i64) -> Outcome<()> {
    let sql = "UPDATE tombstones SET pending = 0 WHERE 0 < pending AND id <= ?1";
    connection.prepare_cached(sql)?.execute([newest])?;
    connection
        .prepare_cached("DELETE FROM tombstones WHERE settled AND pending = 0")?
        .execute([])?;
    Ok(())
}

/// Sessions that were forgotten and may have copies elsewhere, the longest forgotten first.
pub(crate) fn unsettled(connection: &Connection, limit: usize) -> Outcome<Vec<SessionKey>> {
    let sql = "SELECT owner, name FROM tombstones WHERE NOT settled GROUP BY owner, name \
               ORDER BY min(id) LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([rows::limit(limit)], rows::session_key)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Notes that a forgotten session has no copies elsewhere.
pub(crate) fn settle(connection: &Connection, key: &SessionKey) -> Outcome<()> {
    let names = (key.owner.as_str().as_bytes(), key.id.as_str().as_bytes());
    let sql = "DELETE FROM tombstones WHERE owner = ?1 AND name = ?2 AND pending = 0";
    connection.prepare_cached(sql)?.execute(names)?;
    let sql = "UPDATE tombstones SET settled = TRUE WHERE owner = ?1 AND name = ?2";
    connection.prepare_cached(sql)?.execute(names)?;
    Ok(())
}

/// Waits no longer for the copies of what was forgotten long ago.
pub(crate) fn expire(connection: &Connection, now: Timestamp) -> Outcome<()> {
    let sql = "DELETE FROM tombstones WHERE pending = 0 AND buried_at < ?1";
    connection.prepare_cached(sql)?.execute([now.as_millis().saturating_sub(LIFE_MILLIS)])?;
    Ok(())
}
