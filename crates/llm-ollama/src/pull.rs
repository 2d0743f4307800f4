//! Fetching a missing model: once, for all who wait for it.
//!
//! The fetching is a future that every waiter drives, so that it needs no task of its own: it goes on
//! while somebody waits, and is dropped with the last of them, which closes the connection and makes
//! the server stop. The server keeps what it has fetched and goes on from there when asked again.

mod layers;

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use brain_core::llm::{ChatEvent, ChatStream, LlmError, LlmErrorKind, Progress};
use futures_util::{
    FutureExt, StreamExt,
    future::{self, BoxFuture, Either, Shared, WeakShared},
    stream,
};
use llm_http::{ByteStream, CallError, Endpoint, HttpClient, NdjsonDecoder, let_go};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use self::layers::Layers;
use crate::{failure, profile::full_name, wire::PullBody};

/// How often a pull goes on by itself after it broke off; each time it must have come further.
const MAX_RESUMES: usize = 16;

/// Longest that a waiter is told nothing.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How a pull ended; all its waiters are told.
type Outcome = Result<(), Arc<LlmError>>;
type Pulling = Shared<BoxFuture<'static, Outcome>>;
type WeakPulling = WeakShared<BoxFuture<'static, Outcome>>;

/// The pulls of one server.
pub(crate) struct Pulls {
    client: HttpClient,
    /// By full name; only those that somebody waits for.
    running: Mutex<HashMap<String, Running>>,
}

struct Running {
    pulling: WeakPulling,
    progress: watch::Receiver<Progress>,
}

impl Running {
    /// The pull as one more waiter has it; `None` when it has ended or nobody waits for it.
    fn join(&self) -> Option<Waiter> {
        let pulling = self.pulling.upgrade().filter(|it| it.peek().is_none())?;
        Some(Waiter::new(pulling, self.progress.clone()))
    }
}

impl Pulls {
    /// No pulls; `client` waits long enough for a server that verifies a large file.
    pub(crate) fn new(client: HttpClient) -> Self {
        Self { client, running: Mutex::default() }
    }

    /// Waits for the pull of `model`, and begins it if nobody does.
    pub(crate) fn join(&self, model: &str) -> Waiter {
        let name = full_name(model);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, it| it.join().is_some());
        if let Some(waiter) = running.get(&name).and_then(Running::join) {
            return waiter;
        }
        tracing::info!(model, host = self.client.endpoint().host(), "pulling a missing model");
        let layers = Layers::new(model);
        let (sender, progress) = watch::channel(layers.progress());
        let pull =
            Pull { client: self.client.clone(), model: model.to_owned(), layers, progress: sender };
        let pulling = pull.run().boxed().shared();
        if let Some(weak) = pulling.downgrade() {
            running.insert(name, Running { pulling: weak, progress: progress.clone() });
        }
        Waiter::new(pulling, progress)
    }
}

impl fmt::Debug for Pulls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulls").field("client", &self.client).finish_non_exhaustive()
    }
}

/// One pull.
struct Pull {
    client: HttpClient,
    model: String,
    layers: Layers,
    progress: watch::Sender<Progress>,
}

impl Pull {
    async fn run(mut self) -> Outcome {
        let mut resumes = 0;
        loop {
            let before = self.layers.done();
            let Err(error) = self.attempt().await else { return Ok(()) };
            let came_further = before < self.layers.done();
            if !error.is_transient() || !came_further || resumes == MAX_RESUMES {
                return Err(Arc::new(error));
            }
            resumes += 1;
            tracing::warn!(model = self.model, %error, "the pull broke off; it goes on");
        }
    }

