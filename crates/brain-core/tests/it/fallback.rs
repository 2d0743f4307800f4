//! Models that stand in for one another while nothing has been shown.

use std::{sync::Arc, time::Duration};

use brain_core::{
    brain::{Brain, BrainConfig, Limits, Ports, TurnEnd, TurnEventKind, TurnInput, TurnRequest},
    chat::{Message, Part, Usage},
    llm::{
        Capabilities, ChatEvent, ChatRequest, LlmErrorKind, LlmGatewayExt, ModelInfo, Progress,
        Router, ToolCallDelta,
    },
    memory::TurnState,
    tool::{ToolBox, ToolClass, ToolContext, ToolError, TypedTool},
};
use brain_testkit::{Answer, Gate, ScriptedLlm};
use serde_json::{Value, json};

use crate::fixture::{history, id, in_memory, key, owner, ports, say, transcript, until};

#[derive(Debug)]
struct Hour;

impl TypedTool for Hour {
    const NAME: &'static str = "hour";
    const DESCRIPTION: &'static str = "Tells the hour.";
    const CLASS: ToolClass = ToolClass::Read;
    type Args = ();
    type Output = u32;

    fn parameters(&self) -> Value {
        json!({ "type": "null" })
    }

    async fn run(&self, _context: &ToolContext, _args: ()) -> Result<u32, ToolError> {
        Ok(12)
    }
}

fn able() -> Capabilities {
    let context_tokens = Some(8_192);
    Capabilities {
        chat: true,
        tools: true,
        vision: true,
        context_tokens,
        ..Capabilities::default()
    }
}

fn model(capabilities: Capabilities, answers: Vec<Answer>) -> ScriptedLlm {
    let id = "m".to_owned();
    ScriptedLlm::new(answers).with_models([ModelInfo { id, capabilities }])
}

/// A brain whose models are `a/m`, the default, and then `b/m` and `c/m`.
fn brain(models: &[&ScriptedLlm]) -> Brain {
    let mut models = models.iter().zip(["a", "b", "c"]);
    let (first, name) = models.next().unwrap();
    let router = Router::new(name, Arc::new((*first).clone()));
    let router = models.fold(router, |all, (it, name)| all.with(name, Arc::new((*it).clone())));
    let fallback = vec!["b/m".to_owned(), "c/m".to_owned()];
    let config = BrainConfig { model: "a/m".to_owned(), fallback, ..BrainConfig::default() };
    let tools = ToolBox::default().with(Hour);
    Brain::new(Ports { tools, ..ports(in_memory(), Arc::new(router)) }, config)
}

fn down() -> Answer {
    Answer::refused(LlmErrorKind::Unavailable, "it is down; try again later")
}

fn fails(kind: LlmErrorKind) -> Answer {
    Answer::new().fail(kind, "as scripted")
}

fn answered_by(end: &TurnEnd) -> Option<&str> {
    end.answer.as_ref()?.body.model.as_deref()
}

fn passed_over(end: &TurnEnd) -> Vec<(&str, &str)> {
    let context = end.context.iter().flat_map(|it| &it.fallback);
    context.map(|it| (it.model.as_str(), it.code.as_str())).collect()
}

fn texts(request: &ChatRequest) -> Vec<String> {
    request.messages.iter().map(|it| it.joined_text()).collect()
}

#[tokio::test]
async fn an_answer_names_its_provider_and_its_model() {
    let router = Router::new("a", Arc::new(model(able(), vec![Answer::text("x")])));
    let router = router.with("b", Arc::new(model(able(), vec![Answer::text("y")])));
    for (asked, answered) in [("", "a/m"), ("b/m", "b/m")] {
        let messages = vec![Arc::new(Message::user("hi"))];
        let request = ChatRequest { model: asked.to_owned(), messages, ..ChatRequest::default() };
        assert_eq!(router.complete(request).await.unwrap().finish.model, answered);
    }
}

#[tokio::test]
async fn what_another_model_may_not_have_is_not_the_end() {
    for kind in [
        LlmErrorKind::Unavailable,
        LlmErrorKind::Overloaded,
        LlmErrorKind::RateLimited,
        LlmErrorKind::QuotaExceeded,
        LlmErrorKind::Unauthorised,
        LlmErrorKind::ModelNotFound,
        LlmErrorKind::Damaged,
        LlmErrorKind::Interrupted,
        LlmErrorKind::Protocol,
        LlmErrorKind::Unsupported,
    ] {
        let progress = Progress { stage: "loading".to_owned(), done: 1, total: 2 };
        let delta = ToolCallDelta { index: 0, name: None, arguments: "{".to_owned() };
        let begun = Answer::new()
            .event(ChatEvent::Progress(progress))
            .event(ChatEvent::ToolCallDelta(delta))
            .fail(kind, "as scripted");
        for failure in [Answer::refused(kind, "as scripted"), fails(kind), begun] {
            let (a, b) = (model(able(), vec![failure]), model(able(), vec![Answer::text("yes")]));
            let end = say(&brain(&[&a, &b]), "s", "hi").await;
            assert_eq!((end.status, end.error.as_ref()), (TurnState::Completed, None));
            assert_eq!(answered_by(&end), Some("b/m"), "{}", kind.code());
            assert_eq!(passed_over(&end), [("a/m", kind.code())]);
            assert_eq!((a.requests().len(), b.requests().len()), (1, 1));
        }
    }
}

