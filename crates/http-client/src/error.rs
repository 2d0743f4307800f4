//! Why a request failed, as a sentence for people.

use std::fmt;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request failed, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientErrorKind {
    /// Nobody answers at the address.
    Unreachable,
    /// The request was refused, with this status.
    Refused(u16),
    /// What came is not what was asked for, or broke off.
    Broken,
    /// A file of ours cannot be read or written, or whoever watches broke off.
    Local,
}

/// A request failed.
#[derive(Debug)]
pub struct ClientError {
    kind: ClientErrorKind,
    sentence: String,
    source: Option<BoxError>,
}

impl ClientError {
    pub(crate) fn new(kind: ClientErrorKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into(), source: None }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can branch on.
    #[must_use]
    pub fn kind(&self) -> ClientErrorKind {
        self.kind
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|it| &**it as _)
    }
}
