//! The model that plays a script.

use brain_core::{
    chat::Message,
    llm::{ChatEvent, ChatRequest, FinishReason, LlmErrorKind, LlmGateway, LlmGatewayExt},
};
use brain_testkit::{Answer, Gate, ScriptedLlm};
use futures_util::{StreamExt, poll};

fn ask(text: &str) -> ChatRequest {
    ChatRequest { messages: vec![Message::user(text).into()], ..ChatRequest::default() }
}

#[tokio::test]
async fn answers_are_played_in_order_and_requests_recorded() {
    let llm = ScriptedLlm::new([
        Answer::new().call("c1", "clock", "{}").finish(),
        Answer::new().think("hm").say("it is ").say("noon").usage(3, 2).finish(),
    ]);
    let first = llm.complete(ask("what time?")).await.unwrap();
    assert_eq!(first.message.tool_calls[0].name, "clock");
    assert_eq!(first.finish.reason, FinishReason::ToolCalls);
    let second = llm.clone().complete(ask("and?")).await.unwrap();
    assert_eq!(second.message.joined_text(), "it is noon");
    assert_eq!(second.usage.unwrap().input_tokens, 3);
    let asked: Vec<String> = llm.requests().iter().map(|it| it.messages[0].joined_text()).collect();
    assert_eq!(asked, ["what time?", "and?"]);
    assert_eq!(llm.complete(ask("more?")).await.unwrap_err().kind(), LlmErrorKind::Rejected);
    assert_eq!(llm.cancelled(), 0);
}

#[tokio::test]
async fn an_answer_waits_at_its_gate() {
    let gate = Gate::new();
    let llm = ScriptedLlm::new([Answer::new().say("a").wait(&gate).say("b").finish()]);
    let mut stream = llm.stream(ask("go")).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), ChatEvent::Text("a".to_owned()));
    let mut next = stream.next();
    assert!(poll!(&mut next).is_pending());
    gate.reached_by(1).await;
    gate.open();
    assert_eq!(next.await.unwrap().unwrap(), ChatEvent::Text("b".to_owned()));
}

#[tokio::test]
async fn dropping_an_answer_early_is_counted() {
    let gate = Gate::new();
    let llm = ScriptedLlm::new([
        Answer::new().say("a").wait(&gate).finish(),
        Answer::text("late").after(&gate),
        Answer::text("whole"),
    ]);
    let mut stream = llm.stream(ask("go")).await.unwrap();
    stream.next().await;
    drop(stream);
    llm.dropped(1).await;
    assert!(poll!(llm.stream(ask("go"))).is_pending());
    llm.dropped(2).await;
    llm.complete(ask("go")).await.unwrap();
    assert_eq!(llm.cancelled(), 2);
}

#[tokio::test]
async fn failures_come_before_or_within_the_answer() {
    let llm = ScriptedLlm::new([
        Answer::refused(LlmErrorKind::Unavailable, "down"),
        Answer::new().say("half").fail(LlmErrorKind::Interrupted, "cut"),
        Answer::new().say("half"),
    ]);
    assert_eq!(llm.stream(ask("1")).await.err().unwrap().kind(), LlmErrorKind::Unavailable);
    let items: Vec<_> = llm.stream(ask("2")).await.unwrap().collect().await;
    assert_eq!((items.len(), items[1].as_ref().unwrap_err().to_string()), (2, "cut".to_owned()));
    assert_eq!(llm.complete(ask("3")).await.unwrap_err().kind(), LlmErrorKind::Interrupted);
    assert_eq!(llm.cancelled(), 0);
}
