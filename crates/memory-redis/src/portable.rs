//! Moving sessions out and in: an export walks over lists and scans, and what is put back is
//! compared with what is there, then committed as a whole.
//!
//! What fits into one piece is committed by one script. More is put together beside what is there,
//! a piece at a time, and then revealed ([`staging`]), so that no script is busy for long and no
//! more than a piece is encoded at once.

mod staging;

use std::fmt::Write;

use async_trait::async_trait;
use brain_core::{
    ids::{Owner, Seq, SessionKey, Token, TurnId},
    memory::{
        Draft, Entry, ExportPart, ExportedEntry, ExportedSession, MemoryError, MemoryErrorKind,
        NewSession, Portable, Restored, Session, TurnRecord, export_by_scan,
    },
};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use self::staging::Staging;
use crate::{
    branch::{self, PageSize},
    index::AT_ONCE,
    keys,
    record::{self, Outline},
    reply::Reply,
    state::{Description, Stored},
    store::{Attempts, Change, Committed, Look, RedisStore, Seen},
    summaries, value,
};

const RESTORE: &str = "restore the session";
/// Most entries of a piece.
const PIECE: usize = 2_000;
/// After so many bytes of entries a piece is enough.
const PIECE_BYTES: usize = 4 << 20;
/// How often a session is put together that others change meanwhile.
const STAGINGS: usize = 3;

/// A field and its value.
type Field = (Vec<u8>, Vec<u8>);

#[async_trait]
impl Portable for RedisStore {
    async fn export(
        &self,
        owner: &Owner,
    ) -> Result<BoxStream<'static, Result<ExportPart, MemoryError>>, MemoryError> {
        Ok(export_by_scan(self.clone(), owner.clone()))
    }

    async fn restore(
        &self,
        key: &SessionKey,
        import: &ExportedSession,
    ) -> Result<Restored, MemoryError> {
        self.move_in(key, import, &[]).await
    }

    async fn move_in(
        &self,
        key: &SessionKey,
        import: &ExportedSession,
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError> {
        import.check_move(turns)?;
        let attempts = Attempts::new(RESTORE);
        let mut stagings = 0;
        loop {
            let seen = self.look(RESTORE, key, Look::at([keys::SUMMARIES.to_vec()])).await?;
            let Some((restored, skip)) = compare(self, key, import, &seen).await? else {
                attempts.again()?;
                continue;
            };
            let entries = import.entries.get(skip..).unwrap_or_default();
            let turns = self.missing(turns).await?;
            for turn in &turns {
                self.note_moved(RESTORE, key, &Outline::from(*turn)).await?;
            }
            let mut rest = Rest { entries, turns: &turns };
            let first = rest.piece()?;
            let done = if restored == Restored::Unchanged {
                self.add_turns(key, &seen, (first, rest)).await?
            } else if rest.is_empty() {
                self.restore_at_once((key, import), &seen, first).await?
            } else {
                stagings += 1;
                self.restore_staged((key, import), &seen, (first, rest)).await?
            };
            if done == Committed::Yes {
                return Ok(restored);
            }
            // Whoever put a large session together looks again, however long that took.
            if stagings == 0 || STAGINGS <= stagings {
                attempts.again()?;
            }
        }
    }
}

impl RedisStore {
    /// What is there and the entries that are missing, in one script.
    async fn restore_at_once(
        &self,
        (key, import): (&SessionKey, &ExportedSession),
        seen: &Seen,
        entries: Vec<Field>,
    ) -> Result<Committed, MemoryError> {
        let mut change = taken_over(key, import, seen)?;
        change.sets.splice(0..0, entries);
        self.note_restored((key, import), seen).await?;
        self.commit(RESTORE, key, change).await
    }

