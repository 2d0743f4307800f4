//! Reading one branch, in pages that keep no script busy for long.
//!
//! Entries never change their places, so pages of one session fit together whatever was appended
//! between them. A session that was forgotten and made again meanwhile is read from the start.

use std::error::Error;

use brain_core::{
    ids::{Seq, SessionKey},
    memory::{Branch, Entry, MemoryError, MemoryErrorKind, ReadFrom, ReadOptions, Summary},
};
use redis::Value;

use crate::{
    reply::Reply,
    scripts,
    state::{State, Stored, parse_seq},
    store::{Attempts, RedisStore},
    value,
};

/// Most entries that one script returns.
pub(crate) const PAGE: usize = 2_000;
/// After so many bytes of entries a script returns what it has.
const ENOUGH: usize = 4 << 20;

const READ: &str = "read the session";
const SCAN: &str = "scan the session";

/// Where a read goes on.
#[derive(Clone, Copy, Debug)]
enum Place {
    Head,
    Entry(Seq),
}

/// A page of a branch.
struct Page {
    stored: Stored,
    /// Newest first.
    entries: Vec<Entry>,
    /// How many were read, with those that did not decode.
    found: usize,
    next: Option<Seq>,
    summary: Option<Summary>,
    /// The next one is not there.
    missing: bool,
    /// There is a summary, but not of this branch.
    passed: bool,
}

/// A page of all branches.
#[derive(Debug)]
pub(crate) struct ScanPage {
    pub(crate) state: State,
    pub(crate) entries: Vec<Encoded>,
    pub(crate) reached: Seq,
    /// One for each entry, empty where there is none; none at all where they were not asked for.
    pub(crate) embeddings: Vec<Vec<u8>>,
}

/// How much a page may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSize {
    /// Most entries; a script returns [`PAGE`] at most.
    pub(crate) entries: usize,
    /// After so many bytes it is enough.
    pub(crate) bytes: usize,
}

impl PageSize {
    pub(crate) fn entries(entries: usize) -> Self {
        Self { entries, bytes: ENOUGH }
    }
}

/// A position and its value, as they are stored.
pub(crate) type Encoded = (Seq, Vec<u8>);

/// Positions and values, as scripts return them.
fn values(reply: Reply, entries: Value) -> Result<Vec<Encoded>, MemoryError> {
    let mut values = reply.list(entries)?.into_iter();
    let mut read = Vec::with_capacity(values.len() / 2);
    while let (Some(seq), Some(value)) = (values.next(), values.next()) {
        let seq = Seq(reply.text(seq)?.parse().map_err(|_| reply.corrupt())?);
        read.push((seq, reply.bytes(value)?.unwrap_or_default()));
    }
    Ok(read)
}

/// The entry of a value; `None` if it does not decode, which is reported.
pub(crate) fn readable(seq: Seq, value: &[u8]) -> Option<Entry> {
    match value::read(seq, value) {
        Ok(entry) => Some(entry),
        Err(error) => {
            let error: &dyn Error = &error;
            tracing::warn!(%seq, error, "left out an entry that cannot be read");
            None
        }
    }
}

impl RedisStore {
    async fn branch_page(
        &self,
        (key, at): (&SessionKey, Vec<u8>),
        place: Place,
        limit: usize,
    ) -> Result<Option<Page>, MemoryError> {
        let from = match place {
            Place::Head => "head".to_owned(),
            Place::Entry(seq) => seq.to_string(),
        };
        let limit = limit.min(PAGE).to_string();
        let args = vec![from.into_bytes(), limit.into_bytes(), ENOUGH.to_string().into_bytes()];
        let found = self.pool.script(READ, &scripts::READ, &[at], args, false).await?;
        if found == Value::Nil {
            return Ok(None);
        }
        let reply = Reply(READ);
        let [line, description, updated, entries, next, missing, summary, passed] =
            reply.array(found)?;
        let fields = [reply.bytes(line)?, reply.bytes(description)?, reply.bytes(updated)?];
        let Some(stored) = Stored::parse(reply, key, fields)? else { return Ok(None) };
        let entries = values(reply, entries)?;
        let found = entries.len();
        let entries = entries.iter().filter_map(|(seq, it)| readable(*seq, it)).collect();
        let next = parse_seq(&reply.text(next)?).ok_or_else(|| reply.corrupt())?;
        let (missing, passed) = (reply.int(missing)? == 1, reply.int(passed)? == 1);
        let summary = reply.bytes(summary)?.filter(|it| !it.is_empty());
        let summary = summary.map(|it| reply.json(&it)).transpose()?;
        Ok(Some(Page { stored, entries, found, next, summary, missing, passed }))
    }

