//! Summaries of sessions, by the entry that they were made at.

use brain_core::{
    ids::Seq,
    memory::{Entry, Summary},
};
use rusqlite::{Connection, Row};

use crate::{error::Outcome, rows};

/// Keeps a summary in place of one that was made at the same entry, of which the caller is sure.
pub(crate) fn keep(connection: &Connection, session: i64, summary: &Summary) -> Outcome<()> {
    let sql = "INSERT OR REPLACE INTO summaries (session, at, text, model, created_at) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute((
        session,
        rows::position(summary.at),
        &summary.text,
        &summary.model,
        summary.created_at.as_millis(),
    ))?;
    Ok(())
}

/// The session's summaries, by position.
pub(crate) fn of_session(connection: &Connection, session: i64) -> Outcome<Vec<Summary>> {
    let sql = "SELECT at, text, model, created_at FROM summaries WHERE session = ?1 ORDER BY at";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([session], summary)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The newest summary that was made at one of these entries, which are a branch, or at the parent
/// of the first.
pub(crate) fn of_branch(
    connection: &Connection,
    session: i64,
    entries: &[Entry],
) -> Outcome<Option<Summary>> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(None) };
    let sql = "SELECT at, text, model, created_at FROM summaries \
               WHERE session = ?1 AND at BETWEEN ?2 AND ?3 ORDER BY at DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let oldest = rows::position(first.parent.unwrap_or(first.seq));
    let mut found = statement.query((session, oldest, rows::position(last.seq)))?;
    while let Some(row) = found.next()? {
        let at = Seq(rows::unsigned(row, 0)?);
        let on_branch = entries.binary_search_by_key(&at, |it| it.seq).is_ok();
        if on_branch || first.parent == Some(at) {
            return Ok(Some(summary(row)?));
        }
    }
    Ok(None)
}

/// Erases the summaries at this position and at later ones.
pub(crate) fn forget_from(connection: &Connection, session: i64, at: Seq) -> Outcome<()> {
    let sql = "DELETE FROM summaries WHERE session = ?1 AND ?2 <= at";
    connection.prepare_cached(sql)?.execute((session, rows::position(at)))?;
    Ok(())
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    Ok(Summary {
        at: Seq(rows::unsigned(row, 0)?),
        text: row.get(1)?,
        model: row.get(2)?,
        created_at: rows::timestamp(row, 3)?,
    })
}
