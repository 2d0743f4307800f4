//! One session: its entries, and every change that needs nothing but the session itself.

use std::{
    collections::{BTreeMap, HashMap},
    iter,
    sync::Arc,
    time::Duration,
};

use super::{
    conflict,
    recall::{Found, Indexed, Terms},
    weight,
};
use crate::{
    ids::{AppendId, Seq, SessionKey, Token, TurnId},
    memory::{
        Append, Appended, Branch, Edition, Entry, EntryStatus, ExportPart, ExportedEntry,
        ExportedHead, ExportedSession, MemoryError, MemoryErrorKind, NewSession, ReadFrom,
        ReadOptions, Restored, Session, SessionPatch, Summary, inside_tool_round,
    },
    time::Timestamp,
};

/// An entry, and when it arrived among all entries of the store.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) arrival: u64,
    pub(super) entry: Entry,
    /// By what it is found; `None` if it is not to be found.
    pub(super) terms: Option<Arc<Terms>>,
    /// The model that embedded it, and what came of it.
    pub(super) embedding: Option<(String, Arc<[f32]>)>,
}

impl Stored {
    /// What it takes, in bytes.
    fn weight(&self) -> usize {
        let embedding = self.embedding.as_ref();
        let embedding = embedding.map_or(0, |(model, values)| weight::embedding(model, values));
        weight::entry(&self.entry) + weight::terms(self.terms.as_deref()) + embedding
    }

    pub(super) fn is_embedded_by(&self, model: &str) -> bool {
        self.embedding.as_ref().is_some_and(|(by, _)| by == model)
    }
}

/// Numbers entries as they arrive; what search calls newest.
#[derive(Default)]
pub(super) struct Arrivals(u64);

impl Arrivals {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// A session with all that belongs to it but its turns.
pub(super) struct StoredSession {
    pub(super) session: Session,
    pub(super) open_turn: Option<TurnId>,
    /// When it ends, in [`Room`](super::room::Room)'s time.
    pub(super) end: Option<Duration>,
    /// What it takes beside its header, in bytes.
    weight: usize,
    /// By position, which rises but may have gaps.
    entries: Vec<Stored>,
    appends: HashMap<AppendId, Appended>,
    summaries: BTreeMap<Seq, Summary>,
}

impl StoredSession {
    pub(super) fn new(key: &SessionKey, new: NewSession, now: Timestamp) -> Self {
        let session = Session::new(key.id.clone(), new, now);
        Self {
            session,
            open_turn: None,
            end: None,
            weight: 0,
            entries: Vec::new(),
            appends: HashMap::new(),
            summaries: BTreeMap::new(),
        }
    }

    /// What it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        weight::session(&self.session) + self.weight
    }

    /// The same, counted afresh.
    #[cfg(test)]
    pub(super) fn weighed(&self) -> usize {
        let entries: usize = self.entries.iter().map(Stored::weight).sum();
        let appends: usize = self.appends.keys().map(weight::append_id).sum();
        weight::session(&self.session) + entries + appends + weight::summaries(&self.summaries)
    }

    /// What the append of this name did, if it happened.
    pub(super) fn known(&self, append: &AppendId) -> Option<Appended> {
        self.appends.get(append).copied()
    }

    pub(super) fn entries(&self) -> &[Stored] {
        &self.entries
    }

    fn get(&self, seq: Seq) -> Option<&Entry> {
        let index = self.entries.binary_search_by_key(&seq, |it| it.entry.seq).ok()?;
        self.entries.get(index).map(|it| &it.entry)
    }

    fn add(&mut self, stored: Stored) {
        self.weight += stored.weight();
        self.entries.push(stored);
    }

    /// Changes an entry, and keeps count of what it takes; `None` if there is no such entry.
    fn change_entry<T>(&mut self, seq: Seq, change: impl FnOnce(&mut Stored) -> T) -> Option<T> {
        let index = self.entries.binary_search_by_key(&seq, |it| it.entry.seq).ok()?;
        let stored = self.entries.get_mut(index)?;
        let before = stored.weight();
        let changed = change(stored);
        self.weight = (self.weight + stored.weight()).saturating_sub(before);
        Some(changed)
    }

