//! Work that nobody waits for: titles, summaries, embeddings, forgetting by age, turns left behind.
//!
//! It is off the reply's path and never fails a turn. Jobs that a turn leaves behind wait in one
//! bounded queue, one a session, and a few run at once; a few loops look after everything else. All of
//! it goes through the ports, ends when the brain is drained, and tells of a trouble once.

mod embedding;
mod error;
mod lapsed;
mod retention;
mod summary;
mod title;

use std::{
    collections::{HashSet, VecDeque},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use event_listener::{Event, EventListener};
use futures_util::{
    FutureExt,
    future::{self, BoxFuture, Either},
};

use self::error::Trouble;
pub(super) use self::{summary::SummaryJob, title::TitleJob};
use super::Inner;
use crate::ids::SessionKey;

/// Jobs that may wait; what comes beyond is left to a later turn.
const MOST_JOBS: usize = 256;
/// Jobs that run at once.
const MOST_WORKERS: usize = 2;

/// What a turn leaves to be done in its session.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) session: SessionKey,
    /// What a title is made of, if the session needs one.
    pub(super) title: Option<TitleJob>,
    /// How much room there is, if a summary may be due.
    pub(super) summary: Option<SummaryJob>,
}

/// The background work of one brain.
#[derive(Debug, Default)]
pub(super) struct Background {
    state: Mutex<State>,
    /// Somebody may want to know: a task ended, or all are to end.
    changed: Event,
    /// Something new was said.
    said: Event,
    summaries: Trouble,
    titles: Trouble,
    embeddings: Trouble,
    retention: Trouble,
    lapsed: Trouble,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Sessions with a job that waits or runs.
    sessions: HashSet<SessionKey>,
    workers: usize,
    loops: usize,
    stopped: bool,
}

impl Background {
    // Every critical section is short, and none awaits.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that there may be something to embed.
    pub(super) fn note_said(&self) {
        self.said.notify(usize::MAX);
    }

    fn said(&self) -> EventListener {
        self.said.listen()
    }

    /// Ends all of it, soon; what waits is dropped.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.jobs.clear();
        drop(state);
        self.changed.notify(usize::MAX);
    }

    /// Returns once no job waits or runs.
    pub(super) async fn worked_off(&self) {
        self.until(|it| it.workers == 0).await;
    }

    /// Returns once nothing runs, after a stop.
    pub(super) async fn ended(&self) {
        self.until(|it| it.workers + it.loops == 0).await;
    }

    async fn stopped(&self) {
        self.until(|it| it.stopped).await;
    }

    async fn until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.listen();
            if done(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Takes the job in; whether another worker is needed for it.
    fn admit(&self, job: Job) -> bool {
        let mut state = self.lock();
        if state.stopped || MOST_JOBS <= state.jobs.len() || state.sessions.contains(&job.session) {
            return false;
        }
        state.sessions.insert(job.session.clone());
        state.jobs.push_back(job);
        let is_needed = state.workers < MOST_WORKERS;
        state.workers += usize::from(is_needed);
        is_needed
    }

    /// The next job; without one the worker has ended.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        let job = state.jobs.pop_front();
        if job.is_none() {
            state.workers -= 1;
            drop(state);
            self.changed.notify(usize::MAX);
        }
        job
    }

    fn begin_loop(&self) -> bool {
        let mut state = self.lock();
        state.loops += usize::from(!state.stopped);
        !state.stopped
    }

    fn end_loop(&self) {
        self.lock().loops -= 1;
        self.changed.notify(usize::MAX);
    }
}

/// Does the job in the background, unless there is one for its session already.
pub(super) fn enqueue(inner: &Arc<Inner>, job: Job) {
    if inner.background.admit(job) {
        inner.ports.spawner.spawn(Box::pin(work(Arc::clone(inner))));
    }
}

/// Starts the loops.
pub(super) fn start(inner: &Arc<Inner>) {
    start_loop(inner, |inner| Box::pin(retention::run(inner)));
    start_loop(inner, |inner| Box::pin(lapsed::run(inner)));
    if inner.config.embedding_model.is_some() {
        start_loop(inner, |inner| Box::pin(embedding::run(inner)));
    }
}

fn start_loop(inner: &Arc<Inner>, run: impl FnOnce(Arc<Inner>) -> BoxFuture<'static, ()>) {
    if inner.background.begin_loop() {
        let (inner, work) = (Arc::clone(inner), run(Arc::clone(inner)));
        inner.ports.spawner.spawn(Box::pin({
            let inner = Arc::clone(&inner);
            async move {
                unless_stopped(&inner, work).await;
                inner.background.end_loop();
            }
        }));
    }
}

/// Works off the queue.
async fn work(inner: Arc<Inner>) {
    while let Some(job) = inner.background.next() {
        let session = job.session.clone();
        unless_stopped(&inner, Box::pin(run(&inner, job))).await;
        inner.background.lock().sessions.remove(&session);
    }
}

async fn run(inner: &Arc<Inner>, job: Job) {
    let Job { session, title, summary } = job;
    if let Some(job) = title {
        inner
            .background
            .titles
            .note("give a session its title", title::give(inner, &session, &job).await);
    }
    if let Some(job) = summary {
        inner
            .background
            .summaries
            .note("summarise a session", summary::bring_up_to_date(inner, &session, job).await);
    }
}

/// Runs `work` until it ends, all is stopped, or it panics.
async fn unless_stopped(inner: &Inner, work: BoxFuture<'_, ()>) {
    let stopped = Box::pin(inner.background.stopped());
    let work = AssertUnwindSafe(work).catch_unwind();
    if let Either::Left((Err(_), _)) = future::select(work, stopped).await {
        tracing::error!("background work panicked");
    }
}

/// What `work` gives, if it does within `limit`.
pub(super) async fn within<T>(
    inner: &Inner,
    limit: Duration,
    work: impl Future<Output = T> + Send,
) -> Option<T> {
    let sleep = inner.ports.clock.sleep(limit);
    match future::select(Box::pin(work), sleep).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
