//! Entries: appending, reading along a branch, scanning.

mod tail;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use brain_core::{
    chat::Role,
    ids::{AppendId, Seq, SessionKey, Token},
    memory::{
        Append, Appended, Branch, Draft, Edition, Entry, EntryBody, EntryStatus, Expect,
        MemoryErrorKind, NewSession, ReadFrom, ReadOptions, Session, Summary, inside_tool_round,
    },
    recall::Document,
    time::Timestamp,
};
use rusqlite::Connection;

pub(crate) use self::tail::Tail;
use crate::{
    catalog,
    error::{Failure, Outcome},
    recall,
    rows::{self, StoredSession},
    summaries,
    tombstones::{self, Copies},
    turns,
};

/// Something that appends, with what can be found of each of its entries.
#[derive(Debug)]
pub(crate) struct Ready<T> {
    pub(crate) what: T,
    pub(crate) documents: Vec<Option<Document>>,
}

/// Appends to a session, and makes it if that is what the appender expects.
pub(crate) fn append(
    connection: &Connection,
    key: &SessionKey,
    ready: &Ready<Append>,
    now: Timestamp,
) -> Outcome<Appended> {
    let append = &ready.what;
    let stored = catalog::find(connection, key)?;
    if let Some(stored) = &stored
        && let Some(known) = known(connection, stored.row, &append.append_id)?
    {
        return Ok(known);
    }
    let fenced = turns::check_fence(connection, stored.as_ref(), append.fence)?;
    let stored = match stored {
        Some(stored) => stored,
        None => make(connection, key, Some(&NewSession::default()), append.expect, now)?,
    };
    let appended = append_to(connection, stored, (append, &ready.documents), now)?;
    if let Some(turn) = fenced
        && !append.drafts.is_empty()
    {
        turns::pass(connection, turn, appended)?;
    }
    Ok(appended)
}

/// The session of an append that found none.
pub(crate) fn make(
    connection: &Connection,
    key: &SessionKey,
    new: Option<&NewSession>,
    expect: Expect,
    now: Timestamp,
) -> Outcome<StoredSession> {
    match (expect, new) {
        (Expect::Absent, Some(new)) => catalog::insert(connection, key, new, now),
        (Expect::Absent, None) | (Expect::At(_) | Expect::Attach, _) => {
            Err(MemoryErrorKind::Conflict.into())
        }
    }
}

/// What the append of this name did to the session, if it happened.
pub(crate) fn known(
    connection: &Connection,
    session: i64,
    append: &AppendId,
) -> Outcome<Option<Appended>> {
    for sql in [
        "SELECT seq, head, token FROM messages WHERE append = ?2 AND session = ?1",
        "SELECT last, head, token FROM appends WHERE session = ?1 AND name = ?2",
    ] {
        let mut statement = connection.prepare_cached(sql)?;
        let mut found = statement.query((session, append.as_str().as_bytes()))?;
        if let Some(row) = found.next()? {
            return Ok(Some(Appended {
                last: rows::seq(row, 0)?,
                head: rows::seq(row, 1)?,
                token: rows::token(row, 2)?,
            }));
        }
    }
    Ok(None)
}

/// Appends to a session that is there; known appends and turns have been looked for.
pub(crate) fn append_to(
    connection: &Connection,
    stored: StoredSession,
    (append, documents): (&Append, &[Option<Document>]),
    now: Timestamp,
) -> Outcome<Appended> {
    let StoredSession { row, mut session } = stored;
    if !session.is_as(append.expect) {
        return Err(MemoryErrorKind::Conflict.into());
    }
    check_exists(connection, row, append.parent)?;
    let head_moves = session.head_follows(append.expect, append.parent);
    if head_moves {
        check_round(connection, row, append.parent, &append.drafts)?;
    }
    let tail = Tail::of(connection, row)?;
    let new = append.drafts.len() as u64;
    let last = if new == 0 { append.parent } else { Some(Seq(tail.last().0 + new)) };
    if head_moves {
        session.head = last;
    }
    session.entries += new;
    session.updated_at = now;
    session.token = Token::random();
    catalog::save(connection, row, &session)?;
    let appended = Appended { last, head: session.head, token: session.token };
    match last {
        Some(last) if 0 < new => insert(tail, (append, documents), (last, appended))?,
        Some(_) | None => remember(connection, row, &append.append_id, appended)?,
    }
    Ok(appended)
}