    /// Keeps an embedding, unless the entry is not to be found any more.
    pub(super) fn keep_embedding(&mut self, seq: Seq, embedding: (String, Arc<[f32]>)) {
        self.change_entry(seq, |it| {
            if it.terms.is_some() {
                it.embedding = Some(embedding);
            }
        });
    }

    /// The branch that ends with `last`, newest first.
    fn branch(&self, last: Option<Seq>) -> impl Iterator<Item = &Entry> {
        let find = |seq: Option<Seq>| seq.and_then(|seq| self.get(seq));
        iter::successors(find(last), move |entry| find(entry.parent))
    }

    fn check_exists(&self, entry: Option<Seq>) -> Result<(), MemoryError> {
        if entry.is_none_or(|seq| self.get(seq).is_some()) {
            return Ok(());
        }
        Err(MemoryError::new("find the entry", MemoryErrorKind::UnknownParent))
    }

    /// Appends, all or nothing. The caller has looked for a [`Self::known`] append and for turns.
    pub(super) fn append(
        &mut self,
        append: &Indexed<'_>,
        now: Timestamp,
        arrivals: &mut Arrivals,
    ) -> Result<Appended, MemoryError> {
        if !self.session.is_as(append.expect) {
            return Err(conflict("append to the session"));
        }
        self.check_exists(append.parent)?;
        let head_moves = self.session.head_follows(append.expect, append.parent);
        if head_moves {
            self.check_round(append)?;
        }
        let last = self.push(append, arrivals);
        if head_moves {
            self.session.head = last;
        }
        self.changed(now);
        let appended = Appended { last, head: self.session.head, token: self.session.token };
        self.weight += weight::append_id(&append.append_id);
        self.appends.insert(append.append_id.clone(), appended);
        Ok(appended)
    }

    /// Refuses to let the head end inside a tool round.
    fn check_round(&self, append: &Append) -> Result<(), MemoryError> {
        let new = append.drafts.iter().rev().map(|it| &*it.body().message);
        let old = self.branch(append.parent).map(|it| &*it.body.message);
        if inside_tool_round(new.chain(old)) {
            return Err(MemoryError::new("move the head", MemoryErrorKind::InsideToolRound));
        }
        Ok(())
    }

    fn push(&mut self, append: &Indexed<'_>, arrivals: &mut Arrivals) -> Option<Seq> {
        let mut parent = append.parent;
        for (draft, terms) in append.drafts.iter().zip(append.found.iter().cloned()) {
            let seq = Seq(self.entries.last().map_or(0, |it| it.entry.seq.0) + 1);
            let entry = Entry { seq, parent, body: draft.body().clone() };
            self.add(Stored { arrival: arrivals.next(), entry, terms, embedding: None });
            parent = Some(seq);
        }
        self.session.entries = self.entries.len() as u64;
        parent
    }

    fn changed(&mut self, now: Timestamp) {
        self.session.token = Token::random();
        self.session.updated_at = now;
    }

    pub(super) fn read(&self, options: ReadOptions) -> Result<Branch, MemoryError> {
        let last = match options.from {
            ReadFrom::Head => self.session.head,
            ReadFrom::Entry(seq) => Some(seq),
        };
        self.check_exists(last)?;
        let mut entries: Vec<Entry> = self.branch(last).take(options.limit).cloned().collect();
        entries.reverse();
        let summary = self.summary_of(&entries);
        Ok(Branch { session: self.session.clone(), entries, summary })
    }

    fn summary_of(&self, entries: &[Entry]) -> Option<Summary> {
        let before = entries.first().and_then(|it| it.parent);
        let places = entries.iter().rev().map(|it| it.seq).chain(before);
        places.filter_map(|seq| self.summaries.get(&seq)).next().cloned()
    }

    pub(super) fn keep_summary(
        &mut self,
        edition: Edition,
        summary: Summary,
    ) -> Result<(), MemoryError> {
        if self.session.edition != edition {
            return Err(conflict("keep a summary"));
        }
        self.check_exists(Some(summary.at))?;
        self.weight += weight::summary(&summary);
        if let Some(old) = self.summaries.insert(summary.at, summary) {
            self.weight = self.weight.saturating_sub(weight::summary(&old));
        }
        Ok(())
    }

    pub(super) fn summaries(&self) -> Vec<Summary> {
        self.summaries.values().cloned().collect()
    }

