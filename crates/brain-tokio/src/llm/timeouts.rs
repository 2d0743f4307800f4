//! Gives up on a gateway that is silent for too long.
//!
//! Events count here; how long a connection may take, and bytes that are no event, are the business
//! of the HTTP client. A slow reader is no silence of the gateway.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use brain_core::llm::{
    Capabilities, ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
    LlmError, LlmErrorKind, LlmGateway, ModelList, TokenCounter,
};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};

/// How long to wait for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutSettings {
    /// For the first event from the request on; news of progress begins it anew. It is also the
    /// longest that vectors and the list of models may take.
    pub first_event: Duration,
    /// From one event to the next.
    pub idle: Duration,
}

impl Default for TimeoutSettings {
    /// 10 min and 5 min: longer than an HTTP client waits for a byte, since a provider that thinks
    /// may send bytes that are no event.
    fn default() -> Self {
        let [first_event, idle] = [600, 300].map(Duration::from_secs);
        Self { first_event, idle }
    }
}

/// A gateway that may not be silent for too long; what is, is dropped.
#[derive(Debug)]
pub struct Timeouts {
    inner: Arc<dyn LlmGateway>,
    provider: Arc<str>,
    settings: TimeoutSettings,
}

impl Timeouts {
    /// `inner`, called `provider` in sentences, with these limits.
    #[must_use]
    pub fn new(inner: Arc<dyn LlmGateway>, provider: &str, settings: TimeoutSettings) -> Self {
        Self { inner, provider: provider.into(), settings }
    }

    async fn begin(
        &self,
        asking: impl Future<Output = Result<ChatStream, LlmError>> + Send,
    ) -> Result<ChatStream, LlmError> {
        let end = Instant::now() + self.settings.first_event;
        let begun = timeout_at(end, asking).await;
        let inner = begun.map_err(|_| self.late())??;
        let timed = Timed {
            inner: Some(inner),
            provider: Arc::clone(&self.provider),
            settings: self.settings,
            sleep: Box::pin(sleep_until(end)),
            is_stale: false,
            has_begun: false,
        };
        Ok(timed.boxed())
    }

    fn late(&self) -> LlmError {
        silent(LlmErrorKind::Unavailable, &self.provider, self.settings.first_event)
    }
}

/// An answer that is given up when nothing comes.
struct Timed {
    /// `None` once it was given up.
    inner: Option<ChatStream>,
    provider: Arc<str>,
    settings: TimeoutSettings,
    sleep: Pin<Box<Sleep>>,
    /// Whether an event has come since `sleep` was set.
    is_stale: bool,
    /// Whether something of the answer has come.
    has_begun: bool,
}

impl Timed {
    fn patience(&self) -> Duration {
        if self.has_begun { self.settings.idle } else { self.settings.first_event }
    }

    fn note(&mut self, event: &ChatEvent) {
        self.is_stale = true;
        self.has_begun |= !matches!(event, ChatEvent::Progress(_));
    }

    fn give_up(&mut self) -> LlmError {
        self.inner = None;
        let kind =
            if self.has_begun { LlmErrorKind::Interrupted } else { LlmErrorKind::Unavailable };
        silent(kind, &self.provider, self.patience())
    }
}

impl Stream for Timed {
    type Item = Result<ChatEvent, LlmError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        if let Poll::Ready(item) = inner.poll_next_unpin(context) {
            if let Some(Ok(event)) = &item {
                this.note(event);
            }
            return Poll::Ready(item);
        }
        // Set only where it has to be waited for: a timer costs more than an event.
        if std::mem::take(&mut this.is_stale) {
            let end = Instant::now() + this.patience();
            this.sleep.as_mut().reset(end);
        }
        ready!(this.sleep.as_mut().poll(context));
        Poll::Ready(Some(Err(this.give_up())))
    }
}

fn silent(kind: LlmErrorKind, provider: &str, waited: Duration) -> LlmError {
    let waited = waited.as_secs_f64();
    let message =
        format!("{provider} said nothing for {waited} s; try again, or allow it more time");
    LlmError::new(kind, message)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LlmGateway for Timeouts {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        self.begin(self.inner.stream(request)).await
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        self.begin(self.inner.complete_text(request)).await
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let made = timeout(self.settings.first_event, self.inner.embed(request)).await;
        made.map_err(|_| self.late())?
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        let listed = timeout(self.settings.first_event, self.inner.models()).await;
        listed.map_err(|_| self.late())?
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.inner.capabilities(model)
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        self.inner.tokens(model)
    }
}
