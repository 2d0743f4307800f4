//! ChatGPT's export: a conversation of `conversations.json` as a session.
//!
//! It is pure, and knows nothing of the array around the conversation. A conversation is a tree of
//! nodes, `mapping`, of which `current_node` is the head; edits and regenerations are branches.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    foreign::{Foreign, fenced},
    graph::{Node, Remark, Said},
    loose::{Members, Raw, TooMany, id, items, read, read_or_default, text, time},
    note::{Note, Notes},
};
use crate::chat::{Message, Part, Role};

/// Contents that the source shows to nobody: settings that go before each conversation, and
/// `Thought for 3 seconds`.
const HIDDEN: &[&str] = &["user_editable_context", "model_editable_context", "reasoning_recap"];

/// The conversation of an object that has a `mapping`.
///
/// # Errors
///
/// When it has too many nodes.
pub(super) fn conversation<'a>(
    fields: &Members<'a>,
    notes: &mut Notes,
) -> Result<Foreign<'a>, TooMany> {
    let mut name = |name| text(fields.get(name), notes);
    let (id, other_id, title) = (name("conversation_id"), name("id"), name("title"));
    let mapping = Members::all_of(fields.get("mapping"))?;
    Ok(Foreign {
        id: id.or(other_id),
        title,
        system: None,
        created_at: time(fields.get("create_time")),
        updated_at: time(fields.get("update_time")),
        current: self::id(fields.get("current_node")),
        nodes: mapping.into_pairs().map(|(id, value)| node(id, value, notes)).collect(),
    })
}

fn node<'a>(name: Cow<'a, str>, value: &'a RawValue, notes: &mut Notes) -> Node<'a> {
    let fields = Members::of(Some(value));
    let message = fields.get("message");
    let message = message.map(|_| Members::of(message));
    Node {
        id: name,
        parent: id(fields.get("parent")),
        children: fields.get("children"),
        time: message.as_ref().and_then(|it| time(it.get("create_time"))),
        // Where a tree begins, there is no message.
        said: message.map_or(Said::Nothing, |message| said(&message, notes)),
    }
}

fn said(fields: &Members<'_>, notes: &mut Notes) -> Said {
    let metadata = Members::of(fields.get("metadata"));
    let content = Members::of(fields.get("content"));
    let kind: String = read_or_default(content.get("content_type"));
    let is_hidden = read(metadata.get("is_visually_hidden_from_conversation")) == Some(true)
        || read(fields.get("weight")) == Some(0.0)
        || HIDDEN.contains(&kind.as_str());
    if is_hidden {
        notes.add(Note::Hidden);
        return Said::Nothing;
    }
    if kind == "thoughts" {
        return thought(content.get("thoughts"), notes);
    }
    let Some(role) = role(fields.get("author")) else {
        notes.add(Note::UnknownRole);
        return Said::Nothing;
    };
    notes.add_many(Note::Attachment, items(metadata.get("attachments")).len() as u64);
    let parts = parts(&kind, &content, notes);
    if parts.is_empty() {
        notes.add(Note::Empty);
        return Said::Nothing;
    }
    let status: Option<String> = read(fields.get("status"));
    let model = text(metadata.get("model_slug"), notes).filter(|_| role == Role::Assistant);
    Said::Message(Box::new(Remark {
        message: Message { content: parts, ..Message::text(role, "") },
        model,
        is_whole: status.is_none_or(|it| it == "finished_successfully"),
    }))
}

fn role(author: Raw<'_>) -> Option<Role> {
    read(Members::of(author).get("role"))
}

/// What the model thought, step by step.
fn thought(steps: Raw<'_>, notes: &mut Notes) -> Said {
    let mut texts = Vec::new();
    for step in items(steps) {
        let step = Members::of(Some(step));
        let [summary, content] = ["summary", "content"].map(|name| text(step.get(name), notes));
        texts.extend([summary, content].into_iter().flatten().filter(|it| !it.is_empty()));
    }
    if texts.is_empty() { Said::Nothing } else { Said::Thought(texts.join("\n\n")) }
}

/// The text of a content of this kind.
fn parts(kind: &str, content: &Members<'_>, notes: &mut Notes) -> Vec<Part> {
    let mut field = |name| text(content.get(name), notes).unwrap_or_default();
    let said = match kind {
        "text" | "multimodal_text" => return text_parts(content.get("parts"), notes),
        "code" => {
            let (language, code) = (field("language"), field("text"));
            let language = if language == "unknown" { "" } else { language.as_str() };
            if code.is_empty() { code } else { fenced(language, &code) }
        }
        "execution_output" | "system_error" => field("text"),
        "tether_quote" | "sonic_webpage" => joined([field("title"), field("url"), field("text")]),
        "tether_browsing_display" => joined([field("summary"), field("result")]),
        _ => {
            notes.add(Note::UnknownContent);
            return text_parts(content.get("parts").or(content.get("text")), notes);
        }
    };
    part(said).into_iter().collect()
}

fn joined<const N: usize>(texts: [String; N]) -> String {
    texts.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("\n")
}

fn part(text: String) -> Option<Part> {
    (!text.trim().is_empty()).then_some(Part::Text { text })
}

/// The text of parts, which are text or objects.
fn text_parts(list: Raw<'_>, notes: &mut Notes) -> Vec<Part> {
    items(list).into_iter().filter_map(|it| text_part(it, notes)).collect()
}

fn text_part(raw: &RawValue, notes: &mut Notes) -> Option<Part> {
    if let Some(text) = text(Some(raw), notes) {
        return part(text);
    }
    let fields = Members::of(Some(raw));
    let kind: String = read_or_default(fields.get("content_type"));
    match kind.as_str() {
        "image_asset_pointer" => notes.add(Note::Image),
        "audio_asset_pointer" | "real_time_user_audio_video_asset_pointer" => {
            notes.add(Note::Audio);
        }
        // A transcript, and what else has text.
        _ => match text(fields.get("text"), notes) {
            Some(text) => return part(text),
            None => notes.add(Note::UnknownContent),
        },
    }
    None
}

#[cfg(test)]
mod tests;
