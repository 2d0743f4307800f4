//! A gateway that plays scripts in time, and keeps when it was asked.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use brain_core::{
    chat::{Message, Usage},
    llm::{
        Capabilities, ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest,
        Embeddings, Estimate, Finish, FinishReason, LlmError, LlmErrorKind, LlmGateway, ModelList,
        Progress, TokenCounter,
    },
};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[derive(Clone)]
pub(crate) enum Step {
    Sleep(Duration),
    Event(ChatEvent),
    Fail(Arc<dyn Fn() -> LlmError + Send + Sync>),
}

/// What comes of one request: what happens before the stream is there, and what in it.
#[derive(Clone, Default)]
pub(crate) struct Play {
    before: Vec<Step>,
    within: Vec<Step>,
}

impl Play {
    pub(crate) fn answer(text: &str) -> Self {
        Self::default().say(text).finish()
    }

    /// A request that fails before there is a stream.
    pub(crate) fn refuse(error: impl Fn() -> LlmError + Send + Sync + 'static) -> Self {
        Self { before: vec![Step::Fail(Arc::new(error))], within: Vec::new() }
    }

    pub(crate) fn refuse_as(kind: LlmErrorKind) -> Self {
        Self::refuse(move || LlmError::new(kind, "it failed; try again"))
    }

    /// Silence before there is a stream.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.before.push(Step::Sleep(wait));
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.within.push(step);
        self
    }

    pub(crate) fn event(self, event: ChatEvent) -> Self {
        self.step(Step::Event(event))
    }

    pub(crate) fn say(self, text: &str) -> Self {
        self.event(ChatEvent::Text(text.to_owned()))
    }

    pub(crate) fn progress(self) -> Self {
        let progress = Progress { stage: "loading".to_owned(), done: 1, total: 2 };
        self.event(ChatEvent::Progress(progress))
    }

    pub(crate) fn wait(self, wait: Duration) -> Self {
        self.step(Step::Sleep(wait))
    }

    pub(crate) fn finish(self) -> Self {
        let finish = Finish { reason: FinishReason::Stop, model: "fake".to_owned() };
        self.event(ChatEvent::Finished(finish))
    }

    pub(crate) fn fail(self, error: impl Fn() -> LlmError + Send + Sync + 'static) -> Self {
        self.step(Step::Fail(Arc::new(error)))
    }

    pub(crate) fn fail_as(self, kind: LlmErrorKind) -> Self {
        self.fail(move || LlmError::new(kind, "it failed; try again"))
    }
}

/// Plays one script a request; a request beyond them panics.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    plays: Arc<Mutex<VecDeque<Play>>>,
    asked: Arc<Mutex<Vec<Instant>>>,
    under_way: Arc<AtomicUsize>,
}

/// A request that has not ended.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fake {
    pub(crate) fn new(plays: impl IntoIterator<Item = Play>) -> Self {
        let fake = Self::default();
        fake.plays.lock().unwrap().extend(plays);
        fake
    }

    pub(crate) fn gateway(&self) -> Arc<dyn LlmGateway> {
        Arc::new(self.clone())
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The times between one request and the next.
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.asked.lock().unwrap().windows(2).map(|it| it[1] - it[0]).collect()
    }

    /// How many requests have not ended.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    fn begin(&self) -> (Play, UnderWay) {
        self.asked.lock().unwrap().push(Instant::now());
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let play = self.plays.lock().unwrap().pop_front().unwrap();
        (play, UnderWay(Arc::clone(&self.under_way)))
    }

    async fn play(&self) -> Result<ChatStream, LlmError> {
        let (play, under_way) = self.begin();
        pass(play.before).await?;
        let steps = stream::unfold((play.within.into_iter(), under_way), async |mut state| {
            loop {
                match state.0.next()? {
                    Step::Sleep(wait) => sleep(wait).await,
                    Step::Event(event) => return Some((Ok(event), state)),
                    Step::Fail(error) => {
                        return Some((Err(error()), (Vec::new().into_iter(), state.1)));
                    }
                }
            }
        });
        Ok(steps.boxed())
    }
}

async fn pass(steps: Vec<Step>) -> Result<(), LlmError> {
    for step in steps {
        match step {
            Step::Sleep(wait) => sleep(wait).await,
            Step::Fail(error) => return Err(error()),
            Step::Event(_) => {}
        }
    }
    Ok(())
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

#[async_trait]
impl LlmGateway for Fake {
    async fn stream(&self, _request: ChatRequest) -> Result<ChatStream, LlmError> {
        self.play().await
    }

    async fn complete_text(&self, _request: CompletionRequest) -> Result<ChatStream, LlmError> {
        self.play().await
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let (play, _under_way) = self.begin();
        pass(play.before).await?;
        let vectors = request.inputs.iter().map(|_| vec![1.0]).collect();
        let usage = Usage { input_tokens: 7, ..Usage::default() };
        Ok(Embeddings { model: "fake".to_owned(), vectors, usage })
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        let (play, _under_way) = self.begin();
        pass(play.before).await?;
        Ok(ModelList::default())
    }

    fn capabilities(&self, _model: &str) -> Capabilities {
        Capabilities::default()
    }

    fn tokens(&self, _model: &str) -> Arc<dyn TokenCounter> {
        Estimate::counter()
    }
}

pub(crate) fn question() -> ChatRequest {
    ChatRequest { messages: vec![Message::user("Hi").into()], ..ChatRequest::default() }
}

pub(crate) fn texts() -> EmbedRequest {
    EmbedRequest { model: String::new(), inputs: vec!["a".to_owned()] }
}

/// What came of a request: the events, then the failure if there was one.
pub(crate) async fn outcome(
    begun: Result<ChatStream, LlmError>,
) -> (Vec<ChatEvent>, Option<LlmError>) {
    let mut events = Vec::new();
    let mut stream = match begun {
        Ok(stream) => stream,
        Err(error) => return (events, Some(error)),
    };
    while let Some(item) = stream.next().await {
        match item {
            Ok(event) => events.push(event),
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error is the last item");
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

/// The texts among events.
pub(crate) fn said(events: &[ChatEvent]) -> String {
    let text = |event: &ChatEvent| match event {
        ChatEvent::Text(text) => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}
