//! `POST /chat` for a caller who waits for the whole answer.

use std::time::Duration;

use brain_core::llm::{FinishReason, LlmErrorKind};
use brain_testkit::{Answer, Gate, ScriptedLlm};
use serde_json::{Value, json};

use crate::{
    client::stable,
    server::{Server, Wishes, within},
};

const SOON: Duration = Duration::from_secs(5);

/// The roles and texts of a session, oldest first.
pub(crate) async fn history(server: &Server, session: &str) -> Vec<String> {
    let reply = server.get(&format!("/memory/sessions/{session}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let say = |entry: &Value| {
        let text = entry["content"][0]["text"].as_str().unwrap_or_default();
        format!("{}: {text}", entry["role"].as_str().unwrap())
    };
    reply.json()["entries"].as_array().unwrap().iter().map(say).collect()
}

#[tokio::test]
async fn the_answer_is_one_json_object() {
    let answer = Answer::new().think("hm").say("Hello ").say("there.").usage(7, 2).finish();
    let server = Server::start([answer]).await;
    let reply = server.post("/chat", json!({"message": "hi", "session_id": "s"})).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.header("x-request-id").is_some());
    let pretty = serde_json::to_string_pretty(&reply.json()).unwrap();
    insta::assert_snapshot!(stable(&pretty));
}

#[tokio::test]
async fn a_conversation_goes_on_where_it_was() {
    let server = Server::echo().await;
    let first = server.post("/chat", json!({"message": "one"})).await.json();
    let session = first["session_id"].as_str().unwrap();
    server.post("/chat", json!({"message": "two", "session_id": session})).await;
    let said = ["user: one", "assistant: one", "user: two", "assistant: two"];
    assert_eq!(history(&server, session).await, said);
    assert_eq!(server.llm.requests()[1].messages.len(), 3);
}

#[tokio::test]
async fn what_is_asked_reaches_the_model() {
    let server = Server::start([Answer::text("ok")]).await;
    let reply = server
        .post("/chat", json!({
            "message": [{"type": "text", "text": "what is "}, {"type": "text", "text": "this?"}],
            "system": "Be brief.", "model": "scripted", "title": "T", "metadata": {"n": 1},
            "tools": [], "recall": true, "memory": "durable", "on_busy": "reject",
            "options": {"temperature": 0.5, "top_p": 0.9, "max_tokens": 5, "stop": ["x"], "seed": 3,
                        "response_format": {"type": "text"}, "reasoning_effort": "low"},
            "on_disconnect": "cancel", "stream": false, "session_id": "s",
        }))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let asked = &server.llm.requests()[0];
    assert_eq!(asked.messages[0].joined_text(), "Be brief.");
    assert_eq!(asked.messages[1].content.len(), 2);
    assert_eq!(asked.options.max_tokens, Some(5));
    assert_eq!(asked.options.response_format.as_ref().unwrap().as_str(), r#"{"type":"text"}"#);
    let session = server.get("/memory/sessions/s").await.json()["session"].clone();
    assert_eq!(session["title"], "T");
    assert_eq!(session["metadata"], json!({"n": 1}));
    assert_eq!(session["recall"], true);
}

#[tokio::test]
async fn a_failure_of_the_provider_is_502_and_loses_nothing() {
    let server = Server::start([
        Answer::refused(LlmErrorKind::Unavailable, "the provider is away; try later"),
        Answer::new().say("half an ").fail(LlmErrorKind::Interrupted, "it broke off; ask again"),
    ])
    .await;
    let reply = server.post("/chat", json!({"message": "one", "session_id": "s"})).await;
    let problem = reply.problem(502, "provider_unavailable");
    assert_eq!(problem["session_id"], "s");
    assert_eq!(problem["detail"], "the provider is away; try later");
    let turn = problem["turn_id"].as_str().unwrap();
    let view = server.get(&format!("/chat/turns/{turn}")).await.json();
    assert_eq!(view["status"], "failed");
    assert_eq!(view["error"]["code"], "provider_unavailable");

    let reply = server.post("/chat", json!({"message": "two", "session_id": "s"})).await;
    reply.problem(502, "provider_interrupted");
    let entries = server.get("/memory/sessions/s").await.json()["entries"].clone();
    assert_eq!(entries[1]["status"], "failed");
    assert_eq!(entries[3]["status"], "interrupted");
    assert_eq!(entries[3]["content"][0]["text"], "half an ");
}

#[tokio::test]
async fn what_the_client_can_change_is_no_502() {
    for (kind, status) in [
        (LlmErrorKind::ContextOverflow, 400),
        (LlmErrorKind::ModelNotFound, 400),
        (LlmErrorKind::Rejected, 400),
        (LlmErrorKind::Unsupported, 400),
        (LlmErrorKind::Overloaded, 503),
        (LlmErrorKind::RateLimited, 502),
        (LlmErrorKind::QuotaExceeded, 502),
        (LlmErrorKind::Unauthorised, 502),
        (LlmErrorKind::Protocol, 502),
    ] {
        let server = Server::start([Answer::refused(kind, "change it")]).await;
        let reply = server.post("/chat", json!({"message": "hi"})).await;
        let problem = reply.problem(status, kind.code());
        assert!(problem["turn_id"].is_string());
        assert_eq!(reply.header("retry-after").is_some(), status == 503, "{kind:?}");
    }
}

#[tokio::test]
async fn a_stopped_turn_answers_with_what_there_is() {
    let gate = Gate::new();
    let server = Server::start([Answer::new().say("so far").wait(&gate).finish()]).await;
    let (reply, ()) =
        tokio::join!(server.post("/chat", json!({"message": "hi", "session_id": "s"})), async {
            gate.reached_by(1).await;
            let turn = running_turn(&server).await;
            let view = server.cancel(&turn).await.json();
            assert_eq!(view["status"], "interrupted");
            assert_eq!(view["text"], "so far");
        });
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    assert_eq!(answer["status"], "interrupted");
    assert_eq!(answer["error"]["code"], "cancelled");
    assert_eq!(answer["message"]["status"], "interrupted");
    assert_eq!(answer["message"]["content"][0]["text"], "so far");
    within(SOON, server.llm.dropped(1)).await;
}

#[tokio::test]
async fn a_turn_stopped_before_it_said_anything_is_interrupted_too() {
    let gate = Gate::new();
    let server = Server::start([Answer::text("never").after(&gate)]).await;
    let (reply, ()) =
        tokio::join!(server.post("/chat", json!({"message": "hi", "session_id": "s"})), async {
            gate.reached_by(1).await;
            let turn = running_turn(&server).await;
            let view = server.cancel(&turn).await.json();
            assert_eq!(view["status"], "interrupted");
        });
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["status"], "interrupted");
    assert_eq!(reply.json()["message"]["status"], "failed");
}