    async fn attempt(&mut self) -> Result<(), LlmError> {
        let body = PullBody { model: &self.model, stream: true };
        let endpoint = Arc::clone(self.client.endpoint());
        let bytes = self.client.post_stream("/api/pull", &body).await;
        let mut bytes = bytes.map_err(|error| match error {
            CallError::Failed(error) => error,
            CallError::Refused(refusal) => failure::unpullable(&endpoint, &self.model, *refusal),
        })?;
        let outcome = self.read(&endpoint, &mut bytes).await;
        if outcome.is_ok() {
            let_go(bytes).await;
        }
        outcome
    }

    /// Reads until the server says that it has the whole model.
    async fn read(&mut self, endpoint: &Endpoint, bytes: &mut ByteStream) -> Result<(), LlmError> {
        let mut lines = NdjsonDecoder::default();
        while let Some(bytes) = bytes.next().await {
            let bytes = bytes.map_err(|error| {
                let is_cut = error.kind() == LlmErrorKind::Interrupted;
                if is_cut { self.broke_off().with_source(error) } else { error }
            })?;
            let mut outcome = Ok(false);
            let pushed = lines.push(&bytes, |line| {
                if let Ok(false) = outcome {
                    outcome = self.layers.line(endpoint, line);
                }
            });
            self.progress.send_replace(self.layers.progress());
            if outcome? {
                return Ok(());
            }
            pushed.map_err(|error| {
                endpoint.misspoke("sent a line that is too large").with_source(error)
            })?;
        }
        let mut outcome = Ok(false);
        let finished = lines.finish(|line| outcome = self.layers.line(endpoint, line));
        match outcome {
            Ok(true) if finished.is_ok() => Ok(()),
            Err(error) if error.kind() != LlmErrorKind::Protocol => Err(error),
            Ok(_) | Err(_) => Err(self.broke_off()),
        }
    }

    fn broke_off(&self) -> LlmError {
        failure::broken_pull(self.client.endpoint(), &self.model)
    }
}

/// Somebody who waits for a pull; dropping the last one ends it.
pub(crate) struct Waiter {
    pulling: Pulling,
    progress: watch::Receiver<Progress>,
    /// What was told last, and when.
    told: Option<Progress>,
    told_at: Instant,
    outcome: Option<Outcome>,
}

impl Waiter {
    fn new(pulling: Pulling, progress: watch::Receiver<Progress>) -> Self {
        Self { pulling, progress, told: None, told_at: Instant::now(), outcome: None }
    }

    /// Waits for the end and tells nobody of the progress.
    ///
    /// # Errors
    ///
    /// When the model could not be pulled.
    pub(crate) async fn finish(self) -> Result<(), LlmError> {
        self.pulling.await.map_err(|error| repeated(&error))
    }

