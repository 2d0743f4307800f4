//! Places, the queue, and that none is lost.

use brain_core::llm::{ChatStream, CompletionRequest, LlmError, LlmErrorKind, LlmGateway};
use brain_tokio::llm::{Limit, LimitSettings};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, poll};
use tokio::time::Instant;

use crate::fake::{Fake, Play, outcome, question, seconds, texts};

fn limit(fake: &Fake, at_once: usize, queue: usize) -> Limit {
    let settings = LimitSettings { at_once, queue, patience: seconds(30) };
    Limit::new(fake.gateway(), "lab", settings)
}

fn ask(limit: &Limit) -> BoxFuture<'_, Result<ChatStream, LlmError>> {
    limit.stream(question()).boxed()
}

/// One answer under way and one that waits, over what has a place for each.
macro_rules! one_and_one {
    ($fake:ident, $limit:ident, $first:ident, $second:ident) => {
        let $fake = Fake::new(vec![Play::answer("Hello"); 3]);
        let $limit = limit(&$fake, 1, 1);
        let $first = ask(&$limit).await.unwrap();
        let mut $second = ask(&$limit);
        assert!(poll!(&mut $second).is_pending());
        assert_eq!($fake.asked(), 1);
    };
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_told_with_what_to_do() {
    one_and_one!(fake, limit, first, second);
    let Err(error) = ask(&limit).await else { panic!("there is no place") };
    assert_eq!(error.kind(), LlmErrorKind::Overloaded);
    let sentence = "lab has 1 requests under way and 1 more that wait; try again, or allow it more requests at once";
    assert_eq!(error.to_string(), sentence);
    assert_eq!(error.retry_after(), Some(seconds(1)));
    drop(first);
    outcome(second.await).await;
    assert_eq!(fake.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_makes_room() {
    one_and_one!(fake, limit, first, second);
    drop(second);
    let mut third = ask(&limit);
    assert!(poll!(&mut third).is_pending());
    drop(first);
    outcome(third.await).await;
    assert_eq!(fake.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_at_the_end_of_an_answer_though_it_is_still_held() {
    let failed = Play::default().say("Hel").fail_as(LlmErrorKind::Interrupted);
    for play in [Play::answer("Hello"), failed] {
        let fake = Fake::new([play, Play::answer("Hello")]);
        let limit = limit(&fake, 1, 0);
        let mut stream = limit.stream(question()).await.unwrap();
        while let Some(Ok(_)) = stream.next().await {
            assert!(ask(&limit).await.is_err(), "the place is taken");
        }
        assert!(ask(&limit).await.is_ok());
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_frees_its_place() {
    let fake = Fake::new([Play::refuse_as(LlmErrorKind::Rejected), Play::answer("Hello")]);
    let limit = limit(&fake, 1, 0);
    assert!(ask(&limit).await.is_err());
    assert!(ask(&limit).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiting_takes_no_longer_than_it_may() {
    one_and_one!(_fake, limit, _first, second);
    let begun = Instant::now();
    let Err(error) = second.await else { panic!("there is no place") };
    assert_eq!((error.kind(), begun.elapsed()), (LlmErrorKind::Overloaded, seconds(30)));
    let sentence =
        "lab had 1 requests under way for 30 s; try again, or allow it more requests at once";
    assert_eq!(error.to_string(), sentence);
}

#[tokio::test(start_paused = true)]
async fn who_waits_longest_comes_first() {
    let fake = Fake::new(vec![Play::answer("Hello"); 4]);
    let limit = limit(&fake, 1, 3);
    let first = ask(&limit).await.unwrap();
    let mut waiting: Vec<_> = (0..3).map(|_| ask(&limit)).collect();
    for it in &mut waiting {
        assert!(poll!(it).is_pending());
    }
    drop(first);
    let [mut second, mut third, mut fourth] = waiting.try_into().ok().unwrap();
    assert!(poll!(&mut fourth).is_pending());
    assert!(poll!(&mut third).is_pending());
    let stream = second.as_mut().await.unwrap();
    assert!(poll!(&mut fourth).is_pending());
    drop(stream);
    drop(third.await.unwrap());
    drop(fourth.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn everything_that_computes_shares_the_places() {
    let slow = Play::default().after(seconds(1));
    let fake = Fake::new([slow.clone(), slow.clone(), slow]);
    let limit = limit(&fake, 1, 9);
    let begun = Instant::now();
    let gap = async { outcome(limit.complete_text(CompletionRequest::default()).await).await };
    let chat = async { outcome(ask(&limit).await).await };
    let (_, _, vectors) = tokio::join!(gap, chat, limit.embed(texts()));
    assert_eq!(vectors.unwrap().vectors.len(), 1);
    assert_eq!(begun.elapsed(), seconds(3));
}

#[tokio::test(start_paused = true)]
async fn the_list_of_models_needs_no_place() {
    one_and_one!(_fake, limit, _first, _second);
    assert!(limit.models().await.is_ok());
}
