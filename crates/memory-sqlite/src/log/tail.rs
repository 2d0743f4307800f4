//! The end of a session, where entries are written, each in one row with what search needs of it.
//!
//! Whether they may go there is decided elsewhere.

#[cfg(test)]
mod tests;

use brain_core::{
    ids::{AppendId, Owner, Seq},
    memory::{Appended, Draft},
    recall::Document,
};
use rusqlite::Connection;

use crate::{
    error::Outcome,
    recall::{self, Findable},
    rows,
};

/// Writes entries of one session, in the order of their positions.
#[derive(Debug)]
pub(crate) struct Tail<'a> {
    connection: &'a Connection,
    session: i64,
    /// Whose words they are.
    owner: Vec<u8>,
    /// The position of the last entry,
    last: Seq,
    /// and how many can be found up to that one.
    place: i64,
    added: Findable,
}

impl<'a> Tail<'a> {
    /// The end of the session with this row.
    pub(crate) fn of(connection: &'a Connection, session: i64) -> Outcome<Self> {
        let sql = "SELECT s.owner, m.seq, coalesce(m.place, 0) FROM sessions s \
                   LEFT JOIN messages m ON m.session = s.id AND m.seq = \
                       (SELECT max(seq) FROM messages WHERE session = ?1) \
                   WHERE s.id = ?1";
        let tail = connection.prepare_cached(sql)?.query_row([session], |row| {
            Ok(Self {
                connection,
                session,
                owner: row.get(0)?,
                last: rows::seq(row, 1)?.unwrap_or_default(),
                place: row.get(2)?,
                added: Findable::default(),
            })
        })?;
        Ok(tail)
    }

    /// The same of a hidden session, which will be this owner's.
    pub(crate) fn for_owner(self, owner: &Owner) -> Self {
        Self { owner: owner.as_str().as_bytes().to_vec(), ..self }
    }

    /// The position of the last entry.
    pub(crate) fn last(&self) -> Seq {
        self.last
    }

    /// Writes an entry at a later position and below a parent of which the caller is sure, and
    /// which append ended with it, if one did.
    pub(crate) fn push(
        &mut self,
        (seq, parent): (Seq, Option<Seq>),
        (draft, document): (&Draft, &Option<Document>),
        ended: Option<(&AppendId, Appended)>,
    ) -> Outcome<()> {
        let sql = "INSERT INTO messages (session, seq, parent, role, status, created_at, \
                       place, words, asks, append, head, token, json) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        (self.last, self.place) = (seq, self.place + i64::from(document.is_some()));
        let body = draft.body();
        self.connection.prepare_cached(sql)?.execute((
            self.session,
            rows::position(seq),
            parent.map(rows::position),
            body.message.role.as_str(),
            body.status.as_str(),
            body.created_at.as_millis(),
            self.place,
            document.as_ref().map(recall::words_of),
            document.as_ref().map(|it| it.asks),
            ended.map(|(append, _)| append.as_str().as_bytes()),
            ended.and_then(|(_, it)| it.head).map(rows::position),
            ended.map(|(_, it)| it.token.to_string()),
            draft.json().as_ref(),
        ))?;
        let Some(document) = document else { return Ok(()) };
        self.added.add(document);
        recall::add(self.connection, &self.owner, self.connection.last_insert_rowid(), document)
    }

    /// Counts what was written; the last thing to do.
    pub(crate) fn finish(self) -> Outcome<()> {
        recall::count(self.connection, self.session, self.added)
    }
}
