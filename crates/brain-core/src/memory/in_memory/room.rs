//! How much room there is, and which sessions end when.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    ids::SessionKey,
    memory::{MemoryError, MemoryErrorKind},
};

/// The room of a store, in bytes, and the ends of its sessions, by [`Clock::elapsed`].
///
/// [`Clock::elapsed`]: crate::time::Clock::elapsed
#[derive(Default)]
pub(super) struct Room {
    used: usize,
    limit: Option<usize>,
    ttl: Option<Duration>,
    now: Duration,
    ends: BTreeSet<(Duration, SessionKey)>,
}

impl Room {
    pub(super) fn limit(&mut self, bytes: usize) {
        self.limit = Some(bytes);
    }

    pub(super) fn expire_after(&mut self, ttl: Option<Duration>) {
        self.ttl = ttl;
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Whether so much more fits.
    pub(super) fn check(&self, more: usize) -> Result<(), MemoryError> {
        if self.limit.is_none_or(|limit| self.used.saturating_add(more) <= limit) {
            return Ok(());
        }
        Err(MemoryError::new("keep more in this process", MemoryErrorKind::Full))
    }

    /// What took `before` takes `after`.
    pub(super) fn change(&mut self, before: usize, after: usize) {
        self.used = (self.used + after).saturating_sub(before);
    }

    /// When a session ends that is used now.
    pub(super) fn arm(&mut self, key: &SessionKey, end: Option<Duration>) -> Option<Duration> {
        let next = self.now.checked_add(self.ttl?)?;
        self.disarm(key, end);
        self.ends.insert((next, key.clone()));
        Some(next)
    }

    /// The session does not end any more, since it has ended.
    pub(super) fn disarm(&mut self, key: &SessionKey, end: Option<Duration>) {
        if let Some(end) = end {
            self.ends.remove(&(end, key.clone()));
        }
    }

    /// Sets the time; takes one session that has ended by now.
    pub(super) fn next_ended(&mut self, now: Duration) -> Option<SessionKey> {
        self.now = now;
        let has_ended = self.ends.first().is_some_and(|(end, _)| *end <= now);
        if has_ended { self.ends.pop_first().map(|(_, key)| key) } else { None }
    }
}
