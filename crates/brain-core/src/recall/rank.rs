//! The score of an entry: what it says, what is said around it, and what its session is about.
//!
//! A conversation says little in one breath: the words of a question are often in the entries
//! before and after the one that answers it. So words count as if they stood, with less weight, in
//! the neighbours too; an entry that follows a fitting question gains, one that only asks loses,
//! and one that says more can answer more.
//!
//! The weights were chosen on two conversations of the LoCoMo data set (26 and 41) and judged on
//! others (`cargo xtask recall` prints both). They lie on a plateau: half or double of any one
//! changes little.

use std::collections::BTreeMap;

/// Distinct words of a query that count.
pub const MAX_TERMS: usize = 64;
/// How many positions away an entry still counts.
pub const REACH: u64 = 2;

/// What a word counts for at this distance.
const NEARBY: [f32; 3] = [1.0, 0.5, 0.25];
/// How much longer than itself an entry is with its neighbours.
const NEARBY_SUM: f32 = 2.5;
/// BM25: how soon further occurrences of a word stop to matter,
const K1: f32 = 1.2;
/// and how much the length of a text does.
const B: f32 = 0.75;
/// What the words of the session count for, against those of the entry and its neighbours.
const SESSION: f32 = 0.8;
/// What the question before an entry counts for.
const ANSWER: f32 = 0.3;
/// What the length of an entry counts for, as a logarithm,
const LENGTH: f32 = 0.7 / 4.0;
/// up to this many words.
const LENGTH_WORDS: u32 = 64;
/// What an entry loses that only asks.
const ASKS: f32 = 0.1;
/// An entry of fewer words, its date's three included, is not found by its meaning alone: one word
/// (`x`, `ok`) means so little that any nonsense is close to it.
const MEANS: u32 = 5;
/// How [close](super::closeness) an entry without any of the words has to be: two cosines, of 0.275
/// on average. Searching the conversations above by meaning alone, up to 0.55 no answer was lost
/// among the first 5, 10 or 20 (390 questions), and at 0.6 the first one was; nonsense stayed below
/// it. That is measured with all-MiniLM-L6-v2; a model whose vectors lie closer together lets
/// more through.
const MEANING: f32 = 0.55;
/// Scores that differ by less are equal, and the newer entry comes first.
const GRAIN: f32 = 1e-4;

/// What an owner has altogether.
#[derive(Clone, Copy, Debug, Default)]
pub struct Corpus {
    /// Entries that can be found.
    pub entries: u64,
    /// Sessions that have any.
    pub sessions: u64,
    /// The words of all entries.
    pub words: u64,
    /// How close to the query entries are on average; `None` if nothing was compared.
    pub closeness: Option<f32>,
}

/// A word of the query.
#[derive(Clone, Copy, Debug, Default)]
pub struct Term {
    /// Entries of the owner that hold it.
    pub entries: u64,
    /// Sessions of the owner that hold it.
    pub sessions: u64,
}

/// An entry among its neighbours.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// The caller's name for it; of equal entries, the one with the greater name is newer.
    pub id: i64,
    /// Its number among the entries of the session that can be found.
    pub position: u64,
    /// How many words it has.
    pub words: u32,
    /// Whether it ends with a question.
    pub asks: bool,
    /// Bit n: it holds the query's word n.
    pub terms: u64,
    /// How [close](super::closeness) it is to the query, if it was compared.
    pub closeness: Option<f32>,
}

/// What matters of a session: at least the entries that hold a word of the query or are candidates
/// by their closeness, and those that are at most twice [`REACH`] positions away from one.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The words of all its entries.
    pub words: u64,
    /// By position.
    pub places: Vec<Place>,
}

impl Place {
    /// Whether it may be found by its meaning alone.
    fn is_close(&self) -> bool {
        MEANS <= self.words && self.closeness.is_some_and(|it| MEANING <= it)
    }
}

impl Conversation {
    /// The same without the places that make no difference to any ranking.
    pub(super) fn that_matters(mut self) -> Self {
        let is_seed = |it: &&Place| it.terms != 0 || it.is_close();
        let seeds: Vec<u64> = self.places.iter().filter(is_seed).map(|it| it.position).collect();
        self.places.retain(|it| {
            let next = seeds.partition_point(|seed| *seed < it.position.saturating_sub(2 * REACH));
            seeds.get(next).is_some_and(|seed| *seed <= it.position.saturating_add(2 * REACH))
        });
        self
    }
}

/// An entry and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// The index of the conversation.
    pub conversation: usize,
    /// [`Place::id`].
    pub id: i64,
    /// The higher the better; comparable within one ranking only.
    pub score: f32,
}

