//! Sessions, and what callers say when they append to, read and list them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ids::{AppendId, Seq, SessionId, Token},
    json::RawJson,
    memory::{Draft, Entry, Fence},
    time::Timestamp,
};

/// How long a session's content is kept; fixed when the session is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryClass {
    /// Until it is forgotten.
    #[default]
    Durable,
    /// In the hot tier only, until its TTL ends.
    Ephemeral,
}

/// Tells apart what a session said before something of it was forgotten and after: another one when
/// the session is made, and whenever an entry of it is forgotten. Compared for equality only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Edition(u64);

impl Edition {
    /// One that no session has had.
    #[must_use]
    pub fn random() -> Self {
        let (_, bits) = Uuid::new_v4().as_u64_pair();
        Self(bits >> 1)
    }

    /// As [`Self::bits`] gave it.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As a number for stores, below 2^63.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// A session without its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What it is called.
    pub id: SessionId,
    /// A name for people.
    pub title: Option<String>,
    /// Whether the title was made of what was said, and may repeat it; nobody chose it.
    pub has_default_title: bool,
    /// A JSON object of the client's.
    pub metadata: Option<RawJson>,
    /// The system prompt that goes before every context.
    pub system: Option<String>,
    /// The model that answers where a message names none; `None` for the usual one.
    pub model: Option<String>,
    /// Whether recalled entries go into the context.
    pub recall: bool,
    /// How long its content is kept.
    pub class: MemoryClass,
    /// The entry after which the next append goes; `None` before the first.
    pub head: Option<Seq>,
    /// Its state; see [`Token`].
    pub token: Token,
    /// What of it was forgotten by then; see [`Edition`].
    pub edition: Edition,
    /// How many entries it has, on all branches.
    pub entries: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last appended to, patched or had its head moved.
    pub updated_at: Timestamp,
}

impl Session {
    /// An empty session, as every store makes it.
    #[must_use]
    pub fn new(id: SessionId, new: NewSession, now: Timestamp) -> Self {
        let NewSession { title, metadata, system, model, recall, class } = new;
        Self {
            id,
            title,
            has_default_title: false,
            metadata,
            system,
            model,
            recall,
            class,
            head: None,
            token: Token::random(),
            edition: Edition::random(),
            entries: 0,
            created_at: now,
            updated_at: now,
        }
    }

    /// Changes what the patch names, as every store does.
    pub fn apply(&mut self, patch: SessionPatch, now: Timestamp) {
        let SessionPatch { title, default_title, metadata, system, model, recall } = patch;
        if let Some(title) = title {
            self.title = title;
            self.has_default_title = false;
        }
        let is_free = self.title.is_none() || self.has_default_title;
        if let Some(made) = default_title.filter(|it| is_free && it.edition == self.edition) {
            self.title = Some(made.text);
            self.has_default_title = true;
        }
        metadata.into_iter().for_each(|it| self.metadata = it);
        system.into_iter().for_each(|it| self.system = it);
        model.into_iter().for_each(|it| self.model = it);
        recall.into_iter().for_each(|it| self.recall = it);
        self.updated_at = now;
    }

    /// Lets go of what may say what an entry said, as every store does when one is forgotten: of a
    /// default title, and of what is being made of the entries now.
    pub fn forgot_entry(&mut self, now: Timestamp) {
        self.edition = Edition::random();
        self.token = Token::random();
        self.updated_at = now;
        if std::mem::take(&mut self.has_default_title) {
            self.title = None;
        }
    }

    /// Whether [`Forget`] lets the session go, of which a turn is open or not.
    #[must_use]
    pub fn may_be_forgotten(&self, forget: Forget, has_open_turn: bool) -> bool {
        match forget {
            Forget::Always => true,
            Forget::IfIdleSince(before) => !has_open_turn && self.updated_at < before,
        }
    }

    /// Whether the session is as an appender expects.
    #[must_use]
    pub fn is_as(&self, expect: Expect) -> bool {
        match expect {
            Expect::Absent => self.entries == 0,
            Expect::At(token) => self.token == token,
            Expect::Attach => true,
        }
    }

    /// Whether an append that expects this and goes below `parent` moves the head.
    #[must_use]
    pub fn head_follows(&self, expect: Expect, parent: Option<Seq>) -> bool {
        match expect {
            Expect::Absent | Expect::At(_) => true,
            Expect::Attach => self.head == parent,
        }
    }
}

/// What a new session is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewSession {
    /// A name for people.
    pub title: Option<String>,
    /// A JSON object of the client's.
    pub metadata: Option<RawJson>,
    /// The system prompt that goes before every context.
    pub system: Option<String>,
    /// The model that answers where a message names none; `None` for the usual one.
    pub model: Option<String>,
    /// Whether recalled entries go into the context.
    pub recall: bool,
    /// How long its content is kept.
    pub class: MemoryClass,
}

