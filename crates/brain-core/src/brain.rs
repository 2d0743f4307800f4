//! The brain: memory, a language model and tools, joined into turns.
//!
//! A turn is a stored record, a supervised task and a log of numbered events:
//!
//! 1. [`Brain::chat`] stores what the user said and opens the turn in one step, and only then asks
//!    a model, so that nothing that goes wrong later loses it;
//! 2. a task drives the turn at the model's speed and appends the answer once, whatever ends it;
//! 3. listeners read the log; they slow nobody, may come back, and none needs to stay.
//!
//! It speaks to ports only. No surface and no backend is named here.

mod background;
mod change;
mod defaults;
mod driver;
mod error;
mod event;
mod listener;
mod live;
mod log;
mod open;
mod recovery;
mod request;
mod search;
mod turn;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_channel::oneshot;
use futures_util::future::{self, Either};

use self::{
    background::Background,
    defaults::{Defaults, LastRead},
    driver::Driver,
    live::{Admission, LiveTurns},
    open::OpenedTurn,
};
pub use self::{
    defaults::{ConfigError, ConfigPatch, Effective, EffectiveConfig, Origin},
    error::{ChangeError, ChatError},
    event::{
        CANCELLED, RESTARTED, SUPERSEDED, ToolOutcome, TurnEnd, TurnEvent, TurnEventKind,
        TurnSnapshot, TurnStarted,
    },
    listener::Listener,
    request::{OnBusy, OnDisconnect, TurnInput, TurnRequest},
    turn::{Step, Turn},
};
use crate::{
    ids::{HolderId, Owner, Seq, SessionId, SessionKey, Token, TurnId},
    llm::LlmGateway,
    memory::{
        Checkpoint, Entry, Forget, Forgotten, MemoryClass, MemoryError, MemoryStore, Session,
        TurnRecord,
    },
    settings::Settings,
    task::Spawner,
    time::Clock,
    tool::{ToolBox, ToolClass},
    window::Known,
};

/// What a brain is made of.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Where sessions and turns are kept.
    pub store: Arc<dyn MemoryStore>,
    /// Who answers.
    pub llm: Arc<dyn LlmGateway>,
    /// What the model may call.
    pub tools: ToolBox,
    /// What was chosen at run time.
    pub settings: Arc<dyn Settings>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where turns run.
    pub spawner: Arc<dyn Spawner>,
}

/// How a brain behaves where a request does not say.
#[derive(Clone, Debug, Default)]
pub struct BrainConfig {
    /// The model; empty for the gateway's default.
    pub model: String,
    /// Models that are asked in this order where one fails before anything has come of its answer,
    /// whoever chose that one.
    pub fallback: Vec<String>,
    /// The system prompt of sessions that have none.
    pub system: Option<String>,
    /// Who summarises what no longer fits into a model's context, and names sessions; `None` for
    /// nobody. It reads conversations, so it should be named by whoever decides where they may go;
    /// empty for the model that answers, unless that [computes here](crate::llm::Capabilities::in_process).
    pub summary_model: Option<String>,
    /// Who makes embeddings, for searching by meaning; `None` for nobody. It reads conversations.
    pub embedding_model: Option<String>,
    /// Whether sessions that nobody named get a title after their first answer.
    pub titles: bool,
    /// After how long without a change a session is forgotten; `None` is never.
    pub retention: Option<Duration>,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of turns.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most bytes of one user message.
    pub message_bytes: usize,
    /// Most bytes of one answer, its reasoning included.
    pub answer_bytes: usize,
    /// Most turns at once, those included that wait for another one of their session.
    pub turns: usize,
    /// Most tool rounds of one turn.
    pub tool_rounds: u32,
    /// Classes of tools that run without approval.
    pub allowed_tools: Vec<ToolClass>,
    /// Longest time that one turn works.
    pub turn_time: Duration,
    /// Longest time that a turn waits for another one of its session.
    pub busy_wait: Duration,
    /// How long a turn is held without being renewed; a holder that cannot renew gives up 2 s
    /// earlier, so it must be longer than that.
    pub lease: Duration,
    /// How often it is renewed.
    pub renew_every: Duration,
    /// How often what there is of an answer is stored.
    pub checkpoint_every: Duration,
    /// After how many new bytes it is stored earlier, while they are an eighth of it.
    pub checkpoint_bytes: usize,
    /// Most entries of a branch that are read for a context window.
    pub window_entries: usize,
    /// Context of a model that does not say, in tokens.
    pub context_tokens: u32,
    /// Tokens kept free for the answer where the request does not say.
    pub output_tokens: u32,
    /// Most bytes of a turn's event log.
    pub log_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1024 * 1024,
            answer_bytes: 4 * 1024 * 1024,
            turns: 1_024,
            tool_rounds: 8,
            allowed_tools: vec![ToolClass::Read],
            turn_time: Duration::from_secs(15 * 60),
            busy_wait: Duration::from_secs(30),
            lease: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            checkpoint_every: Duration::from_secs(2),
            checkpoint_bytes: 4 * 1024,
            window_entries: 256,
            context_tokens: 32_768,
            output_tokens: 1_024,
            log_bytes: 256 * 1024,
        }
    }
}