/// At most `limit` entries, best first; of equal ones the newest first. An entry without any of
/// the words around it is one of them only if it is close to the query.
#[must_use]
pub fn rank(
    corpus: &Corpus,
    terms: &[Term],
    conversations: &[Conversation],
    limit: usize,
) -> Vec<Ranked> {
    let weights = Weights::new(corpus, terms);
    let mut ranked = Vec::new();
    for (index, conversation) in conversations.iter().enumerate() {
        let session = weights.session(conversation);
        for at in 0..conversation.places.len() {
            if let Some((id, score)) = weights.score(&conversation.places, at) {
                let score = score + SESSION * session;
                ranked.push(Ranked { conversation: index, id, score });
            }
        }
    }
    ranked.sort_unstable_by_key(|it| (-((it.score / GRAIN).round() as i64), -it.id));
    ranked.truncate(limit);
    ranked
}

/// What is the same for all entries.
struct Weights {
    /// How rare each word is among entries, as a share of all words' rarity,
    among_entries: Vec<f32>,
    /// and among sessions.
    among_sessions: Vec<f32>,
    entry_words: f32,
    session_words: f32,
    closeness: Option<f32>,
}

impl Weights {
    fn new(corpus: &Corpus, terms: &[Term]) -> Self {
        let of_entries: Vec<f32> =
            terms.iter().map(|it| rarity(corpus.entries, it.entries)).collect();
        let of_sessions = terms.iter().map(|it| rarity(corpus.sessions, it.sessions));
        let sum: f32 = of_entries.iter().sum();
        let share = |rarity: f32| if 0.0 < sum { rarity / sum } else { 0.0 };
        Self {
            among_sessions: of_sessions.map(share).collect(),
            among_entries: of_entries.iter().map(|it| share(*it)).collect(),
            entry_words: average(corpus.words, corpus.entries),
            session_words: average(corpus.words, corpus.sessions),
            closeness: corpus.closeness,
        }
    }

    /// How well the session as a whole fits.
    fn session(&self, conversation: &Conversation) -> f32 {
        let mut counts = BTreeMap::new();
        for place in &conversation.places {
            for term in bits(place.terms) {
                *counts.entry(term).or_insert(0.0) += 1.0;
            }
        }
        let length = conversation.words as f32 / self.session_words;
        sum(&self.among_sessions, &counts, length)
    }

    /// The entry and its score without the session's; `None` if nothing speaks for it.
    fn score(&self, places: &[Place], at: usize) -> Option<(i64, f32)> {
        let place = places.get(at)?;
        let mut counts = BTreeMap::new();
        let mut length = 0.0;
        let mut before = None;
        let first = at.saturating_sub(REACH as usize);
        for other in places.iter().skip(first).take(2 * REACH as usize + 1) {
            let distance = other.position.abs_diff(place.position);
            let Some(weight) = NEARBY.get(distance as usize) else { continue };
            length += weight * other.words as f32;
            for term in bits(other.terms) {
                *counts.entry(term).or_insert(0.0) += weight;
            }
            if other.position + 1 == place.position {
                before = Some(other);
            }
        }
        if counts.is_empty() && !place.is_close() {
            return None;
        }
        let mut score = sum(&self.among_entries, &counts, length / (self.entry_words * NEARBY_SUM));
        score += before.filter(|it| it.asks).map_or(0.0, |it| ANSWER * self.alone(it));
        score += LENGTH * (1.0 + place.words.min(LENGTH_WORDS) as f32).ln();
        score -= if place.asks { ASKS } else { 0.0 };
        // What has no vector yet is taken to be as close as the others are.
        score += place.closeness.or(self.closeness).unwrap_or(0.0);
        Some((place.id, score))
    }

    /// How well the words of the entry itself fit.
    fn alone(&self, place: &Place) -> f32 {
        let counts = bits(place.terms).map(|term| (term, 1.0)).collect();
        sum(&self.among_entries, &counts, place.words as f32 / self.entry_words)
    }
}

/// BM25's inverse document frequency; 0 for a word that nobody said.
fn rarity(all: u64, with: u64) -> f32 {
    if with == 0 {
        return 0.0;
    }
    let (all, with) = (all.max(with) as f32, with as f32);
    ((all - with + 0.5) / (with + 0.5)).ln_1p()
}

/// BM25 of a text that has `length` times as many words as the average.
fn sum(weights: &[f32], counts: &BTreeMap<usize, f32>, length: f32) -> f32 {
    let saturation = K1 * (1.0 - B + B * length);
    let gain = |(term, count): (&usize, &f32)| {
        let weight = weights.get(*term).copied().unwrap_or(0.0);
        weight * count * (K1 + 1.0) / (count + saturation)
    };
    counts.iter().map(gain).sum()
}

fn average(words: u64, texts: u64) -> f32 {
    (words as f32 / texts.max(1) as f32).max(1.0)
}

