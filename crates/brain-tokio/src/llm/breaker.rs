//! Asks a provider no more for a while once it has failed several times in a row.
//!
//! It asks nobody by itself: the next request after the pause is the probe.

mod state;

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

use self::state::{Circuit, Ticket};

/// When to ask no more for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it; at least one.
    pub failures: u32,
    /// How long it stays open at first; each probe that fails doubles that.
    pub pause: Duration,
    /// Longest that it stays open.
    pub longest_pause: Duration,
}

impl Default for BreakerSettings {
    /// Opens after 5 failures, for 10 s, and for at most 2 min.
    fn default() -> Self {
        let [pause, longest_pause] = [10, 120].map(Duration::from_secs);
        Self { failures: 5, pause, longest_pause }
    }
}

/// A gateway that is spared while it fails.
///
/// A request counts once, by the first thing that comes of it: an event, or an error. It failed
/// where the provider could not be reached, was overloaded, was silent or broke off, unless the error
/// says that asking again would not help: that is about one request, such as for a model too large for
/// the server. What is wrong with a request, a key, an account or a pace is an answer like any other.
/// The list of models is asked for at any time, and counts for nothing.
///
/// While it is open, requests fail at once with [`LlmErrorKind::Unavailable`] that says when the
/// provider is asked again, and that asking again before makes no sense.
#[derive(Debug)]
pub struct Breaker {
    inner: Arc<dyn LlmGateway>,
    provider: Arc<str>,
    circuit: Arc<Circuit>,
}

impl Breaker {
    /// `inner`, called `provider` in sentences, with these settings.
    #[must_use]
    pub fn new(inner: Arc<dyn LlmGateway>, provider: &str, settings: BreakerSettings) -> Self {
        let circuit = Arc::new(Circuit::new(settings));
        Self { inner, provider: provider.into(), circuit }
    }

    fn ticket(&self) -> Result<Ticket, LlmError> {
        Circuit::admit(&self.circuit).map_err(|refused| {
            let wait = refused.wait.as_secs_f64().ceil();
            let message = format!(
                "{} is not asked for {wait} s, since it failed several times: {}",
                self.provider, refused.last_failure
            );
            LlmError::new(LlmErrorKind::Unavailable, message)
                .with_retry_after(Some(refused.wait))
                .with_advice(Some(false))
        })
    }
}

async fn judge_stream(
    ticket: Ticket,
    asking: impl Future<Output = Result<ChatStream, LlmError>> + Send,
) -> Result<ChatStream, LlmError> {
    match asking.await {
        Ok(inner) => Ok(Judged { inner, ticket: Some(ticket) }.boxed()),
        Err(error) => Err(judge(ticket, error)),
    }
}

/// Counts what came of a request.
fn judge(ticket: Ticket, error: LlmError) -> LlmError {
    if is_failure(error.kind()) && error.is_transient() {
        ticket.failed(&error);
    } else {
        ticket.answered();
    }
    error
}

/// Whether this is a fault of the provider that others would meet too.
fn is_failure(kind: LlmErrorKind) -> bool {
    match kind {
        LlmErrorKind::Overloaded | LlmErrorKind::Unavailable | LlmErrorKind::Interrupted => true,
        LlmErrorKind::RateLimited
        | LlmErrorKind::QuotaExceeded
        | LlmErrorKind::ContextOverflow
        | LlmErrorKind::Unauthorised
        | LlmErrorKind::ModelNotFound
        | LlmErrorKind::Rejected
        | LlmErrorKind::Unsupported
        | LlmErrorKind::Damaged
        | LlmErrorKind::Protocol => false,
    }
}

/// An answer whose first item counts.
struct Judged {
    inner: ChatStream,
    /// `None` once it has been judged.
    ticket: Option<Ticket>,
}

impl Stream for Judged {
    type Item = Result<ChatEvent, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = std::task::ready!(self.inner.poll_next_unpin(context));
        let Some(ticket) = self.ticket.take() else { return Poll::Ready(item) };
        Poll::Ready(match item {
            Some(Err(error)) => Some(Err(judge(ticket, error))),
            Some(Ok(event)) => {
                ticket.answered();
                Some(Ok(event))
            }
            None => None,
        })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LlmGateway for Breaker {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        judge_stream(self.ticket()?, self.inner.stream(request)).await
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        judge_stream(self.ticket()?, self.inner.complete_text(request)).await
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let ticket = self.ticket()?;
        match self.inner.embed(request).await {
            Ok(made) => {
                ticket.answered();
                Ok(made)
            }
            Err(error) => Err(judge(ticket, error)),
        }
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
