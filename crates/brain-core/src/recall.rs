//! Recall: what of a conversation can be found, and how well it fits a query.
//!
//! Everything here is a pure function over what a store hands in, so that every store ranks alike;
//! an index, and where it lies, is the store's business. [`embed`] and [`query_vector`] alone ask
//! somebody: the model that turns text into vectors.
//!
//! | module | what it holds |
//! |---|---|
//! | `words` | text to words: case, endings, words that say nothing |
//! | `rank` | the score of an entry, and its constants |
//! | `meaning` | how close vectors are |
//! | `survey` | counting, for stores that have no index of words |
//! | `embedding` | the step of background work that embeds what has no vector yet |

mod embedding;
mod meaning;
mod rank;
mod survey;
mod words;

use std::{collections::BTreeSet, fmt::Write as _};

pub use self::{
    embedding::{EmbedFailure, embed, embed_some, query_vector},
    meaning::{Vector, closeness},
    rank::{Conversation, Corpus, MAX_TERMS, Place, REACH, Ranked, Term, rank},
    survey::Survey,
    words::words,
};
use crate::{
    chat::Role,
    memory::{EntryBody, EntryStatus},
};

/// What an index keeps of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The words of its text and of its date, each once.
    pub words: BTreeSet<String>,
    /// Whether it ends with a question: then the answer is elsewhere, most likely next.
    pub asks: bool,
}

impl Document {
    /// What to keep of an entry; `None` if it is not to be found.
    #[must_use]
    pub fn of(body: &EntryBody) -> Option<Self> {
        let (words, asks) = said(body)?;
        Some(Self { words: words.into_iter().collect(), asks })
    }

    /// Which of a query's words it holds; bit n: word n, of at most [`MAX_TERMS`].
    #[must_use]
    pub fn terms(&self, query: &[String]) -> u64 {
        let held = query.iter().take(MAX_TERMS).enumerate();
        let held = held.filter(|(_, word)| self.words.contains(*word));
        held.fold(0, |mask, (bit, _)| mask | 1 << bit)
    }
}

/// The words of an entry's text and of its date, and whether it ends with a question.
pub(crate) fn said(body: &EntryBody) -> Option<(Vec<String>, bool)> {
    let mut text = text_of(body)?;
    let asks = text.trim_end().ends_with(['?', '？', '؟']);
    // A date as people write it in a question: `8 May 2023`.
    if let Ok(time) = jiff::Timestamp::from_millisecond(body.created_at.as_millis()) {
        // Writing to a string does not fail.
        write!(text, "\n{}", time.strftime("%-d %B %Y")).ok();
    }
    Some((words(&text), asks))
}

/// The text by which an entry is found; `None` if it is not to be found.
///
/// What people and models say is found, whole or interrupted. Instructions, what tools return,
/// answers that failed and what was forgotten are not.
#[must_use]
pub fn text_of(body: &EntryBody) -> Option<String> {
    match (body.message.role, body.status) {
        (Role::User | Role::Assistant, EntryStatus::Complete | EntryStatus::Interrupted) => {
            Some(body.message.joined_text()).filter(|text| !text.trim().is_empty())
        }
        (Role::System | Role::Tool, _) | (_, EntryStatus::Failed | EntryStatus::Forgotten) => None,
    }
}

/// The distinct words of a query, at most [`MAX_TERMS`]: the first ones.
#[must_use]
pub fn query_words(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut distinct = words(text);
    distinct.retain(|word| seen.len() < MAX_TERMS && seen.insert(word.clone()));
    distinct
}

#[cfg(test)]
mod tests {
    use super::{Document, query_words, text_of};
    use crate::{
        chat::Message,
        memory::{EntryBody, EntryStatus},
        time::Timestamp,
    };

    fn entry(message: Message) -> EntryBody {
        EntryBody::complete(message, Timestamp::parse("2023-05-08T13:56:00Z").unwrap())
    }

    #[test]
    fn an_entry_is_found_by_its_words_and_its_date() {
        let document =
            Document::of(&entry(Message::user("Pottery, pottery! Any classes?"))).unwrap();
        let words: Vec<_> = document.words.iter().map(String::as_str).collect();
        assert_eq!(words, ["2023", "8", "ani", "class", "may", "potteri"]);
        assert!(document.asks);
    }

    #[test]
    fn what_nobody_said_is_not_found() {
        for body in [
            entry(Message::system("be brief")),
            entry(Message::tool("c1", "42")),
            entry(Message::assistant(" \n")),
            EntryBody { status: EntryStatus::Failed, ..entry(Message::assistant("no")) },
            entry(Message::user("secret")).forgotten(),
        ] {
            assert_eq!(text_of(&body), None, "{body:?}");
        }
        let broken =
            EntryBody { status: EntryStatus::Interrupted, ..entry(Message::assistant("I")) };
        assert_eq!(text_of(&broken).as_deref(), Some("I"));
    }

    #[test]
    fn a_query_has_few_words_each_once() {
        assert_eq!(query_words("Berlin, BERLIN and Rome"), ["berlin", "rome"]);
        let many: String = (0..2_000).map(|n| format!("w{n} ")).collect();
        assert_eq!(query_words(&many).len(), super::MAX_TERMS);
    }
}
