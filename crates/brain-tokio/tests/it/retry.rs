//! What is around the retries: the budget, what people see, cancelling, the other operations.

use std::time::Duration;

use brain_core::llm::{
    ChatEvent, CompletionRequest, LlmError,
    LlmErrorKind::{self, Overloaded, RateLimited, Unavailable},
    LlmGateway, Progress,
};
use brain_tokio::llm::{BudgetSettings, Retry, RetrySettings};
use futures_util::{StreamExt, poll};
use tokio::time::advance;

use crate::fake::{Fake, Play, outcome, question, said, seconds, texts};

fn retry(fake: &Fake, budget: BudgetSettings) -> Retry {
    Retry::new(fake.gateway(), "lab", RetrySettings { budget, ..RetrySettings::default() })
}

async fn failure(retry: &Retry) -> LlmErrorKind {
    outcome(retry.stream(question()).await).await.1.unwrap().kind()
}

#[tokio::test(start_paused = true)]
async fn all_requests_share_a_budget() {
    let fake = Fake::new(vec![Play::refuse_as(Overloaded); 100]);
    let budget = BudgetSettings { saved: 3, per_hundred: 50, every: seconds(1_000) };
    let retry = retry(&fake, budget);
    for _ in 0..10 {
        assert_eq!(failure(&retry).await, Overloaded);
    }
    // Three that were saved, and four or five that nine more requests earned.
    assert_eq!(fake.asked(), 10 + 3 + 4);
    advance(seconds(2_000)).await;
    let before = fake.asked();
    failure(&retry).await;
    assert_eq!(fake.asked() - before, 3);
    advance(seconds(1_000_000)).await;
    let before = fake.asked();
    for _ in 0..2 {
        failure(&retry).await;
    }
    assert_eq!(fake.asked() - before, 2 + 3, "no more than can be saved");
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_has_begun_is_not_lost() {
    let fake = Fake::new(vec![Play::refuse(|| LlmError::new(RateLimited, "slow")); 100]);
    let budget = BudgetSettings { saved: 2, per_hundred: 0, every: seconds(1_000) };
    let retry = retry(&fake, budget);
    failure(&retry).await;
    for (wait, asked) in [(1_900, 2), (900, 2)] {
        advance(seconds(wait)).await;
        let before = fake.asked();
        failure(&retry).await;
        assert_eq!(fake.asked() - before, asked, "{wait}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_of_each_retry() {
    let limited =
        Play::refuse(|| LlmError::new(RateLimited, "slow down").with_retry_after(Some(seconds(4))));
    let fake = Fake::new([limited.clone(), limited, Play::answer("Hello")]);
    let retry = retry(&fake, BudgetSettings::default());
    let (events, failure) = outcome(retry.stream(question()).await).await;
    assert!(failure.is_none());
    let note = |event: &ChatEvent| match event {
        ChatEvent::Progress(Progress { stage, done, total }) => {
            Some((stage.clone(), *done, *total))
        }
        _ => None,
    };
    let notes: Vec<_> = events.iter().filter_map(note).collect();
    assert_eq!(notes.iter().map(|it| (it.1, it.2)).collect::<Vec<_>>(), [(2, 3), (3, 3)]);
    assert!(notes[0].0.starts_with("asking lab again in 4."), "{notes:?}");
    assert!(notes[0].0.ends_with(" s, since it failed: slow down"), "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn leaving_ends_the_attempts() {
    let fake = Fake::new([Play::refuse_as(Unavailable)]);
    let retry = retry(&fake, BudgetSettings::default());
    let mut stream = retry.stream(question()).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(ChatEvent::Progress(_)))));
    assert!(poll!(stream.next()).is_pending());
    drop(stream);
    advance(seconds(60)).await;
    assert_eq!(fake.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn gaps_are_filled_as_chats_are_answered() {
    let fake = Fake::new([Play::refuse_as(Unavailable), Play::answer("filled")]);
    let retry = retry(&fake, BudgetSettings::default());
    let (events, failure) = outcome(retry.complete_text(CompletionRequest::default()).await).await;
    assert!(failure.is_none());
    assert_eq!(said(&events), "filled");
}

#[tokio::test(start_paused = true)]
async fn vectors_are_the_same_each_time_and_asked_for_three_times() {
    let failed = Play::refuse_as(Unavailable);
    let fake = Fake::new(vec![failed.clone(); 3]);
    let error = retry(&fake, BudgetSettings::default()).embed(texts()).await.unwrap_err();
    assert_eq!((error.kind(), fake.asked()), (Unavailable, 3));
    let fake = Fake::new([failed.clone(), failed, Play::default()]);
    assert!(retry(&fake, BudgetSettings::default()).embed(texts()).await.is_ok());
    let hinted = || LlmError::new(Overloaded, "busy").with_retry_after(Some(seconds(100)));
    let fake = Fake::new([Play::refuse(hinted)]);
    let error = retry(&fake, BudgetSettings::default()).embed(texts()).await.unwrap_err();
    assert_eq!(error.to_string(), "busy, in 100 s at the earliest");
    assert_eq!(fake.pauses(), Vec::<Duration>::new());
}

#[tokio::test(start_paused = true)]
async fn the_list_of_models_is_asked_for_once() {
    let fake = Fake::new([Play::refuse_as(Unavailable)]);
    let error = retry(&fake, BudgetSettings::default()).models().await.unwrap_err();
    assert_eq!((error.kind(), fake.asked()), (Unavailable, 1));
}