/// How long background jobs may go on while the brain is drained.
const LAST_JOBS: Duration = Duration::from_secs(1);

/// A turn that runs, or ran.
#[derive(Debug)]
pub struct StartedTurn {
    /// Its session.
    pub session: SessionId,
    /// Its name.
    pub turn: TurnId,
    /// Whether an earlier request with the same idempotency key had started it.
    pub replayed: bool,
    /// Its events from the first one that is left.
    pub events: Listener,
}

/// A turn as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnView {
    /// The stored record; while this process holds the turn, its texts are up to date.
    pub record: TurnRecord,
    /// The answer, once there is one.
    pub answer: Option<Entry>,
}

/// Joins the ports; cheap to clone.
#[derive(Clone, Debug)]
pub struct Brain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ports: Ports,
    config: BrainConfig,
    live: Arc<LiveTurns>,
    holder: HolderId,
    draining: AtomicBool,
    last_read: LastRead,
    /// Tokens that were counted.
    known: Known,
    background: Background,
}

impl Brain {
    /// A brain that holds no turn yet.
    #[must_use]
    pub fn new(ports: Ports, config: BrainConfig) -> Self {
        let (live, holder) = (Arc::default(), HolderId::random());
        let draining = AtomicBool::new(false);
        let (last_read, known, background) =
            (LastRead::default(), Known::default(), Background::default());
        let inner = Inner { ports, config, live, holder, draining, last_read, known, background };
        Self { inner: Arc::new(inner) }
    }

