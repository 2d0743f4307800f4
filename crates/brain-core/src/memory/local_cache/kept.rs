//! One copy: what it can answer, and what it becomes when the session goes on.

use crate::{
    ids::{Seq, Token},
    memory::{Branch, Entry, ReadFrom, ReadOptions, Session, in_memory::weight},
};

/// Most entries of a copy: far more than a context window reads.
const MOST: usize = 1_024;

/// The newest entries of the head's branch, each the parent of the next.
pub(super) struct Kept {
    branch: Branch,
    bytes: usize,
}

impl Kept {
    /// A copy of a branch; `None` if it is not that of the head, or has gaps.
    pub(super) fn of(branch: &Branch) -> Option<Self> {
        let Branch { session, entries, .. } = branch;
        let linked = entries.iter().zip(entries.iter().skip(1));
        let whole = linked.into_iter().all(|(one, next)| next.parent == Some(one.seq));
        let is_heads = entries.last().map(|it| it.seq) == session.head;
        let newest = entries.len().saturating_sub(MOST);
        (whole && is_heads).then(|| {
            let entries = entries.iter().skip(newest).cloned().collect();
            let (session, summary) = (session.clone(), branch.summary.clone());
            Self::weighed(Branch { session, entries, summary })
        })
    }

    fn weighed(branch: Branch) -> Self {
        let summary = branch.summary.as_ref().map_or(0, weight::summary);
        let entries: usize = branch.entries.iter().map(weight::entry).sum();
        let bytes = weight::session(&branch.session) + summary + entries;
        Self { branch, bytes }
    }

    pub(super) fn token(&self) -> Token {
        self.branch.session.token
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> u64 {
        self.branch.entries.len() as u64
    }

    fn position(&self, seq: Seq) -> Option<usize> {
        self.branch.entries.binary_search_by_key(&seq, |it| it.seq).ok()
    }

    /// What the store would answer; `None` if the copy cannot tell.
    pub(super) fn read(&self, options: ReadOptions) -> Option<Branch> {
        let Branch { session, entries, summary } = &self.branch;
        let end = match options.from {
            ReadFrom::Head => entries.len(),
            ReadFrom::Entry(seq) => self.position(seq)? + 1,
        };
        let start = end.saturating_sub(options.limit);
        let part = entries.get(start..end)?;
        if part.len() < options.limit && part.first().is_some_and(|it| it.parent.is_some()) {
            return None;
        }
        let covers = |at: Seq| {
            part.iter().any(|it| it.seq == at) || part.first().and_then(|it| it.parent) == Some(at)
        };
        let ends_before = |at: Seq| part.last().is_some_and(|it| it.seq < at);
        if summary.as_ref().is_some_and(|it| ends_before(it.at)) {
            return None; // an older one may be among these
        }
        let summary = summary.clone().filter(|it| covers(it.at));
        Some(Branch { session: session.clone(), entries: part.to_vec(), summary })
    }

    /// The copy of the state that came next; `None` if that cannot be told from this one.
    pub(super) fn advanced(self, session: &Session, new: &[Entry]) -> Option<Self> {
        let old = &self.branch.entries;
        let in_new = |seq: Seq| new.iter().find(|it| it.seq == seq);
        let find = |seq: Seq| in_new(seq).or_else(|| old.get(self.position(seq)?));
        let mut entries: Vec<Entry> = Vec::new();
        let mut next = session.head;
        while let Some(entry) = next.and_then(find).filter(|_| entries.len() < MOST) {
            next = entry.parent;
            entries.push(entry.clone());
        }
        entries.reverse();
        let first = entries.first();
        if first
            .map_or(session.head.is_some(), |it| it.parent.is_some() && in_new(it.seq).is_some())
        {
            return None; // what lies before it is not known here
        }
        let summary = self.branch.summary;
        let is_before = |at: Seq| first.is_some_and(|it| at < it.seq);
        let is_on = |at: Seq| is_before(at) || entries.iter().any(|it| it.seq == at);
        if summary.as_ref().is_some_and(|it| !is_on(it.at)) {
            return None; // an older one may be on this branch
        }
        Some(Self::weighed(Branch { session: session.clone(), entries, summary }))
    }
}
