//! The driver of one turn: does what [`Turn`] decides, and ends the turn whatever happens.

mod afterwards;
mod candidates;
mod ending;
mod lease;
mod model;
mod persist;
mod recall;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, select_biased};

use self::{candidates::Candidates, ending::Stop};
use super::{
    Inner, Listener, Step, ToolOutcome, Turn, TurnEventKind, TurnRequest, TurnSnapshot,
    TurnStarted, listener, live::Live, log::TurnLog, open::NewTurn,
};
use crate::{
    ids::{AppendId, Seq, SessionId, TurnId},
    llm::{FinishReason, PartialReply},
    memory::{
        Append, Appended, CallRecord, Checkpoint, Draft, Entry, EntryBody, Expect, Fence,
        MemoryError, Summary, TurnRecord, TurnState,
    },
    tool::{ToolBox, ToolContext, ToolError},
    window::{ContextReport, Counting, RecallState, Recollection},
};

/// What a model is told about a call that nobody allowed.
const DENIAL: &str = "denied: this call needs an approval, and nobody can give one here";

/// A turn under way.
#[derive(Debug)]
pub(super) struct Driver {
    inner: Arc<Inner>,
    live: Arc<Live>,
    record: TurnRecord,
    request: TurnRequest,
    /// Who is asked.
    candidates: Candidates,
    system: Option<String>,
    /// Those that the request lets the model call.
    tools: ToolBox,
    branch: Vec<Entry>,
    has_older: bool,
    summary: Option<Summary>,
    /// Whether memory is searched for what may help.
    recall: bool,
    /// What was found.
    recalled: Vec<Recollection>,
    recall_state: Option<RecallState>,
    is_untitled: bool,
    counting: Counting,
    turn: Turn,
    /// The answer to the model call under way.
    partial: PartialReply,
    /// The model that answered last, as the gateway names it.
    model: Option<String>,
    /// Why it stopped.
    finish_reason: Option<FinishReason>,
    context: Option<ContextReport>,
    /// Tokens of the prompt under way, once a model took it.
    taken_tokens: Option<u64>,
    /// Tokens of system prompt and tools.
    fixed_tokens: u64,
    appends: u32,
    calls: u32,
    checkpointed: Checkpointed,
}

/// When what there is was last stored.
#[derive(Debug, Default)]
struct Checkpointed {
    at: Duration,
    bytes: usize,
}

impl Inner {
    /// Counts the tokens of a model.
    pub(super) fn counting(&self, model: &str) -> Counting {
        Counting::new(self.ports.llm.tokens(model), model, self.known.clone())
    }
}

impl Driver {
    /// Puts a turn that was just opened among the live ones, with its first listener.
    pub(super) fn start(
        inner: &Arc<Inner>,
        new: Box<NewTurn>,
        request: TurnRequest,
    ) -> (Self, Listener) {
        let NewTurn { record, model, system, branch, has_older, summary, recall, is_untitled } =
            *new;
        let (session_id, turn_id) = (record.session.id.clone(), record.id);
        let snapshot = TurnSnapshot {
            session_id: session_id.clone(),
            turn_id,
            status: TurnState::Running,
            text: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
        };
        let log = TurnLog::new(snapshot, inner.config.limits.log_bytes);
        let (owner, names) = (record.session.owner.clone(), (session_id.clone(), turn_id));
        let live = Arc::new(Live::new(owner, names, log, request.on_disconnect));
        let input_seq = record.input;
        live.log.push(TurnEventKind::Started(TurnStarted { session_id, turn_id, input_seq }));
        inner.live.insert(Arc::clone(&live));
        let listener = listener::of_live(inner, Arc::clone(&live), 0, false);
        let tools = inner.ports.tools.clone();
        let tools = match &request.tools {
            Some(names) => tools.only(names),
            None => tools,
        };
        let driver = Self {
            counting: inner.counting(&model),
            inner: Arc::clone(inner),
            live,
            record,
            candidates: Candidates::new(model, &inner.config.fallback),
            system,
            request,
            tools,
            branch,
            has_older,
            summary,
            recall,
            recalled: Vec::new(),
            recall_state: None,
            is_untitled,
            turn: Turn::new(inner.config.limits.tool_rounds),
            partial: PartialReply::default(),
            model: None,
            finish_reason: None,
            context: None,
            taken_tokens: None,
            fixed_tokens: 0,
            appends: 0,
            calls: 0,
            checkpointed: Checkpointed { at: inner.ports.clock.elapsed(), bytes: 0 },
        };
        (driver, listener)
    }

    /// The model that is asked, or answered; empty for the gateway's default.
    fn model_name(&self) -> &str {
        self.candidates.current()
    }

    /// The session and the turn.
    pub(super) fn names(&self) -> (SessionId, TurnId) {
        (self.live.session.clone(), self.live.turn)
    }

    /// Works until the turn ends in whatever way, and ends it.
    #[tracing::instrument(skip_all, fields(turn.id = %self.live.turn))]
    pub(super) async fn run(mut self) {
        let started = self.inner.ports.clock.elapsed();
        let stop = self.work_watched().await.err();
        self.end(stop.as_ref()).await;
        let elapsed = self.inner.ports.clock.elapsed();
        self.inner.live.end(self.live.turn, elapsed);
        let took_ms = elapsed.saturating_sub(started).as_millis();
        tracing::info!(took_ms, stopped_by = stop.as_ref().map(Stop::code), "the turn has ended");
    }