#[tokio::test]
async fn an_answer_that_only_ends_is_as_good_as_none() {
    let (a, b) = (model(able(), vec![Answer::new()]), model(able(), vec![Answer::text("yes")]));
    let end = say(&brain(&[&a, &b]), "s", "hi").await;
    assert_eq!(answered_by(&end), Some("b/m"));
    assert_eq!(passed_over(&end), [("a/m", "provider_interrupted")]);
}

#[tokio::test]
async fn listeners_are_told_who_is_asked() {
    let (a, b) = (model(able(), vec![down()]), model(able(), vec![Answer::text("yes")]));
    let brain = brain(&[&a, &b]);
    let mut started = brain.chat(&owner(), TurnRequest::text(Some(id("s")), "hi")).await.unwrap();
    let seen = until(&mut started.events, "turn.completed").await;
    let stages = seen.iter().filter_map(|it| match &it.kind {
        TurnEventKind::Progress(progress) => Some(progress.stage.as_str()),
        _ => None,
    });
    assert_eq!(stages.collect::<Vec<_>>(), ["a/m is unavailable; asking b/m"]);
    let record = brain.turn(&owner(), started.turn).await.unwrap().unwrap().record;
    assert_eq!(record.context.unwrap().fallback.len(), 1, "the record says it too");
}

#[tokio::test]
async fn what_the_client_got_wrong_is_told_at_once() {
    let (a, b) = (model(able(), vec![fails(LlmErrorKind::Rejected)]), model(able(), vec![]));
    let end = say(&brain(&[&a, &b]), "s", "hi").await;
    let error = end.error.clone().unwrap();
    assert_eq!((error.code.as_str(), error.message.as_str()), ("provider_rejected", "as scripted"));
    assert!(b.requests().is_empty() && passed_over(&end).is_empty());
}

#[tokio::test]
async fn what_was_shown_is_never_said_again_by_another() {
    let call = Answer::new().call("c", "hour", "null");
    for shown in [Answer::new().say("half"), Answer::new().think("hm"), call] {
        let answer = shown.fail(LlmErrorKind::Unavailable, "as scripted");
        let (a, b) = (model(able(), vec![answer]), model(able(), vec![]));
        let end = say(&brain(&[&a, &b]), "s", "hi").await;
        assert_eq!(end.status, TurnState::Interrupted);
        assert_eq!(end.error.as_ref().unwrap().message, "as scripted");
        assert_eq!(answered_by(&end), Some("a/m"), "an answer that broke off has a model too");
        assert!(b.requests().is_empty());
    }
}

#[tokio::test]
async fn after_the_last_model_the_first_failure_is_told() {
    let rejects = model(able(), vec![fails(LlmErrorKind::Rejected)]);
    let limited = model(able(), vec![fails(LlmErrorKind::RateLimited)]);
    for (last, code) in [(&rejects, "provider_rejected"), (&limited, "provider_rate_limited")] {
        let a = model(able(), vec![down()]);
        let b = model(able(), vec![fails(LlmErrorKind::Protocol)]);
        let brain = brain(&[&a, &b, last]);
        let end = say(&brain, "s", "hi").await;
        let error = end.error.clone().unwrap();
        assert_eq!(error.code, "provider_unavailable");
        assert_eq!(error.message, "it is down; try again later; none of 3 models answered");
        let codes = ["provider_unavailable", "provider_protocol", code];
        assert!(passed_over(&end).into_iter().eq(["a/m", "b/m", "c/m"].into_iter().zip(codes)));
        assert_eq!((end.status, answered_by(&end)), (TurnState::Failed, None));
        assert_eq!(transcript(&*brain.ports().store, "s").await[1], "assistant:failed:");
    }
}

