//! Turns as they stand.

use brain_testkit::{Answer, Gate};
use serde_json::json;

use crate::{client::stable, server::Server};

#[tokio::test]
async fn a_turn_is_shown_while_it_runs_and_afterwards() {
    let gate = Gate::new();
    let answer = Answer::new().think("hm").say("so far").wait(&gate).say(", so good").finish();
    let server = Server::start([answer]).await;
    let mut stream =
        server.stream(json!({"message": "hi", "session_id": "s", "stream": true})).await;
    let turn = stream.event().await.unwrap().data["turn_id"].as_str().unwrap().to_owned();
    gate.reached_by(1).await;
    let path = format!("/chat/turns/{turn}");
    let view = server.get(&path).await.json();
    assert_eq!(view["status"], "running");
    assert_eq!((&view["text"], &view["reasoning"]), (&json!("so far"), &json!("hm")));
    assert_eq!((&view["message"], &view["ended_at"]), (&json!(null), &json!(null)));
    gate.open();
    stream.events().await;
    let view = serde_json::to_string_pretty(&server.get(&path).await.json()).unwrap();
    insta::assert_snapshot!(stable(&view));
}

#[tokio::test]
async fn stopping_what_is_over_changes_nothing() {
    let server = Server::echo().await;
    let answer = server.post("/chat", json!({"message": "hi"})).await.json();
    let path = format!("/chat/turns/{}", answer["turn_id"].as_str().unwrap());
    let before = server.get(&path).await.json();
    let cancelled =
        server.send(&crate::client::raw("POST", &format!("{path}/cancel"), "", b"")).await;
    assert_eq!(cancelled.status, 200);
    assert_eq!(cancelled.json(), before);
    assert_eq!(before["status"], "completed");
}

#[tokio::test]
async fn only_unknown_turns_are_not_found() {
    let server = Server::echo().await;
    for turn in ["0190a7c0-0000-7000-8000-000000000000", "none", "%FF", "1"] {
        server.get(&format!("/chat/turns/{turn}")).await.problem(404, "turn_not_found");
        let cancel = server.cancel(turn).await;
        cancel.problem(404, "turn_not_found");
    }
}