    /// The same in pieces, beside what is there.
    async fn restore_staged(
        &self,
        (key, import): (&SessionKey, &ExportedSession),
        seen: &Seen,
        (first, mut rest): (Vec<Field>, Rest<'_>),
    ) -> Result<Committed, MemoryError> {
        let mut change = taken_over(key, import, seen)?;
        // An embedding that is made meanwhile may be missing in what is carried over.
        change.drops.push(keys::EMBEDDED.to_vec());
        let staging = Staging::begin(self, key).await?;
        let done = async {
            if seen.stored.is_some() {
                staging.carry().await?;
            }
            let mut put = first.len();
            staging.put(first).await?;
            while !rest.is_empty() {
                let next = rest.piece()?;
                put += next.len();
                staging.put(next).await?;
            }
            self.note_restored((key, import), seen).await?;
            staging.reveal(change, put).await
        };
        let done = done.await;
        if !matches!(done, Ok(Committed::Yes)) {
            staging.abandon().await;
        }
        done
    }

    /// The turns that are missing of a session that is all there, each as a whole.
    async fn add_turns(
        &self,
        key: &SessionKey,
        seen: &Seen,
        (mut piece, mut rest): (Vec<Field>, Rest<'_>),
    ) -> Result<Committed, MemoryError> {
        while !piece.is_empty() {
            let (guards, unnoticed) = (vec![seen.guard()], true);
            let change = Change { guards, sets: piece, unnoticed, ..Change::default() };
            if self.commit(RESTORE, key, change).await? != Committed::Yes {
                return Ok(Committed::Changed);
            }
            piece = rest.piece()?;
        }
        Ok(Committed::Yes)
    }

    /// Those of the turns that are not known here.
    async fn missing<'a>(
        &self,
        turns: &'a [TurnRecord],
    ) -> Result<Vec<&'a TurnRecord>, MemoryError> {
        let ids: Vec<TurnId> = turns.iter().map(|it| it.id).collect();
        let looks = ids.into_iter().map(|it| self.turn_of(RESTORE, None, it));
        let found: Vec<_> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        let missing = turns.iter().zip(found).filter(|(_, found)| found.is_none());
        Ok(missing.map(|(turn, _)| turn).collect())
    }

    /// Brings the indexes up to date before the session is.
    async fn note_restored(
        &self,
        (key, import): (&SessionKey, &ExportedSession),
        seen: &Seen,
    ) -> Result<(), MemoryError> {
        if seen.stored.is_none() {
            self.note_session(RESTORE, (key, import.created_at), seen.now).await
        } else {
            self.note_changed(RESTORE, key, seen.now).await
        }
    }
}

/// What is still to be put.
struct Rest<'a> {
    entries: &'a [ExportedEntry],
    turns: &'a [&'a TurnRecord],
}

impl Rest<'_> {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.turns.is_empty()
    }

    /// Encodes until it is enough, and takes that off the rest.
    fn piece(&mut self) -> Result<Vec<Field>, MemoryError> {
        let (mut fields, mut bytes) = (Vec::new(), 0);
        while fields.len() < PIECE && bytes < PIECE_BYTES {
            let more = if let Some((it, after)) = self.entries.split_first() {
                self.entries = after;
                let value = value::value(it.parent, &Draft::new(it.entry.clone())?);
                vec![(keys::entry(it.seq), value)]
            } else if let Some((turn, after)) = self.turns.split_first() {
                self.turns = after;
                record::fields(RESTORE, turn)?
            } else {
                break;
            };
            bytes += more.iter().map(|(_, value)| value.len()).sum::<usize>();
            fields.extend(more);
        }
        Ok(fields)
    }
}

/// What restoring amounts to, and how many entries are there already, as
/// [`ExportedSession::compare`] says; a page of what is there at a time. `None` if it changed
/// meanwhile.
async fn compare(
    store: &RedisStore,
    key: &SessionKey,
    import: &ExportedSession,
    seen: &Seen,
) -> Result<Option<(Restored, usize)>, MemoryError> {
    let Some(stored) = &seen.stored else { return Ok(Some((Restored::Created, 0))) };
    let conflict = || MemoryError::new(RESTORE, MemoryErrorKind::Conflict);
    if stored.state.held.is_some() {
        return Err(conflict());
    }
    let (mut rest, mut after) = (import.entries.as_slice(), Seq(0));
    while after < stored.state.last {
        let page = store.scan_page(key, (after, PageSize::entries(branch::PAGE)), false).await?;
        let Some(page) = page.filter(|it| it.state.born == stored.state.born) else {
            return Ok(None);
        };
        for (seq, value) in page.entries {
            let entry = value::read(seq, &value)?;
            rest = without(rest, &entry).ok_or_else(conflict)?;
        }
        after = page.reached;
    }
    let (there, more) = (import.entries.len() - rest.len(), rest.len() as u64);
    if more == 0 && is_described(&stored.session, import) {
        return Ok(Some((Restored::Unchanged, there)));
    }
    let Session { created_at, class, .. } = stored.session;
    let same = (import.created_at, import.class) == (created_at, class);
    if same && 0 < more { Ok(Some((Restored::Extended(more), there))) } else { Err(conflict()) }
}

