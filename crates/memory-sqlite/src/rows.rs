//! Rows to values, and values to what SQLite stores; not one statement.

use brain_core::{
    BoxError,
    ids::{HolderId, IdempotencyKey, Owner, Seq, SessionId, SessionKey, Token, TurnId},
    json::RawJson,
    memory::{
        Checkpoint, Edition, Entry, Idempotency, MemoryClass, Session, TurnRecord, TurnState,
    },
    time::Timestamp,
};
use rusqlite::{Error, Result, Row, types::Type};
use serde::de::DeserializeOwned;

use crate::error::{Failure, Outcome};

/// What [`session`] reads, in this order.
macro_rules! session_columns {
    () => {
        "s.id, s.name, s.title, s.metadata, s.system, s.recall, s.class, s.head, s.token, \
         s.entries, s.created_at, s.updated_at, s.default_title, s.edition, s.model"
    };
}
pub(crate) use session_columns;

/// What [`turn`] reads, in this order.
macro_rules! turn_columns {
    () => {
        "t.row, t.session, t.id, s.owner, s.name, t.key, t.request_hash, t.request, t.state, \
         t.holder, t.lease_until, t.text, t.reasoning, t.calls, t.last_event, t.tail, \
         t.cancel_requested, t.input, t.answer, t.error, t.usage, t.opened_at, t.ended_at, \
         t.context"
    };
}
pub(crate) use turn_columns;

/// A session, and the number by which other tables know it.
#[derive(Debug)]
pub(crate) struct StoredSession {
    pub(crate) row: i64,
    pub(crate) session: Session,
}

/// A turn, and the numbers of its row and its session.
#[derive(Debug)]
pub(crate) struct StoredTurn {
    pub(crate) row: i64,
    pub(crate) session: i64,
    pub(crate) record: TurnRecord,
}

/// A count or position as SQLite keeps it; what is too big is bigger than anything stored.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A position as SQLite keeps it.
pub(crate) fn position(seq: Seq) -> i64 {
    int(seq.0)
}

/// A limit as SQLite takes it.
pub(crate) fn limit(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The name of a class in the database.
pub(crate) fn class_name(class: MemoryClass) -> &'static str {
    match class {
        MemoryClass::Durable => "durable",
        MemoryClass::Ephemeral => "ephemeral",
    }
}

/// Reads `session_columns`.
pub(crate) fn session(row: &Row<'_>) -> Result<StoredSession> {
    let session = Session {
        id: session_id(row, 1)?,
        title: row.get(2)?,
        has_default_title: row.get(12)?,
        metadata: optional(row, 3, raw_json)?,
        system: row.get(4)?,
        model: row.get(14)?,
        recall: row.get(5)?,
        class: parsed(row, 6, class)?,
        head: seq(row, 7)?,
        token: parsed(row, 8, Token::parse)?,
        edition: Edition::from_bits(unsigned(row, 13)?),
        entries: unsigned(row, 9)?,
        created_at: timestamp(row, 10)?,
        updated_at: timestamp(row, 11)?,
    };
    Ok(StoredSession { row: row.get(0)?, session })
}

/// Reads position, parent and JSON from the columns that begin at `first`.
pub(crate) fn entry(row: &Row<'_>, first: usize) -> Outcome<Entry> {
    let place = (Seq(unsigned(row, first)?), seq(row, first + 1)?);
    let json = row.get_ref(first + 2)?.as_str().map_err(Failure::corrupt)?;
    Entry::decode(place.0, place.1, json).map_err(Failure::corrupt)
}

/// The same; one that does not decode is left out and reported in the log.
pub(crate) fn readable_entry(row: &Row<'_>, first: usize) -> Option<Entry> {
    entry(row, first)
        .inspect_err(|failure| {
            let seq = row.get::<_, i64>(first).ok();
            tracing::error!(?failure, entry.seq = seq, "a stored entry is corrupt");
        })
        .ok()
}