/// The one turn that runs, as a second request of its session learns it.
async fn running_turn(server: &Server) -> String {
    let body = json!({"message": "me too", "session_id": "s", "on_busy": "reject"});
    let problem = server.post("/chat", body).await.problem(409, "turn_in_progress");
    assert!(problem["lease_left_ms"].as_u64().is_some());
    problem["turn_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_second_turn_waits_for_the_first() {
    let gate = Gate::new();
    let server =
        Server::start([Answer::new().wait(&gate).say("first").finish(), Answer::text("second")])
            .await;
    let (first, second) =
        tokio::join!(server.post("/chat", json!({"message": "1", "session_id": "s"})), async {
            gate.reached_by(1).await;
            let second = server.post("/chat", json!({"message": "2", "session_id": "s"}));
            let (second, ()) = tokio::join!(second, async {
                running_turn(&server).await;
                gate.open();
            });
            second
        });
    assert_eq!((first.status, second.status), (200, 200));
    let said = ["user: 1", "assistant: first", "user: 2", "assistant: second"];
    assert_eq!(history(&server, "s").await, said);
}

#[tokio::test]
async fn waiting_for_another_turn_has_an_end() {
    let gate = Gate::new();
    let llm = ScriptedLlm::new([Answer::new().wait(&gate).finish()]);
    let mut wishes = Wishes::default();
    wishes.limits.busy_wait = Duration::from_millis(50);
    let server = Server::with(llm, wishes).await;
    let mut first = server.stream(json!({"message": "1", "session_id": "s", "stream": true})).await;
    assert_eq!(first.event().await.unwrap().name, "turn.started");
    let reply = server.post("/chat", json!({"message": "2", "session_id": "s"})).await;
    reply.problem(409, "turn_in_progress");
    assert!(reply.header("retry-after").is_some());
    gate.open();
}

#[tokio::test]
async fn one_key_is_one_turn() {
    let gate = Gate::new();
    let server = Server::start([Answer::new().say("once").wait(&gate).finish()]).await;
    let ask = || server.post_as("k1", "/chat", json!({"message": "hi"}));
    let (first, second, ()) = tokio::join!(ask(), ask(), async {
        gate.reached_by(1).await;
        gate.open();
    });
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.json(), second.json());
    let replayed = [&first, &second].map(|it| it.header("idempotent-replayed").is_some());
    assert!(replayed.contains(&true) && replayed.contains(&false));
    let session = first.json()["session_id"].as_str().unwrap().to_owned();
    assert_eq!(history(&server, &session).await, ["user: hi", "assistant: once"]);
    assert_eq!(server.llm.requests().len(), 1);

    let again = ask().await;
    assert_eq!(again.json(), first.json());
    let other = server.post_as("k1", "/chat", json!({"message": "other"})).await;
    other.problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_turn_that_failed_is_replayed_as_it_failed() {
    let server = Server::start([Answer::refused(LlmErrorKind::ModelNotFound, "no")]).await;
    let ask = || server.post_as("k", "/chat", json!({"message": "hi", "model": "nope"}));
    let (first, second) = (ask().await, ask().await);
    let turns = [&first, &second].map(|it| it.problem(400, "model_not_found")["turn_id"].clone());
    assert_eq!(turns[0], turns[1]);
    let replayed = [&first, &second].map(|it| it.header("idempotent-replayed"));
    assert_eq!(replayed, [None, Some("true")]);
}

#[tokio::test]
async fn a_session_stays_of_the_class_it_was_made() {
    let ttl = Some(Duration::from_secs(60));
    let server = Server::with(ScriptedLlm::echo(), Wishes { ttl, ..Wishes::default() }).await;
    for (session, class, other) in [("d", "durable", "ephemeral"), ("e", "ephemeral", "durable")] {
        let ask = |class: &str| {
            let body = json!({"message": "hi", "session_id": session, "memory": class});
            server.post("/chat", body)
        };
        assert_eq!(ask(class).await.status, 200);
        assert_eq!(ask(class).await.status, 200);
        ask(other).await.problem(409, "memory_mismatch");
        let body = json!({"message": "hi", "session_id": session});
        assert_eq!(server.post("/chat", body).await.status, 200);
        assert_eq!(history(&server, session).await.len(), 6);
    }
}

#[tokio::test]
async fn an_answer_may_be_given_again_and_a_message_elsewhere() {
    let server = Server::start([Answer::text("a"), Answer::text("b"), Answer::text("c")]).await;
    server.post("/chat", json!({"message": "1", "session_id": "s"})).await;
    let again = server.post("/chat", json!({"regenerate": 2, "session_id": "s"})).await.json();
    assert_eq!(again["message"]["parent"], 1);
    assert_eq!(history(&server, "s").await, ["user: 1", "assistant: b"]);
    let branch = json!({"message": "2", "session_id": "s", "parent": 2});
    assert_eq!(server.post("/chat", branch).await.status, 200);
    let said = ["user: 1", "assistant: a", "user: 2", "assistant: c"];
    assert_eq!(history(&server, "s").await, said);

    let unknown = server.post("/chat", json!({"message": "2", "session_id": "s", "parent": 99}));
    unknown.await.problem(404, "unknown_entry");
    let unknown = server.post("/chat", json!({"regenerate": 1, "session_id": "nowhere"}));
    unknown.await.problem(404, "session_not_found");
}

#[tokio::test]
async fn an_answer_says_why_the_model_stopped() {
    for (reason, word) in
        [(FinishReason::Length, "length"), (FinishReason::ContentFilter, "content_filter")]
    {
        let server = Server::start([Answer::new().say("so f").finish_for(reason)]).await;
        let body = json!({"message": "hi", "session_id": "s"});
        let answer = server.post("/chat", body).await.json();
        assert_eq!(
            (&answer["status"], &answer["message"]["status"]),
            (&json!("completed"), &json!("complete"))
        );
        assert_eq!(answer["message"]["finish_reason"], word);
        let turn = answer["turn_id"].as_str().unwrap();
        let mut stream = server.listen(&format!("/chat/turns/{turn}/events?after=2")).await;
        assert_eq!(stream.event().await.unwrap().data["message"], answer["message"]);
        let entries = server.get("/memory/sessions/s/entries").await.json()["entries"].clone();
        assert_eq!((&entries[0].get("finish_reason"), &entries[1]), (&None, &answer["message"]));
    }
}
