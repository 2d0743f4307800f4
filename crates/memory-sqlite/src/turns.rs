//! Turns: who holds which session, by which lease, and what there is of the answer.

use std::time::Duration;

use brain_core::{
    BoxError,
    ids::{IdempotencyKey, Owner, Seq, SessionKey, TurnId},
    memory::{
        Appended, Checkpoint, CloseTurn, Fence, Idempotency, MemoryErrorKind, OpenTurn, Opened,
        Signals, TurnRecord, TurnState,
    },
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Params};
use serde::Serialize;

use crate::{
    catalog,
    error::{Failure, Outcome},
    log::{self, Ready},
    rows::{self, StoredSession, StoredTurn, turn_columns},
};

/// The row of a turn that somebody holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    row: i64,
    session: i64,
    cancel: bool,
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            turn_columns!(),
            " FROM turns t JOIN sessions s ON s.id = t.session WHERE ",
            $condition
        )
    };
}

fn find(connection: &Connection, sql: &str, params: impl Params) -> Outcome<Option<StoredTurn>> {
    Ok(connection.prepare_cached(sql)?.query_row(params, rows::turn).optional()?)
}

fn all(connection: &Connection, sql: &str, params: impl Params) -> Outcome<Vec<TurnRecord>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params)?;
    let mut turns = Vec::new();
    while let Some(row) = found.next()? {
        turns.push(rows::turn(row)?.record);
    }
    Ok(turns)
}

fn by_id(connection: &Connection, turn: TurnId) -> Outcome<Option<StoredTurn>> {
    find(connection, select!("t.id = ?1"), [turn.to_string()])
}

/// The session's open turn.
pub(crate) fn open_of(connection: &Connection, session: i64) -> Outcome<Option<TurnRecord>> {
    let sql = select!("t.session = ?1 AND t.ended_at IS NULL");
    Ok(find(connection, sql, [session])?.map(|it| it.record))
}

fn held(connection: &Connection, fence: Fence) -> Outcome<Held> {
    let sql = "SELECT row, session, cancel_requested FROM turns \
               WHERE id = ?1 AND holder = ?2 AND state = 'running'";
    let names = (fence.turn.to_string(), fence.holder.to_string());
    let held = connection.prepare_cached(sql)?.query_row(names, |row| {
        Ok(Held { row: row.get(0)?, session: row.get(1)?, cancel: row.get(2)? })
    });
    held.optional()?.ok_or(MemoryErrorKind::Superseded.into())
}

/// Whether the session may be appended to by whoever shows this fence; the turn that it names.
pub(crate) fn check_fence(
    connection: &Connection,
    session: Option<&StoredSession>,
    fence: Option<Fence>,
) -> Outcome<Option<Held>> {
    let session = session.map(|it| it.row);
    if let Some(fence) = fence {
        let held = held(connection, fence)?;
        if Some(held.session) == session {
            return Ok(Some(held));
        }
        return Err(MemoryErrorKind::Superseded.into());
    }
    let Some(session) = session else { return Ok(None) };
    let sql = "SELECT 1 FROM turns WHERE session = ?1 AND ended_at IS NULL";
    if connection.prepare_cached(sql)?.exists([session])? {
        return Err(MemoryErrorKind::Conflict.into());
    }
    Ok(None)
}

/// What the turn has appended is history now: its checkpoint goes on from there.
pub(crate) fn pass(connection: &Connection, turn: Held, appended: Appended) -> Outcome<()> {
    let sql = "UPDATE turns SET text = '', reasoning = '', calls = '[]', tail = ?2 WHERE row = ?1";
    let tail = appended.last.map(rows::position);
    connection.prepare_cached(sql)?.execute((turn.row, tail))?;
    Ok(())
}

/// Appends the user's entry and opens the turn.
pub(crate) fn open(
    connection: &Connection,
    ready: &Ready<OpenTurn>,
    now: Timestamp,
) -> Outcome<Opened> {
    let open = &ready.what;
    let stored = catalog::find(connection, &open.session)?;
    let known = match &stored {
        Some(stored) => log::known(connection, stored.row, &open.append.append_id)?,
        None => None,
    };
    if let Some(StoredTurn { record: turn, .. }) = by_id(connection, open.id)? {
        // A caller asks again because the first reply was lost.
        return match known {
            Some(appended) if turn.session == open.session => {
                Ok(Opened::Started { turn, appended })
            }
            Some(_) | None => Err(MemoryErrorKind::Conflict.into()),
        };
    }
    if let Some(turn) = known_key(connection, open, now)? {
        return Ok(Opened::Known(turn));
    }
    let stored = match stored {
        Some(stored) => stored,
        None => {
            let (new, expect) = (open.create.as_ref(), open.append.expect);
            log::make(connection, &open.session, new, expect, now)?
        }
    };
    if let Some(turn) = open_of(connection, stored.row)? {
        let lease_left = turn.lease_left(now);
        return Ok(Opened::Busy { turn, lease_left });
    }
    let session = stored.row;
    let appended = match known {
        Some(known) => known,
        None => log::append_to(connection, stored, (&open.append, &ready.documents), now)?,
    };
    let turn = TurnRecord::opened(open.clone(), appended, now);
    insert(connection, session, &turn)?;
    Ok(Opened::Started { turn, appended })
}

