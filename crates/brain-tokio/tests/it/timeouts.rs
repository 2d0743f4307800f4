//! Silence, before an answer and within.

use std::time::Duration;

use brain_core::llm::{CompletionRequest, LlmErrorKind, LlmGateway};
use brain_tokio::llm::{TimeoutSettings, Timeouts};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep};

use crate::fake::{Fake, Play, outcome, question, said, seconds, texts};

const SETTINGS: TimeoutSettings =
    TimeoutSettings { first_event: Duration::from_secs(10), idle: Duration::from_secs(3) };

fn timed(fake: &Fake) -> Timeouts {
    Timeouts::new(fake.gateway(), "lab", SETTINGS)
}

/// Asks for one answer: what was said, the failure, how long it took.
async fn ask(fake: &Fake) -> (String, Option<LlmErrorKind>, Duration) {
    let begun = Instant::now();
    let (events, failure) = outcome(timed(fake).stream(question()).await).await;
    assert_eq!(fake.under_way(), 0, "what is given up is dropped");
    (said(&events), failure.map(|it| it.kind()), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn silence_before_the_first_event_is_unavailable() {
    let unavailable = Some(LlmErrorKind::Unavailable);
    let before = Play::default().after(seconds(11)).say("late").finish();
    assert_eq!(ask(&Fake::new([before])).await, (String::new(), unavailable, seconds(10)));
    let within = Play::default().wait(seconds(11)).say("late").finish();
    assert_eq!(ask(&Fake::new([within])).await, (String::new(), unavailable, seconds(10)));
    // One limit for both.
    let both = Play::default().after(seconds(6)).wait(seconds(6)).say("late").finish();
    assert_eq!(ask(&Fake::new([both])).await, (String::new(), unavailable, seconds(10)));
    let enough = Play::default().after(seconds(5)).wait(seconds(4)).say("in time").finish();
    assert_eq!(ask(&Fake::new([enough])).await, ("in time".to_owned(), None, seconds(9)));
}

#[tokio::test(start_paused = true)]
async fn silence_within_an_answer_interrupts_it() {
    let play = Play::default().say("a").wait(seconds(2)).say("b").wait(seconds(4)).say("c");
    let interrupted = Some(LlmErrorKind::Interrupted);
    assert_eq!(ask(&Fake::new([play])).await, ("ab".to_owned(), interrupted, seconds(5)));
}

#[tokio::test(start_paused = true)]
async fn news_of_progress_is_life() {
    let loading = (0..5).fold(Play::default(), |play, _| play.wait(seconds(9)).progress());
    let late = loading.clone().wait(seconds(11)).say("late");
    let (_, failure, took) = ask(&Fake::new([late])).await;
    assert_eq!((failure, took), (Some(LlmErrorKind::Unavailable), seconds(55)));
    let play = loading.wait(seconds(9)).say("there").finish();
    assert_eq!(ask(&Fake::new([play])).await, ("there".to_owned(), None, seconds(54)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_no_silence() {
    let fake = Fake::new([Play::default().say("a").say("b").wait(seconds(2)).say("c").finish()]);
    let mut stream = timed(&fake).stream(question()).await.unwrap();
    for _ in 0..4 {
        sleep(seconds(3600)).await;
        stream.next().await.unwrap().unwrap();
    }
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_asked_has_a_limit() {
    let late = || Play::default().after(seconds(60)).say("late").finish();
    let fake = Fake::new([late(), late(), late()]);
    let timed = timed(&fake);
    let vectors = timed.embed(texts()).await.unwrap_err();
    let list = timed.models().await.unwrap_err();
    let (_, gap) = outcome(timed.complete_text(CompletionRequest::default()).await).await;
    for error in [vectors, list, gap.unwrap()] {
        assert_eq!(error.kind(), LlmErrorKind::Unavailable);
        let said = "lab said nothing for 10 s; try again, or allow it more time";
        assert_eq!(error.to_string(), said);
    }
    assert_eq!(fake.under_way(), 0);
}
