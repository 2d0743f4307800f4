//! What callers say when they search, and what searching needs: embeddings of entries.

use std::sync::Arc;

use crate::{
    ids::{Seq, SessionKey},
    memory::Entry,
};

/// What to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Words; any text is a query.
    pub text: String,
    /// What the text means, if it was embedded.
    pub vector: Option<QueryVector>,
    /// At most this many hits.
    pub limit: usize,
}

impl Search {
    /// By words alone.
    #[must_use]
    pub fn words(text: impl Into<String>, limit: usize) -> Self {
        Self { text: text.into(), vector: None, limit }
    }
}

/// The embedding of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryVector {
    /// The model that made it; only entries embedded by the same one are compared.
    pub model: String,
    /// Of unit length.
    pub values: Arc<[f32]>,
}

/// An entry that a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Whose session.
    pub session: SessionKey,
    /// The entry.
    pub entry: Entry,
    /// How well it fits; comparable within one search only.
    pub score: f32,
}

/// An entry that has no embedding yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unembedded {
    /// Whose session.
    pub session: SessionKey,
    /// The entry.
    pub seq: Seq,
    /// What to embed.
    pub text: String,
}

/// The embedding of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// Whose session.
    pub session: SessionKey,
    /// The entry.
    pub seq: Seq,
    /// Of unit length.
    pub values: Arc<[f32]>,
}
