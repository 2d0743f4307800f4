//! A turn as it is stored: four fields of its session, by how often they change.
//!
//! The record changes with its holder, the request never does, the progress with each append, and
//! the text under way every two seconds.

use brain_core::{
    chat::Usage,
    ids::{HolderId, Seq, SessionKey, TurnId},
    json::RawJson,
    memory::{CallRecord, Checkpoint, Idempotency, MemoryError, TurnError, TurnRecord, TurnState},
    time::Timestamp,
    window::ContextReport,
};
use serde::{Deserialize, Serialize};

use crate::{
    keys,
    reply::Reply,
    state::{Held, parse_seq, word},
};

/// The record's JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency: Option<Idempotency>,
    state: TurnState,
    holder: HolderId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease_until: Option<Timestamp>,
    #[serde(default)]
    cancel_requested: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<TurnError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context: Option<ContextReport>,
    opened_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
}

/// The JSON of the text under way.
#[derive(Debug, Default, Serialize, Deserialize)]
struct UnderWay {
    text: String,
    reasoning: String,
    calls: Vec<CallRecord>,
}

/// A field to set.
type Field = (Vec<u8>, Vec<u8>);

fn encode<T: Serialize>(operation: &'static str, value: &T) -> Result<Vec<u8>, MemoryError> {
    serde_json::to_vec(value).map_err(|error| Reply(operation).corrupt().with_source(error))
}

/// The field of the record.
pub(crate) fn record_field(
    operation: &'static str,
    turn: &TurnRecord,
) -> Result<Field, MemoryError> {
    let [name, ..] = keys::turn(turn.id);
    let record = Record {
        idempotency: turn.idempotency.clone(),
        state: turn.state,
        holder: turn.holder,
        lease_until: turn.lease_until,
        cancel_requested: turn.cancel_requested,
        input: turn.input,
        answer: turn.answer,
        error: turn.error.clone(),
        usage: turn.usage,
        context: turn.context.clone(),
        opened_at: turn.opened_at,
        ended_at: turn.ended_at,
    };
    Ok((name, encode(operation, &record)?))
}

/// The field of the request.
pub(crate) fn request_field(turn: &TurnRecord) -> Field {
    let [_, name, ..] = keys::turn(turn.id);
    (name, turn.request.as_str().as_bytes().to_vec())
}

/// Sets progress and text under way, or drops the text where there is none.
pub(crate) fn put_checkpoint(
    operation: &'static str,
    turn: &TurnRecord,
    (sets, drops): (&mut Vec<Field>, &mut Vec<Vec<u8>>),
) -> Result<(), MemoryError> {
    let [_, _, progress, under_way] = keys::turn(turn.id);
    let Checkpoint { text, reasoning, calls, last_event, tail, waiting: _ } = &turn.checkpoint;
    sets.push((progress, format!("{last_event} {}", word(*tail)).into_bytes()));
    if text.is_empty() && reasoning.is_empty() && calls.is_empty() {
        drops.push(under_way);
        return Ok(());
    }
    let (text, reasoning, calls) = (text.clone(), reasoning.clone(), calls.clone());
    sets.push((under_way, encode(operation, &UnderWay { text, reasoning, calls })?));
    Ok(())
}

/// What a turn leaves outside of its session.
#[derive(Debug)]
pub(crate) struct Outline {
    pub(crate) id: TurnId,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) input: Option<Seq>,
    pub(crate) opened_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

impl From<&TurnRecord> for Outline {
    fn from(turn: &TurnRecord) -> Self {
        let TurnRecord { id, idempotency, input, opened_at, ended_at, .. } = turn;
        let idempotency = idempotency.clone();
        Self { id: *id, idempotency, input: *input, opened_at: *opened_at, ended_at: *ended_at }
    }
}

/// All fields of a turn.
pub(crate) fn fields(
    operation: &'static str,
    turn: &TurnRecord,
) -> Result<Vec<Field>, MemoryError> {
    let mut fields = vec![record_field(operation, turn)?, request_field(turn)];
    put_checkpoint(operation, turn, (&mut fields, &mut Vec::new()))?;
    Ok(fields)
}

/// The outline of a turn, by its record alone.
pub(crate) fn outline(reply: Reply, id: TurnId, record: &[u8]) -> Result<Outline, MemoryError> {
    let Record { idempotency, input, opened_at, ended_at, .. } = reply.json(record)?;
    Ok(Outline { id, idempotency, input, opened_at, ended_at })
}

/// The turn of these four fields; `None` without a record.
pub(crate) fn parse(
    reply: Reply,
    (key, id): (&SessionKey, TurnId),
    fields: &[Option<Vec<u8>>],
) -> Result<Option<TurnRecord>, MemoryError> {
    let field = |index: usize| fields.get(index).and_then(Option::as_deref);
    let Some(record) = field(0) else { return Ok(None) };
    let record: Record = reply.json(record)?;
    let request = field(1).ok_or_else(|| reply.corrupt())?;
    let request = reply.parsed(request, |it| RawJson::parse(it).ok())?;
    let progress = reply.parsed(field(2).unwrap_or(b"0 -"), |it| {
        let (last_event, tail) = it.split_once(' ')?;
        Some((last_event.parse().ok()?, parse_seq(tail)?))
    })?;
    let under_way = field(3).map(|it| reply.json(it)).transpose()?;
    let UnderWay { text, reasoning, calls } = under_way.unwrap_or_default();
    let (last_event, tail) = progress;
    let waiting = record.state == TurnState::Waiting;
    Ok(Some(TurnRecord {
        id,
        session: key.clone(),
        idempotency: record.idempotency,
        request,
        state: record.state,
        holder: record.holder,
        lease_until: record.lease_until,
        checkpoint: Checkpoint { text, reasoning, calls, last_event, tail, waiting },
        cancel_requested: record.cancel_requested,
        input: record.input,
        answer: record.answer,
        error: record.error,
        usage: record.usage,
        context: record.context,
        opened_at: record.opened_at,
        ended_at: record.ended_at,
    }))
}

/// What the session's state says of an open turn.
pub(crate) fn held(turn: &TurnRecord) -> Held {
    Held { turn: turn.id, holder: turn.holder, waiting: turn.state == TurnState::Waiting }
}
