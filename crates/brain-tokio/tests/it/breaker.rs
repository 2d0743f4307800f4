//! When a provider is spared, for how long, and what tells that it is back.

use std::time::Duration;

use brain_core::llm::{
    CompletionRequest, LlmError,
    LlmErrorKind::{self, *},
    LlmGateway,
};
use brain_tokio::llm::{Breaker, BreakerSettings};
use futures_util::StreamExt;
use tokio::time::advance;

use crate::fake::{Fake, Play, outcome, question, seconds, texts};

const SETTINGS: BreakerSettings = BreakerSettings {
    failures: 3,
    pause: Duration::from_secs(10),
    longest_pause: Duration::from_secs(30),
};

fn breaker(fake: &Fake) -> Breaker {
    Breaker::new(fake.gateway(), "lab", SETTINGS)
}

fn down() -> Play {
    Play::refuse(|| LlmError::new(Unavailable, "lab refuses connections; start it"))
}

async fn ask(breaker: &Breaker) -> Option<LlmError> {
    outcome(breaker.stream(question()).await).await.1
}

/// A breaker that has just opened, over what plays these next.
async fn opened(next: impl IntoIterator<Item = Play>) -> (Breaker, Fake) {
    let fake = Fake::new((0..3).map(|_| down()).chain(next));
    let breaker = breaker(&fake);
    for _ in 0..3 {
        ask(&breaker).await.unwrap();
    }
    (breaker, fake)
}

