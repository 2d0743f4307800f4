//! The table of what is tried again, row by row. Which status of a server is which kind of failure
//! is `llm-http`'s business, and tested there.

use std::time::Duration;

use brain_core::llm::{
    ChatEvent, LlmError,
    LlmErrorKind::{self, *},
    LlmGateway,
};
use brain_tokio::llm::{Retry, RetrySettings};

use crate::fake::{Fake, Play, outcome, question, said, seconds};

fn retry(fake: &Fake) -> Retry {
    Retry::new(fake.gateway(), "lab", RetrySettings::default())
}

/// Failing in this way always, before there is a stream and at its beginning, it is asked so often.
async fn asked(error: fn() -> LlmError, times: usize) -> Vec<Duration> {
    let within = Play::default().fail(error);
    let after_progress = Play::default().progress().fail(error);
    let mut pauses = Vec::new();
    for play in [Play::refuse(error), within, after_progress] {
        let fake = Fake::new(vec![play; times]);
        let (events, failure) = outcome(retry(&fake).stream(question()).await).await;
        assert_eq!(failure.unwrap().kind(), error().kind());
        assert_eq!(said(&events), "");
        assert_eq!(fake.asked(), times);
        pauses = fake.pauses();
    }
    pauses
}

fn plain<const KIND: usize>() -> LlmError {
    LlmError::new(KINDS[KIND], "it failed; try again")
}

const KINDS: [LlmErrorKind; 2] = [Unavailable, Interrupted];

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_reached_or_hangs_up_is_asked_twice() {
    // It may have made the answer, and billed it, before the connection was lost.
    asked(plain::<0>, 2).await;
    asked(plain::<1>, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_got_the_request_is_asked_as_often_as_set() {
    asked(|| plain::<0>().as_unbilled(), 3).await;
}

#[tokio::test(start_paused = true)]
async fn the_second_answer_is_the_answer() {
    for kind in [Unavailable, Interrupted, RateLimited, Overloaded] {
        for first in [Play::refuse_as(kind), Play::default().fail_as(kind)] {
            let fake = Fake::new([first, Play::answer("Hello")]);
            let (events, failure) = outcome(retry(&fake).stream(question()).await).await;
            assert!(failure.is_none(), "{failure:?}");
            assert_eq!(said(&events), "Hello");
            assert!(matches!(events.last(), Some(ChatEvent::Finished(_))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_again_once_something_was_said() {
    for kind in [Unavailable, Interrupted, RateLimited, Overloaded] {
        let fake = Fake::new([Play::default().say("Hel").fail_as(kind)]);
        let (events, failure) = outcome(retry(&fake).stream(question()).await).await;
        assert_eq!(failure.unwrap().kind(), kind);
        assert_eq!((said(&events).as_str(), fake.asked()), ("Hel", 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_retry_does_not_mend_is_asked_once() {
    for kind in [
        QuotaExceeded,
        ContextOverflow,
        Unauthorised,
        ModelNotFound,
        Rejected,
        Unsupported,
        Damaged,
        Protocol,
    ] {
        for play in [Play::refuse_as(kind), Play::default().fail_as(kind)] {
            let fake = Fake::new([play]);
            let (events, failure) = outcome(retry(&fake).stream(question()).await).await;
            assert_eq!((failure.unwrap().kind(), events.len(), fake.asked()), (kind, 0, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_rate_is_asked_three_times() {
    let error = || LlmError::new(RateLimited, "slow down");
    for _ in 0..20 {
        let pauses = asked(error, 3).await;
        assert!(pauses[0] <= Duration::from_millis(500), "{pauses:?}");
        assert!(pauses[1] <= seconds(1), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_gets_longer_pauses() {
    let error = || LlmError::new(Overloaded, "busy");
    let mut pauses = Vec::new();
    for _ in 0..40 {
        pauses.push(asked(error, 3).await);
    }
    assert!(pauses.iter().all(|it| it[0] <= seconds(2) && it[1] <= seconds(4)), "{pauses:?}");
    // They are drawn from the whole span, not all the same.
    let firsts = pauses.iter().map(|it| it[0]);
    assert!(firsts.clone().any(|it| seconds(1) < it), "{pauses:?}");
    assert!(firsts.clone().any(|it| it < seconds(1)), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_server_asks_for_is_kept() {
    let error = || LlmError::new(RateLimited, "slow down").with_retry_after(Some(seconds(20)));
    let busy = || LlmError::new(Overloaded, "busy").with_retry_after(Some(seconds(20)));
    for error in [error, busy] {
        for pause in asked(error, 3).await {
            assert!((20.0..=20.5).contains(&pause.as_secs_f64()), "{pause:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_too_long_fails_at_once_and_says_when() {
    let limited = "lab wants a pause; try again in 61 s";
    let overloaded = "lab is overloaded; try again later";
    let when = format!("{overloaded}, in 61 s at the earliest");
    for (kind, said, expected) in
        [(RateLimited, limited, limited), (Overloaded, overloaded, when.as_str())]
    {
        let error = move || LlmError::new(kind, said).with_retry_after(Some(seconds(61)));
        let fake = Fake::new([Play::refuse(error)]);
        let Err(failure) = retry(&fake).stream(question()).await else { panic!("it answers") };
        assert_eq!((failure.kind(), failure.to_string().as_str()), (kind, expected));
        assert_eq!(failure.retry_after(), Some(seconds(61)));
        assert!(failure.is_transient());
        assert!(std::error::Error::source(&failure).is_none(), "nothing is said twice");
        assert_eq!(fake.asked(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_outranks_the_kind() {
    let no = || LlmError::new(Overloaded, "busy").with_advice(Some(false));
    asked(no, 1).await;
    let yes = || LlmError::new(Rejected, "odd").with_advice(Some(true));
    asked(yes, 2).await;
    // Credit does not come back by asking, whoever says so.
    let never = || LlmError::new(QuotaExceeded, "no credit").with_advice(Some(true));
    asked(never, 1).await;
}