    /// Entries of all branches after a position; `None` without a session.
    pub(crate) async fn scan_page(
        &self,
        key: &SessionKey,
        (after, size): (Seq, PageSize),
        with_embeddings: bool,
    ) -> Result<Option<ScanPage>, MemoryError> {
        let args = vec![
            after.to_string().into_bytes(),
            size.entries.min(PAGE).to_string().into_bytes(),
            size.bytes.to_string().into_bytes(),
            u8::from(with_embeddings).to_string().into_bytes(),
        ];
        let keys = [self.keys.session(key)];
        let found = self.pool.script(SCAN, &scripts::SCAN, &keys, args, false).await?;
        if found == Value::Nil {
            return Ok(None);
        }
        let reply = Reply(SCAN);
        let [line, entries, reached, embeddings] = reply.array(found)?;
        let line = reply.text(line)?;
        let state = State::parse(&line).ok_or_else(|| reply.corrupt())?;
        let entries = values(reply, entries)?;
        let reached = reply.text(reached)?.parse().map_err(|_| reply.corrupt())?;
        let embeddings = reply.fields(embeddings)?.into_iter().flatten().collect();
        Ok(Some(ScanPage { state, entries, reached: Seq(reached), embeddings }))
    }

    /// Entries by position, if the session stays the same one.
    async fn scan_pages(
        &self,
        key: &SessionKey,
        mut after: Seq,
        limit: usize,
    ) -> Result<Result<Vec<Entry>, Changed>, MemoryError> {
        let (mut entries, mut born) = (Vec::new(), None);
        while entries.len() < limit {
            let rest = PageSize::entries(limit - entries.len());
            let Some(page) = self.scan_page(key, (after, rest), false).await? else {
                return Ok(if born.is_none() { Ok(entries) } else { Err(Changed) });
            };
            if born.is_some_and(|it| it != page.state.born) {
                return Ok(Err(Changed));
            }
            born = Some(page.state.born);
            for (seq, value) in page.entries {
                entries.push(value::read(seq, &value)?);
            }
            after = page.reached;
            if page.state.last <= after {
                break;
            }
        }
        Ok(Ok(entries))
    }

    /// The branch of the session or copy at this key, if that stays what it is meanwhile.
    async fn read_pages(
        &self,
        key: &SessionKey,
        at: &[u8],
        options: ReadOptions,
    ) -> Result<Result<Found, Changed>, MemoryError> {
        let from = match options.from {
            ReadFrom::Head => Place::Head,
            ReadFrom::Entry(seq) => Place::Entry(seq),
        };
        let page = self.branch_page((key, at.to_vec()), from, options.limit).await?;
        let Some(mut page) = page else { return Ok(Ok(Found::Nothing)) };
        let Stored { session, state, .. } = page.stored.clone();
        let (mut entries, mut summary, mut passed) = (Vec::new(), None, false);
        let mut unreadable = false;
        loop {
            if page.missing {
                return Ok(Ok(Found::Until(entries.len() + page.found)));
            }
            unreadable |= page.entries.len() < page.found;
            entries.append(&mut page.entries);
            summary = summary.or(page.summary.take());
            passed |= page.passed;
            let Some(next) = page.next.filter(|_| entries.len() < options.limit) else { break };
            let (place, rest) = (Place::Entry(next), options.limit - entries.len());
            match self.branch_page((key, at.to_vec()), place, rest).await? {
                Some(more) if more.stored.state.born == state.born => page = more,
                Some(_) | None => return Ok(Err(Changed)),
            }
        }
        entries.reverse();
        let passed = passed && summary.is_none();
        let branch = Box::new(Branch { session, entries, summary });
        Ok(Ok(Found::Branch { branch, passed, unreadable }))
    }

    /// The copy's branch; `None` if there is no copy, if it does not reach that far, or if some of
    /// it cannot be read: the durable tier may have it whole.
    pub(crate) async fn read_copy(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        match self.read_pages(key, &self.keys.copy(key), options).await? {
            Ok(Found::Branch { branch, passed: false, unreadable: false }) => Ok(Some(*branch)),
            Ok(Found::Branch { .. } | Found::Nothing | Found::Until(_)) | Err(Changed) => Ok(None),
        }
    }
}

/// What is at a key.
enum Found {
    Nothing,
    Branch {
        branch: Box<Branch>,
        /// There is a summary, but none of what was read: in a copy an older one may be missing.
        passed: bool,
        /// Entries were left out that cannot be read.
        unreadable: bool,
    },
    /// After so many entries one is missing.
    Until(usize),
}

/// The session was forgotten between two pages.
struct Changed;

/// The session and the newest entries of one branch.
pub(crate) async fn read(
    store: &RedisStore,
    key: &SessionKey,
    options: ReadOptions,
) -> Result<Option<Branch>, MemoryError> {
    let attempts = Attempts::new(READ);
    loop {
        match store.read_pages(key, &store.keys.session(key), options).await? {
            Ok(Found::Nothing) => return Ok(None),
            Ok(Found::Branch { branch, .. }) => return Ok(Some(*branch)),
            Ok(Found::Until(0)) if matches!(options.from, ReadFrom::Entry(_)) => {
                return Err(MemoryError::new(READ, MemoryErrorKind::UnknownParent));
            }
            Ok(Found::Until(_)) => return Err(Reply(READ).corrupt()),
            Err(Changed) => attempts.again()?,
        }
    }
}

/// Entries of all branches by position.
pub(crate) async fn scan(
    store: &RedisStore,
    key: &SessionKey,
    after: Seq,
    limit: usize,
) -> Result<Vec<Entry>, MemoryError> {
    let attempts = Attempts::new(SCAN);
    loop {
        if let Ok(entries) = store.scan_pages(key, after, limit).await? {
            return Ok(entries);
        }
        attempts.again()?;
    }
}
