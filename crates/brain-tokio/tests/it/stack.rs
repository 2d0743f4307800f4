//! All wrappers together: what one does to the others.

use std::sync::Arc;

use brain_core::llm::{
    LlmErrorKind::{Overloaded, RateLimited, Unavailable},
    LlmGateway,
};
use brain_testkit::{Answer, Gate, ScriptedLlm};
use brain_tokio::llm::{
    BreakerSettings, Counters, LimitSettings, Operation, StackSettings, TimeoutSettings, stack,
};
use futures_util::{FutureExt, StreamExt, poll};
use tokio::time::Instant;

use crate::fake::{Fake, Play, outcome, question, said, seconds};

fn stacked(fake: &Fake, settings: &StackSettings) -> Arc<dyn LlmGateway> {
    stack(fake.gateway(), settings)
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_silent_is_made_again() {
    let fake = Fake::new([Play::default().after(seconds(3_600)), Play::answer("Hello")]);
    let timeouts = TimeoutSettings { first_event: seconds(5), idle: seconds(5) };
    let settings = StackSettings { timeouts: Some(timeouts), ..StackSettings::remote("lab") };
    let (events, failure) = outcome(stacked(&fake, &settings).stream(question()).await).await;
    assert!(failure.is_none());
    assert_eq!((said(&events).as_str(), fake.under_way()), ("Hello", 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_breaker_refuses_is_not_made_again() {
    let fake = Fake::new(vec![Play::refuse_as(Unavailable); 5]);
    let breaker = BreakerSettings { failures: 4, ..BreakerSettings::default() };
    let settings = StackSettings { breaker: Some(breaker), ..StackSettings::remote("lab") };
    let llm = stacked(&fake, &settings);
    for _ in 0..2 {
        assert_eq!(outcome(llm.stream(question()).await).await.1.unwrap().kind(), Unavailable);
    }
    assert_eq!(fake.asked(), 4);
    let begun = Instant::now();
    let Err(error) = llm.stream(question()).await else { panic!("it is open") };
    assert!(error.to_string().starts_with("lab is not asked for"), "{error}");
    assert_eq!((fake.asked(), begun.elapsed()), (4, seconds(0)));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_neither_retried_nor_a_fault_of_the_provider() {
    let counters = Arc::new(Counters::default());
    let fake = Fake::new(vec![Play::answer("Hello"); 2]);
    let limit = LimitSettings { at_once: 1, queue: 0, ..LimitSettings::default() };
    let settings = StackSettings { limit: Some(limit), ..StackSettings::remote("lab") };
    let llm = stacked(&fake, &settings.observed_by(Arc::clone(&counters) as _));
    let held = llm.stream(question()).await.unwrap();
    for _ in 0..20 {
        let Err(error) = llm.stream(question()).await else { panic!("it is full") };
        assert_eq!(error.kind(), Overloaded);
    }
    drop(held);
    assert!(outcome(llm.stream(question()).await).await.1.is_none());
    let totals = &counters.totals()["lab"][&Operation::Chat];
    assert_eq!((totals.failed["provider_overloaded"], totals.answered), (20, 1));
    assert_eq!((totals.cancelled, totals.under_way), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_to_ask_again_keeps_its_place() {
    let fake = Fake::new([Play::refuse_as(RateLimited), Play::answer("Hello")]);
    let limit = LimitSettings { at_once: 1, queue: 0, ..LimitSettings::default() };
    let settings = StackSettings { limit: Some(limit), ..StackSettings::remote("lab") };
    let llm = stacked(&fake, &settings);
    let waiting = llm.stream(question()).await.unwrap();
    assert!(llm.stream(question()).await.is_err());
    assert_eq!(said(&outcome(Ok(waiting)).await.0), "Hello");
}

#[tokio::test]
async fn leaving_reaches_the_provider_at_any_stage() {
    let gate = Gate::new();
    let silent = Answer::new().after(&gate).finish();
    let begun = Answer::new().say("Hel").wait(&gate).finish();
    let scripted = ScriptedLlm::new([silent, begun]);
    let llm = stack(Arc::new(scripted.clone()), &StackSettings::remote("lab"));
    let mut asking = llm.stream(question()).boxed();
    assert!(poll!(&mut asking).is_pending());
    drop(asking);
    scripted.dropped(1).await;
    let mut stream = llm.stream(question()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    scripted.dropped(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_model_in_the_process_is_only_observed() {
    let counters = Arc::new(Counters::default());
    let day = seconds(86_400);
    let fake = Fake::new([Play::default().after(day).say("a").wait(day).finish()]);
    let settings = StackSettings::in_process("local").observed_by(Arc::clone(&counters) as _);
    let (_, failure) = outcome(stacked(&fake, &settings).stream(question()).await).await;
    assert!(failure.is_none());
    assert_eq!(counters.totals()["local"][&Operation::Chat].answered, 1);
    let fake = Fake::new([Play::refuse_as(Overloaded)]);
    let llm = stacked(&fake, &settings);
    assert_eq!(outcome(llm.stream(question()).await).await.1.unwrap().kind(), Overloaded);
}
