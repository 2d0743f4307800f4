//! What a search keeps of a session while it reads it: numbers for each entry that can be found,
//! not what it says. It asks Redis nothing.

use brain_core::{
    ids::Seq,
    recall::{Conversation, Document, REACH, Vector, closeness},
    time::Timestamp,
};

use super::Query;
use crate::{
    branch::{Encoded, readable},
    embeddings,
};

/// A session as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Digest {
    conversation: Conversation,
    /// When each place was said, and where.
    said: Vec<(Timestamp, Seq)>,
    /// The newest vectors: those that are not compared yet, and their neighbours before them.
    vectors: Vec<Vector>,
    /// How many of these are compared.
    compared: usize,
}

impl Digest {
    /// How many entries can be found.
    pub(super) fn len(&self) -> u64 {
        self.said.len() as u64
    }

    /// The same with another page, which may be the last one.
    pub(super) fn with(
        mut self,
        entries: Vec<Encoded>,
        embeddings: Vec<Vec<u8>>,
        query: &Query,
        is_last: bool,
    ) -> Self {
        let embeddings = embeddings.into_iter().map(Some).chain(std::iter::repeat(None));
        for ((seq, value), embedding) in entries.into_iter().zip(embeddings) {
            self.add(seq, &value, embedding, query);
        }
        self.compare(query, is_last);
        self
    }

    fn add(&mut self, seq: Seq, value: &[u8], embedding: Option<Vec<u8>>, query: &Query) {
        let Some(entry) = readable(seq, value) else { return };
        let Some(document) = Document::of(&entry.body) else { return };
        let position = self.len();
        self.conversation.push(0, &document, &query.words);
        self.said.push((entry.body.created_at, seq));
        let embedding = query.vector.as_ref().zip(embedding);
        let values = embedding.and_then(|(it, bytes)| embeddings::of(it, &bytes));
        self.vectors.extend(values.map(|values| Vector { position, values }));
    }

    /// Compares the vectors whose neighbours are known, and forgets those that are no neighbours of
    /// one to come.
    fn compare(&mut self, query: &Query, is_last: bool) {
        let Some(query) = &query.vector else { return };
        let reach = usize::try_from(REACH).unwrap_or(usize::MAX);
        let known = self.vectors.len();
        let ready = if is_last { known } else { known.saturating_sub(reach) };
        if ready <= self.compared {
            return;
        }
        let close = closeness(&query.values, &self.vectors);
        for (vector, close) in self.vectors.iter().zip(close).take(ready).skip(self.compared) {
            // Places are numbered as they stand.
            let index = usize::try_from(vector.position).unwrap_or(usize::MAX);
            if let Some(place) = self.conversation.places.get_mut(index) {
                place.closeness = Some(close);
            }
        }
        let gone = ready.saturating_sub(reach);
        self.vectors.drain(..gone);
        self.compared = ready - gone;
    }

    /// The session's places, and for each of them when it was said, and where.
    pub(super) fn into_parts(self) -> (Conversation, Vec<(Timestamp, Seq)>) {
        (self.conversation, self.said)
    }
}

#[cfg(test)]
mod tests {
    use brain_core::{
        chat::Message,
        ids::Seq,
        memory::{Draft, EntryBody, QueryVector},
        recall::{Vector, closeness, query_words},
        time::Timestamp,
    };

    use super::{super::Query, Digest};
    use crate::{branch::Encoded, embeddings::encode, value};

    /// Entries of which each third has no vector, and each fifth is not to be found.
    fn entries(count: u64) -> Vec<(Encoded, Vec<u8>)> {
        let entry = |n: u64| {
            let text = format!("word{} and more?", n % 4);
            let message =
                if n.is_multiple_of(5) { Message::system(text) } else { Message::user(text) };
            let time = Timestamp::from_millis(n.cast_signed());
            let draft = Draft::new(EntryBody::complete(message, time)).unwrap();
            let vector = [(n as f32).sin(), (n as f32).cos()];
            let vector = if n.is_multiple_of(3) { Vec::new() } else { encode("model", &vector) };
            ((Seq(n), value::value(None, &draft)), vector)
        };
        (1..=count).map(entry).collect()
    }

    fn digest(entries: &[(Encoded, Vec<u8>)], page: usize, query: &Query) -> Digest {
        let pages = entries.chunks(page);
        let last = pages.len() - 1;
        pages.enumerate().fold(Digest::default(), |digest, (number, page)| {
            let (entries, embeddings) = page.iter().cloned().unzip();
            digest.with(entries, embeddings, query, number == last)
        })
    }

    #[test]
    fn pages_make_no_difference() {
        let vector = QueryVector { model: "model".to_owned(), values: [0.6, 0.8].into() };
        let query = Query { words: query_words("word1 word2"), vector: Some(vector) };
        let entries = entries(60);
        let (whole, said) = digest(&entries, 60, &query).into_parts();
        assert_eq!(said.len(), 48);
        assert_eq!(said.first(), Some(&(Timestamp::from_millis(1), Seq(1))));
        for page in [1, 2, 3, 7, 59] {
            let (paged, again) = digest(&entries, page, &query).into_parts();
            assert_eq!(format!("{paged:?}"), format!("{whole:?}"), "pages of {page}");
            assert_eq!(again, said);
        }
        let found = entries.iter().filter(|((seq, _), _)| !seq.0.is_multiple_of(5));
        let vectors = (0..).zip(found).filter(|(_, (_, bytes))| !bytes.is_empty());
        let vectors: Vec<Vector> = vectors
            .map(|(position, ((seq, _), _))| {
                let n = seq.0 as f32;
                Vector { position, values: vec![n.sin(), n.cos()] }
            })
            .collect();
        let expected = closeness(&[0.6, 0.8], &vectors);
        let compared: Vec<f32> = whole.places.iter().filter_map(|it| it.closeness).collect();
        assert_eq!(compared, expected);
        assert!(whole.places.iter().any(|it| it.terms != 0 && it.asks));
    }

    #[test]
    fn a_digest_keeps_few_vectors() {
        let vector = QueryVector { model: "model".to_owned(), values: [0.6, 0.8].into() };
        let query = Query { words: Vec::new(), vector: Some(vector) };
        let page: Vec<_> = entries(1_000);
        let (entries, embeddings) = page.into_iter().unzip();
        let digest = Digest::default().with(entries, embeddings, &query, false);
        assert_eq!(digest.vectors.len(), 4);
    }
}
