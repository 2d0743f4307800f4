//! The turns that this process holds, and those that ended a short while ago.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use event_listener::Event;

use super::{log::TurnLog, request::OnDisconnect};
use crate::ids::{Owner, SessionId, TurnId};

/// How long the log of an ended turn stays.
const KEEP_ENDED: Duration = Duration::from_secs(300);
/// Most bytes of all logs of ended turns that stay.
const KEEP_ENDED_BYTES: usize = 8 * 1024 * 1024;

/// A turn that this process holds, as others see it.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) owner: Owner,
    pub(super) session: SessionId,
    pub(super) turn: TurnId,
    pub(super) log: TurnLog,
    pub(super) on_disconnect: OnDisconnect,
    listeners: AtomicUsize,
    resumed: AtomicBool,
    stop: AtomicBool,
    stop_asked: Event,
}

impl Live {
    pub(super) fn new(
        owner: Owner,
        (session, turn): (SessionId, TurnId),
        log: TurnLog,
        on_disconnect: OnDisconnect,
    ) -> Self {
        Self {
            owner,
            session,
            turn,
            log,
            on_disconnect,
            listeners: AtomicUsize::new(0),
            resumed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            stop_asked: Event::new(),
        }
    }

    /// Asks the turn to stop.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.stop_asked.notify(usize::MAX);
    }

    /// Returns once the turn was asked to stop.
    pub(super) async fn stopped(&self) {
        loop {
            let asked = self.stop_asked.listen();
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            asked.await;
        }
    }

    /// One listener more; `resumed` if it has listened before.
    pub(super) fn arrive(&self, resumed: bool) {
        self.listeners.fetch_add(1, Ordering::SeqCst);
        if resumed {
            self.resumed.store(true, Ordering::SeqCst);
        }
    }

    /// One listener less; whether it was the last.
    pub(super) fn leave(&self) -> bool {
        self.listeners.fetch_sub(1, Ordering::SeqCst) == 1
    }

    pub(super) fn has_listeners(&self) -> bool {
        0 < self.listeners.load(Ordering::SeqCst)
    }

    pub(super) fn was_resumed(&self) -> bool {
        self.resumed.load(Ordering::SeqCst)
    }
}

/// The turns of this process by id.
#[derive(Debug, Default)]
pub(super) struct LiveTurns {
    turns: Mutex<Turns>,
    one_ended: Event,
}

#[derive(Debug, Default)]
struct Turns {
    running: HashMap<TurnId, Arc<Live>>,
    ended: Vec<(Duration, Arc<Live>)>,
}

impl LiveTurns {
    // Every critical section is short, and none awaits.
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, live: Arc<Live>) {
        self.lock().running.insert(live.turn, live);
    }

    /// The turn has ended; its log stays a while. `now` is the clock's elapsed time.
    pub(super) fn end(&self, turn: TurnId, now: Duration) {
        let mut turns = self.lock();
        if let Some(live) = turns.running.remove(&turn) {
            turns.ended.push((now, live));
        }
        turns.drop_old(now);
        drop(turns);
        self.one_ended.notify(usize::MAX);
    }

    pub(super) fn get(&self, turn: TurnId, now: Duration) -> Option<Arc<Live>> {
        let mut turns = self.lock();
        turns.drop_old(now);
        let ended = || turns.ended.iter().map(|(_, live)| live).find(|it| it.turn == turn);
        turns.running.get(&turn).or_else(ended).cloned()
    }

    pub(super) fn running(&self) -> Vec<Arc<Live>> {
        self.lock().running.values().cloned().collect()
    }

    pub(super) fn running_count(&self) -> usize {
        self.lock().running.len()
    }

    /// Returns once no turn runs.
    pub(super) async fn idle(&self) {
        loop {
            let ended = self.one_ended.listen();
            if self.running_count() == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Turns {
    fn drop_old(&mut self, now: Duration) {
        let mut bytes: usize = self.ended.iter().map(|(_, live)| live.log.bytes()).sum();
        self.ended.retain(|(ended, live)| {
            let keep = bytes <= KEEP_ENDED_BYTES && now.saturating_sub(*ended) < KEEP_ENDED;
            if !keep {
                bytes -= live.log.bytes();
            }
            keep
        });
    }
}
