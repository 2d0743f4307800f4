//! Moving what the hot tier holds as a store of its own to the durable one.
//!
//! Such sessions are from a time without a durable tier. Each owner's are moved once in a process,
//! before anything else is done for the owner. A hot tier that several durable ones share keeps them
//! apart from what it has for each; they are this one's once they are taken over.
//!
//! A session moves with the records of its turns and their idempotency keys, in one step of the
//! durable tier, and leaves the hot one after it: whoever dies in between finds it in both, and does
//! it again, which changes nothing. A turn that nobody drives any more is ended before. While
//! somebody drives one, the session stays where it is, and is unavailable here until it is moved.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Tiers,
    ephemeral::{Whole, whole},
    hot::{Chain, WRITE, unavailable},
    make::stub_of,
    stripes::Stripes,
};
use crate::{
    ids::{Owner, Seq, SessionId, SessionKey},
    memory::{
        CloseTurn, Entry, EntryStatus, ExportedSession, ListOptions, MemoryClass, MemoryError,
        MemoryErrorKind, PageKey, Session, TakenOver, TurnRecord,
    },
};

/// Most owners that are known to be adopted.
const OWNERS: usize = 16_384;
/// Sessions listed at a time.
const PAGE: usize = 100;
/// How long an owner's first request waits at most; the rest is adopted before a later one.
const LONGEST: Duration = Duration::from_secs(20);
/// How long after a failure it is tried again, and while a session is busy.
const PAUSE: Duration = Duration::from_secs(1);

/// Whose sessions are adopted.
#[derive(Default)]
pub(super) struct Adoption {
    owners: Mutex<HashMap<Owner, Progress>>,
    adopting: Stripes,
}

/// How far the sessions of an owner are.
#[derive(Default)]
struct Progress {
    /// When to try again; `None` when there is nothing left to adopt.
    again: Option<Duration>,
    /// Sessions that were seen and could not be moved yet.
    awaited: BTreeSet<SessionId>,
}

/// What became of a session.
enum Adopted {
    /// It is where it belongs.
    Yes,
    /// Somebody holds a turn of it.
    Busy,
}

/// A session that this process does not have yet.
pub(super) fn awaited(operation: &'static str) -> MemoryError {
    unavailable(operation).with_source(
        "a session is still to be moved to the database: a daemon without one answers in it, or \
         did until a moment ago",
    )
}

impl Adoption {
    fn owners(&self) -> MutexGuard<'_, HashMap<Owner, Progress>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is to be done for this owner now.
    fn rests(&self, owner: &Owner, now: Duration) -> bool {
        self.owners().get(owner).is_some_and(|it| it.again.is_none_or(|again| now < again))
    }

    /// Notes what came of an attempt that saw all there is, or not.
    fn note(&self, owner: &Owner, mut progress: Progress, saw_all: bool) {
        let mut owners = self.owners();
        if OWNERS <= owners.len() {
            owners.clear(); // they are looked at again, and nothing is found
        }
        if let Some(before) = owners.remove(owner).filter(|_| !saw_all) {
            progress.awaited.extend(before.awaited);
        }
        owners.insert(owner.clone(), progress);
    }

    /// The sessions of the owner that were seen and could not be moved.
    fn awaited_of(&self, owner: &Owner) -> Vec<SessionId> {
        let owners = self.owners();
        owners.get(owner).map(|it| it.awaited.iter().cloned().collect()).unwrap_or_default()
    }

    fn awaits(&self, key: &SessionKey) -> bool {
        self.owners().get(&key.owner).is_some_and(|it| it.awaited.contains(&key.id))
    }

    /// Notes that a session is gone.
    pub(super) fn forgot(&self, key: &SessionKey) {
        if let Some(progress) = self.owners().get_mut(&key.owner) {
            progress.awaited.remove(&key.id);
        }
    }
}