    /// The progress as events, one for each hundredth and each step, and one every 5 s; it ends when
    /// the server has the model, and its failure is the last item.
    pub(crate) fn into_stream(self) -> ChatStream {
        let items = stream::unfold(Some(self), |waiter| async move {
            let mut waiter = waiter?;
            match waiter.next().await {
                Ok(Some(progress)) => Some((Ok(ChatEvent::Progress(progress)), Some(waiter))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        items.boxed()
    }

    async fn next(&mut self) -> Result<Option<Progress>, LlmError> {
        loop {
            let latest = self.progress.borrow_and_update().clone();
            if is_news(self.told.as_ref(), &latest) {
                return Ok(Some(self.tell(latest)));
            }
            if let Some(outcome) = self.outcome.take() {
                return outcome.map(|()| None).map_err(|error| repeated(&error));
            }
            match self.changed().await {
                Some(outcome) => self.outcome = outcome,
                None => return Ok(Some(self.tell(latest))),
            }
        }
    }

    /// Waits for more progress or the end, which it returns; `None` when that takes too long.
    async fn changed(&mut self) -> Option<Option<Outcome>> {
        let changed = pin!(self.progress.changed());
        let event = future::select(&mut self.pulling, changed);
        match timeout_at(self.told_at + HEARTBEAT, event).await.ok()? {
            Either::Left((outcome, _)) => Some(Some(outcome)),
            Either::Right(_) => Some(None),
        }
    }

    fn tell(&mut self, progress: Progress) -> Progress {
        self.told_at = Instant::now();
        self.told.insert(progress).clone()
    }
}

/// Whether this is worth an event after what was told. Nothing is before the server has found the
/// model, so that a name which nobody knows is a failure and nothing else.
fn is_news(told: Option<&Progress>, latest: &Progress) -> bool {
    match told {
        None => 0 < latest.total,
        Some(told) => told.stage != latest.stage || percent(told) != percent(latest),
    }
}

fn percent(progress: &Progress) -> u128 {
    let (done, total) = (u128::from(progress.done), u128::from(progress.total));
    (done * 100).checked_div(total).unwrap_or(0)
}

/// A failure as each waiter is told it.
fn repeated(error: &Arc<LlmError>) -> LlmError {
    let told = LlmError::new(error.kind(), error.to_string())
        .with_retry_after(error.retry_after())
        .with_advice(Some(error.is_transient()));
    if error.source().is_some() { told.with_source(Cause(Arc::clone(error))) } else { told }
}

/// What is behind a failure that several are told.
#[derive(Debug)]
struct Cause(Arc<LlmError>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |it| write!(f, "{it}"))
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source().and_then(Error::source)
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, time::Duration};

    use brain_core::llm::{ChatEvent, LlmError, LlmErrorKind, Progress};
    use futures_util::{FutureExt, StreamExt, future};
    use tokio::{sync::watch, time::Instant};

    use super::{HEARTBEAT, Waiter, repeated};

    fn progress(stage: &str, done: u64) -> Progress {
        Progress { stage: stage.to_owned(), done, total: 1_000 }
    }

    #[tokio::test(start_paused = true)]
    async fn each_hundredth_and_each_step_is_told_and_silence_is_filled() {
        let (sender, receiver) = watch::channel(progress("a", 0));
        let mut told = Waiter::new(future::pending().boxed().shared(), receiver).into_stream();
        let begun = Instant::now();
        let mut next = async || match told.next().await {
            Some(Ok(ChatEvent::Progress(it))) => (it, begun.elapsed()),
            other => panic!("{other:?}"),
        };
        assert_eq!(next().await, (progress("a", 0), Duration::ZERO));
        sender.send_replace(progress("a", 9));
        assert_eq!(next().await, (progress("a", 9), HEARTBEAT), "less than a hundredth waits");
        sender.send_replace(progress("a", 10));
        assert_eq!(next().await, (progress("a", 10), HEARTBEAT));
        sender.send_replace(progress("b", 10));
        assert_eq!(next().await, (progress("b", 10), HEARTBEAT));
        assert_eq!(next().await, (progress("b", 10), 2 * HEARTBEAT));
    }

    #[tokio::test]
    async fn the_last_progress_is_told_before_the_end() {
        let (sender, receiver) = watch::channel(progress("a", 0));
        let pulling = async move {
            sender.send_replace(progress("a", 1_000));
            Ok(())
        };
        let waiter = Waiter::new(pulling.boxed().shared(), receiver);
        let events: Vec<_> = waiter.into_stream().map(Result::unwrap).collect().await;
        assert_eq!(events, [0, 1_000].map(|it| ChatEvent::Progress(progress("a", it))));
    }

    #[test]
    fn a_failure_is_told_as_it_was() {
        let error = LlmError::new(LlmErrorKind::Unavailable, "no disk")
            .with_retry_after(Some(HEARTBEAT))
            .with_advice(Some(false))
            .with_source("status 500");
        let told = repeated(&error.into());
        assert_eq!((told.kind(), told.is_transient()), (LlmErrorKind::Unavailable, false));
        assert_eq!((told.to_string().as_str(), told.retry_after()), ("no disk", Some(HEARTBEAT)));
        assert_eq!(told.source().unwrap().to_string(), "status 500", "nothing is said twice");
    }
}
