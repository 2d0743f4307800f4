//! Whatever is dropped whenever: never more under way than there are places, and no place is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use brain_core::llm::{
    Capabilities, ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
    Estimate, LlmError, LlmErrorKind, LlmGateway, ModelList, TokenCounter,
};
use brain_tokio::llm::{Limit, LimitSettings};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, poll, stream};
use proptest::prelude::*;

use crate::fake::question;

/// A gateway that gives way at each step, and counts who is inside.
#[derive(Clone, Debug, Default)]
struct Steps {
    inside: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

struct Inside(Arc<AtomicUsize>);

impl Inside {
    fn new(steps: &Steps) -> Self {
        steps.asked.fetch_add(1, Ordering::SeqCst);
        steps.inside.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&steps.inside))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl LlmGateway for Steps {
    async fn stream(&self, _request: ChatRequest) -> Result<ChatStream, LlmError> {
        let inside = Inside::new(self);
        tokio::task::yield_now().await;
        if self.asked.load(Ordering::SeqCst).is_multiple_of(5) {
            return Err(LlmError::new(LlmErrorKind::Rejected, "every fifth is refused"));
        }
        let items = stream::unfold((inside, 0), async |(inside, count)| {
            tokio::task::yield_now().await;
            (count < 3).then(|| (Ok(ChatEvent::Text("x".to_owned())), (inside, count + 1)))
        });
        Ok(items.boxed())
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        Err(LlmError::fills_no_gaps(&request.model))
    }

    async fn embed(&self, _request: EmbedRequest) -> Result<Embeddings, LlmError> {
        Err(LlmError::new(LlmErrorKind::Unsupported, "no vectors"))
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        Ok(ModelList::default())
    }

    fn capabilities(&self, _model: &str) -> Capabilities {
        Capabilities::default()
    }

    fn tokens(&self, _model: &str) -> Arc<dyn TokenCounter> {
        Estimate::counter()
    }
}

/// A request at any stage.
enum Request<'a> {
    Asking(BoxFuture<'a, Result<ChatStream, LlmError>>),
    Reading(ChatStream),
    Ended,
}

impl Request<'_> {
    /// Goes one step, if it can.
    async fn poll(&mut self) {
        match self {
            Self::Asking(asking) => match poll!(asking) {
                Poll::Ready(Ok(stream)) => *self = Self::Reading(stream),
                Poll::Ready(Err(_)) => *self = Self::Ended,
                Poll::Pending => {}
            },
            Self::Reading(stream) => {
                if let Poll::Ready(None) = poll!(stream.next()) {
                    *self = Self::Ended;
                }
            }
            Self::Ended => {}
        }
    }
}

/// What the test does next.
#[derive(Clone, Copy, Debug)]
enum Action {
    Ask,
    Poll(prop::sample::Index),
    Drop(prop::sample::Index),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        2 => Just(Action::Ask),
        6 => any::<prop::sample::Index>().prop_map(Action::Poll),
        1 => any::<prop::sample::Index>().prop_map(Action::Drop),
    ];
    prop::collection::vec(action, 0..120)
}

async fn check(at_once: usize, queue: usize, actions: Vec<Action>) {
    let steps = Steps::default();
    let settings = LimitSettings { at_once, queue, patience: Duration::from_secs(3_600) };
    let limit = Limit::new(Arc::new(steps.clone()), "lab", settings);
    let mut requests = Vec::new();
    for action in actions {
        match action {
            Action::Ask => requests.push(Request::Asking(limit.stream(question()).boxed())),
            Action::Poll(index) if !requests.is_empty() => {
                index.get_mut(&mut requests).poll().await;
            }
            Action::Drop(index) if !requests.is_empty() => {
                drop(requests.swap_remove(index.index(requests.len())));
            }
            Action::Poll(_) | Action::Drop(_) => {}
        }
        assert!(steps.inside.load(Ordering::SeqCst) <= at_once);
    }
    drop(requests);
    assert_eq!(steps.inside.load(Ordering::SeqCst), 0);
    // As many as at the beginning are let in at once, and one more is not; the queue is empty.
    let mut all: Vec<_> = (0..at_once + queue).map(|_| limit.stream(question()).boxed()).collect();
    for it in &mut all {
        assert!(poll!(it).is_pending());
    }
    assert_eq!(steps.inside.load(Ordering::SeqCst), at_once);
    assert!(limit.stream(question()).await.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn places_are_neither_exceeded_nor_lost(
        at_once in 1_usize..4,
        queue in 0_usize..4,
        actions in actions(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(check(at_once, queue, actions));
    }
}
