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

use jiff::tz::TimeZone;

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
    time::Timestamp,
};

/// The months as words of the index.
const MONTHS: [&str; 12] = [
    "januari", "februari", "march", "april", "may", "june", "juli", "august", "septemb", "octob",
    "novemb", "decemb",
];

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
        let mut words = BTreeSet::new();
        let asks = each_word_said(body, &mut |it| {
            if !words.contains(it) {
                words.insert(it.to_owned());
            }
        })?;
        Some(Self { words, asks })
    }

    /// Which of a query's words it holds; bit n: word n, of at most [`MAX_TERMS`].
    #[must_use]
    pub fn terms(&self, query: &[String]) -> u64 {
        let held = query.iter().take(MAX_TERMS).enumerate();
        let held = held.filter(|(_, word)| self.words.contains(*word));
        held.fold(0, |mask, (bit, _)| mask | 1 << bit)
    }
}

/// Hands over the words of an entry's text and of its date; returns whether it ends with a
/// question, or `None` if it is not to be found.
pub(crate) fn each_word_said(body: &EntryBody, take: &mut dyn FnMut(&str)) -> Option<bool> {
    let mut text = text_of(body)?;
    words::each_word(&text, take);
    let asks = text.trim_end().ends_with(['?', '？', '؟']);
    text.clear();
    each_word_of_date(body.created_at, text, take);
    Some(asks)
}

/// A date as people write it in a question: `8 May 2023`. Its numbers are written into `number`.
fn each_word_of_date(time: Timestamp, mut number: String, take: &mut dyn FnMut(&str)) {
    let Ok(time) = jiff::Timestamp::from_millisecond(time.as_millis()) else { return };
    let date = TimeZone::UTC.to_datetime(time);
    // Writing to a string does not fail.
    write!(number, "{}", date.day()).ok();
    take(&number);
    let month = usize::from(date.month().unsigned_abs()).checked_sub(1);
    month.and_then(|it| MONTHS.get(it)).into_iter().for_each(|it| take(it));
    number.clear();
    write!(number, "{:04}", date.year().unsigned_abs()).ok();
    take(&number);
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
    fn a_date_has_the_words_that_it_has_where_people_write_it() {
        for month in 1..=12 {
            let date = jiff::civil::date(2023, month, 5);
            let time = Timestamp::parse(&format!("{date}T13:56:00Z")).unwrap();
            let mut words = Vec::new();
            super::each_word_of_date(time, String::new(), &mut |it| words.push(it.to_owned()));
            assert_eq!(words, super::words(&date.strftime("%-d %B %Y").to_string()));
        }
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
