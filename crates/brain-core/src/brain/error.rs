//! Why a turn could not begin, or a session not be changed.

use std::time::Duration;

use crate::{
    ids::TurnId,
    memory::{MemoryError, MemoryErrorKind},
};

/// A turn could not begin. Nothing of the request is stored.
///
/// What goes wrong later ends the turn, and is told by its last event.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The request makes no sense; the text says what to change.
    #[error("{0}")]
    Invalid(String),
    /// The message is too long.
    #[error("the message has {bytes} bytes; at most {max_bytes} are allowed")]
    MessageTooLarge {
        /// Bytes of the message.
        bytes: usize,
        /// Bytes that are allowed.
        max_bytes: usize,
    },
    /// A tool that the request names is not there.
    #[error("there is no tool named `{0}`; leave it out of `tools`")]
    UnknownTool(String),
    /// A session that ends by itself was asked for, and the store keeps none.
    #[error("there is no short-term memory here; leave `memory` out or say `durable`")]
    NoEphemeralMemory,
    /// The session to regenerate in is not there.
    #[error("there is no such session")]
    UnknownSession,
    /// Another turn of the session runs.
    #[error("another turn of this session is running; wait for it or cancel it")]
    TurnInProgress {
        /// That turn.
        turn: TurnId,
        /// How much of its lease is left, if it has one.
        lease_left: Option<Duration>,
    },
    /// The daemon is about to end.
    #[error("the service is shutting down; try again in a moment")]
    ShuttingDown,
    /// Too many turns run already.
    #[error("{0} turns are running already; try again in a moment")]
    TooManyTurns(usize),
    /// The history could not be read, or the message not be stored.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl ChatError {
    /// A stable code for clients and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_request",
            Self::MessageTooLarge { .. } => "message_too_large",
            Self::UnknownTool(_) => "unknown_tool",
            Self::NoEphemeralMemory => "not_supported",
            Self::UnknownSession => "session_not_found",
            Self::TurnInProgress { .. } => "turn_in_progress",
            Self::ShuttingDown => "shutting_down",
            Self::TooManyTurns(_) => "too_many_turns",
            Self::Memory(error) => error.kind().code(),
        }
    }

    /// What memory said, if it was memory.
    #[must_use]
    pub fn memory_kind(&self) -> Option<MemoryErrorKind> {
        match self {
            Self::Memory(error) => Some(error.kind()),
            Self::Invalid(_)
            | Self::MessageTooLarge { .. }
            | Self::UnknownTool(_)
            | Self::NoEphemeralMemory
            | Self::UnknownSession
            | Self::TurnInProgress { .. }
            | Self::ShuttingDown
            | Self::TooManyTurns(_) => None,
        }
    }
}

/// A session could not be changed. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A turn of it runs, or waits for an approval.
    #[error("a turn of this session is running; wait for it or cancel it, then try again")]
    TurnInProgress {
        /// That turn.
        turn: TurnId,
        /// How much of its lease is left, if it has one.
        lease_left: Option<Duration>,
    },
    /// Memory refused, or could not be asked.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}
