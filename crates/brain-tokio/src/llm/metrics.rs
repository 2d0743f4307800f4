//! Tells an observer of each request: how it ended, how long it took, what it cost.
//!
//! It changes nothing, and keeps no figures itself; [`Counters`] does.

mod counters;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use brain_core::{
    chat::Usage,
    llm::{
        Capabilities, ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest,
        Embeddings, LlmError, LlmErrorKind, LlmGateway, ModelList, TokenCounter,
    },
};
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

pub use self::counters::{Counters, Totals};

/// Learns of requests to providers. It is called on the reply's path, so it returns at once.
pub trait LlmObserver: fmt::Debug + Send + Sync + 'static {
    /// A request to this provider begins.
    fn began(&self, provider: &str, operation: Operation);

    /// A request has ended; called once for each that began, whatever ended it.
    fn ended(&self, provider: &str, call: &Call);
}

/// What a gateway was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// An answer.
    Chat,
    /// What fills a gap.
    Complete,
    /// Vectors.
    Embed,
    /// The list of models.
    Models,
}

impl Operation {
    /// A stable name for logs and figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Complete => "complete",
            Self::Embed => "embed",
            Self::Models => "models",
        }
    }
}

/// A request that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was asked for.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
    /// From the request to the first event of the answer, news of progress aside; `None` if none came
    /// or the answer does not stream.
    pub first_event: Option<Duration>,
    /// From the request to the end.
    pub duration: Duration,
    /// What the provider said it cost; zeros where it did not say.
    pub usage: Usage,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered to the end.
    Answered,
    /// It failed, before an answer or within.
    Failed(LlmErrorKind),
    /// Whoever asked left before the end.
    Cancelled,
}

/// A gateway whose requests are observed.
#[derive(Debug)]
pub struct Metrics {
    inner: Arc<dyn LlmGateway>,
    provider: Arc<str>,
    observer: Arc<dyn LlmObserver>,
}

impl Metrics {
    /// `inner`, called `provider` in the figures, observed by `observer`.
    #[must_use]
    pub fn new(inner: Arc<dyn LlmGateway>, provider: &str, observer: Arc<dyn LlmObserver>) -> Self {
        Self { inner, provider: provider.into(), observer }
    }

    fn begin(&self, operation: Operation) -> Observed {
        self.observer.began(&self.provider, operation);
        let (observer, provider) = (Arc::clone(&self.observer), Arc::clone(&self.provider));
        let call = Call {
            operation,
            outcome: Outcome::Cancelled,
            first_event: None,
            duration: Duration::ZERO,
            usage: Usage::default(),
        };
        Observed { observer, provider, started: Instant::now(), call }
    }
}

/// A request under way; the observer learns its end when this is dropped.
struct Observed {
    observer: Arc<dyn LlmObserver>,
    provider: Arc<str>,
    started: Instant,
    call: Call,
}

impl Observed {
    async fn stream(
        mut self,
        asking: impl Future<Output = Result<ChatStream, LlmError>> + Send,
    ) -> Result<ChatStream, LlmError> {
        match asking.await {
            Ok(inner) => Ok(Watched { inner, observed: Some(self) }.boxed()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&mut self, error: LlmError) -> LlmError {
        self.call.outcome = Outcome::Failed(error.kind());
        error
    }

    /// Notes how it ended, and hands the result on.
    fn whole<T>(
        mut self,
        result: Result<T, LlmError>,
        cost: fn(&T) -> Usage,
    ) -> Result<T, LlmError> {
        match result {
            Ok(made) => {
                self.call.outcome = Outcome::Answered;
                self.call.usage = cost(&made);
                Ok(made)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The answer ends; without a word that it is whole, it broke off.
    fn break_off(&mut self) {
        if self.call.outcome == Outcome::Cancelled {
            self.call.outcome = Outcome::Failed(LlmErrorKind::Interrupted);
        }
    }

    fn see(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::Progress(_) => return,
            ChatEvent::Usage(usage) => self.call.usage = *usage,
            ChatEvent::Finished(_) => self.call.outcome = Outcome::Answered,
            ChatEvent::Text(_)
            | ChatEvent::Reasoning(_)
            | ChatEvent::ToolCallDelta(_)
            | ChatEvent::ToolCall(_) => {}
        }
        if self.call.first_event.is_none() {
            self.call.first_event = Some(self.started.elapsed());
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.call.duration = self.started.elapsed();
        self.observer.ended(&self.provider, &self.call);
    }
}

/// An answer that is observed.
struct Watched {
    inner: ChatStream,
    /// `None` once the observer has been told.
    observed: Option<Observed>,
}

impl Stream for Watched {
    type Item = Result<ChatEvent, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.inner.poll_next_unpin(context));
        if let Some(mut observed) = self.observed.take() {
            match &item {
                Some(Ok(event)) => {
                    observed.see(event);
                    self.observed = Some(observed);
                }
                Some(Err(error)) => observed.call.outcome = Outcome::Failed(error.kind()),
                None => observed.break_off(),
            }
        }
        Poll::Ready(item)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LlmGateway for Metrics {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        self.begin(Operation::Chat).stream(self.inner.stream(request)).await
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        self.begin(Operation::Complete).stream(self.inner.complete_text(request)).await
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let observed = self.begin(Operation::Embed);
        observed.whole(self.inner.embed(request).await, |made| made.usage)
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        let observed = self.begin(Operation::Models);
        observed.whole(self.inner.models().await, |_| Usage::default())
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.inner.capabilities(model)
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        self.inner.tokens(model)
    }
}
