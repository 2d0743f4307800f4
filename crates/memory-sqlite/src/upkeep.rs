//! What background work asks, across owners; each answer costs what it returns.

use brain_core::{ids::SessionKey, time::Timestamp};
use rusqlite::Connection;

use crate::{error::Outcome, rows};

/// Most turns that are dropped in one transaction.
pub(crate) const TURNS: usize = 500;

/// Sessions without an open turn that have not changed since `before`, the longest first.
pub(crate) fn idle_since(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Outcome<Vec<SessionKey>> {
    let sql = "SELECT s.owner, s.name FROM sessions s \
               WHERE s.owner <> X'' AND s.updated_at < ?1 AND NOT EXISTS \
                   (SELECT 1 FROM turns t WHERE t.session = s.id AND t.ended_at IS NULL) \
               ORDER BY s.updated_at, s.owner, s.name LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map((before.as_millis(), rows::limit(limit)), rows::session_key)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Drops the records of some turns that ended before then, the oldest first, at most [`TURNS`];
/// returns how many.
pub(crate) fn prune_turns(connection: &Connection, before: Timestamp) -> Outcome<usize> {
    let sql = "DELETE FROM turns WHERE row IN \
                   (SELECT row FROM turns WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2)";
    Ok(connection.prepare_cached(sql)?.execute((before.as_millis(), rows::limit(TURNS)))?)
}