/// Reads `turn_columns`.
pub(crate) fn turn(row: &Row<'_>) -> Result<StoredTurn> {
    let owner = parsed(row, 3, |it| Owner::new(it).ok())?;
    let state = parsed(row, 8, state)?;
    let record = TurnRecord {
        id: parsed(row, 2, TurnId::parse)?,
        session: SessionKey::new(owner, session_id(row, 4)?),
        idempotency: idempotency(row)?,
        request: parsed(row, 7, raw_json)?,
        state,
        holder: parsed(row, 9, HolderId::parse)?,
        lease_until: optional_timestamp(row, 10)?,
        checkpoint: checkpoint(row, state)?,
        cancel_requested: row.get(16)?,
        input: seq(row, 17)?,
        answer: seq(row, 18)?,
        error: optional(row, 19, json)?,
        usage: optional(row, 20, json)?,
        context: optional(row, 23, json)?,
        opened_at: timestamp(row, 21)?,
        ended_at: optional_timestamp(row, 22)?,
    };
    Ok(StoredTurn { row: row.get(0)?, session: row.get(1)?, record })
}

fn idempotency(row: &Row<'_>) -> Result<Option<Idempotency>> {
    let key = optional(row, 5, |it| IdempotencyKey::new(it).ok())?;
    let Some(key) = key else { return Ok(None) };
    Ok(Some(Idempotency { key, request_hash: row.get(6)? }))
}

fn checkpoint(row: &Row<'_>, state: TurnState) -> Result<Checkpoint> {
    Ok(Checkpoint {
        text: row.get(11)?,
        reasoning: row.get(12)?,
        calls: parsed(row, 13, json)?,
        last_event: unsigned(row, 14)?,
        tail: seq(row, 15)?,
        waiting: state == TurnState::Waiting,
    })
}

/// The name of a session.
pub(crate) fn session_id(row: &Row<'_>, column: usize) -> Result<SessionId> {
    parsed(row, column, |it| SessionId::new(it).ok())
}

/// The owner and the name of a session, in the first two columns.
pub(crate) fn session_key(row: &Row<'_>) -> Result<SessionKey> {
    let owner = parsed(row, 0, |it| Owner::new(it).ok())?;
    Ok(SessionKey::new(owner, session_id(row, 1)?))
}

/// A position or nothing.
pub(crate) fn seq(row: &Row<'_>, column: usize) -> Result<Option<Seq>> {
    let value: Option<i64> = row.get(column)?;
    value.map(|value| to_unsigned(column, value).map(Seq)).transpose()
}

/// Any JSON.
pub(crate) fn value(row: &Row<'_>, column: usize) -> Result<RawJson> {
    parsed(row, column, raw_json)
}

/// A token of a session or a setting.
pub(crate) fn token(row: &Row<'_>, column: usize) -> Result<Token> {
    parsed(row, column, Token::parse)
}

/// A count or position.
pub(crate) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64> {
    to_unsigned(column, row.get(column)?)
}

fn to_unsigned(column: usize, value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

/// A time.
pub(crate) fn timestamp(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

fn optional_timestamp(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    Ok(millis.map(Timestamp::from_millis))
}

fn state(name: &str) -> Option<TurnState> {
    use TurnState::{Completed, Failed, Interrupted, Running, Waiting};
    [Running, Waiting, Completed, Interrupted, Failed].into_iter().find(|it| it.as_str() == name)
}

fn class(name: &str) -> Option<MemoryClass> {
    [MemoryClass::Durable, MemoryClass::Ephemeral].into_iter().find(|it| class_name(*it) == name)
}

fn raw_json(text: &str) -> Option<RawJson> {
    RawJson::parse(text).ok()
}

fn json<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// The text of a TEXT or BLOB column, as whatever it is the name of.
fn parsed<T>(row: &Row<'_>, column: usize, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
    optional(row, column, parse)?.ok_or_else(|| unreadable(column, "nothing there"))
}

fn optional<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>> {
    let value = row.get_ref(column)?;
    let Some(bytes) = value.as_bytes_or_null()? else { return Ok(None) };
    let text = std::str::from_utf8(bytes).map_err(|error| unreadable(column, error))?;
    parse(text).map(Some).ok_or_else(|| unreadable(column, "not what belongs there"))
}

fn unreadable(column: usize, source: impl Into<BoxError>) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, source.into())
}