    /// Works while the lease holds, nobody asks to stop and there is time.
    async fn work_watched(&mut self) -> Result<(), Stop> {
        let (inner, live, fence) = (Arc::clone(&self.inner), Arc::clone(&self.live), self.fence());
        let mut work = Box::pin(AssertUnwindSafe(self.work()).catch_unwind()).fuse();
        let mut lease = Box::pin(lease::keep(&inner, fence)).fuse();
        let mut stopped = Box::pin(live.stopped()).fuse();
        let mut time_up = inner.ports.clock.sleep(inner.config.limits.turn_time).fuse();
        select_biased! {
            () = stopped => Err(Stop::Cancelled),
            stop = lease => Err(stop),
            () = time_up => Err(Stop::TimeUp),
            worked = work => worked.unwrap_or(Err(Stop::Panicked)),
        }
    }

    async fn work(&mut self) -> Result<(), Stop> {
        self.recall().await;
        loop {
            match self.turn.next_step() {
                Step::AskModel => self.ask_model().await?,
                Step::RunTool(position) => self.run_tool(position).await?,
                Step::StoreRound => self.store_round().await?,
                Step::Done => return Ok(()),
                Step::GaveUp => return Err(Stop::TooManyRounds),
            }
        }
    }

    /// Runs a call once: that it may have run is stored before it does.
    async fn run_tool(&mut self, position: usize) -> Result<(), Stop> {
        self.turn.on_started(position);
        self.show_calls();
        self.checkpoint().await?;
        let Some(CallRecord { call, .. }) = self.turn.calls().get(position).cloned() else {
            return Ok(());
        };
        let context = ToolContext { session: self.record.session.clone() };
        let result = match (self.tools.get(&call.name), call.arguments.trim()) {
            (None, _) => Err(ToolError::Refused(format!("there is no tool named `{}`", call.name))),
            (Some(tool), text) => {
                let text = if text.is_empty() { "{}" } else { text };
                match serde_json::from_str(text) {
                    Ok(arguments) => tool.call(&context, arguments).await,
                    Err(error) => {
                        Err(ToolError::Refused(format!("arguments are not JSON: {error}")))
                    }
                }
            }
        };
        let result = match result {
            Ok(text) | Err(ToolError::Refused(text)) => text,
            Err(error @ ToolError::Broken(_)) => return Err(Stop::Tool(call.name, error)),
        };
        self.turn.on_result(position, result.clone());
        self.tell_result(ToolOutcome { call_id: call.id, name: call.name, result, allowed: true });
        self.checkpoint().await
    }

    /// Tells whoever comes late where the calls of the round stand.
    fn show_calls(&self) {
        self.live.log.update_snapshot(|it| it.calls = self.turn.calls().to_vec());
    }

    fn tell_result(&self, outcome: ToolOutcome) {
        self.show_calls();
        self.live.log.push(TurnEventKind::ToolResult(outcome));
    }

    /// Appends the finished round to the history, whole.
    async fn store_round(&mut self) -> Result<(), Stop> {
        let now = self.inner.ports.clock.now();
        let bodies = self.turn.round().into_iter().map(|message| {
            let calls = !message.tool_calls.is_empty();
            let model = self.model.clone().filter(|_| calls);
            let finish_reason = self.finish_reason.filter(|_| calls);
            EntryBody { model, finish_reason, ..EntryBody::complete(message, now) }
        });
        let drafts = bodies.map(Draft::new).collect::<Result<Vec<_>, _>>()?;
        self.appends += 1;
        let append = Append {
            parent: self.tail(),
            expect: Expect::Attach,
            append_id: AppendId::of_turn(self.record.id, self.appends),
            fence: Some(self.fence()),
            drafts: drafts.clone(),
        };
        let appended = self.append(append).await?;
        let last = appended.last.unwrap_or_default().0;
        let first = last.saturating_sub(drafts.len() as u64) + 1;
        for (seq, draft) in (first..).map(Seq).zip(drafts) {
            let parent = self.tail();
            self.branch.push(Entry { seq, parent, body: Arc::clone(draft.body()) });
        }
        self.turn.on_round_stored();
        self.live.log.update_snapshot(TurnSnapshot::clear);
        self.checkpoint().await
    }

    /// Appends once: a reply that was lost is asked for again.
    async fn append(&self, append: Append) -> Result<Appended, MemoryError> {
        let (store, session) = (&self.inner.ports.store, &self.record.session);
        self.persist(|| store.append(session, append.clone())).await
    }

    /// Position of the last entry of the branch.
    fn tail(&self) -> Option<Seq> {
        self.branch.last().map(|entry| entry.seq)
    }

    fn fence(&self) -> Fence {
        Fence { turn: self.record.id, holder: self.inner.holder }
    }

    /// Stores what there is.
    async fn checkpoint(&mut self) -> Result<(), Stop> {
        let (checkpoint, fence, store) =
            (self.take_checkpoint(), self.fence(), &self.inner.ports.store);
        Ok(self.persist(|| store.checkpoint(fence, checkpoint.clone())).await?)
    }

    /// What there is, and notes that it is about to be stored.
    fn take_checkpoint(&mut self) -> Checkpoint {
        let bytes = self.partial.text().len() + self.partial.reasoning().len();
        let now = Checkpointed { at: self.inner.ports.clock.elapsed(), bytes };
        self.checkpointed = now;
        let said = self.turn.answer().filter(|_| !self.turn.calls().is_empty());
        let text = said.map_or_else(|| self.partial.text().to_owned(), |it| it.joined_text());
        let thought = said.and_then(|it| it.reasoning.clone());
        Checkpoint {
            text,
            reasoning: thought.unwrap_or_else(|| self.partial.reasoning().to_owned()),
            calls: self.turn.calls().to_vec(),
            last_event: self.live.log.last(),
            tail: self.tail(),
            waiting: false,
        }
    }
}