/// The entries after the first one, if that is this one.
fn without<'a>(entries: &'a [ExportedEntry], entry: &Entry) -> Option<&'a [ExportedEntry]> {
    let (first, rest) = entries.split_first()?;
    let same = (first.seq, first.parent) == (entry.seq, entry.parent) && first.entry == *entry.body;
    same.then_some(rest)
}

/// Whether the session is as the import has it, but for entries and summaries.
fn is_described(session: &Session, import: &ExportedSession) -> bool {
    let mut described = Session { class: import.class, head: import.head, ..session.clone() };
    describe(&mut described, import);
    described.created_at = import.created_at;
    described.updated_at = import.updated_at;
    described == *session
}

/// The session as the import has it, but for its entries.
fn taken_over(
    key: &SessionKey,
    import: &ExportedSession,
    seen: &Seen,
) -> Result<Change, MemoryError> {
    let mut stored = match &seen.stored {
        Some(stored) => stored.clone(),
        None => {
            let new = NewSession { class: import.class, ..NewSession::default() };
            Stored::made(RESTORE, Session::new(key.id.clone(), new, import.created_at))?
        }
    };
    stored.state.last = import.entries.last().map_or(Seq(0), |it| it.seq);
    stored.state.entries = import.entries.len() as u64;
    stored.state.head = import.head;
    describe(&mut stored.session, import);
    stored.changed(Token::random(), import.updated_at);
    stored.description = Description::of(RESTORE, stored.state.born, &stored.session)?;
    let mut change = Change { guards: vec![seen.guard()], ..Change::default() };
    if let Some(before) = &seen.stored {
        change.guards.push((keys::DESCRIPTION.to_vec(), before.description.clone()));
    }
    change.sets.extend(stored.sets());
    change.sets.push(stored.description_field());
    put_gaps(&mut change, import);
    put_summaries(&mut change, import, seen)?;
    Ok(change)
}

fn describe(session: &mut Session, import: &ExportedSession) {
    session.title.clone_from(&import.title);
    session.has_default_title = import.has_default_title;
    session.metadata.clone_from(&import.metadata);
    session.system.clone_from(&import.system);
    session.model.clone_from(&import.model);
    session.recall = import.recall;
}

/// Which positions the import leaves out, as `lua/scan.lua` reads it.
fn put_gaps(change: &mut Change, import: &ExportedSession) {
    let mut gaps = String::new();
    let mut next = 1;
    for it in &import.entries {
        if next < it.seq.0 {
            // Writing to a string does not fail.
            let _ = write!(gaps, "{next}-{} ", it.seq);
        }
        next = it.seq.0 + 1;
    }
    if !gaps.is_empty() {
        change.sets.push((keys::GAPS.to_vec(), gaps.into_bytes()));
    }
}

/// The import's summaries in place of those that are there.
fn put_summaries(
    change: &mut Change,
    import: &ExportedSession,
    seen: &Seen,
) -> Result<(), MemoryError> {
    let before = seen.field(0);
    change.guards.push((keys::SUMMARIES.to_vec(), before.unwrap_or_default().to_vec()));
    let places: Vec<Seq> = import.summaries.iter().map(|it| it.at).collect();
    for it in summaries::parse_places(Reply(RESTORE), before)? {
        if !places.contains(&it) {
            change.drops.push(keys::summary(it));
        }
    }
    for it in &import.summaries {
        change.sets.push(summaries::field(RESTORE, it)?);
    }
    summaries::put_places(change, &places);
    Ok(())
}
