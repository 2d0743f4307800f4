//! Who is asked after whom, and what is told in the end.

use super::{Candidates, Next};
use crate::{
    brain::driver::ending::Stop,
    llm::{LlmError, LlmErrorKind},
    tool::ToolError,
    window::WindowTooSmall,
};

fn candidates(first: &str, configured: &[&str]) -> Candidates {
    let configured: Vec<String> = configured.iter().map(|&it| it.to_owned()).collect();
    Candidates::new(first.to_owned(), &configured)
}

fn llm(kind: LlmErrorKind) -> Stop {
    Stop::Llm(LlmError::new(kind, "as told"))
}

fn too_small() -> Stop {
    Stop::Window(WindowTooSmall {
        system_tokens: 1,
        fixed_tokens: 2,
        needed_tokens: 9,
        budget_tokens: 5,
    })
}

/// What is told to listeners, or what ends the turn.
fn fail(candidates: &mut Candidates, stop: Stop) -> Result<String, (&'static str, String)> {
    match candidates.on_failure(stop, 400) {
        Next::Ask(stage) => Ok(stage),
        Next::Stop(stop) => Err((stop.code(), stop.to_string())),
    }
}

fn passed_over(candidates: &Candidates) -> Vec<(&str, &str)> {
    candidates.passed_over().iter().map(|it| (it.model.as_str(), it.code.as_str())).collect()
}

#[test]
fn each_model_is_asked_once_in_order() {
    let mut candidates = candidates("b", &["a", "b", "c", "a"]);
    let mut asked = vec![candidates.current().to_owned()];
    while fail(&mut candidates, llm(LlmErrorKind::Unavailable)).is_ok() {
        asked.push(candidates.current().to_owned());
    }
    assert_eq!(asked, ["b", "a", "c"]);
}

#[test]
fn only_what_another_model_may_not_have_goes_on() {
    for (stop, stage) in [
        (llm(LlmErrorKind::RateLimited), Some("a is asked too often; asking b")),
        (llm(LlmErrorKind::QuotaExceeded), Some("a has no credit left; asking b")),
        (llm(LlmErrorKind::Unauthorised), Some("a refuses the credentials; asking b")),
        (llm(LlmErrorKind::ModelNotFound), Some("a is not known; asking b")),
        (llm(LlmErrorKind::Unsupported), Some("a cannot do what is asked; asking b")),
        (llm(LlmErrorKind::Overloaded), Some("a is overloaded; asking b")),
        (llm(LlmErrorKind::Unavailable), Some("a is unavailable; asking b")),
        (llm(LlmErrorKind::Damaged), Some("a is damaged; asking b")),
        (llm(LlmErrorKind::Interrupted), Some("a broke off; asking b")),
        (llm(LlmErrorKind::Protocol), Some("a cannot be understood; asking b")),
        (too_small(), Some("a has too little room for the conversation; asking b")),
        (llm(LlmErrorKind::Rejected), None),
        (Stop::Cancelled, None),
        (Stop::Superseded, None),
        (Stop::TimeUp, None),
        (Stop::TooLong, None),
        (Stop::TooManyRounds, None),
        (Stop::Panicked, None),
        (Stop::Tool("t".to_owned(), ToolError::Refused("no".to_owned())), None),
    ] {
        let code = stop.code();
        let mut candidates = candidates("a", &["b"]);
        let told = fail(&mut candidates, stop);
        assert_eq!(told.as_deref().ok(), stage, "{code}");
        let (model, over) = if stage.is_some() { ("b", vec![("a", code)]) } else { ("a", vec![]) };
        assert_eq!((candidates.current(), passed_over(&candidates)), (model, over));
    }
}

#[test]
fn a_model_that_finds_it_too_long_is_asked_once_more_with_three_quarters() {
    let overflow = || llm(LlmErrorKind::ContextOverflow);
    let mut candidates = candidates("", &["b"]);
    assert_eq!(candidates.budget(1_000), 1_000);
    let stage = "the default model finds the conversation too long; asking it with less of it";
    assert_eq!(fail(&mut candidates, overflow()).unwrap(), stage);
    assert_eq!(
        (candidates.current(), candidates.budget(1_000), candidates.budget(9)),
        ("", 300, 9)
    );
    candidates.on_answer();
    assert_eq!(candidates.budget(1_000), 300, "it stays so for the next round");
    let stage = "the default model finds the conversation too long; asking b";
    assert_eq!(fail(&mut candidates, overflow()).unwrap(), stage);
    assert_eq!(candidates.budget(1_000), 1_000, "another model has its own room");
    assert!(fail(&mut candidates, overflow()).is_ok(), "the other one has its second try too");
    let (code, told) = fail(&mut candidates, overflow()).unwrap_err();
    assert_eq!(
        (code, told.as_str()),
        ("context_length_exceeded", "as told; none of 2 models answered")
    );
}

#[test]
fn what_does_not_fit_into_three_quarters_is_the_models_own_failure() {
    let mut candidates = candidates("a", &[]);
    assert!(fail(&mut candidates, llm(LlmErrorKind::ContextOverflow)).is_ok());
    let told = fail(&mut candidates, too_small()).unwrap_err();
    assert_eq!(told, ("context_length_exceeded", "as told".to_owned()));
    assert!(passed_over(&candidates).is_empty(), "nobody else was asked");
}

#[test]
fn the_first_failure_is_told_with_how_many_were_asked() {
    for last in [LlmErrorKind::RateLimited, LlmErrorKind::Rejected] {
        let mut candidates = candidates("a", &["b"]);
        let first = LlmError::new(LlmErrorKind::Unavailable, "a is down");
        let first = first.with_retry_after(Some(std::time::Duration::from_secs(7)));
        assert!(fail(&mut candidates, Stop::Llm(first)).is_ok());
        let Next::Stop(stop) = candidates.on_failure(llm(last), 0) else { panic!("not the end") };
        assert_eq!(stop.code(), "provider_unavailable");
        assert_eq!(stop.to_string(), "a is down; none of 2 models answered");
        assert_eq!(stop.retry_after(), Some(std::time::Duration::from_secs(7)));
        let over = [("a", "provider_unavailable"), ("b", last.code())];
        assert_eq!(passed_over(&candidates), over);
    }
}

#[test]
fn what_is_no_fault_of_a_model_is_told_as_it_is() {
    let mut candidates = candidates("a", &["b", "c"]);
    assert!(fail(&mut candidates, llm(LlmErrorKind::Unavailable)).is_ok());
    assert_eq!(fail(&mut candidates, Stop::Superseded).unwrap_err().0, "turn_superseded");
    assert_eq!(passed_over(&candidates), [("a", "provider_unavailable")]);
}

#[test]
fn who_answered_stays_and_what_failed_before_is_not_told_again() {
    let mut candidates = candidates("a", &["b"]);
    assert!(fail(&mut candidates, llm(LlmErrorKind::Unavailable)).is_ok());
    candidates.on_answer();
    assert_eq!(candidates.current(), "b");
    let (code, told) = fail(&mut candidates, llm(LlmErrorKind::Protocol)).unwrap_err();
    assert_eq!((code, told.as_str()), ("provider_protocol", "as told"));
    assert_eq!(passed_over(&candidates).len(), 2);
}
