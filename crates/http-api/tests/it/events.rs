//! Turns as Server-Sent Events.

use std::time::Duration;

use brain_core::{
    llm::{ChatEvent, LlmErrorKind, Progress},
    tool::{ToolBox, ToolClass, ToolContext, ToolError, TypedTool},
};
use brain_testkit::{Answer, Gate, ScriptedLlm};
use http_api::ApiConfig;
use serde_json::{Value, json};

use crate::{
    client::{Event, raw, stable},
    server::{Server, Wishes},
};

#[derive(Debug)]
struct Clock;

impl TypedTool for Clock {
    const NAME: &'static str = "clock";
    const DESCRIPTION: &'static str = "Tells the time.";
    const CLASS: ToolClass = ToolClass::Read;
    type Args = Value;
    type Output = String;

    fn parameters(&self) -> Value {
        json!({"type": "object"})
    }

    async fn run(&self, _: &ToolContext, _: Value) -> Result<String, ToolError> {
        Ok("noon".to_owned())
    }
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|it| it.name.as_str()).collect()
}

#[tokio::test]
async fn the_bytes_of_a_stream() {
    let progress = Progress { stage: "loading".to_owned(), done: 1, total: 2 };
    let llm = ScriptedLlm::new([
        Answer::new().think("time?").call("c1", "clock", "{}").finish(),
        Answer::new()
            .event(ChatEvent::Progress(progress))
            .say("It is\n")
            .say("noon.")
            .usage(9, 3)
            .finish(),
    ]);
    let wishes = Wishes { tools: ToolBox::default().with(Clock), ..Wishes::default() };
    let server = Server::with(llm, wishes).await;
    let body = json!({"message": "what time is it?", "session_id": "s", "stream": true});
    let mut stream = server.stream(body).await;
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    assert_eq!(stream.header("cache-control"), Some("no-cache"));
    assert_eq!(stream.header("x-accel-buffering"), Some("no"));
    assert!(stream.header("x-request-id").is_some());
    insta::assert_snapshot!(stable(&stream.rest().await));
}

