//! How many bytes things take in memory, roughly: their text, and a share for what holds it.

use crate::{
    chat::{Message, Part},
    memory::{Entry, EntryBody, Session, Summary},
};

/// What an entry takes beside its text.
const ENTRY: usize = 384;
/// What a session takes beside its text.
const SESSION: usize = 512;
/// What a summary takes beside its text.
const SUMMARY: usize = 96;

pub(in crate::memory) fn entry(entry: &Entry) -> usize {
    body(&entry.body)
}

pub(in crate::memory) fn body(body: &EntryBody) -> usize {
    let model = body.model.as_ref().map_or(0, String::len);
    let error = body.error.as_ref().map_or(0, |it| it.code.len() + it.message.len());
    ENTRY + model + error + message(&body.message)
}

pub(in crate::memory) fn session(session: &Session) -> usize {
    let texts = [&session.title, &session.system].into_iter().flatten();
    let texts: usize = texts.map(String::len).sum();
    let metadata = session.metadata.as_ref().map_or(0, |it| it.as_str().len());
    SESSION + 2 * session.id.as_str().len() + texts + metadata
}

pub(in crate::memory) fn summary(summary: &Summary) -> usize {
    SUMMARY + summary.text.len() + summary.model.as_ref().map_or(0, String::len)
}

fn message(message: &Message) -> usize {
    let parts: usize = message.content.iter().map(part).sum();
    let call = |it: &crate::chat::ToolCall| 96 + it.id.len() + it.name.len() + it.arguments.len();
    let calls: usize = message.tool_calls.iter().map(call).sum();
    let texts = [&message.tool_call_id, &message.reasoning].into_iter().flatten();
    let texts: usize = texts.map(String::len).sum();
    parts + calls + texts + message.extra.as_ref().map_or(0, |it| it.as_str().len())
}

fn part(part: &Part) -> usize {
    let text = match part {
        Part::Text { text } => text.len(),
        Part::Image { url } => url.len(),
        Part::File { file_id, name } => file_id.len() + name.as_ref().map_or(0, String::len),
    };
    48 + text
}
