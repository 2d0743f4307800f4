//! Lets so many requests through at once; a bounded number waits, in order.
//!
//! It counts requests, not tokens, and knows nothing of the limits that a provider sets itself.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use brain_core::llm::{
    Capabilities, ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
    LlmError, LlmErrorKind, LlmGateway, ModelList, TokenCounter,
};
use futures_util::{Stream, StreamExt};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// When to come back to a full queue.
const COME_BACK: Duration = Duration::from_secs(1);

/// How many requests at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Requests under way at once; at least one.
    pub at_once: usize,
    /// Requests that wait for their turn; those beyond are refused.
    pub queue: usize,
    /// Longest wait in the queue.
    pub patience: Duration,
}

impl Default for LimitSettings {
    /// 512 at once, 1,024 in the queue, for at most 60 s.
    fn default() -> Self {
        Self { at_once: 512, queue: 1_024, patience: Duration::from_secs(60) }
    }
}

/// A gateway that is asked only so often at once. Chats, gaps to fill and vectors share the places;
/// the list of models needs none.
#[derive(Debug)]
pub struct Limit {
    inner: Arc<dyn LlmGateway>,
    provider: Arc<str>,
    settings: LimitSettings,
    places: Arc<Semaphore>,
    queue: Semaphore,
}

impl Limit {
    /// `inner`, called `provider` in sentences, asked at most so often at once.
    #[must_use]
    pub fn new(inner: Arc<dyn LlmGateway>, provider: &str, settings: LimitSettings) -> Self {
        let bounded = |count: usize| Semaphore::new(count.min(Semaphore::MAX_PERMITS));
        let settings = LimitSettings { at_once: settings.at_once.max(1), ..settings };
        Self {
            inner,
            provider: provider.into(),
            settings,
            places: Arc::new(bounded(settings.at_once)),
            queue: bounded(settings.queue),
        }
    }

    /// A place, held until it is dropped. Dropping the future leaves the queue.
    async fn place(&self) -> Result<OwnedSemaphorePermit, LlmError> {
        // It never overtakes: a place that is freed belongs to the first who waits.
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let waiting = self.queue.try_acquire().map_err(|_| self.is_full())?;
        let turn = Arc::clone(&self.places).acquire_owned();
        let place = timeout(self.settings.patience, turn).await.map_err(|_| self.takes_long())?;
        drop(waiting);
        place.map_err(|_| self.is_full())
    }

    async fn hold(
        &self,
        place: OwnedSemaphorePermit,
        asking: impl Future<Output = Result<ChatStream, LlmError>> + Send,
    ) -> Result<ChatStream, LlmError> {
        let inner = asking.await?;
        Ok(Held { held: Some((inner, place)) }.boxed())
    }

    fn is_full(&self) -> LlmError {
        let LimitSettings { at_once, queue, .. } = self.settings;
        let what = format!("has {at_once} requests under way and {queue} more that wait");
        self.overloaded(&what)
    }

    fn takes_long(&self) -> LlmError {
        let LimitSettings { at_once, patience, .. } = self.settings;
        let what = format!("had {at_once} requests under way for {} s", patience.as_secs_f64());
        self.overloaded(&what)
    }

    fn overloaded(&self, what: &str) -> LlmError {
        let provider = &self.provider;
        let message = format!("{provider} {what}; try again, or allow it more requests at once");
        LlmError::new(LlmErrorKind::Overloaded, message).with_retry_after(Some(COME_BACK))
    }
}

/// An answer that holds its place until its end.
struct Held {
    /// The answer goes first, so that its request has ended when the place is free.
    held: Option<(ChatStream, OwnedSemaphorePermit)>,
}

impl Stream for Held {
    type Item = Result<ChatEvent, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some((inner, _)) = &mut self.held else { return Poll::Ready(None) };
        let item = inner.poll_next_unpin(context);
        if matches!(item, Poll::Ready(None | Some(Err(_)))) {
            self.held = None;
        }
        item
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LlmGateway for Limit {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        let place = self.place().await?;
        self.hold(place, self.inner.stream(request)).await
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        let place = self.place().await?;
        self.hold(place, self.inner.complete_text(request)).await
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let _place = self.place().await?;
        self.inner.embed(request).await
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        self.inner.models().await
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.inner.capabilities(model)
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        self.inner.tokens(model)
    }
}
