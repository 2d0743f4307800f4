//! Open WebUI's export: one of its chats as a session.
//!
//! It is pure, and knows nothing of the array around the chat. A chat's messages are a tree,
//! `history`, of which `currentId` is the head; older chats have a plain list.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    foreign::Foreign,
    graph::{Node, Remark, Said},
    loose::{Members, Raw, TooMany, all_items, id, items, read, read_or_default, text, time},
    note::{Note, Notes},
};
use crate::chat::{Message, Part, Role};

/// How reasoning stands in an answer's text, and where it ends.
const REASONING: (&str, &str) = ("<details type=\"reasoning\"", "</details>");

/// The conversation of an object that has a `chat`, or is one.
///
/// # Errors
///
/// When it has too many messages.
pub(super) fn conversation<'a>(
    fields: &Members<'a>,
    notes: &mut Notes,
) -> Result<Foreign<'a>, TooMany> {
    let inner = fields.get("chat").map(|chat| Members::of(Some(chat)));
    let chat = inner.as_ref().unwrap_or(fields);
    let either = |name| fields.get(name).or_else(|| chat.get(name));
    let history = Members::of(chat.get("history"));
    let tree = Members::all_of(history.get("messages"))?;
    let current = id(history.get("currentId"));
    let nodes = tree.into_pairs().map(|(id, it)| node(id, it, notes)).collect::<Vec<_>>();
    let is_list = nodes.is_empty();
    let nodes = if is_list { chain(chat.get("messages"), notes)? } else { nodes };
    let system = Members::of(chat.get("params")).get("system").or_else(|| chat.get("system"));
    Ok(Foreign {
        id: text(either("id"), notes).filter(|it| !it.is_empty()),
        title: text(either("title"), notes),
        system: text(system, notes),
        created_at: time(fields.get("created_at")).or_else(|| time(chat.get("timestamp"))),
        updated_at: time(fields.get("updated_at")),
        current: if is_list { nodes.last().map(|node| node.id.clone()) } else { current },
        nodes,
    })
}

/// A plain list of messages, each of which follows the one before.
fn chain<'a>(list: Raw<'a>, notes: &mut Notes) -> Result<Vec<Node<'a>>, TooMany> {
    let name = |index: usize| Cow::from(index.to_string());
    let linked = |(index, message): (usize, &'a RawValue)| Node {
        parent: index.checked_sub(1).map(name),
        children: None,
        ..node(name(index), message, notes)
    };
    Ok(all_items(list)?.into_iter().enumerate().map(linked).collect())
}

fn node<'a>(name: Cow<'a, str>, value: &'a RawValue, notes: &mut Notes) -> Node<'a> {
    let fields = Members::of(Some(value));
    Node {
        id: name,
        parent: id(fields.get("parentId")),
        children: fields.get("childrenIds"),
        time: time(fields.get("timestamp")),
        said: said(&fields, notes),
    }
}

fn said(fields: &Members<'_>, notes: &mut Notes) -> Said {
    let Some(role) = read::<Role>(fields.get("role")) else {
        notes.add(Note::UnknownRole);
        return Said::Nothing;
    };
    note_files(fields.get("files"), notes);
    let mut content = parts(fields.get("content"), notes);
    let reasoning = if role == Role::Assistant { take_reasoning(&mut content) } else { None };
    content.retain(|part| !is_blank(part));
    if content.is_empty() {
        notes.add(Note::Empty);
        return Said::Nothing;
    }
    let model = text(fields.get("model"), notes).filter(|_| role == Role::Assistant);
    let is_whole = read(fields.get("done")) != Some(false) && fields.get("error").is_none();
    let message = Message { content, reasoning, ..Message::text(role, "") };
    Said::Message(Box::new(Remark { message, model, is_whole }))
}

fn is_blank(part: &Part) -> bool {
    matches!(part, Part::Text { text } if text.trim().is_empty())
}

fn note_files(files: Raw<'_>, notes: &mut Notes) {
    for file in items(files) {
        let kind: String = read_or_default(Members::of(Some(file)).get("type"));
        notes.add(if kind == "image" { Note::Image } else { Note::Attachment });
    }
}

/// Text, or a list of parts as OpenAI's API has them.
fn parts(content: Raw<'_>, notes: &mut Notes) -> Vec<Part> {
    if let Some(text) = text(content, notes) {
        return vec![Part::Text { text }];
    }
    let mut texts = Vec::new();
    for part in items(content) {
        let fields = Members::of(Some(part));
        let kind: String = read_or_default(fields.get("type"));
        match (kind.as_str(), text(fields.get("text"), notes)) {
            ("image_url", _) => notes.add(Note::Image),
            (_, Some(text)) => texts.push(Part::Text { text }),
            (_, None) => notes.add(Note::UnknownContent),
        }
    }
    texts
}

/// Takes what the model thought out of the text, where it stands as a quotation in a fold.
fn take_reasoning(content: &mut [Part]) -> Option<String> {
    let mut thoughts = Vec::new();
    for part in content {
        if let Part::Text { text } = part
            && text.contains(REASONING.0)
        {
            *text = without_reasoning(text, &mut thoughts);
        }
    }
    (!thoughts.is_empty()).then(|| thoughts.join("\n\n"))
}

fn without_reasoning(text: &str, thoughts: &mut Vec<String>) -> String {
    let ((begin, end), mut kept, mut rest) = (REASONING, String::new(), text);
    while let Some((before, fold)) = rest.split_once(begin)
        && let Some((fold, after)) = fold.split_once(end)
    {
        thoughts.extend(fold.split_once('>').map(|(_, inner)| thought(inner)));
        kept.push_str(before);
        rest = after.trim_start();
    }
    kept.push_str(rest);
    kept
}

/// What a fold quotes, below its headline.
fn thought(inner: &str) -> String {
    let quotation = inner.split_once("</summary>").map_or(inner, |(_, quotation)| quotation);
    let lines = quotation.trim().lines().map(|line| {
        let line = line.strip_prefix("&gt;").or_else(|| line.strip_prefix('>')).unwrap_or(line);
        line.strip_prefix(' ').unwrap_or(line)
    });
    unescaped(&lines.collect::<Vec<_>>().join("\n"))
}

fn unescaped(html: &str) -> String {
    let signs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&amp;", "&")];
    signs.iter().fold(html.to_owned(), |text, (escape, sign)| text.replace(escape, sign))
}

#[cfg(test)]
mod tests;