/// A title made of what was said; taken unless somebody has chosen one, or an entry of the session was
/// forgotten since: it may be the one that the title repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultTitle {
    /// The title.
    pub text: String,
    /// The session's, from when that was read which the title is made of.
    pub edition: Edition,
}

/// Which fields of a session to change; `None` leaves one as it is, `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPatch {
    /// The name for people.
    pub title: Option<Option<String>>,
    /// A name for people that was made of what was said.
    pub default_title: Option<DefaultTitle>,
    /// The client's JSON object.
    pub metadata: Option<Option<RawJson>>,
    /// The system prompt.
    pub system: Option<Option<String>>,
    /// The model that answers where a message names none.
    pub model: Option<Option<String>>,
    /// Whether recalled entries go into the context.
    pub recall: Option<bool>,
}

/// What the appender assumes about the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// That it does not exist, or has no entries.
    Absent,
    /// That its state is this one: the first append of a turn.
    At(Token),
    /// Only that the parent exists: a later append of a turn. The head moves only if it still is
    /// the parent; otherwise the entries become a sibling branch.
    Attach,
}

/// Entries to append.
#[derive(Clone, Debug)]
pub struct Append {
    /// The entry that the first one follows; `None` starts a branch at the root.
    pub parent: Option<Seq>,
    /// What must be so.
    pub expect: Expect,
    /// Names this append, so that a lost reply is resolved by asking again.
    pub append_id: AppendId,
    /// The turn that appends; it must be open and held.
    pub fence: Option<Fence>,
    /// The entries; without any, only the head moves to `parent`.
    pub drafts: Vec<Draft>,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of the last entry appended, or the parent when there was none.
    pub last: Option<Seq>,
    /// Where the head stands now.
    pub head: Option<Seq>,
    /// The session's new state.
    pub token: Token,
}

/// Where a branch is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The head.
    #[default]
    Head,
    /// This entry.
    Entry(Seq),
}

/// Which entries of a branch to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// The branch's last entry.
    pub from: ReadFrom,
    /// At most this many entries, counted from the last.
    pub limit: usize,
    /// Whether an earlier state will do, because the caller appends [`Expect::At`] its token,
    /// which checks it. Only a store that keeps copies makes use of it.
    pub unverified: bool,
}

impl ReadOptions {
    /// The newest `limit` entries before the head.
    #[must_use]
    pub fn newest(limit: usize) -> Self {
        Self { from: ReadFrom::Head, limit, unverified: false }
    }

    /// The newest `limit` entries of the branch that ends with `seq`.
    #[must_use]
    pub fn of_branch(seq: Seq, limit: usize) -> Self {
        Self { from: ReadFrom::Entry(seq), limit, unverified: false }
    }

    /// The same, of an earlier state if that costs less.
    #[must_use]
    pub fn unverified(self) -> Self {
        Self { unverified: true, ..self }
    }
}

/// A session and entries of one branch, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The session as it was when the entries were read.
    pub session: Session,
    /// Each the parent of the next.
    pub entries: Vec<Entry>,
    /// The newest summary made at one of `entries`, or at the parent of the first.
    pub summary: Option<Summary>,
}

impl Branch {
    /// Whether the branch goes on before the first entry that was read.
    #[must_use]
    pub fn has_older(&self) -> bool {
        self.entries.first().is_some_and(|entry| entry.parent.is_some())
    }
}

/// A text that stands for an entry and all of its ancestors; it replaces none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The last entry that it covers.
    pub at: Seq,
    /// What was said, in short.
    pub text: String,
    /// The model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Where a page of sessions ends: the key of its last session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageKey {
    /// When that session was made.
    pub created_at: Timestamp,
    /// What it is called.
    pub id: SessionId,
}

impl From<&Session> for PageKey {
    fn from(session: &Session) -> Self {
        Self { created_at: session.created_at, id: session.id.clone() }
    }
}

/// Which page of the owner's sessions to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOptions {
    /// Only sessions older than this one.
    pub before: Option<PageKey>,
    /// At most this many.
    pub limit: usize,
}

/// When a session is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// Whatever happens in it.
    Always,
    /// Only if it has no open turn and has not changed at that time or later.
    IfIdleSince(Timestamp),
}

/// What forgetting erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Entries that are no longer readable.
    pub erased: u64,
    /// Copies that could not be erased yet.
    pub pending: u64,
}

/// What restoring an exported session did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restored {
    /// It was not there.
    Created,
    /// It was there as a prefix; this many entries are new.
    Extended(u64),
    /// It was there already.
    Unchanged,
}
