//! Messages, and what the daemon has said about each.

use std::sync::atomic::{AtomicU64, Ordering};

use super::random::Random;

/// Which message: its writer counts from 0 within the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) round: u32,
    pub(super) session: u32,
    pub(super) writer: u32,
    pub(super) number: u32,
}

/// A message that was sent at least once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) name: Name,
    /// When it was first sent, by [`Moments`].
    pub(super) sent: u64,
    /// When the daemon had acknowledged it; `None` if it never did.
    pub(super) stored: Option<u64>,
    /// Where the daemon said that its whole answer is.
    pub(super) answer: Option<u64>,
}

/// Numbers the things that happen, over all threads.
#[derive(Debug, Default)]
pub(super) struct Moments(AtomicU64);

impl Moments {
    pub(super) fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// All messages of the writers, by session.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) sessions: Vec<(String, Vec<Message>)>,
}

impl Ledger {
    pub(super) fn add(&mut self, mut other: Self) {
        self.sessions.append(&mut other.sessions);
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.messages().filter(|it| it.stored.is_some()).count()
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.sessions.iter().flat_map(|(_, messages)| messages)
    }
}

impl Name {
    pub(super) fn session(self) -> String {
        format!("round {} session {}", self.round, self.session)
    }

    /// The idempotency key of its request.
    pub(super) fn key(self) -> String {
        let Self { round, session, writer, number } = self;
        format!("{round}.{session}.{writer}.{number}")
    }

    /// What it says: its key, and text whose length is its own: mostly short, now and then 20 KB.
    pub(super) fn text(self) -> String {
        let parts = [self.round, self.session, self.writer, self.number];
        let seed = parts.iter().fold(0, |seed: u64, it| seed.rotate_left(16) ^ u64::from(*it));
        let mut random = Random::new(seed);
        let length = if random.one_in(200) { 20_000 } else { random.below(300) };
        let filling = (0..length).map(|_| char::from(b'a' + random.below(26) as u8));
        format!("{} {}", self.key(), filling.collect::<String>())
    }
}