    /// Erases what an entry says; returns whether it said something.
    pub(super) fn forget_entry(&mut self, seq: Seq, now: Timestamp) -> Result<bool, MemoryError> {
        if self.open_turn.is_some() {
            return Err(conflict("forget the entry"));
        }
        let said = self.change_entry(seq, |it| {
            let said = it.entry.body.status != EntryStatus::Forgotten;
            if said {
                it.entry.body = Arc::new(it.entry.body.forgotten());
                (it.terms, it.embedding) = (None, None);
            }
            said
        });
        if said != Some(true) {
            return Ok(false);
        }
        let dropped = self.summaries.split_off(&seq);
        self.weight = self.weight.saturating_sub(weight::summaries(&dropped));
        self.session.forgot_entry(now);
        Ok(true)
    }

    pub(super) fn export(&self) -> impl Iterator<Item = ExportPart> {
        let head = ExportedHead::of(&self.session, self.summaries());
        let entries =
            self.entries.iter().map(|it| ExportPart::Entry(ExportedEntry::from(&it.entry)));
        iter::once(ExportPart::Session(head)).chain(entries)
    }

    pub(super) fn scan(&self, after: Seq, limit: usize) -> Vec<Entry> {
        let start = self.entries.partition_point(|it| it.entry.seq <= after);
        self.entries.iter().skip(start).take(limit).map(|it| it.entry.clone()).collect()
    }

    pub(super) fn move_head(
        &mut self,
        expect: Token,
        head: Option<Seq>,
        now: Timestamp,
    ) -> Result<Session, MemoryError> {
        if self.session.token != expect || self.open_turn.is_some() {
            return Err(conflict("move the head"));
        }
        self.check_exists(head)?;
        if inside_tool_round(self.branch(head).map(|it| &*it.body.message)) {
            return Err(MemoryError::new("move the head", MemoryErrorKind::InsideToolRound));
        }
        self.session.head = head;
        self.changed(now);
        Ok(self.session.clone())
    }

    pub(super) fn patch(&mut self, patch: SessionPatch, now: Timestamp) -> Session {
        self.session.apply(patch, now);
        self.session.clone()
    }

    /// The session that an import makes.
    pub(super) fn restored(
        key: &SessionKey,
        import: (&ExportedSession, &Found),
        arrivals: &mut Arrivals,
    ) -> Self {
        let mut new = Self::new(key, NewSession::default(), import.0.created_at);
        new.session.class = import.0.class;
        new.take_over(import, arrivals);
        new
    }

    /// Extends the session by what an import has more.
    pub(super) fn extend(
        &mut self,
        import: (&ExportedSession, &Found),
        arrivals: &mut Arrivals,
    ) -> Result<Restored, MemoryError> {
        if self.open_turn.is_some() {
            return Err(conflict("restore the session"));
        }
        let entries = self.entries.iter().map(|it| &it.entry);
        let stored = ExportedSession::of(&self.session, entries, Vec::new());
        let restored = import.0.compare(&stored)?;
        match restored {
            Restored::Created | Restored::Extended(_) => self.take_over(import, arrivals),
            Restored::Unchanged => {}
        }
        Ok(restored)
    }

    fn take_over(&mut self, (import, found): (&ExportedSession, &Found), arrivals: &mut Arrivals) {
        let new = import.entries.iter().zip(found.iter().cloned()).skip(self.entries.len());
        for (it, terms) in new {
            let entry = Entry { seq: it.seq, parent: it.parent, body: it.entry.clone().into() };
            self.add(Stored { arrival: arrivals.next(), entry, terms, embedding: None });
        }
        let before = weight::summaries(&self.summaries);
        self.summaries = import.summaries.iter().map(|it| (it.at, it.clone())).collect();
        self.weight = (self.weight + weight::summaries(&self.summaries)).saturating_sub(before);
        let session = &mut self.session;
        session.title.clone_from(&import.title);
        session.has_default_title = import.has_default_title;
        session.metadata.clone_from(&import.metadata);
        session.system.clone_from(&import.system);
        session.model.clone_from(&import.model);
        session.recall = import.recall;
        session.head = import.head;
        session.entries = self.entries.len() as u64;
        session.updated_at = import.updated_at;
        session.token = Token::random();
    }
}
