//! Cursors over a turn's events: from its log where there is one, else from its record.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};

use super::{
    Inner, OnDisconnect, StartedTurn, TurnEnd, TurnEvent, TurnEventKind, TurnSnapshot, live::Live,
    recovery,
};
use crate::memory::{MemoryError, TurnRecord};

/// How long a client that has resumed before may be away before its turn is stopped.
const GRACE: Duration = Duration::from_secs(5);
/// How often a record that another process writes is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// How many failed looks in a row end the following.
const FOLLOW_FAILURES: u32 = 60;

/// The events of one turn, numbers rising, through its last event.
///
/// A stream. Dropping it is leaving; what the turn does then is up to
/// [`super::TurnRequest::on_disconnect`]. A stream that ends without a last event has lost sight of
/// the turn: listen again.
pub struct Listener {
    events: BoxStream<'static, Arc<TurnEvent>>,
}

impl Listener {
    /// Waits for the last event; `None` if the turn was lost from sight.
    pub async fn end(mut self) -> Option<TurnEnd> {
        while let Some(event) = self.next().await {
            if let Some(end) = event.kind.end() {
                return Some(end.clone());
            }
        }
        None
    }
}

impl Stream for Listener {
    type Item = Arc<TurnEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(context)
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

/// Counts a listener for as long as it listens.
struct Presence {
    inner: Arc<Inner>,
    live: Arc<Live>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let was_last = self.live.leave();
        if !was_last
            || self.live.on_disconnect == OnDisconnect::Continue
            || self.live.log.is_ended()
        {
            return;
        }
        if !self.live.was_resumed() {
            self.live.stop();
            return;
        }
        let (clock, live) = (Arc::clone(&self.inner.ports.clock), Arc::clone(&self.live));
        self.inner.ports.spawner.spawn(Box::pin(async move {
            clock.sleep(GRACE).await;
            if !live.has_listeners() {
                live.stop();
            }
        }));
    }
}

/// Listens to a turn that this process holds or held a while ago.
pub(super) fn of_live(inner: &Arc<Inner>, live: Arc<Live>, after: u64, resumed: bool) -> Listener {
    live.arrive(resumed);
    let presence = Presence { inner: Arc::clone(inner), live };
    let events = stream::unfold((presence, after), |(presence, after)| async move {
        let event = presence.live.log.next(after).await?;
        let number = event.number;
        Some((event, (presence, number)))
    });
    Listener { events: events.boxed() }
}

/// Listens to a turn by its record.
pub(super) fn of_record(inner: &Arc<Inner>, record: TurnRecord, after: u64) -> Listener {
    let over = !record.state.is_open() && record.checkpoint.last_event <= after;
    let follower = Follower { inner: Arc::clone(inner), record, after, shown: None, over };
    let events = stream::unfold(follower, |mut it| async move {
        let event = it.next().await?;
        Some((event, it))
    });
    Listener { events: events.boxed() }
}

/// The answer to a request that was made before.
pub(super) fn replay(inner: &Arc<Inner>, record: TurnRecord) -> StartedTurn {
    let (session, turn) = (record.session.id.clone(), record.id);
    let events = match inner.live(&record.session.owner, turn) {
        Some(live) => of_live(inner, live, 0, false),
        None => of_record(inner, record, 0),
    };
    StartedTurn { session, turn, replayed: true, events }
}

/// Reads a record again and again, and tells what is new in it.
struct Follower {
    inner: Arc<Inner>,
    record: TurnRecord,
    after: u64,
    /// The number of the event at which the record was last shown.
    shown: Option<u64>,
    over: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Arc<TurnEvent>> {
        if self.over {
            return None;
        }
        loop {
            if !self.record.state.is_open() {
                self.over = true;
                return Some(self.event(end_event(&self.inner, &self.record).await?));
            }
            if self.shown != Some(self.record.checkpoint.last_event) {
                self.shown = Some(self.record.checkpoint.last_event);
                return Some(self.event(TurnEventKind::Snapshot(Box::new(snapshot(&self.record)))));
            }
            self.look_again().await?;
        }
    }

    fn event(&mut self, kind: TurnEventKind) -> Arc<TurnEvent> {
        self.after = self.record.checkpoint.last_event.max(self.after.saturating_add(1));
        Arc::new(TurnEvent { number: self.after, kind })
    }

    async fn look_again(&mut self) -> Option<()> {
        for _ in 0..FOLLOW_FAILURES {
            self.inner.ports.clock.sleep(FOLLOW_EVERY).await;
            match self.read().await {
                Ok(found) => {
                    self.record = found?;
                    return Some(());
                }
                Err(error) => {
                    tracing::warn!(turn.id = %self.record.id, %error, "could not follow a turn");
                }
            }
        }
        None
    }

    async fn read(&self) -> Result<Option<TurnRecord>, MemoryError> {
        let (store, owner) = (&self.inner.ports.store, &self.record.session.owner);
        let Some(record) = store.turn(owner, self.record.id).await? else { return Ok(None) };
        let lapsed = record.lease_until.is_some_and(|until| until < self.inner.ports.clock.now());
        if !(record.state.is_open() && lapsed) {
            return Ok(Some(record));
        }
        recovery::end_lapsed(&self.inner, &record).await?;
        store.turn(owner, record.id).await
    }
}

async fn end_event(inner: &Inner, record: &TurnRecord) -> Option<TurnEventKind> {
    let answer = inner.answer_of(record).await;
    let answer = answer.inspect_err(|error| {
        tracing::warn!(turn.id = %record.id, %error, "could not read the answer of a turn");
    });
    let end = TurnEnd {
        session_id: record.session.id.clone(),
        turn_id: record.id,
        status: record.state,
        answer: answer.ok()?,
        usage: record.usage,
        context: record.context.clone(),
        error: record.error.clone(),
    };
    Some(end.into())
}

fn snapshot(record: &TurnRecord) -> TurnSnapshot {
    TurnSnapshot {
        session_id: record.session.id.clone(),
        turn_id: record.id,
        status: record.state,
        text: record.checkpoint.text.clone(),
        reasoning: record.checkpoint.reasoning.clone(),
        calls: record.checkpoint.calls.clone(),
    }
}