fn bits(mask: u64) -> impl Iterator<Item = usize> {
    (0..MAX_TERMS).filter(move |bit| mask >> bit & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::{Conversation, Corpus, Place, Ranked, Term, rank};

    const CORPUS: Corpus = Corpus { entries: 100, sessions: 10, words: 1_000, closeness: None };

    fn place(position: u64, terms: u64) -> Place {
        Place { id: position as i64, position, words: 10, terms, ..Place::default() }
    }

    fn order(corpus: &Corpus, terms: &[Term], sessions: &[Vec<Place>]) -> Vec<i64> {
        let sessions: Vec<_> =
            sessions.iter().map(|it| Conversation { words: 100, places: it.clone() }).collect();
        rank(corpus, terms, &sessions, 10).iter().map(|it: &Ranked| it.id).collect()
    }

    fn term(entries: u64) -> Term {
        Term { entries, sessions: entries.min(10) }
    }

    #[test]
    fn rare_words_weigh_more_and_neighbours_are_found_below() {
        let terms = [term(2), term(50)];
        let rare = [0, 0, 0b01, 0, 0];
        let rare = (9..).zip(rare).map(|(at, terms)| place(at, terms)).collect();
        let common = vec![place(30, 0b10)];
        assert_eq!(order(&CORPUS, &terms, &[common, rare]), [11, 12, 10, 13, 9, 30]);
    }

    #[test]
    fn the_answer_after_a_fitting_question_gains() {
        let asks = Place { asks: true, ..place(5, 0b1) };
        let found = order(&CORPUS, &[term(3)], &[vec![place(4, 0), asks, place(6, 0)]]);
        assert_eq!(found, [6, 5, 4]);
    }

    #[test]
    fn of_equal_entries_the_newest_is_first() {
        let found = order(&CORPUS, &[term(3)], &[vec![place(1, 1)], vec![place(9, 1)]]);
        assert_eq!(found, [9, 1]);
    }

    #[test]
    fn meaning_finds_what_words_do_not() {
        let corpus = Corpus { closeness: Some(0.2), ..CORPUS };
        let near = Place { closeness: Some(1.5), ..place(40, 0) };
        let far = Place { closeness: Some(0.1), ..place(50, 0) };
        let unknown = place(60, 1);
        assert_eq!(order(&corpus, &[term(1)], &[vec![near, far, unknown]]), [60, 40]);
        assert_eq!(order(&corpus, &[], &[vec![near, far, place(70, 0)]]), [40]);
    }

    #[test]
    fn what_says_one_word_is_not_found_by_meaning_alone() {
        let at = |position, words| Place { words, closeness: Some(1.5), ..place(position, 0) };
        let corpus = Corpus { closeness: Some(0.2), ..CORPUS };
        assert_eq!(order(&corpus, &[], &[vec![at(10, 4), at(20, 5), at(30, 0)]]), [20]);
        let named = Place { terms: 1, ..at(10, 4) };
        assert_eq!(order(&corpus, &[term(1)], &[vec![named]]), [10]);
    }

    #[test]
    fn what_does_not_matter_makes_no_difference() {
        let at = |position: u64| {
            let terms = u64::from(position.is_multiple_of(17));
            let closeness = Some(if position.is_multiple_of(23) { 1.0 } else { 0.3 });
            let asks = position.is_multiple_of(5);
            Place { asks, closeness, ..place(position, terms) }
        };
        let whole = Conversation { words: 1_000, places: (0..100).map(at).collect() };
        let cut = whole.clone().that_matters();
        assert!(cut.places.len() < whole.places.len());
        let ranked = |it| rank(&CORPUS, &[term(6)], std::slice::from_ref(it), 100);
        assert_eq!(ranked(&cut), ranked(&whole));
        assert_eq!(Conversation::default().that_matters().places.len(), 0);
    }

    #[test]
    fn what_is_far_is_found_by_its_words_only() {
        let corpus = Corpus { closeness: Some(0.2), ..CORPUS };
        let at = |position, closeness| Place { closeness: Some(closeness), ..place(position, 0) };
        let far = vec![at(10, 0.5), at(20, 0.54), at(30, -1.0)];
        assert_eq!(order(&corpus, &[], std::slice::from_ref(&far)), [0; 0]);
        let named = far.iter().map(|it| Place { terms: 1, ..*it }).collect();
        assert_eq!(order(&corpus, &[term(3)], &[named]), [20, 10, 30]);
        assert_eq!(order(&corpus, &[], &[vec![at(10, 0.55), at(20, 0.56)]]), [20, 10]);
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        assert_eq!(rank(&Corpus::default(), &[], &[], 10), []);
        let nobody = [Term::default()];
        assert_eq!(order(&CORPUS, &nobody, &[vec![place(1, 0)]]), [0; 0]);
    }
}