    /// What the brain is made of.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.inner.ports
    }

    /// How it behaves where a request does not say.
    #[must_use]
    pub fn config(&self) -> &BrainConfig {
        &self.inner.config
    }

    /// Stores what the user said, and starts to answer it.
    ///
    /// When this returns, the message is stored. The turn runs on whatever becomes of the caller,
    /// as [`TurnRequest::on_disconnect`] says; dropping this future before it returns is leaving.
    ///
    /// # Errors
    ///
    /// See [`ChatError`]. Nothing is stored then, except that after
    /// [`OutcomeUnknown`](crate::memory::MemoryErrorKind::OutcomeUnknown) nobody knows.
    pub async fn chat(
        &self,
        owner: &Owner,
        request: TurnRequest,
    ) -> Result<StartedTurn, ChatError> {
        let (inner, owner) = (Arc::clone(&self.inner), owner.clone());
        let admission = inner.admit(&request)?;
        let (reply, started) = oneshot::channel();
        self.inner.ports.spawner.spawn(Box::pin(async move {
            match open::open(&inner, &owner, &request).await {
                Ok(OpenedTurn::Started(opened)) => {
                    let (driver, listener) = Driver::start(&inner, opened, request);
                    let (session, turn) = driver.names();
                    let started = StartedTurn { session, turn, replayed: false, events: listener };
                    // A caller who has gone meanwhile has left; the listener's drop says so.
                    drop(reply.send(Ok(started)));
                    driver.run().await;
                }
                Ok(OpenedTurn::Known(record)) => {
                    drop(reply.send(Ok(listener::replay(&inner, *record))));
                }
                Err(error) => drop(reply.send(Err(error))),
            }
            drop(admission);
        }));
        started.await.unwrap_or(Err(ChatError::ShuttingDown))
    }

    /// The events of a turn numbered above `after`; `None` if no store knows the turn.
    ///
    /// # Errors
    ///
    /// When memory cannot be asked.
    pub async fn listen(
        &self,
        owner: &Owner,
        turn: TurnId,
        after: u64,
    ) -> Result<Option<Listener>, MemoryError> {
        if let Some(live) = self.inner.live(owner, turn) {
            return Ok(Some(listener::of_live(&self.inner, live, after, true)));
        }
        let known = self.inner.ports.store.turn(owner, turn).await?;
        Ok(known.map(|record| listener::of_record(&self.inner, record, after)))
    }

    /// A turn as it stands; `None` if no store knows it.
    ///
    /// # Errors
    ///
    /// When memory cannot be asked.
    pub async fn turn(&self, owner: &Owner, turn: TurnId) -> Result<Option<TurnView>, MemoryError> {
        let Some(mut record) = self.inner.ports.store.turn(owner, turn).await? else {
            return Ok(None);
        };
        if record.state.is_open()
            && let Some(live) = self.inner.live(owner, turn)
            && let Some((last_event, snapshot)) = live.log.snapshot()
        {
            let TurnSnapshot { text, reasoning, calls, .. } = snapshot;
            record.checkpoint =
                Checkpoint { text, reasoning, calls, last_event, ..record.checkpoint };
        }
        let answer = self.inner.answer_of(&record).await?;
        Ok(Some(TurnView { record, answer }))
    }

    /// Stops a turn, and waits a moment for its end; `None` if no store knows it.
    ///
    /// Stopping a turn that is over changes nothing. A turn that another process holds is asked
    /// through its record.
    ///
    /// # Errors
    ///
    /// When memory cannot be asked.
    pub async fn cancel(
        &self,
        owner: &Owner,
        turn: TurnId,
    ) -> Result<Option<TurnView>, MemoryError> {
        if let Some(live) = self.inner.live(owner, turn) {
            live.stop();
            self.inner.wait_at_most(Duration::from_secs(2), live.log.ended()).await;
        } else if self.inner.ports.store.request_cancel(owner, turn).await?.is_none() {
            return Ok(None);
        }
        self.turn(owner, turn).await
    }

    /// Erases a session; a turn of it that this process holds is stopped first, and the logs of
    /// its turns go too.
    ///
    /// # Errors
    ///
    /// When memory cannot be asked.
    pub async fn forget(&self, key: &SessionKey) -> Result<Forgotten, MemoryError> {
        for live in self.inner.live.running() {
            if live.owner == key.owner && live.session == key.id {
                live.stop();
                self.inner.wait_at_most(Duration::from_secs(2), live.log.ended()).await;
            }
        }
        let forgotten = self.inner.ports.store.forget(key, Forget::Always).await?;
        self.inner.live.forget(key);
        Ok(forgotten)
    }

    /// Erases what one entry of a session says, and the logs of the session's turns.
    ///
    /// # Errors
    ///
    /// [`ChangeError::TurnInProgress`] while a turn of the session is open, or when memory cannot
    /// be asked.
    pub async fn forget_entry(&self, key: &SessionKey, seq: Seq) -> Result<Forgotten, ChangeError> {
        change::forget_entry(&self.inner, key, seq).await
    }

    /// Chooses the entry after which the next message of a session goes, as
    /// [`SessionLog::move_head`](crate::memory::SessionLog::move_head) does.
    ///
    /// # Errors
    ///
    /// [`ChangeError::TurnInProgress`] while a turn of the session is open, and what the store
    /// refuses.
    pub async fn move_head(
        &self,
        key: &SessionKey,
        expect: Token,
        head: Option<Seq>,
    ) -> Result<Session, ChangeError> {
        change::move_head(&self.inner, key, expect, head).await
    }

    /// Ends what a predecessor on the same storage left open, keeping what there was of each
    /// answer; returns how many turns that were. Only a process that has the storage for itself
    /// may do this.
    ///
    /// # Errors
    ///
    /// When memory cannot be asked.
    pub async fn recover(&self) -> Result<usize, MemoryError> {
        recovery::recover(&self.inner).await
    }

    /// Starts the work that no turn asks for: embedding what was said, and forgetting what is too
    /// old. It ends when the brain is [drained](Self::drain), and must not be started twice.
    pub fn start_upkeep(&self) {
        background::start(&self.inner);
    }

    /// How many turns run in this process.
    #[must_use]
    pub fn running_turns(&self) -> usize {
        self.inner.live.running_count()
    }

    /// Refuses new turns, lets running ones end for `grace`, and then stops them; returns how many
    /// had to be stopped, once all have ended. Background work has a moment of the grace to end, and
    /// is stopped then.
    pub async fn drain(&self, grace: Duration) -> usize {
        let inner = &self.inner;
        inner.draining.store(true, Ordering::SeqCst);
        inner.wait_at_most(grace, inner.live.idle()).await;
        let late = inner.live.stop_all();
        inner.wait_at_most(Duration::from_secs(10), inner.live.idle()).await;
        inner.wait_at_most(grace.min(LAST_JOBS), inner.background.worked_off()).await;
        inner.background.stop();
        inner.wait_at_most(Duration::from_secs(10), inner.background.ended()).await;
        late
    }
}

