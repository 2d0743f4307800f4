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
use crate::ids::{Owner, SessionId, SessionKey, TurnId};

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
    one_left: Event,
}

#[derive(Debug, Default)]
struct Turns {
    /// Requests that are being opened, and turns that run.
    admitted: usize,
    running: HashMap<TurnId, Arc<Live>>,
    ended: Vec<(Duration, Arc<Live>)>,
    /// Whether a turn that begins now is too late.
    stopped: bool,
}

/// The place of one request among all that are worked on, from its admission to its turn's end.
#[derive(Debug)]
pub(super) struct Admission {
    turns: Arc<LiveTurns>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.turns.lock().admitted -= 1;
        self.turns.one_left.notify(usize::MAX);
    }
}

impl LiveTurns {
    // Every critical section is short, and none awaits.
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one request more, or how many there are if that is the limit.
    pub(super) fn admit(self: &Arc<Self>, limit: usize) -> Result<Admission, usize> {
        let mut turns = self.lock();
        if limit <= turns.admitted {
            return Err(turns.admitted);
        }
        turns.admitted += 1;
        Ok(Admission { turns: Arc::clone(self) })
    }

    /// The turn runs from now on; it is stopped at once if all were stopped already.
    pub(super) fn insert(&self, live: Arc<Live>) {
        let mut turns = self.lock();
        if turns.stopped {
            live.stop();
        }
        turns.running.insert(live.turn, live);
    }

    /// The turn has ended; its log stays a while. `now` is the clock's elapsed time.
    pub(super) fn end(&self, turn: TurnId, now: Duration) {
        let mut turns = self.lock();
        if let Some(live) = turns.running.remove(&turn) {
            turns.ended.push((now, live));
        }
        turns.drop_old(now);
    }

    /// Lets go of the logs of a session's ended turns.
    pub(super) fn forget(&self, key: &SessionKey) {
        self.lock().ended.retain(|(_, live)| live.owner != key.owner || live.session != key.id);
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

    /// Stops every turn that runs or still begins; returns how many run.
    pub(super) fn stop_all(&self) -> usize {
        let mut turns = self.lock();
        turns.stopped = true;
        turns.running.values().for_each(|live| live.stop());
        turns.running.len()
    }

    /// Returns once no request is worked on.
    pub(super) async fn idle(&self) {
        loop {
            let left = self.one_left.listen();
            if self.lock().admitted == 0 {
                return;
            }
            left.await;
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
