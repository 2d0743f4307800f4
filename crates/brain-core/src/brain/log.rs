//! The log of a turn's events: one writer at the model's speed, any number of cursors.
//!
//! Bounded in bytes: what falls out is replaced, for a cursor that missed it, by one snapshot.
//! A cursor slows nobody.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use event_listener::Event;

use super::event::{TurnEvent, TurnEventKind, TurnSnapshot};

/// Where a turn's events are kept while it runs and a while after.
#[derive(Debug)]
pub(super) struct TurnLog {
    state: Mutex<State>,
    changed: Event,
    limit_bytes: usize,
}

#[derive(Debug)]
struct State {
    events: VecDeque<Arc<TurnEvent>>,
    bytes: usize,
    /// Number of the newest event.
    last: u64,
    /// Number of the newest event that fell out.
    lost: u64,
    snapshot: TurnSnapshot,
    ended: bool,
}

impl TurnLog {
    /// An empty log; `snapshot` is what is known before the first event.
    pub(super) fn new(snapshot: TurnSnapshot, limit_bytes: usize) -> Self {
        let events = VecDeque::new();
        let state = State { events, bytes: 0, last: 0, lost: 0, snapshot, ended: false };
        Self { state: Mutex::new(state), changed: Event::new(), limit_bytes }
    }

    // Every critical section is short, and none awaits.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the next event. Nothing follows a last event.
    pub(super) fn push(&self, kind: TurnEventKind) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.ended = kind.end().is_some();
        state.keep_in_snapshot(&kind);
        state.last += 1;
        state.bytes += kind.weight();
        let number = state.last;
        state.events.push_back(Arc::new(TurnEvent { number, kind }));
        if !state.ended {
            state.trim(self.limit_bytes);
        }
        drop(state);
        self.changed.notify(usize::MAX);
    }

    /// Changes what a snapshot will say beyond the texts.
    pub(super) fn update_snapshot(&self, change: impl FnOnce(&mut TurnSnapshot)) {
        change(&mut self.lock().snapshot);
    }

    /// What a snapshot would say now, and the number of the newest event; `None` once the turn has
    /// ended: the last event says it all.
    pub(super) fn snapshot(&self) -> Option<(u64, TurnSnapshot)> {
        let state = self.lock();
        (!state.ended).then(|| (state.last, state.snapshot.clone()))
    }

    /// Number of the newest event, 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.lock().last
    }

    /// Roughly how many bytes the events take.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The first event numbered above `after`, once there is one; `None` after the last.
    pub(super) async fn next(&self, after: u64) -> Option<Arc<TurnEvent>> {
        loop {
            if let Some(found) = self.poll(after) {
                return found;
            }
            let changed = self.changed.listen();
            if let Some(found) = self.poll(after) {
                return found;
            }
            changed.await;
        }
    }

    /// Returns once the last event is written.
    pub(super) async fn ended(&self) {
        loop {
            let changed = self.changed.listen();
            if self.lock().ended {
                return;
            }
            changed.await;
        }
    }

    /// Whether the last event is written.
    pub(super) fn is_ended(&self) -> bool {
        self.lock().ended
    }

    fn poll(&self, after: u64) -> Option<Option<Arc<TurnEvent>>> {
        let state = self.lock();
        if after < state.lost && state.ended {
            return Some(state.events.back().cloned());
        }
        if after < state.lost {
            let kind = TurnEventKind::Snapshot(Box::new(state.snapshot.clone()));
            return Some(Some(Arc::new(TurnEvent { number: state.last, kind })));
        }
        let found = state.events.partition_point(|event| event.number <= after);
        match state.events.get(found) {
            Some(event) => Some(Some(Arc::clone(event))),
            None if state.ended => Some(None),
            None => None,
        }
    }
}

impl State {
    fn keep_in_snapshot(&mut self, kind: &TurnEventKind) {
        match kind {
            TurnEventKind::TextDelta(text) => self.snapshot.text.push_str(text),
            TurnEventKind::ReasoningDelta(text) => self.snapshot.reasoning.push_str(text),
            TurnEventKind::Started(_)
            | TurnEventKind::Progress(_)
            | TurnEventKind::ToolCall(_)
            | TurnEventKind::ToolResult(_)
            | TurnEventKind::Snapshot(_) => {}
            TurnEventKind::Completed(_)
            | TurnEventKind::Interrupted(_)
            | TurnEventKind::Failed(_) => self.snapshot.clear(),
        }
    }

    fn trim(&mut self, limit: usize) {
        while limit < self.bytes && 1 < self.events.len() {
            if let Some(event) = self.events.pop_front() {
                self.bytes -= event.kind.weight();
                self.lost = event.number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{TurnEventKind, TurnLog, TurnSnapshot};
    use crate::{
        brain::TurnEnd,
        chat::Message,
        ids::{Seq, SessionId, TurnId},
        memory::{Entry, EntryBody, TurnState},
        time::Timestamp,
    };

    fn log(limit_bytes: usize) -> TurnLog {
        let snapshot = TurnSnapshot {
            session_id: SessionId::new("s").unwrap(),
            turn_id: TurnId::generate(Timestamp::default()),
            status: TurnState::Running,
            text: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
        };
        TurnLog::new(snapshot, limit_bytes)
    }

    #[tokio::test]
    async fn a_cursor_sees_every_event_once_and_waits_for_more() {
        let log = log(usize::MAX);
        log.push(TurnEventKind::TextDelta("a".into()));
        let first = log.next(0).await.unwrap();
        assert_eq!(first.number, 1);
        let (second, ()) = tokio::join!(log.next(1), async {
            tokio::task::yield_now().await;
            log.push(TurnEventKind::TextDelta("b".into()));
        });
        assert_eq!(second.unwrap().number, 2);
    }

    #[tokio::test]
    async fn a_cursor_that_missed_events_gets_one_snapshot_and_goes_on() {
        let log = log(300);
        for text in ["a", "b", "c", "d", "e", "f"] {
            log.push(TurnEventKind::TextDelta(text.into()));
        }
        let event = log.next(1).await.unwrap();
        assert_eq!(event.number, 6);
        let TurnEventKind::Snapshot(snapshot) = &event.kind else { panic!("not a snapshot") };
        assert_eq!(snapshot.text, "abcdef");
        log.push(TurnEventKind::TextDelta("g".into()));
        assert_eq!(log.next(6).await.unwrap().kind, TurnEventKind::TextDelta("g".into()));
    }

    #[test]
    fn an_ended_log_counts_its_answer_and_keeps_no_second_copy_of_it() {
        let log = log(300);
        log.push(TurnEventKind::TextDelta("x".repeat(100)));
        let message = Message::assistant("x".repeat(100_000));
        let body = Arc::new(EntryBody::complete(message, Timestamp::default()));
        let (_, snapshot) = log.snapshot().unwrap();
        log.push(TurnEventKind::Completed(Box::new(TurnEnd {
            session_id: snapshot.session_id,
            turn_id: snapshot.turn_id,
            status: TurnState::Completed,
            answer: Some(Entry { seq: Seq(2), parent: None, body }),
            usage: None,
            context: None,
            error: None,
        })));
        assert!((100_000..101_000).contains(&log.bytes()), "{}", log.bytes());
        assert_eq!(log.lock().events.len(), 2, "the last event pushes nothing out");
        assert_eq!(log.lock().snapshot.text, "");
        assert!(log.snapshot().is_none());
    }
}