impl Inner {
    fn admit(&self, request: &TurnRequest) -> Result<Admission, ChatError> {
        let unknown = request.tools.iter().flatten().find(|it| self.ports.tools.get(it).is_none());
        if let Some(name) = unknown {
            return Err(ChatError::UnknownTool(name.clone()));
        }
        request.validate(self.config.limits.message_bytes)?;
        let is_ephemeral = request.class == MemoryClass::Ephemeral;
        if is_ephemeral && !self.ports.store.capabilities().ephemeral {
            return Err(ChatError::NoEphemeralMemory);
        }
        let admission = self.live.admit(self.config.limits.turns);
        let admission = admission.map_err(ChatError::TooManyTurns)?;
        // Asked last: whoever drains waits for all that were admitted before.
        if self.is_draining() {
            return Err(ChatError::ShuttingDown);
        }
        Ok(admission)
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    fn live(&self, owner: &Owner, turn: TurnId) -> Option<Arc<live::Live>> {
        let live = self.live.get(turn, self.ports.clock.elapsed())?;
        (live.owner == *owner).then_some(live)
    }

    async fn answer_of(&self, record: &TurnRecord) -> Result<Option<Entry>, MemoryError> {
        let Some(seq) = record.answer else { return Ok(None) };
        let before = Seq(seq.0.saturating_sub(1));
        let entries = self.ports.store.scan(&record.session, before, 1).await?;
        Ok(entries.into_iter().find(|entry| entry.seq == seq))
    }

    /// Whether `done` came within `limit`.
    async fn wait_at_most(&self, limit: Duration, done: impl Future<Output = ()> + Send) -> bool {
        let sleep = self.ports.clock.sleep(limit);
        matches!(future::select(Box::pin(done), sleep).await, Either::Left(_))
    }
}
