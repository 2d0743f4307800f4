//! Sessions without their entries, and forgetting them.

use brain_core::{
    ids::{Owner, SessionKey},
    memory::{Forget, ListOptions, MemoryErrorKind, NewSession, Session, SessionPatch},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension};

use crate::{
    error::Outcome,
    hidden,
    rows::{self, StoredSession, session_columns},
    tombstones::{self, Copies},
    turns,
};

/// The session of this name.
pub(crate) fn find(connection: &Connection, key: &SessionKey) -> Outcome<Option<StoredSession>> {
    let sql = concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions s WHERE s.owner = ?1 AND s.name = ?2"
    );
    let names = (key.owner.as_str().as_bytes(), key.id.as_str().as_bytes());
    Ok(connection.prepare_cached(sql)?.query_row(names, rows::session).optional()?)
}

/// Makes an empty session.
pub(crate) fn create(
    connection: &Connection,
    key: &SessionKey,
    new: &NewSession,
    now: Timestamp,
) -> Outcome<Session> {
    if find(connection, key)?.is_some() {
        return Err(MemoryErrorKind::Conflict.into());
    }
    Ok(insert(connection, key, new, now)?.session)
}

/// Makes an empty session where there is none.
pub(crate) fn insert(
    connection: &Connection,
    key: &SessionKey,
    new: &NewSession,
    now: Timestamp,
) -> Outcome<StoredSession> {
    let session = Session::new(key.id.clone(), new.clone(), now);
    let sql = "INSERT INTO sessions (owner, name, recall, class, token, entries, \
                                     created_at, updated_at) \
               VALUES (?1, ?2, FALSE, ?3, '', 0, ?4, ?4)";
    connection.prepare_cached(sql)?.execute((
        key.owner.as_str().as_bytes(),
        key.id.as_str().as_bytes(),
        rows::class_name(session.class),
        now.as_millis(),
    ))?;
    let row = connection.last_insert_rowid();
    save(connection, row, &session)?;
    Ok(StoredSession { row, session })
}

/// Writes everything of a session that can change.
pub(crate) fn save(connection: &Connection, row: i64, session: &Session) -> Outcome<()> {
    let sql = "UPDATE sessions SET title = ?2, metadata = ?3, system = ?4, recall = ?5, \
                   head = ?6, token = ?7, entries = ?8, updated_at = ?9, default_title = ?10, \
                   edition = ?11, model = ?12 \
               WHERE id = ?1";
    connection.prepare_cached(sql)?.execute((
        row,
        &session.title,
        session.metadata.as_ref().map(|it| it.as_str()),
        &session.system,
        session.recall,
        session.head.map(rows::position),
        session.token.to_string(),
        rows::int(session.entries),
        session.updated_at.as_millis(),
        session.has_default_title,
        rows::int(session.edition.bits()),
        &session.model,
    ))?;
    Ok(())
}

/// A page of the owner's sessions, newest first.
pub(crate) fn list(
    connection: &Connection,
    owner: &Owner,
    options: &ListOptions,
) -> Outcome<Vec<Session>> {
    let first = concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions s WHERE s.owner = ?1 ORDER BY s.created_at DESC, s.name DESC LIMIT ?2"
    );
    let next = concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions s WHERE s.owner = ?1 AND (s.created_at, s.name) < (?3, ?4) \
         ORDER BY s.created_at DESC, s.name DESC LIMIT ?2"
    );
    let owner = owner.as_str().as_bytes();
    let limit = rows::limit(options.limit);
    let mut statement;
    let mut found = match &options.before {
        None => {
            statement = connection.prepare_cached(first)?;
            statement.query((owner, limit))?
        }
        Some(key) => {
            statement = connection.prepare_cached(next)?;
            let (created_at, name) = (key.created_at.as_millis(), key.id.as_str().as_bytes());
            statement.query((owner, limit, created_at, name))?
        }
    };
    let mut page = Vec::new();
    while let Some(row) = found.next()? {
        page.push(rows::session(row)?.session);
    }
    Ok(page)
}

/// Changes what a patch names.
pub(crate) fn patch(
    connection: &Connection,
    key: &SessionKey,
    patch: &SessionPatch,
    now: Timestamp,
) -> Outcome<Option<Session>> {
    let Some(StoredSession { row, mut session }) = find(connection, key)? else { return Ok(None) };
    session.apply(patch.clone(), now);
    save(connection, row, &session)?;
    Ok(Some(session))
}

/// Forgets a session with all that belongs to it, if it is as `forget` says; returns how many
/// entries it had.
///
/// Its turns are erased at once, since they are found by names of their own.
pub(crate) fn forget(
    connection: &Connection,
    key: &SessionKey,
    forget: Forget,
    now: Timestamp,
) -> Outcome<u64> {
    let Some(StoredSession { row, session }) = find(connection, key)? else { return Ok(0) };
    if !session.may_be_forgotten(forget, turns::open_of(connection, row)?.is_some()) {
        return Err(MemoryErrorKind::Conflict.into());
    }
    hidden::doom(connection, row)?;
    connection.prepare_cached("DELETE FROM turns WHERE session = ?1")?.execute([row])?;
    tombstones::bury(connection, key, (session.entries, Copies::Possible), now)?;
    Ok(session.entries)
}