fn check_exists(connection: &Connection, session: i64, entry: Option<Seq>) -> Outcome<()> {
    let Some(seq) = entry else { return Ok(()) };
    let sql = "SELECT 1 FROM messages WHERE session = ?1 AND seq = ?2";
    let exists = connection.prepare_cached(sql)?.exists((session, rows::position(seq)))?;
    if exists { Ok(()) } else { Err(MemoryErrorKind::UnknownParent.into()) }
}

/// Refuses to let the head end inside a tool round.
fn check_round(
    connection: &Connection,
    session: i64,
    parent: Option<Seq>,
    drafts: &[Draft],
) -> Outcome<()> {
    let is_result = |body: &EntryBody| body.message.role == Role::Tool;
    let mut tail: Vec<Arc<EntryBody>> = Vec::new();
    if drafts.iter().all(|it| is_result(it.body())) {
        // The call that these results answer is in the history, or nowhere.
        each_of_branch(connection, session, parent, |entry| {
            let goes_on = is_result(&entry.body);
            tail.push(entry.body);
            goes_on
        })?;
    }
    let new = drafts.iter().rev().map(|it| &*it.body().message);
    if inside_tool_round(new.chain(tail.iter().map(|it| &*it.message))) {
        return Err(MemoryErrorKind::InsideToolRound.into());
    }
    Ok(())
}

/// Inserts a chain of entries that ends with `last`, and there what the append did.
fn insert(
    mut tail: Tail<'_>,
    (append, documents): (&Append, &[Option<Document>]),
    (last, appended): (Seq, Appended),
) -> Outcome<()> {
    let mut parent = append.parent;
    for draft in append.drafts.iter().zip(documents) {
        let seq = Seq(tail.last().0 + 1);
        let ended = (seq == last).then_some((&append.append_id, appended));
        tail.push((seq, parent), draft, ended)?;
        parent = Some(seq);
    }
    tail.finish()
}

/// Notes what an append did that has no entry to note it at.
fn remember(
    connection: &Connection,
    session: i64,
    append: &AppendId,
    appended: Appended,
) -> Outcome<()> {
    let sql = "INSERT INTO appends (session, name, last, head, token) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute((
        session,
        append.as_str().as_bytes(),
        appended.last.map(rows::position),
        appended.head.map(rows::position),
        appended.token.to_string(),
    ))?;
    Ok(())
}

/// Reads a branch; entries that do not decode are left out and reported in the log.
pub(crate) fn read(
    connection: &Connection,
    key: &SessionKey,
    options: ReadOptions,
) -> Outcome<Option<Branch>> {
    let Some(StoredSession { row, session }) = catalog::find(connection, key)? else {
        return Ok(None);
    };
    let last = match options.from {
        ReadFrom::Head => session.head,
        ReadFrom::Entry(seq) => Some(seq),
    };
    check_exists(connection, row, last)?;
    let mut entries = Vec::new();
    if 0 < options.limit {
        each_of_branch(connection, row, last, |entry| {
            entries.push(entry);
            entries.len() < options.limit
        })?;
    }
    entries.reverse();
    let summary = summaries::of_branch(connection, row, &entries)?;
    Ok(Some(Branch { session, entries, summary }))
}

/// Shows the entries of the branch that ends with `last`, newest first, until `visit` has enough.
fn each_of_branch(
    connection: &Connection,
    session: i64,
    last: Option<Seq>,
    mut visit: impl FnMut(Entry) -> bool,
) -> Outcome<()> {
    let sql = "SELECT seq, parent, json FROM messages WHERE session = ?1 AND seq = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut next = last;
    while let Some(seq) = next {
        let mut found = statement.query((session, rows::position(seq)))?;
        let Some(row) = found.next()? else { break };
        next = rows::seq(row, 1)?;
        if let Some(entry) = rows::readable_entry(row, 0)
            && !visit(entry)
        {
            break;
        }
    }
    Ok(())
}