/// How long it is still open.
async fn refused(breaker: &Breaker, fake: &Fake) -> Duration {
    let asked = fake.asked();
    let error = ask(breaker).await.unwrap();
    assert_eq!(fake.asked(), asked, "nobody is asked");
    assert_eq!((error.kind(), error.is_transient()), (Unavailable, false));
    error.retry_after().unwrap()
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_and_the_error_says_until_when() {
    let (breaker, fake) = opened([]).await;
    advance(seconds(4)).await;
    assert_eq!(refused(&breaker, &fake).await, seconds(6));
    let sentence = ask(&breaker).await.unwrap().to_string();
    let expected = "lab is not asked for 6 s, since it failed several times: lab refuses connections; start it";
    assert_eq!(sentence, expected);
    assert_eq!(breaker.embed(texts()).await.unwrap_err().kind(), Unavailable);
    let (_, gap) = outcome(breaker.complete_text(CompletionRequest::default()).await).await;
    assert_eq!(gap.unwrap().retry_after(), Some(seconds(6)));
    assert_eq!(fake.asked(), 3);
}

/// Whether failures of this kind open it, before a stream and at its beginning.
async fn opens(kind: LlmErrorKind) -> bool {
    let mut opens = Vec::new();
    for play in [Play::refuse_as(kind), Play::default().fail_as(kind)] {
        let fake = Fake::new(vec![play; 9]);
        let breaker = breaker(&fake);
        for _ in 0..9 {
            ask(&breaker).await.unwrap();
        }
        opens.push(fake.asked() == 3);
        assert!([3, 9].contains(&fake.asked()));
    }
    assert_eq!(opens[0], opens[1]);
    opens[0]
}

#[tokio::test(start_paused = true)]
async fn only_faults_of_the_provider_open_it() {
    for kind in [Unavailable, Overloaded, Interrupted] {
        assert!(opens(kind).await, "{kind:?}");
    }
    for kind in [
        RateLimited,
        QuotaExceeded,
        ContextOverflow,
        Unauthorised,
        ModelNotFound,
        Rejected,
        Unsupported,
        Damaged,
        Protocol,
    ] {
        assert!(!opens(kind).await, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_the_server_cannot_load_leaves_the_others_alone() {
    let too_large =
        || LlmError::new(Unavailable, "lab has too little memory").with_advice(Some(false));
    let fake = Fake::new(vec![Play::refuse(too_large); 9].into_iter().chain([Play::answer("!")]));
    let breaker = breaker(&fake);
    for _ in 0..9 {
        assert_eq!(ask(&breaker).await.unwrap().to_string(), "lab has too little memory");
    }
    assert!(ask(&breaker).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn any_answer_ends_the_row() {
    let answers = [Play::answer("Hello"), Play::refuse_as(Rejected), Play::default().progress()];
    for answer in answers {
        let plays = [down(), down(), answer, down(), down()].into_iter().chain([Play::answer("!")]);
        let fake = Fake::new(plays);
        let breaker = breaker(&fake);
        for _ in 0..6 {
            ask(&breaker).await;
        }
        assert_eq!(fake.asked(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_later_is_an_answer() {
    let fake = Fake::new(vec![Play::default().say("Hel").fail_as(Interrupted); 9]);
    let breaker = breaker(&fake);
    for _ in 0..9 {
        assert_eq!(ask(&breaker).await.unwrap().kind(), Interrupted);
    }
    assert_eq!(fake.asked(), 9);
}

#[tokio::test(start_paused = true)]
async fn after_the_pause_one_request_asks_for_all() {
    let (breaker, fake) = opened([Play::answer("Hello"), Play::answer("Hello")]).await;
    advance(seconds(10)).await;
    let mut probe = breaker.stream(question()).await.unwrap();
    assert_eq!(fake.asked(), 4);
    assert_eq!(refused(&breaker, &fake).await, seconds(10));
    probe.next().await.unwrap().unwrap();
    assert!(ask(&breaker).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_ends_does_not_hold_the_others() {
    let silent = Play::default().wait(seconds(3_600));
    let (breaker, fake) = opened([silent, Play::answer("Hello"), Play::answer("Hello")]).await;
    advance(seconds(10)).await;
    let _probe = breaker.stream(question()).await.unwrap();
    assert_eq!(refused(&breaker, &fake).await, seconds(10));
    advance(seconds(10)).await;
    assert!(ask(&breaker).await.is_none());
    assert!(ask(&breaker).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn each_probe_that_fails_doubles_the_pause_up_to_a_limit() {
    let (breaker, fake) = opened(vec![down(); 3]).await;
    let mut pause = seconds(10);
    for next in [20, 30, 30].map(seconds) {
        advance(pause).await;
        assert_eq!(ask(&breaker).await.unwrap().to_string(), "lab refuses connections; start it");
        assert_eq!(refused(&breaker, &fake).await, next);
        pause = next;
    }
}

#[tokio::test(start_paused = true)]
async fn the_pause_that_the_provider_asks_for_counts_up_to_the_limit() {
    for (hint, pause) in [(5, 10), (25, 25), (500, 30)] {
        let busy = move || LlmError::new(Overloaded, "busy").with_retry_after(Some(seconds(hint)));
        let fake = Fake::new(vec![Play::refuse(busy); 3]);
        let breaker = breaker(&fake);
        for _ in 0..3 {
            ask(&breaker).await.unwrap();
        }
        assert_eq!(refused(&breaker, &fake).await, seconds(pause));
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_leaves_lets_the_next_ask() {
    let silent = || Play::default().wait(seconds(60));
    let slow = Play::default().after(seconds(60));
    let (breaker, fake) = opened([silent(), slow, Play::answer("Hello")]).await;
    advance(seconds(10)).await;
    drop(breaker.stream(question()).await.unwrap());
    let asking = breaker.stream(question());
    assert!(tokio::time::timeout(seconds(1), asking).await.is_err());
    assert!(ask(&breaker).await.is_none());
    assert_eq!(fake.asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_it_opened_counts_no_more() {
    let late = || Play::default().wait(seconds(2)).fail_as(Unavailable);
    let plays =
        [late(), Play::default().wait(seconds(2)).say("late").finish(), down(), down(), down()];
    let fake = Fake::new(plays);
    let breaker = breaker(&fake);
    let early =
        [breaker.stream(question()).await.unwrap(), breaker.stream(question()).await.unwrap()];
    for _ in 0..3 {
        ask(&breaker).await.unwrap();
    }
    for stream in early {
        outcome(Ok(stream)).await;
    }
    assert_eq!(refused(&breaker, &fake).await, seconds(6));
}

#[tokio::test(start_paused = true)]
async fn the_list_of_models_passes_and_counts_for_nothing() {
    let (breaker, fake) = opened(vec![down(), Play::default()]).await;
    assert_eq!(breaker.models().await.unwrap_err().kind(), Unavailable);
    assert!(breaker.models().await.is_ok());
    assert_eq!(refused(&breaker, &fake).await, seconds(10));
}
