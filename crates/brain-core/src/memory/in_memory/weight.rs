//! How many bytes things take in memory, roughly: their text, and a share for what holds it.

use std::collections::BTreeMap;

use super::recall::{Found, Terms};
use crate::{
    chat::{Message, Part, ToolCall},
    ids::{AppendId, Seq},
    memory::{
        Append, Entry, EntryBody, ExportedSession, Session, SessionPatch, Summary, TurnRecord,
    },
};

/// What an entry takes beside its text.
const ENTRY: usize = 384;
/// What a session takes beside its text.
const SESSION: usize = 512;
/// What a turn takes beside its text.
const TURN: usize = 768;
/// What a summary takes beside its text.
const SUMMARY: usize = 96;
/// What the words of an entry take beside their numbers.
const TERMS: usize = 48;
/// What an embedding takes beside its numbers and its model.
const EMBEDDING: usize = 32;

pub(in crate::memory) fn entry(entry: &Entry) -> usize {
    body(&entry.body)
}

pub(in crate::memory) fn body(body: &EntryBody) -> usize {
    let model = body.model.as_ref().map_or(0, String::len);
    let error = body.error.as_ref().map_or(0, |it| it.code.len() + it.message.len());
    ENTRY + model + error + message(&body.message)
}

pub(in crate::memory) fn session(session: &Session) -> usize {
    let texts = [&session.title, &session.system, &session.model].into_iter().flatten();
    let texts: usize = texts.map(String::len).sum();
    let metadata = session.metadata.as_ref().map_or(0, |it| it.as_str().len());
    SESSION + 2 * session.id.as_str().len() + texts + metadata
}

pub(in crate::memory) fn summary(summary: &Summary) -> usize {
    SUMMARY + summary.text.len() + summary.model.as_ref().map_or(0, String::len)
}

/// All summaries of a session.
pub(super) fn summaries(summaries: &BTreeMap<Seq, Summary>) -> usize {
    summaries.values().map(summary).sum()
}

/// By what an entry is found.
pub(super) fn terms(terms: Option<&Terms>) -> usize {
    terms.map_or(0, |it| TERMS + it.len() * size_of::<u64>())
}

/// By what entries are found.
pub(super) fn found(found: &Found) -> usize {
    found.iter().map(|it| terms(it.as_deref())).sum()
}

pub(super) fn embedding(model: &str, values: &[f32]) -> usize {
    EMBEDDING + model.len() + size_of_val(values)
}

pub(in crate::memory) fn append_id(id: &AppendId) -> usize {
    96 + id.as_str().len()
}

/// What an append adds.
pub(in crate::memory) fn append(append: &Append) -> usize {
    let bodies: usize = append.drafts.iter().map(|it| body(it.body())).sum();
    append_id(&append.append_id) + bodies
}

/// What a patch adds at most.
pub(in crate::memory) fn patch(patch: &SessionPatch) -> usize {
    let texts = [&patch.title, &patch.system, &patch.model].into_iter().flatten().flatten();
    let metadata = patch.metadata.iter().flatten().map(|it| it.as_str().len());
    let texts = texts.chain(patch.default_title.as_ref().map(|it| &it.text));
    texts.map(String::len).chain(metadata).sum()
}

/// What a session takes that is restored.
pub(in crate::memory) fn exported(session: &ExportedSession) -> usize {
    let entries: usize = session.entries.iter().map(|it| body(&it.entry)).sum();
    let summaries: usize = session.summaries.iter().map(summary).sum();
    let texts = [&session.title, &session.system, &session.model].into_iter().flatten();
    let metadata = session.metadata.as_ref().map_or(0, |it| it.as_str().len());
    SESSION + entries + summaries + texts.map(String::len).sum::<usize>() + metadata
}

pub(in crate::memory) fn turn(turn: &TurnRecord) -> usize {
    let checkpoint = &turn.checkpoint;
    let calls = checkpoint.calls.iter();
    let calls: usize =
        calls.map(|it| call(&it.call) + it.result.as_ref().map_or(0, String::len)).sum();
    let context = turn
        .context
        .as_ref()
        .map_or(0, |it| it.recalled.iter().map(|it| 64 + it.session_id.as_str().len()).sum());
    let key = turn.idempotency.as_ref().map_or(0, |it| 256 + 2 * it.key.as_str().len());
    TURN + turn.request.as_str().len()
        + checkpoint.text.len()
        + checkpoint.reasoning.len()
        + calls
        + context
        + key
}

fn message(message: &Message) -> usize {
    let parts: usize = message.content.iter().map(part).sum();
    let calls: usize = message.tool_calls.iter().map(call).sum();
    let texts = [&message.tool_call_id, &message.reasoning].into_iter().flatten();
    let texts: usize = texts.map(String::len).sum();
    parts + calls + texts + message.extra.as_ref().map_or(0, |it| it.as_str().len())
}

fn call(call: &ToolCall) -> usize {
    96 + call.id.len() + call.name.len() + call.arguments.len()
}

fn part(part: &Part) -> usize {
    let text = match part {
        Part::Text { text } => text.len(),
        Part::Image { url } => url.len(),
        Part::File { file_id, name } => file_id.len() + name.as_ref().map_or(0, String::len),
    };
    48 + text
}