/// Entries of all branches, by position.
pub(crate) fn scan(
    connection: &Connection,
    key: &SessionKey,
    after: Seq,
    limit: usize,
) -> Outcome<Vec<Entry>> {
    let Some(stored) = catalog::find(connection, key)? else { return Ok(Vec::new()) };
    entries_after(connection, stored.row, after, limit)
}

/// The same for a session that was found.
pub(crate) fn entries_after(
    connection: &Connection,
    session: i64,
    after: Seq,
    limit: usize,
) -> Outcome<Vec<Entry>> {
    let sql = "SELECT seq, parent, json FROM messages \
               WHERE session = ?1 AND ?2 < seq ORDER BY seq LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query((session, rows::position(after), rows::limit(limit)))?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        entries.push(rows::entry(row, 0)?);
    }
    Ok(entries)
}

/// Chooses the entry after which the next append goes.
pub(crate) fn move_head(
    connection: &Connection,
    key: &SessionKey,
    (expect, head): (Token, Option<Seq>),
    now: Timestamp,
) -> Outcome<Session> {
    let stored = catalog::find(connection, key)?.ok_or(MemoryErrorKind::Conflict)?;
    let StoredSession { row, mut session } = stored;
    if session.token != expect || turns::open_of(connection, row)?.is_some() {
        return Err(MemoryErrorKind::Conflict.into());
    }
    check_exists(connection, row, head)?;
    check_round(connection, row, head, &[])?;
    session.head = head;
    session.token = Token::random();
    session.updated_at = now;
    catalog::save(connection, row, &session)?;
    Ok(session)
}

/// Keeps a summary in place of one that was made at the same entry.
pub(crate) fn keep_summary(
    connection: &Connection,
    key: &SessionKey,
    edition: Edition,
    summary: &Summary,
) -> Outcome<()> {
    let stored = catalog::find(connection, key)?.filter(|it| it.session.edition == edition);
    let stored = stored.ok_or(MemoryErrorKind::Conflict)?;
    check_exists(connection, stored.row, Some(summary.at))?;
    summaries::keep(connection, stored.row, summary)
}

/// Erases what an entry says, and what was made of it; returns whether it said something, as 1.
pub(crate) fn forget_entry(
    connection: &Connection,
    key: &SessionKey,
    seq: Seq,
    now: Timestamp,
) -> Outcome<u64> {
    let Some(StoredSession { row, mut session }) = catalog::find(connection, key)? else {
        return Ok(0);
    };
    if turns::open_of(connection, row)?.is_some() {
        return Err(MemoryErrorKind::Conflict.into());
    }
    if !blank(connection, row, seq)? {
        return Ok(0);
    }
    summaries::forget_from(connection, row, seq)?;
    turns::forget_input(connection, row, seq)?;
    session.forgot_entry(now);
    catalog::save(connection, row, &session)?;
    tombstones::bury(connection, key, (1, Copies::None), now)?;
    Ok(1)
}

/// Leaves of an entry what a forgotten one keeps; whether it said something before.
fn blank(connection: &Connection, session: i64, seq: Seq) -> Outcome<bool> {
    let sql = "SELECT seq, parent, json, id FROM messages WHERE session = ?1 AND seq = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query((session, rows::position(seq)))?;
    let Some(row) = found.next()? else { return Ok(false) };
    let (entry, id) = (rows::entry(row, 0)?, row.get::<_, i64>(3)?);
    if entry.body.status == EntryStatus::Forgotten {
        return Ok(false);
    }
    let blank = Draft::new(entry.body.forgotten()).map_err(Failure::corrupt)?;
    let sql = "UPDATE messages SET status = ?2, json = ?3 WHERE id = ?1";
    let status = blank.body().status.as_str();
    connection.prepare_cached(sql)?.execute((id, status, blank.json().as_ref()))?;
    recall::remove(connection, id)?;
    Ok(true)
}
