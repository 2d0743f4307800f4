//! What the exports of other programs have in common: from what a parser finds to a session.
//!
//! It knows no format; [`super::chatgpt`] and [`super::open_webui`] do.

use std::{borrow::Cow, cmp::max};

use sha2::{Digest, Sha256};

use super::{
    ExportedSession,
    graph::{Node, Planted, plant},
    note::{Note, Notes},
};
use crate::{ids::SessionId, memory::MemoryClass, time::Timestamp};

/// Most bytes of a title that comes in.
const MAX_TITLE_BYTES: usize = 1024;

/// A conversation of another program.
#[derive(Debug, Default)]
pub(super) struct Foreign<'a> {
    pub(super) id: Option<String>,
    pub(super) title: Option<String>,
    pub(super) system: Option<String>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) updated_at: Option<Timestamp>,
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) current: Option<Cow<'a, str>>,
}

impl Foreign<'_> {
    /// The session that this is, `json` being its text; `None` if nothing was said.
    pub(super) fn into_session(self, json: &[u8], notes: &mut Notes) -> Option<ExportedSession> {
        let times = self.nodes.iter().filter_map(|node| node.time);
        let (first, last) = (times.clone().min(), times.max());
        let created_at = self.created_at.or(first).unwrap_or_default();
        let Planted { entries, head } =
            plant(self.nodes, self.current.as_deref(), created_at, notes);
        if entries.is_empty() {
            notes.add(Note::EmptySession);
            return None;
        }
        let id = self.id.and_then(|id| SessionId::new(id).ok()).or_else(|| named_by_content(json));
        Some(ExportedSession {
            id: id?,
            title: self.title.filter(|it| !it.is_empty()).map(|it| cut(it, notes)),
            has_default_title: false,
            metadata: None,
            system: self.system.filter(|it| !it.is_empty()),
            model: None,
            recall: false,
            class: MemoryClass::Durable,
            created_at,
            updated_at: max(created_at, self.updated_at.or(last).unwrap_or_default()),
            head,
            summaries: Vec::new(),
            entries,
        })
    }
}

/// An id that the same text gets again.
fn named_by_content(json: &[u8]) -> Option<SessionId> {
    let hash = Sha256::digest(json);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    SessionId::new(format!("imported-{hex}")).ok()
}

fn cut(mut title: String, notes: &mut Notes) -> String {
    if MAX_TITLE_BYTES < title.len() {
        notes.add(Note::LongTitle);
        title.truncate(title.floor_char_boundary(MAX_TITLE_BYTES));
    }
    title
}

/// Code as people write it in a conversation.
pub(super) fn fenced(language: &str, code: &str) -> String {
    let longest = code.split(|it| it != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(max(3, longest + 1));
    format!("{fence}{language}\n{code}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::fenced;

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(fenced("sh", "ls"), "```sh\nls\n```");
        assert_eq!(fenced("", "````\nx\n````"), "`````\n````\nx\n````\n`````");
    }
}
