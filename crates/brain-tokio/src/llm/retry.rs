//! Asks again, after a pause, when an attempt failed before anything was said.
//!
//! It asks the same gateway the same thing; another model is the turn's business. What may be tried
//! again says the error itself ([`LlmError::is_transient`]).

mod budget;
mod course;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use brain_core::llm::{
    Capabilities, ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
    LlmError, LlmGateway, ModelList, TokenCounter,
};
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture};
use tokio::time::sleep;

pub use self::budget::BudgetSettings;
use self::{
    budget::Budget,
    course::{Course, Next},
};

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Longest pause before the second attempt; it doubles with each. The real one is drawn from
    /// zero to there, and four times as long for a provider that is overloaded.
    pub pause: Duration,
    /// Longest pause that is drawn.
    pub longest_pause: Duration,
    /// Longest pause that a provider is granted when it asks for one; a request to which it wants
    /// to answer only later fails at once, with an error that says when.
    pub longest_hint: Duration,
    /// How many retries all requests together may have.
    pub budget: BudgetSettings,
}

impl Default for RetrySettings {
    /// 3 attempts; pauses of up to 0.5 s and 1 s, at most 8 s; hints of up to 60 s.
    fn default() -> Self {
        Self {
            attempts: 3,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(8),
            longest_hint: Duration::from_secs(60),
            budget: BudgetSettings::default(),
        }
    }
}

/// A gateway that is asked again when it fails in a way that may pass.
///
/// - Nothing is asked again once an event of the answer was handed on; news of progress is none.
/// - An answer that may have been made and billed before it was lost is asked for twice at most, unless
///   the error says that it is not ([`LlmError::is_unbilled`]); vectors, which are cheap and the same each time, as often as anything else.
/// - All requests share a budget, so that a provider with a problem does not get three times the
///   load.
/// - The pauses that a provider asks for are kept, up to a limit.
/// - A stream tells of each retry with [`ChatEvent::Progress`].
/// - The list of models is asked for once.
#[derive(Debug)]
pub struct Retry {
    shared: Arc<Shared>,
}

/// What the gateway and its answers share.
#[derive(Debug)]
struct Shared {
    inner: Arc<dyn LlmGateway>,
    provider: Arc<str>,
    settings: RetrySettings,
    budget: Budget,
}

impl Shared {
    /// What follows from this failure; the log tells of a retry.
    fn next(&self, course: &mut Course, error: &LlmError) -> Next {
        let next = course.next(error, &self.settings, &self.budget);
        if let Next::After(pause) = &next {
            let (provider, pause) = (&*self.provider, pause.as_secs_f64());
            tracing::warn!(provider, %error, pause, "asking the provider again");
        }
        next
    }
}

impl Retry {
    /// `inner`, called `provider` in sentences, with these settings.
    #[must_use]
    pub fn new(inner: Arc<dyn LlmGateway>, provider: &str, settings: RetrySettings) -> Self {
        let budget = Budget::new(settings.budget);
        let provider = provider.into();
        Self { shared: Arc::new(Shared { inner, provider, settings, budget }) }
    }

    async fn begin<Q: Question>(&self, question: Q) -> Result<ChatStream, LlmError> {
        let shared = Arc::clone(&self.shared);
        shared.budget.earn();
        let asking = question.clone().ask(Arc::clone(&shared.inner));
        let course = Course::generation();
        let mut answer = Retrying { state: State::Ended, question: Some(question), course, shared };
        match asking.await {
            Ok(stream) => answer.state = State::Answering(stream),
            Err(error) => answer.fail(error)?,
        }
        Ok(answer.boxed())
    }
}

/// What is asked for with a stream of events.
trait Question: Clone + Send + Unpin + 'static {
    fn ask(self, gateway: Arc<dyn LlmGateway>) -> Asking;
}

type Asking = BoxFuture<'static, Result<ChatStream, LlmError>>;

impl Question for ChatRequest {
    fn ask(self, gateway: Arc<dyn LlmGateway>) -> Asking {
        async move { gateway.stream(self).await }.boxed()
    }
}

impl Question for CompletionRequest {
    fn ask(self, gateway: Arc<dyn LlmGateway>) -> Asking {
        async move { gateway.complete_text(self).await }.boxed()
    }
}

/// An answer, with the attempts before it.
struct Retrying<Q> {
    state: State,
    /// `None` once it must not be asked again.
    question: Option<Q>,
    course: Course,
    shared: Arc<Shared>,
}

enum State {
    Answering(ChatStream),
    /// Tells of what comes next.
    Noted(ChatEvent, Asking),
    Asking(Asking),
    Ended,
}

impl<Q: Question> Retrying<Q> {
    /// Goes over to the next attempt, or ends with the error.
    fn fail(&mut self, error: LlmError) -> Result<(), LlmError> {
        self.state = State::Ended;
        let Some(question) = &self.question else { return Err(error) };
        let pause = match self.shared.next(&mut self.course, &error) {
            Next::After(pause) => pause,
            Next::Fail => return Err(error),
            Next::NotBefore(hint) => return Err(not_before(error, hint)),
        };
        let note = self.course.note(&self.shared, &error, pause);
        let asking = question.clone().ask(Arc::clone(&self.shared.inner));
        let later = async move {
            sleep(pause).await;
            asking.await
        };
        self.state = State::Noted(ChatEvent::Progress(note), later.boxed());
        Ok(())
    }
}

impl<Q: Question> Stream for Retrying<Q> {
    type Item = Result<ChatEvent, LlmError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let error = match &mut this.state {
                State::Answering(stream) => match ready!(stream.poll_next_unpin(context)) {
                    Some(Ok(event)) => {
                        if !matches!(event, ChatEvent::Progress(_)) {
                            this.question = None;
                        }
                        return Poll::Ready(Some(Ok(event)));
                    }
                    Some(Err(error)) => error,
                    None => {
                        this.state = State::Ended;
                        return Poll::Ready(None);
                    }
                },
                State::Asking(asking) => match ready!(asking.poll_unpin(context)) {
                    Ok(stream) => {
                        this.state = State::Answering(stream);
                        continue;
                    }
                    Err(error) => error,
                },
                State::Noted(..) => return Poll::Ready(this.take_note()),
                State::Ended => return Poll::Ready(None),
            };
            if let Err(error) = this.fail(error) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl<Q> Retrying<Q> {
    fn take_note(&mut self) -> Option<Result<ChatEvent, LlmError>> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Noted(note, asking) => {
                self.state = State::Asking(asking);
                Some(Ok(note))
            }
            State::Answering(_) | State::Asking(_) | State::Ended => None,
        }
    }
}

/// The error of a provider that is to be asked so late that nobody waits for it.
fn not_before(error: LlmError, hint: Duration) -> LlmError {
    let when = format!("{} s", hint.as_secs_f64().ceil());
    let said = error.to_string();
    if said.contains(&when) {
        return error;
    }
    error.reworded(format!("{said}, in {when} at the earliest"))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LlmGateway for Retry {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        self.begin(request).await
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        self.begin(request).await
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        self.shared.budget.earn();
        let mut course = Course::repeatable();
        loop {
            let error = match self.shared.inner.embed(request.clone()).await {
                Ok(made) => return Ok(made),
                Err(error) => error,
            };
            match self.shared.next(&mut course, &error) {
                Next::After(pause) => sleep(pause).await,
                Next::Fail => return Err(error),
                Next::NotBefore(hint) => return Err(not_before(error, hint)),
            }
        }
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        self.shared.inner.models().await
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.shared.inner.capabilities(model)
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        self.shared.inner.tokens(model)
    }
}