#[tokio::test]
async fn a_model_that_was_chosen_comes_first_and_nobody_twice() {
    let models = || model(able(), vec![down(), Answer::text("yes")]);
    let (a, b, c) = (models(), models(), models());
    let brain = brain(&[&a, &b, &c]);
    let mut request = TurnRequest::text(Some(id("s")), "hi");
    request.model = Some("c/m".to_owned());
    let end = brain.chat(&owner(), request).await.unwrap().events.end().await.unwrap();
    let asked = [&a, &b, &c].map(|it| it.requests().len());
    assert_eq!((end.status, asked), (TurnState::Failed, [0, 1, 1]));
    assert_eq!(
        end.error.unwrap().message,
        "it is down; try again later; none of 2 models answered"
    );
}

/// Ten messages of about a hundred tokens each, and then a question.
async fn fill(brain: &Brain, fillers: &ScriptedLlm) {
    for turn in 0..5 {
        fillers.push(Answer::text("so ".repeat(100)));
        say(brain, "s", &format!("{turn} {}", "why ".repeat(100))).await;
    }
}

#[tokio::test]
async fn each_model_has_its_own_window() {
    let small = Capabilities { chat: true, context_tokens: Some(1_000), ..Capabilities::default() };
    let (a, b) = (model(able(), vec![]), model(small, vec![Answer::text("yes")]));
    let brain = brain(&[&a, &b]);
    fill(&brain, &a).await;
    a.push(down());
    let picture = Part::Image { url: "data:image/png;base64,AAAA".to_owned() };
    let content = vec![Part::Text { text: "look".to_owned() }, picture.clone()];
    let input = TurnInput::Message(content);
    let request = TurnRequest { session: Some(id("s")), input, ..TurnRequest::default() };
    let end = brain.chat(&owner(), request).await.unwrap().events.end().await.unwrap();

    let (wide, narrow) = (a.requests().pop().unwrap(), b.requests().pop().unwrap());
    assert_eq!((wide.messages.len(), wide.tools.len()), (11, 1));
    assert!(wide.messages[10].content.contains(&picture));
    assert!(narrow.messages.len() < 8 && narrow.tools.is_empty());
    assert_eq!(texts(&narrow).pop().unwrap(), "look\n[picture]");
    let context = end.context.as_ref().unwrap();
    assert_eq!((context.budget_tokens, context.pictures_left_out), (500, 1));
    assert!(context.used_tokens <= 500 && context.dropped_entries > 0, "{context:?}");
}

#[tokio::test]
async fn a_model_without_room_is_not_even_asked() {
    let tiny = Capabilities { context_tokens: Some(64), ..able() };
    let (a, b) = (model(tiny, vec![]), model(able(), vec![Answer::text("yes")]));
    let end = say(&brain(&[&a, &b]), "s", &"word ".repeat(100)).await;
    assert_eq!(answered_by(&end), Some("b/m"));
    assert_eq!(passed_over(&end), [("a/m", "context_length_exceeded")]);
    assert!(a.requests().is_empty());
}

#[tokio::test]
async fn an_overflow_is_tried_once_more_with_three_quarters() {
    let overflow = || fails(LlmErrorKind::ContextOverflow);
    let (a, b) = (model(able(), vec![]), model(able(), vec![Answer::text("yes")]));
    let brain = brain(&[&a, &b]);
    fill(&brain, &a).await;
    a.push(overflow());
    a.push(Answer::text("less is enough"));
    let end = say(&brain, "s", "and now?").await;
    let asked = a.requests();
    let [.., whole, less] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(less.messages.len() < whole.messages.len());
    assert_eq!((answered_by(&end), passed_over(&end).len()), (Some("a/m"), 0));
    let context = end.context.unwrap();
    assert!(context.budget_tokens < 1_200 && context.dropped_entries > 0, "{context:?}");

    a.push(overflow());
    a.push(overflow());
    let end = say(&brain, "s", "and now?").await;
    assert_eq!((answered_by(&end), a.requests().len()), (Some("b/m"), asked.len() + 2));
    assert_eq!(passed_over(&end), [("a/m", "context_length_exceeded")]);
    assert!(b.requests()[0].messages.len() > less.messages.len(), "it has its own room");
}