fn known_key(
    connection: &Connection,
    open: &OpenTurn,
    now: Timestamp,
) -> Outcome<Option<TurnRecord>> {
    let Some(asked) = &open.idempotency else { return Ok(None) };
    let known = by_key(connection, &open.session.owner, &asked.key, now)?;
    if known.as_ref().is_some_and(|turn| turn.idempotency.as_ref() != Some(asked)) {
        return Err(MemoryErrorKind::KeyReused.into());
    }
    Ok(known)
}

fn insert(connection: &Connection, session: i64, turn: &TurnRecord) -> Outcome<()> {
    let sql = "INSERT INTO turns (id, session, owner, key, request_hash, request, state, holder, \
                                  lease_until, tail, input, opened_at, cancel_requested) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    connection.prepare_cached(sql)?.execute((
        turn.id.to_string(),
        session,
        turn.session.owner.as_str().as_bytes(),
        turn.idempotency.as_ref().map(|it| it.key.as_str().as_bytes()),
        turn.idempotency.as_ref().map(|it| it.request_hash.as_str()),
        turn.request.as_str(),
        turn.state.as_str(),
        turn.holder.to_string(),
        turn.lease_until.map(Timestamp::as_millis),
        turn.checkpoint.tail.map(rows::position),
        turn.input.map(rows::position),
        turn.opened_at.as_millis(),
        turn.cancel_requested,
    ))?;
    Ok(())
}

/// Holds a turn again that nobody else holds.
pub(crate) fn take(
    connection: &Connection,
    fence: Fence,
    lease: Duration,
    now: Timestamp,
) -> Outcome<TurnRecord> {
    let StoredTurn { row, record: turn, .. } =
        by_id(connection, fence.turn)?.ok_or(MemoryErrorKind::Superseded)?;
    if !turn.may_be_taken_by(fence.holder, now) {
        return Err(MemoryErrorKind::Superseded.into());
    }
    let lease_until = now.plus(lease);
    let sql = "UPDATE turns SET state = ?2, holder = ?3, lease_until = ?4 WHERE row = ?1";
    connection.prepare_cached(sql)?.execute((
        row,
        TurnState::Running.as_str(),
        fence.holder.to_string(),
        lease_until.as_millis(),
    ))?;
    Ok(TurnRecord {
        state: TurnState::Running,
        holder: fence.holder,
        lease_until: Some(lease_until),
        checkpoint: Checkpoint { waiting: false, ..turn.checkpoint },
        ..turn
    })
}

/// Holds the lease for longer.
pub(crate) fn renew(
    connection: &Connection,
    fence: Fence,
    lease: Duration,
    now: Timestamp,
) -> Outcome<Signals> {
    let Held { row, cancel, .. } = held(connection, fence)?;
    let sql = "UPDATE turns SET lease_until = ?2 WHERE row = ?1";
    connection.prepare_cached(sql)?.execute((row, now.plus(lease).as_millis()))?;
    Ok(Signals { cancel })
}

/// Keeps what there is of the answer.
pub(crate) fn checkpoint(
    connection: &Connection,
    fence: Fence,
    checkpoint: &Checkpoint,
) -> Outcome<()> {
    let held = held(connection, fence)?;
    let sql = "UPDATE turns SET text = ?2, reasoning = ?3, calls = ?4, last_event = ?5, tail = ?6 \
               WHERE row = ?1";
    connection.prepare_cached(sql)?.execute((
        held.row,
        &checkpoint.text,
        &checkpoint.reasoning,
        json(&checkpoint.calls)?,
        rows::int(checkpoint.last_event),
        checkpoint.tail.map(rows::position),
    ))?;
    if checkpoint.waiting {
        let sql = "UPDATE turns SET state = ?2, lease_until = NULL WHERE row = ?1";
        connection.prepare_cached(sql)?.execute((held.row, TurnState::Waiting.as_str()))?;
    }
    Ok(())
}

/// Ends the turn and appends its answer.
pub(crate) fn close(
    connection: &Connection,
    ready: &Ready<CloseTurn>,
    now: Timestamp,
) -> Outcome<TurnRecord> {
    let close = &ready.what;
    let stored = by_id(connection, close.turn)?.ok_or(MemoryErrorKind::Superseded)?;
    let known = log::known(connection, stored.session, &close.append.append_id)?;
    if !stored.record.state.is_open() && known.is_some() {
        return Ok(stored.record);
    }
    if !stored.record.may_be_ended_by(close.authority, now) || close.state.is_open() {
        return Err(MemoryErrorKind::Superseded.into());
    }
    let appended = match known {
        Some(known) => known,
        None => {
            let session = catalog::find(connection, &stored.record.session)?;
            let session = session.ok_or(MemoryErrorKind::Superseded)?;
            log::append_to(connection, session, (&close.append, &ready.documents), now)?
        }
    };
    let mut turn = stored.record;
    turn.end(close, appended, now);
    save_end(connection, stored.row, &turn)?;
    Ok(turn)
}