impl Tiers {
    /// Adopts what there is of this owner, if that was not done yet.
    pub(super) async fn adopt(self: &Arc<Self>, owner: &Owner) {
        let rests = || self.adoption.rests(owner, self.clock.elapsed());
        if rests() || self.hot.is_open() {
            return;
        }
        let _first = self.adoption.adopting.lock(owner).await;
        if rests() {
            return;
        }
        let mut awaited = BTreeSet::new();
        let saw_all = self.adopt_all(owner, &mut awaited).await.is_some();
        let is_done = saw_all && awaited.is_empty();
        let again = (!is_done).then(|| self.clock.elapsed() + PAUSE);
        self.adoption.note(owner, Progress { again, awaited }, saw_all);
    }

    /// The same before this session is used.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Unavailable`] when it is not adopted yet.
    pub(super) async fn adopt_for(self: &Arc<Self>, key: &SessionKey) -> Result<(), MemoryError> {
        self.adopt(&key.owner).await;
        if self.adoption.awaits(key) && self.durable.session(key).await?.is_none() {
            return Err(awaited("use the session"));
        }
        Ok(())
    }

    /// Whether the owner has a session that is not adopted yet.
    ///
    /// # Errors
    ///
    /// Those of the durable tier.
    pub(super) async fn awaits_any(&self, owner: &Owner) -> Result<bool, MemoryError> {
        for id in self.adoption.awaited_of(owner) {
            let key = SessionKey::new(owner.clone(), id);
            if self.durable.session(&key).await?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether that was all, but for those sessions that could not be moved yet.
    async fn adopt_all(
        self: &Arc<Self>,
        owner: &Owner,
        awaited: &mut BTreeSet<SessionId>,
    ) -> Option<()> {
        let since = self.clock.elapsed();
        // What was forgotten while the hot tier was away is not to be found there again.
        if !self.settle_all().await.map_err(|error| put_off(owner, &error)).ok()? {
            return None;
        }
        let mut before = None;
        loop {
            let list =
                self.hot.tier.list(owner, ListOptions { before: before.take(), limit: PAGE });
            let page = self.hot_copy(WRITE, list).await?;
            let took = self.clock.elapsed().saturating_sub(since);
            let Some(left) = LONGEST.checked_sub(took) else {
                awaited.extend(page.into_iter().map(|it| it.id));
                return None;
            };
            let Some(last) = page.last() else {
                let TakenOver { sessions, busy } =
                    self.hot_copy(left, self.hot.tier.take_over(owner)).await?;
                awaited.extend(busy);
                match sessions {
                    0 => return Some(()),
                    _ => continue,
                }
            };
            before = Some(PageKey::from(last));
            match self.hot.within(left, self.adopt_page(owner, &page)).await {
                Ok(busy) => awaited.extend(busy),
                Err(error) => {
                    awaited.extend(page.into_iter().map(|it| it.id));
                    put_off(owner, &error);
                    return None;
                }
            }
        }
    }

    /// Returns those that are busy.
    async fn adopt_page(
        self: &Arc<Self>,
        owner: &Owner,
        page: &[Session],
    ) -> Result<Vec<SessionId>, MemoryError> {
        let mut busy = Vec::new();
        for session in page {
            let key = SessionKey::new(owner.clone(), session.id.clone());
            let _maker = self.making.lock(&key).await;
            match self.adopt_session(&key, session).await {
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => refused(&key, &error),
                Ok(Adopted::Busy) => busy.push(key.id),
                Ok(Adopted::Yes) => {}
            }
        }
        Ok(busy)
    }

    async fn adopt_session(
        self: &Arc<Self>,
        key: &SessionKey,
        session: &Session,
    ) -> Result<Adopted, MemoryError> {
        match session.class {
            MemoryClass::Durable => self.move_to_durable(key).await,
            MemoryClass::Ephemeral => {
                match self.durable.session(key).await? {
                    Some(it) if it.class == MemoryClass::Ephemeral => {}
                    Some(_) => {
                        let conflict = MemoryErrorKind::Conflict;
                        return Err(MemoryError::new("adopt the session", conflict));
                    }
                    None => {
                        let session = ExportedSession::of(session, [], Vec::new());
                        self.durable.restore(key, &stub_of(&session)).await?;
                    }
                }
                Ok(Adopted::Yes)
            }
        }
    }

    async fn move_to_durable(self: &Arc<Self>, key: &SessionKey) -> Result<Adopted, MemoryError> {
        if !self.end_abandoned(key).await? {
            return Ok(Adopted::Busy);
        }
        let Some(whole) = self.hot_store(whole(&*self.hot.tier, key)).await? else {
            return Ok(Adopted::Yes);
        };
        let turns = self.hot_store(self.hot.tier.turns_of(key)).await?;
        let still = self.hot_store(self.hot.tier.session(key)).await?;
        if still.as_ref() != Some(&whole.session) || turns.iter().any(|it| it.state.is_open()) {
            return Ok(Adopted::Busy); // it changes under our hands
        }
        self.keep_moved(key, whole, &turns).await?;
        self.hot_moment(self.drop_primary(key)).await?;
        Ok(Adopted::Yes)
    }

    /// Ends the session's open turn in the hot tier, if nobody drives it any more; returns whether
    /// none is open then.
    async fn end_abandoned(self: &Arc<Self>, key: &SessionKey) -> Result<bool, MemoryError> {
        let turns = self.hot_store(self.hot.tier.turns_of(key)).await?;
        let Some(open) = turns.into_iter().find(|it| it.state.is_open()) else { return Ok(true) };
        let close = CloseTurn::abandoned(&open, open.authority_of_finder(), self.clock.now())?;
        match self.hot_store(self.hot.tier.close(close)).await {
            Err(error) if error.kind() == MemoryErrorKind::Superseded => Ok(false),
            ended => ended.map(|_| true),
        }
    }

    async fn keep_moved(
        self: &Arc<Self>,
        key: &SessionKey,
        whole: Whole,
        turns: &[TurnRecord],
    ) -> Result<(), MemoryError> {
        let Whole { session, entries, summaries } = whole;
        let moved = ExportedSession::of(&session, &entries, summaries);
        match self.durable.move_in(key, &moved, turns).await {
            Ok(restored) => {
                let turns = turns.len();
                tracing::info!(owner = %key.owner, session.id = %key.id, ?restored, turns, "adopted");
            }
            // It was moved before, did not leave the hot tier, and has gone on since.
            Err(error)
                if error.kind() == MemoryErrorKind::Conflict
                    && self.goes_on_from(key, &session, &entries).await? => {}
            Err(error) => return Err(error),
        }
        self.known.made(key, MemoryClass::Durable);
        self.known.changed(key);
        turns.iter().for_each(|it| self.known.moved(it.id));
        Ok(())
    }

    /// Whether the durable tier has all of this session, but for what was forgotten there.
    async fn goes_on_from(
        &self,
        key: &SessionKey,
        session: &Session,
        entries: &[Entry],
    ) -> Result<bool, MemoryError> {
        let there = self.durable.session(key).await?;
        let is_same =
            |it: &Session| (it.created_at, it.class) == (session.created_at, MemoryClass::Durable);
        if !there.as_ref().is_some_and(is_same) {
            return Ok(false);
        }
        for page in entries.chunks(PAGE) {
            let before = page.first().map_or(0, |it| it.seq.0.saturating_sub(1));
            let there = self.durable.scan(key, Seq(before), page.len()).await?;
            if there.len() != page.len()
                || !page.iter().zip(&there).all(|(it, own)| is_kept(it, own))
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether an entry is what the durable tier has in its place.
fn is_kept(entry: &Entry, own: &Entry) -> bool {
    let place = (entry.seq, entry.parent) == (own.seq, own.parent);
    place && (entry.body == own.body || own.body.status == EntryStatus::Forgotten)
}

/// The rest is tried again after a pause.
fn put_off(owner: &Owner, error: &MemoryError) {
    tracing::debug!(%owner, error = %Chain(error), "sessions of the hot tier are adopted later");
}

/// The durable session of the name stays as it is, and so does the hot one.
fn refused(key: &SessionKey, error: &MemoryError) {
    tracing::warn!(
        owner = %key.owner, session.id = %key.id, error = %Chain(error),
        "a session of the hot tier was not adopted; rename the durable one, then restart"
    );
}
