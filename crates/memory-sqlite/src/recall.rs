//! Search: candidates from the index, ranked by the core.
//!
//! | module | what it holds |
//! |---|---|
//! | `index` | which words an entry holds; how an entry comes and goes |
//! | `around` | what stands beside an entry |
//! | `vectors` | embeddings, and comparing them with a query's |
//!
//! The work is bounded, however much was said: of each word the newest entries are looked at, of
//! all words together so many, rare words first, and of the vectors those of the newest sessions.

mod around;
mod index;
mod vectors;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use brain_core::{
    ids::{Owner, SessionKey},
    memory::{Hit, Search},
    recall::{Conversation, Corpus, Place, Term, query_words, rank},
};
use rusqlite::{Connection, OptionalExtension};

use self::{
    around::{Seeds, around},
    index::term_of,
    vectors::{Closeness, compare},
};
pub(crate) use self::{
    index::{
        Findable, add, bring_up_to_date, complete, count, documents, erase_some, prepare, remove,
        words_of,
    },
    vectors::{keep, unembedded},
};
use crate::{error::Outcome, rows};

/// Of each word, so many of the newest entries are looked at,
const WORD_ENTRIES: usize = 2_048;
/// and so many of all words.
const WORDS_ENTRIES: usize = 4_096;
/// So many entries are candidates only because they are close.
const CLOSE_ENTRIES: usize = 256;

/// Where an entry stands: its session's row, and its position there.
type Spot = (i64, i64);

/// At most `search.limit` of the owner's entries, best first.
pub(crate) fn search(connection: &Connection, owner: &Owner, search: &Search) -> Outcome<Vec<Hit>> {
    let words = query_words(&search.text);
    if search.limit == 0 || (words.is_empty() && search.vector.is_none()) {
        return Ok(Vec::new());
    }
    let found = Found::by(connection, owner, &words)?;
    let close = match &search.vector {
        Some(vector) => compare(connection, owner, vector)?,
        None => Closeness::default(),
    };
    let (mut corpus, terms) = found.statistics(connection, owner)?;
    corpus.closeness = close.average();
    let sessions = conversations(connection, &found, &close)?;
    let ranked = rank(&corpus, &terms, &sessions, search.limit);
    let mut hits = Vec::with_capacity(ranked.len());
    for it in ranked {
        hits.extend(hit(connection, owner, (it.id, it.score))?);
    }
    Ok(hits)
}

/// What the words of a query lead to.
struct Found {
    /// The entries of each word, the newest ones.
    entries: Vec<Vec<i64>>,
    /// Which words an entry holds.
    terms: HashMap<i64, u64>,
    /// Where entries stand that everybody may see, and which place that is of those that can be
    /// found.
    spots: HashMap<i64, (Spot, i64)>,
}

impl Found {
    fn by(connection: &Connection, owner: &Owner, words: &[String]) -> Outcome<Self> {
        let entries: Vec<_> = words
            .iter()
            .map(|word| entries_with(connection, owner, word))
            .collect::<Outcome<_>>()?;
        let mut rare_first: Vec<_> = entries.iter().enumerate().collect();
        rare_first.sort_by_key(|(_, entries)| entries.len());
        let mut terms = HashMap::new();
        for (bit, entries) in rare_first {
            for message in entries {
                if terms.len() < WORDS_ENTRIES || terms.contains_key(message) {
                    *terms.entry(*message).or_insert(0) |= 1 << bit;
                }
            }
        }
        let spots = spots(connection, owner, &terms)?;
        Ok(Self { entries, terms, spots })
    }

