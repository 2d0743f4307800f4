//! From what was chosen to the messages that are sent; copies only what it must merge.

use std::sync::Arc;

use crate::{
    chat::{Message, Part, Role},
    memory::Entry,
};

/// What a model that reads no pictures is told in the place of one.
pub(super) const PICTURE: &str = "[picture]";

/// The system prompt, the summary and the old units, what was recalled and the new units. Units come
/// newest first. Instructions that the old units begin with stay before all that was said.
pub(super) fn join(
    system: Option<&str>,
    (summary, old): (Option<Message>, &[&[Entry]]),
    (recalled, new): (Option<Message>, &[&[Entry]]),
) -> Vec<Arc<Message>> {
    let entries = |units: &[&[Entry]]| units.iter().map(|unit| unit.len()).sum::<usize>();
    let mut messages = Vec::with_capacity(entries(old) + entries(new) + 3);
    messages.extend(system.map(|text| Arc::new(Message::system(text))));
    let is_instruction = |unit: &&&[Entry]| {
        unit.first().is_some_and(|entry| entry.body.message.role == Role::System)
    };
    let instructions = old.iter().rev().take_while(is_instruction).count();
    let (old, instructions) = old.split_at_checked(old.len() - instructions).unwrap_or_default();
    push_all(&mut messages, instructions);
    messages.extend(summary.map(Arc::new));
    push_all(&mut messages, old);
    if let Some(recalled) = recalled {
        push(&mut messages, &Arc::new(recalled));
    }
    push_all(&mut messages, new);
    messages
}

fn push_all(messages: &mut Vec<Arc<Message>>, units: &[&[Entry]]) {
    let entries = units.iter().rev().flat_map(|unit| unit.iter());
    entries.for_each(|entry| push(messages, &entry.body.message));
}

fn push(messages: &mut Vec<Arc<Message>>, message: &Arc<Message>) {
    match messages.last_mut() {
        Some(last) if can_merge(last, message) => merge(Arc::make_mut(last), message),
        Some(_) | None => messages.push(Arc::clone(message)),
    }
}

/// Neighbours of one role; an answer may take in the calls that follow it, but nothing stands between
/// calls and their results.
fn can_merge(last: &Message, next: &Message) -> bool {
    let mergeable = match next.role {
        Role::User => true,
        Role::Assistant => last.tool_calls.is_empty(),
        Role::System | Role::Tool => false,
    };
    mergeable && last.role == next.role
}

fn merge(last: &mut Message, next: &Message) {
    last.content.extend(next.content.iter().cloned());
    last.tool_calls.extend(next.tool_calls.iter().cloned());
    if next.reasoning.is_some() {
        last.reasoning.clone_from(&next.reasoning);
    }
    if next.extra.is_some() {
        last.extra.clone_from(&next.extra);
    }
}

/// How many pictures a message has.
pub(super) fn pictures(message: &Message) -> usize {
    message.content.iter().filter(|part| is_picture(part)).count()
}

/// Puts words in the place of pictures; a message without any stays shared, and no picture is copied.
pub(super) fn put_pictures_into_words(message: &mut Arc<Message>) {
    if !message.content.iter().any(is_picture) {
        return;
    }
    let in_words = |part: &Part| match part {
        Part::Image { .. } => Part::Text { text: PICTURE.to_owned() },
        Part::Text { .. } | Part::File { .. } => part.clone(),
    };
    *message = Arc::new(Message {
        role: message.role,
        content: message.content.iter().map(in_words).collect(),
        tool_calls: message.tool_calls.clone(),
        tool_call_id: message.tool_call_id.clone(),
        reasoning: message.reasoning.clone(),
        extra: message.extra.clone(),
    });
}

fn is_picture(part: &Part) -> bool {
    match part {
        Part::Image { .. } => true,
        Part::Text { .. } | Part::File { .. } => false,
    }
}