#[tokio::test]
async fn who_answered_stays_for_the_turn() {
    let call = || Answer::new().call("c", "hour", "null").usage(10, 1).finish();
    let (a, b) = (model(able(), vec![down()]), model(able(), vec![call(), call()]));
    b.push(Answer::new().say("noon").usage(20, 2).finish());
    let brain = brain(&[&a, &b]);
    let end = say(&brain, "s", "what hour is it?").await;
    assert_eq!((a.requests().len(), b.requests().len()), (1, 3));
    assert_eq!(end.usage, Some(Usage { input_tokens: 40, output_tokens: 4, ..Usage::default() }));
    let stored = history(&*brain.ports().store, "s").await;
    let models: Vec<_> = stored.iter().filter_map(|it| it.body.model.as_deref()).collect();
    assert_eq!(models, ["b/m"; 3]);

    // One that fails in a later round is stood in for as well.
    a.push(call());
    a.push(fails(LlmErrorKind::Overloaded));
    b.push(Answer::text("noon"));
    let end = say(&brain, "s", "and now?").await;
    assert_eq!((end.status, answered_by(&end)), (TurnState::Completed, Some("b/m")));
    assert_eq!(passed_over(&end), [("a/m", "provider_overloaded")]);
    let shown = b.requests().pop().unwrap();
    assert!(shown.messages.last().unwrap().tool_call_id.is_some(), "it goes on after the round");
    assert_eq!(brain.running_turns(), 0);
    assert!(brain.ports().store.session(&key("s")).await.unwrap().is_some());
}

#[tokio::test]
async fn every_call_has_its_cost() {
    let said = |it: &str| Answer::new().say(it);
    let call = || Answer::new().call("c", "hour", "null");
    let told =
        |input, output| Usage { input_tokens: input, output_tokens: output, ..Usage::default() };
    // What a failed call is told to have cost counts; of one that is told nothing, what had come.
    for (answers, expected) in [
        (vec![Answer::new().usage(9, 1).fail(LlmErrorKind::Protocol, "x")], Some(told(12, 3))),
        (vec![Answer::new().fail(LlmErrorKind::Protocol, "x")], Some(told(3, 2))),
        (vec![call().usage(5, 5).finish(), said("x").usage(7, 7).finish()], Some(told(12, 12))),
        (vec![said("half").usage(4, 4).fail(LlmErrorKind::Protocol, "x")], Some(told(4, 4))),
        (vec![call().usage(5, 5).finish(), said("half").fail(LlmErrorKind::Protocol, "x")], None),
        (vec![call().finish(), said("x").usage(7, 7).finish()], None),
        (vec![said("half").fail(LlmErrorKind::Protocol, "x")], None),
        (vec![said("whole").finish()], None),
    ] {
        let b = model(able(), vec![said("yes").usage(3, 2).finish()]);
        let end = say(&brain(&[&model(able(), answers), &b]), "s", "hi").await;
        let usage = end.usage.unwrap();
        match expected {
            Some(expected) => assert_eq!(usage, expected),
            None => assert!(usage.estimated && 0 < usage.input_tokens && 0 < usage.output_tokens),
        }
        assert_eq!(end.answer.unwrap().body.usage, Some(usage));
    }
    let (a, b) = (model(able(), vec![down()]), model(able(), vec![down()]));
    assert_eq!(say(&brain(&[&a, &b]), "s", "hi").await.usage, None, "nothing came of any call");
}

#[tokio::test]
async fn estimates_of_all_rounds_are_added_up() {
    let call = Answer::new().call("c", "hour", "null").finish();
    let a = model(able(), vec![call, Answer::text("noon")]);
    let end = say(&brain(&[&a]), "s", "hi").await;
    let (usage, last) = (end.usage.unwrap(), end.context.unwrap().used_tokens);
    assert!(usage.estimated && last < usage.input_tokens && usage.input_tokens < 2 * last);
}

#[tokio::test]
async fn a_stop_holds_whoever_is_asked() {
    let gate = Gate::new();
    let (a, b) = (model(able(), vec![down()]), model(able(), vec![Answer::new().wait(&gate)]));
    let c = model(able(), vec![]);
    let brain = brain(&[&a, &b, &c]);
    let started = brain.chat(&owner(), TurnRequest::text(Some(id("s")), "hi")).await.unwrap();
    b.asked(1).await;
    let view = brain.cancel(&owner(), started.turn).await.unwrap().unwrap();
    assert_eq!(view.record.error.unwrap().code, "cancelled");
    assert_eq!((b.cancelled(), c.requests().len()), (1, 0));
    assert_eq!(view.record.context.unwrap().fallback.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_turn_is_for_all_models_together() {
    let waits = || Answer::new().wait(&Gate::new());
    let (a, b) = (model(able(), vec![down()]), model(able(), vec![waits()]));
    let limits = Limits { turn_time: Duration::from_secs(3), ..Limits::default() };
    let brain = brain(&[&a, &b]);
    let config = BrainConfig { limits, ..brain.config().clone() };
    let brain = Brain::new(brain.ports().clone(), config);
    let before = tokio::time::Instant::now();
    let end = say(&brain, "s", "hi").await;
    assert_eq!(end.error.unwrap().code, "turn_timeout");
    assert_eq!(before.elapsed().as_secs(), 3);
}