fn save_end(connection: &Connection, row: i64, turn: &TurnRecord) -> Outcome<()> {
    let sql = "UPDATE turns SET text = '', reasoning = '', calls = '[]', state = ?2, \
                   lease_until = NULL, last_event = ?3, tail = ?4, answer = ?5, error = ?6, \
                   usage = ?7, ended_at = ?8, context = ?9 \
               WHERE row = ?1";
    connection.prepare_cached(sql)?.execute((
        row,
        turn.state.as_str(),
        rows::int(turn.checkpoint.last_event),
        turn.checkpoint.tail.map(rows::position),
        turn.answer.map(rows::position),
        turn.error.as_ref().map(json).transpose()?,
        turn.usage.as_ref().map(json).transpose()?,
        turn.ended_at.map(Timestamp::as_millis),
        turn.context.as_ref().map(json).transpose()?,
    ))?;
    Ok(())
}

fn json<T: Serialize>(value: &T) -> Outcome<String> {
    serde_json::to_string(value).map_err(|error| Failure::corrupt(BoxError::from(error)))
}

/// One turn of the owner.
pub(crate) fn of_owner(
    connection: &Connection,
    owner: &Owner,
    turn: TurnId,
) -> Outcome<Option<TurnRecord>> {
    Ok(by_id(connection, turn)?.map(|it| it.record).filter(|it| it.session.owner == *owner))
}

/// The turn that a request with this key opened, as long as keys are known.
pub(crate) fn by_key(
    connection: &Connection,
    owner: &Owner,
    key: &IdempotencyKey,
    now: Timestamp,
) -> Outcome<Option<TurnRecord>> {
    let sql = select!("t.owner = ?1 AND t.key = ?2 ORDER BY t.opened_at DESC, t.row DESC LIMIT 1");
    let names = (owner.as_str().as_bytes(), key.as_str().as_bytes());
    let turn = find(connection, sql, names)?.map(|it| it.record);
    Ok(turn.filter(|it| now.since(it.opened_at) < Idempotency::LIFE))
}

/// Asks whoever holds the turn to stop.
pub(crate) fn request_cancel(
    connection: &Connection,
    owner: &Owner,
    turn: TurnId,
) -> Outcome<Option<TurnRecord>> {
    let sql = "UPDATE turns SET cancel_requested = TRUE \
               WHERE id = ?1 AND owner = ?2 AND ended_at IS NULL";
    connection.prepare_cached(sql)?.execute((turn.to_string(), owner.as_str().as_bytes()))?;
    of_owner(connection, owner, turn)
}

/// All turns that are not over.
pub(crate) fn unfinished(connection: &Connection) -> Outcome<Vec<TurnRecord>> {
    all(connection, select!("t.ended_at IS NULL"), [])
}

/// Running turns whose leases have lapsed.
pub(crate) fn lapsed(
    connection: &Connection,
    limit: usize,
    now: Timestamp,
) -> Outcome<Vec<TurnRecord>> {
    let sql = select!(
        "t.ended_at IS NULL AND t.state = 'running' AND t.lease_until <= ?1 \
         ORDER BY t.lease_until LIMIT ?2"
    );
    all(connection, sql, (now.as_millis(), rows::limit(limit)))
}

/// All turns of a session, by when they were opened.
pub(crate) fn of_session(connection: &Connection, key: &SessionKey) -> Outcome<Vec<TurnRecord>> {
    let Some(stored) = catalog::find(connection, key)? else { return Ok(Vec::new()) };
    all(connection, select!("t.session = ?1 ORDER BY t.opened_at, t.id"), [stored.row])
}

/// Keeps turns that another store had of this session and that are over, but for those that are
/// known here.
pub(crate) fn keep(
    connection: &Connection,
    (session, key): (i64, &SessionKey),
    turns: &[TurnRecord],
) -> Outcome<()> {
    for turn in turns {
        if by_id(connection, turn.id)?.is_none() {
            let turn = TurnRecord { session: key.clone(), ..turn.clone() };
            insert(connection, session, &turn)?;
            save_end(connection, connection.last_insert_rowid(), &turn)?;
        }
    }
    Ok(())
}

/// Whether one of these turns is not known here.
pub(crate) fn misses_one(connection: &Connection, turns: &[TurnRecord]) -> Outcome<bool> {
    for turn in turns {
        if by_id(connection, turn.id)?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Erases the turn that has this entry as its input, since its request says the same.
pub(crate) fn forget_input(connection: &Connection, session: i64, input: Seq) -> Outcome<()> {
    let sql = "DELETE FROM turns WHERE session = ?1 AND input = ?2";
    connection.prepare_cached(sql)?.execute((session, rows::position(input)))?;
    Ok(())
}
