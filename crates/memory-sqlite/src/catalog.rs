//! Sessions without their entries; and putting exported ones back, or erasing them.

use brain_core::{
    ids::{Owner, Seq, SessionKey, Token},
    memory::{
        Draft, ExportedSession, ListOptions, MemoryErrorKind, NewSession, Restored, Session,
        SessionPatch,
    },
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension};

use crate::{
    error::{Failure, Outcome},
    log,
    rows::{self, StoredSession, session_columns},
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
                   head = ?6, token = ?7, entries = ?8, updated_at = ?9 \
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

/// Puts an exported session back; its tree has been checked, and `drafts` are its entries.
pub(crate) fn restore(
    connection: &Connection,
    key: &SessionKey,
    import: &ExportedSession,
    drafts: &[Draft],
) -> Outcome<Restored> {
    let (stored, restored) = match find(connection, key)? {
        Some(stored) => {
            let restored = compare(connection, &stored, import)?;
            (stored, restored)
        }
        None => {
            let new = NewSession { class: import.class, ..NewSession::default() };
            (insert(connection, key, &new, import.created_at)?, Restored::Created)
        }
    };
    match restored {
        Restored::Created | Restored::Extended(_) => {
            take_over(connection, stored, import, drafts)?;
        }
        Restored::Unchanged => {}
    }
    Ok(restored)
}

fn compare(
    connection: &Connection,
    stored: &StoredSession,
    import: &ExportedSession,
) -> Outcome<Restored> {
    if turns::open_of(connection, stored.row)?.is_some() {
        return Err(MemoryErrorKind::Conflict.into());
    }
    let entries = log::entries_after(connection, stored.row, Seq(0), usize::MAX)?;
    let stored = ExportedSession::of(&stored.session, &entries, Vec::new());
    import.compare(&stored).map_err(|error| Failure::Refused(error.kind()))
}

fn take_over(
    connection: &Connection,
    stored: StoredSession,
    import: &ExportedSession,
    drafts: &[Draft],
) -> Outcome<()> {
    let StoredSession { row, session } = stored;
    let there = usize::try_from(session.entries).unwrap_or(usize::MAX);
    for (entry, draft) in import.entries.iter().zip(drafts).skip(there) {
        log::insert_at(connection, row, (entry.seq, entry.parent), draft)?;
    }
    let session = Session {
        title: import.title.clone(),
        metadata: import.metadata.clone(),
        system: import.system.clone(),
        recall: import.recall,
        head: import.head,
        token: Token::random(),
        entries: import.entries.len() as u64,
        updated_at: import.updated_at,
        ..session
    };
    save(connection, row, &session)
}

/// Erases a session with its entries, appends and turns; returns how many entries it had.
pub(crate) fn forget(connection: &Connection, key: &SessionKey) -> Outcome<Option<u64>> {
    let Some(stored) = find(connection, key)? else { return Ok(None) };
    connection.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([stored.row])?;
    Ok(Some(stored.session.entries))
}
