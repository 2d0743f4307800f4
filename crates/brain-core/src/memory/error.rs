//! Why a memory operation failed.

use std::time::Duration;

use crate::BoxError;

/// A memory operation failed.
#[derive(Debug, thiserror::Error)]
#[error("memory could not {operation}: {kind}")]
pub struct MemoryError {
    kind: MemoryErrorKind,
    operation: &'static str,
    #[source]
    source: Option<BoxError>,
}

/// Why a memory operation failed, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryErrorKind {
    /// The session is not in the state the caller assumed; read again and retry.
    #[error("the session has changed meanwhile")]
    Conflict,
    /// There is no entry where the new one should go, or the head should stand.
    #[error("the session has no such entry")]
    UnknownParent,
    /// The head may not stand between a tool call and its result.
    #[error("the entry lies inside a tool round")]
    InsideToolRound,
    /// The turn is over, was forgotten, or is held by another.
    #[error("the turn is over or held by another process")]
    Superseded,
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// The backend did not say whether it happened; asking again with the same append id tells.
    #[error("the backend did not say whether it happened")]
    OutcomeUnknown,
    /// The backend cannot be reached now; a retry may succeed.
    #[error("the backend is unavailable")]
    Unavailable,
    /// Too much waits to be written; a retry after this time may succeed.
    #[error("too much waits to be written")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// There is no room left.
    #[error("there is no room left")]
    Full,
    /// The session's content has expired.
    #[error("the session has expired")]
    Expired,
    /// Stored data does not decode; a retry will not help.
    #[error("stored data is corrupt")]
    Corrupt,
    /// Anything else; the source says what.
    #[error("the backend reported an error")]
    Backend,
}

impl MemoryErrorKind {
    /// A stable code for clients and logs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Conflict => "session_conflict",
            Self::UnknownParent => "unknown_entry",
            Self::InsideToolRound => "inside_tool_round",
            Self::Superseded => "turn_superseded",
            Self::KeyReused => "idempotency_key_reused",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Unavailable => "memory_unavailable",
            Self::Overloaded { .. } => "memory_overloaded",
            Self::Full => "memory_full",
            Self::Expired => "session_expired",
            Self::Corrupt => "memory_corrupt",
            Self::Backend => "memory_error",
        }
    }
}

impl MemoryError {
    /// A failure of `operation`, a verb and its object: `append to the session`.
    #[must_use]
    pub fn new(operation: &'static str, kind: MemoryErrorKind) -> Self {
        Self { kind, operation, source: None }
    }

    /// Attaches the driver's error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can branch on.
    #[must_use]
    pub fn kind(&self) -> MemoryErrorKind {
        self.kind
    }

    /// Whether trying the same call again may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.kind {
            MemoryErrorKind::Unavailable
            | MemoryErrorKind::OutcomeUnknown
            | MemoryErrorKind::Overloaded { .. } => true,
            MemoryErrorKind::Conflict
            | MemoryErrorKind::UnknownParent
            | MemoryErrorKind::InsideToolRound
            | MemoryErrorKind::Superseded
            | MemoryErrorKind::KeyReused
            | MemoryErrorKind::Full
            | MemoryErrorKind::Expired
            | MemoryErrorKind::Corrupt
            | MemoryErrorKind::Backend => false,
        }
    }
}