    /// How common each word is, by what was looked at.
    fn statistics(&self, connection: &Connection, owner: &Owner) -> Outcome<(Corpus, Vec<Term>)> {
        let sql = "SELECT sessions, entries, words FROM recall_owners WHERE owner = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        let corpus = statement.query_row([owner.as_str().as_bytes()], |row| {
            Ok(Corpus {
                sessions: rows::unsigned(row, 0)?,
                entries: rows::unsigned(row, 1)?,
                words: rows::unsigned(row, 2)?,
                closeness: None,
            })
        });
        let corpus = corpus.optional()?.unwrap_or_default();
        let terms = self.entries.iter().map(|entries| self.term(entries, &corpus)).collect();
        Ok((corpus, terms))
    }

    fn term(&self, entries: &[i64], corpus: &Corpus) -> Term {
        let spots = entries.iter().filter_map(|it| self.spots.get(it));
        let sessions = spots.map(|((session, _), _)| session).collect::<BTreeSet<_>>().len();
        let term = Term { entries: entries.len() as u64, sessions: sessions.max(1) as u64 };
        match entries {
            [] => Term::default(),
            // There are more: as many among the older ones as among the newer ones.
            [newest, .., oldest] if entries.len() == WORD_ENTRIES => {
                let share = *newest as f64 / (newest - oldest).max(1) as f64;
                let more = |count: u64, all: u64| ((count as f64 * share) as u64).min(all);
                Term {
                    entries: more(term.entries, corpus.entries),
                    sessions: more(term.sessions, corpus.sessions),
                }
            }
            _ => term,
        }
    }
}

/// The newest of the owner's entries that hold a word.
fn entries_with(connection: &Connection, owner: &Owner, word: &str) -> Outcome<Vec<i64>> {
    let sql = "SELECT rowid FROM recall_words WHERE recall_words MATCH ?1 \
               ORDER BY rowid DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let term = term_of(owner, word);
    let found = statement.query_map((term, rows::limit(WORD_ENTRIES)), |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn spots(
    connection: &Connection,
    owner: &Owner,
    entries: &HashMap<i64, u64>,
) -> Outcome<HashMap<i64, (Spot, i64)>> {
    let sql = "SELECT m.session, m.seq, m.place FROM messages m JOIN sessions s ON s.id = m.session \
               WHERE m.id = ?1 AND m.words IS NOT NULL AND s.owner = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let owner = owner.as_str().as_bytes();
    let mut spots = HashMap::with_capacity(entries.len());
    for message in entries.keys() {
        let found = statement
            .query_row((message, owner), |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))
            .optional()?;
        spots.extend(found.map(|spot| (*message, spot)));
    }
    Ok(spots)
}

/// The candidates with their neighbours, by session.
fn conversations(
    connection: &Connection,
    found: &Found,
    close: &Closeness,
) -> Outcome<Vec<Conversation>> {
    let mut sessions: BTreeMap<i64, Seeds> = BTreeMap::new();
    for ((session, seq), place) in found.spots.values().copied().chain(close.closest(CLOSE_ENTRIES))
    {
        sessions.entry(session).or_default().insert(seq, place);
    }
    let mut conversations = Vec::with_capacity(sessions.len());
    for (session, seeds) in sessions {
        let sql = "SELECT words FROM sessions WHERE id = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        let words = statement.query_row([session], |row| rows::unsigned(row, 0)).optional()?;
        let places = around(connection, session, &seeds)?.into_iter().map(|(seq, place)| Place {
            terms: found.terms.get(&place.id).copied().unwrap_or(0),
            closeness: close.of((session, seq)),
            ..place
        });
        conversations.push(Conversation { words: words.unwrap_or(0), places: places.collect() });
    }
    Ok(conversations)
}

/// The entry that was found; one that does not decode is left out and reported in the log.
fn hit(
    connection: &Connection,
    owner: &Owner,
    (message, score): (i64, f32),
) -> Outcome<Option<Hit>> {
    let sql = "SELECT m.seq, m.parent, m.json, s.name \
               FROM messages m JOIN sessions s ON s.id = m.session \
               WHERE m.id = ?1 AND s.owner = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query((message, owner.as_str().as_bytes()))?;
    let Some(row) = found.next()? else { return Ok(None) };
    let session = SessionKey::new(owner.clone(), rows::session_id(row, 3)?);
    Ok(rows::readable_entry(row, 0).map(|entry| Hit { session, entry, score }))
}