#[tokio::test]
async fn accepting_events_is_asking_for_them() {
    let server = Server::echo().await;
    let headers = "content-type: application/json\r\naccept: text/event-stream\r\n";
    let mut stream = server.open(&raw("POST", "/chat", headers, br#"{"message":"hi"}"#)).await;
    let events = stream.events().await;
    assert_eq!(names(&events), ["turn.started", "text.delta", "turn.completed"]);
    let plain = raw("POST", "/chat", headers, br#"{"message":"hi","stream":false}"#);
    assert_eq!(server.send(&plain).await.json()["status"], "completed");
}

#[tokio::test]
async fn each_event_goes_out_by_itself_and_at_once() {
    let gates = [Gate::new(), Gate::new()];
    let answer = Answer::new().wait(&gates[0]).say("a").wait(&gates[1]).say("b").finish();
    let server = Server::start([answer]).await;
    let mut stream = server.stream(json!({"message": "hi", "stream": true})).await;
    assert_eq!(stream.event().await.unwrap().name, "turn.started");
    gates[0].open();
    assert_eq!(stream.event().await.unwrap().data, json!({"text": "a"}));
    gates[1].open();
    assert_eq!(stream.event().await.unwrap().data, json!({"text": "b"}));
    let last = stream.event().await.unwrap();
    assert_eq!((last.name.as_str(), last.id), ("turn.completed", Some(4)));
    assert_eq!(stream.chunk().await, None);
}

#[tokio::test]
async fn silence_is_filled_with_heartbeats() {
    let gate = Gate::new();
    let config = ApiConfig { heartbeat: Duration::from_millis(30), ..ApiConfig::default() };
    let answers = [Answer::text("late").after(&gate)];
    let server = Server::configured(answers, config).await;
    let mut stream = server.stream(json!({"message": "hi", "stream": true})).await;
    assert!(stream.chunk().await.unwrap().contains("turn.started"));
    for _ in 0..3 {
        assert_eq!(stream.chunk().await.unwrap(), ": ping\n\n");
    }
    gate.open();
    assert_eq!(names(&stream.events().await), ["text.delta", "turn.completed"]);
}

#[tokio::test]
async fn a_turn_that_waits_for_another_streams_heartbeats_and_says_what_became_of_it() {
    let gate = Gate::new();
    let mut wishes = Wishes::default();
    wishes.api.heartbeat = Duration::from_millis(30);
    wishes.limits.busy_wait = Duration::from_millis(150);
    let llm = ScriptedLlm::new([Answer::new().wait(&gate).finish()]);
    let server = Server::with(llm, wishes).await;
    let body = json!({"message": "hi", "session_id": "s", "stream": true});
    let _first = server.stream(body.clone()).await;
    gate.reached_by(1).await;
    let mut second = server.stream(body).await;
    assert_eq!(second.chunk().await.unwrap(), ": ping\n\n");
    let event = second.event().await.unwrap();
    assert_eq!((event.name.as_str(), event.id), ("error", None));
    assert_eq!(event.data["code"], "turn_in_progress");
    assert_eq!(event.data["request_id"].as_str(), second.header("x-request-id"));
    assert_eq!(second.chunk().await, None);
}

#[tokio::test]
async fn a_failed_turn_never_looks_like_success() {
    let answer = Answer::new().say("half").fail(LlmErrorKind::Interrupted, "it broke off");
    let server = Server::start([answer]).await;
    let events = server.stream(json!({"message": "hi", "stream": true})).await.events().await;
    assert_eq!(names(&events), ["turn.started", "text.delta", "turn.failed"]);
    let data = &events[2].data;
    assert_eq!(data["status"], "failed");
    assert_eq!(data["error"], json!({"code": "provider_interrupted", "message": "it broke off"}));
    assert_eq!(data["message"]["status"], "interrupted");
}

#[tokio::test]
async fn a_stream_is_resumed_after_any_event() {
    let server = Server::start([Answer::new().say("a").say("b").say("c").finish()]).await;
    let body = json!({"message": "hi", "stream": true});
    let all = server.stream(body).await.events().await;
    let turn = all[0].data["turn_id"].as_str().unwrap();
    let path = format!("/chat/turns/{turn}/events");
    for after in 0..all.len() {
        let mut rest = server.listen(&format!("{path}?after={after}")).await;
        assert_eq!(rest.status, if after == all.len() { 204 } else { 200 });
        assert_eq!(rest.events().await, all[after..], "after {after}");
        // What a browser sends when it connects again counts more than the address.
        let header = format!("last-event-id: {after}\r\n");
        let mut rest = server.open(&raw("GET", &format!("{path}?after=1"), &header, b"")).await;
        assert_eq!(rest.events().await, all[after..], "after {after}");
    }
    let done = server.get(&format!("{path}?after={}", all.len())).await;
    assert_eq!((done.status, done.body.len()), (204, 0));
}

#[tokio::test]
async fn a_second_listener_sees_all_of_a_running_turn() {
    let gate = Gate::new();
    let server = Server::start([Answer::new().say("a").wait(&gate).say("b").finish()]).await;
    let mut first = server.stream(json!({"message": "hi", "stream": true})).await;
    let turn = first.event().await.unwrap().data["turn_id"].as_str().unwrap().to_owned();
    gate.reached_by(1).await;
    let mut second = server.listen(&format!("/chat/turns/{turn}/events")).await;
    assert_eq!(second.event().await.unwrap().name, "turn.started");
    assert_eq!(second.event().await.unwrap().data, json!({"text": "a"}));
    gate.open();
    assert_eq!(names(&second.events().await), ["text.delta", "turn.completed"]);
    assert_eq!(names(&first.events().await), ["text.delta", "text.delta", "turn.completed"]);
}

#[tokio::test]
async fn listening_in_vain_is_an_error() {
    let server = Server::echo().await;
    let unknown = "/chat/turns/0190a7c0-0000-7000-8000-000000000000/events";
    server.get(unknown).await.problem(404, "turn_not_found");
    server.get("/chat/turns/none/events").await.problem(404, "turn_not_found");
    for query in ["after=x", "after=-1", "after=1.5"] {
        server.get(&format!("{unknown}?{query}")).await.problem(400, "invalid_request");
    }
    let header = raw("GET", unknown, "last-event-id: x\r\n", b"");
    server.send(&header).await.problem(400, "invalid_request");
}
