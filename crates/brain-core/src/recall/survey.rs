//! What a search has looked at, in a store that has no index of words and looks at every entry.

use super::{Conversation, Corpus, Document, Place, Ranked, Term, Vector, closeness, rank};

/// Conversations, and how common the words of a query are in them.
#[derive(Clone, Debug)]
pub struct Survey {
    corpus: Corpus,
    terms: Vec<Term>,
    conversations: Vec<Conversation>,
    /// The sum of all closeness, and of how many.
    closeness: (f32, u64),
}

impl Survey {
    /// Nothing yet, of a query of so many [words](super::query_words).
    #[must_use]
    pub fn new(words: usize) -> Self {
        let (corpus, terms) = (Corpus::default(), vec![Term::default(); words]);
        Self { corpus, terms, conversations: Vec::new(), closeness: (0.0, 0) }
    }

    /// Takes in a whole conversation; keeps what matters of it.
    pub fn add(&mut self, conversation: Conversation) {
        let places = &conversation.places;
        self.corpus.entries += places.len() as u64;
        self.corpus.sessions += u64::from(!places.is_empty());
        self.corpus.words += conversation.words;
        for (bit, term) in self.terms.iter_mut().enumerate() {
            let with = places.iter().filter(|it| it.terms >> bit & 1 == 1).count() as u64;
            term.entries += with;
            term.sessions += u64::from(0 < with);
        }
        for close in places.iter().filter_map(|it| it.closeness) {
            self.closeness = (self.closeness.0 + close, self.closeness.1 + 1);
        }
        self.conversations.push(conversation.that_matters());
    }

    /// At most `limit` entries, as [`rank`] says; conversations are named in the order in which they
    /// were added.
    #[must_use]
    pub fn rank(&self, limit: usize) -> Vec<Ranked> {
        let (sum, count) = self.closeness;
        let closeness = (0 < count).then(|| sum / count as f32);
        let corpus = Corpus { closeness, ..self.corpus };
        rank(&corpus, &self.terms, &self.conversations, limit)
    }
}

impl Conversation {
    /// Puts the next entry of the conversation into it: [`Place::id`], what it says, and the words
    /// of the query.
    pub fn push(&mut self, id: i64, document: &Document, words: &[String]) {
        self.words += document.words.len() as u64;
        self.places.push(Place {
            id,
            position: self.places.len() as u64,
            words: u32::try_from(document.words.len()).unwrap_or(u32::MAX),
            asks: document.asks,
            terms: document.terms(words),
            closeness: None,
        });
    }

    /// Says of each entry that has a vector how close it is to the query's. It is for conversations
    /// that are whole: the places stand at their positions.
    pub fn compare(&mut self, query: &[f32], vectors: &[Vector]) {
        for (vector, close) in vectors.iter().zip(closeness(query, vectors)) {
            let index = usize::try_from(vector.position).unwrap_or(usize::MAX);
            if let Some(place) = self.places.get_mut(index) {
                place.closeness = Some(close);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Conversation, Document, Survey, Vector};

    fn document(words: &[&str]) -> Document {
        let words: BTreeSet<_> = words.iter().map(|it| (*it).to_owned()).collect();
        Document { words, asks: false }
    }

    #[test]
    fn words_sessions_and_closeness_are_counted() {
        let query = ["fox".to_owned(), "dog".to_owned()];
        let mut survey = Survey::new(query.len());
        for texts in [&[&["fox", "den"][..], &["dog"]][..], &[&["fox"]], &[]] {
            let mut conversation = Conversation::default();
            for (id, words) in (10..).zip(texts) {
                conversation.push(id, &document(words), &query);
            }
            let vector = Vector { position: 0, values: vec![1.0, 0.0] };
            conversation.compare(&[1.0, 0.0], &[vector]);
            survey.add(conversation);
        }
        let counted = (survey.corpus.entries, survey.corpus.sessions, survey.corpus.words);
        assert_eq!(counted, (3, 2, 4));
        let terms: Vec<_> = survey.terms.iter().map(|it| (it.entries, it.sessions)).collect();
        assert_eq!(terms, [(2, 2), (1, 1)]);
        assert_eq!(survey.closeness, (4.0, 2));
        let places = &survey.conversations[0].places;
        let seen: Vec<_> =
            places.iter().map(|it| (it.id, it.position, it.terms, it.closeness)).collect();
        assert_eq!(seen, [(10, 0, 0b01, Some(2.0)), (11, 1, 0b10, None)]);
        assert_eq!(survey.rank(1).len(), 1);
    }
}
