//! Forking and forgetting inside a session, over HTTP.

use brain_testkit::{Answer, Gate};
use serde_json::{Value, json};

use crate::server::Server;

async fn say(server: &Server, session: &str, message: &str) {
    let reply = server.post("/chat", json!({"message": message, "session_id": session})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// What the entries of an answer say.
fn texts(read: &Value) -> Vec<String> {
    let entries = read["entries"].as_array().unwrap();
    entries.iter().map(|it| it["content"][0]["text"].as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn a_fork_is_a_session_of_its_own() {
    let server = Server::echo().await;
    server.post("/memory/sessions", json!({"id": "s", "title": "T", "system": "Be brief."})).await;
    say(&server, "s", "one").await;
    say(&server, "s", "two").await;
    let forked = server.post("/memory/sessions/s/fork", json!({"id": "f", "at": 2})).await;
    assert_eq!((forked.status, forked.header("location")), (201, Some("/memory/sessions/f")));
    let session = forked.json();
    assert_eq!((&session["title"], &session["system"]), (&json!("T"), &json!("Be brief.")));
    assert_eq!((&session["head"], &session["entry_count"]), (&json!(2), &json!(2)));

    say(&server, "f", "three").await;
    let fork = texts(&server.get("/memory/sessions/f").await.json());
    let original = texts(&server.get("/memory/sessions/s").await.json());
    assert_eq!((fork[0].as_str(), fork[2].as_str(), fork.len()), ("one", "three", 4));
    assert_eq!((original[2].as_str(), original.len()), ("two", 4));
}

#[tokio::test]
async fn a_fork_needs_a_place_and_a_free_name() {
    let server = Server::echo().await;
    let fork = async |body: Value| server.post("/memory/sessions/s/fork", body).await;
    fork(json!({})).await.problem(404, "session_not_found");
    say(&server, "s", "one").await;
    fork(json!({"at": 9})).await.problem(404, "unknown_entry");
    fork(json!({"id": "s"})).await.problem(409, "session_exists");
    fork(json!({"form": 1})).await.problem(400, "unknown_field");
    let named = fork(json!({"title": "Other"})).await.json();
    assert_eq!((&named["title"], &named["entry_count"]), (&json!("Other"), &json!(2)));
}

#[tokio::test]
async fn one_entry_is_forgotten_and_its_place_stays() {
    let server = Server::echo().await;
    say(&server, "s", "canary").await;
    say(&server, "s", "two").await;
    let before = server.get("/memory/sessions/s").await.json();
    let forgotten = server.delete("/memory/sessions/s/entries/1").await;
    assert_eq!(forgotten.json(), json!({"erased": 1, "pending": 0}));
    let again = server.delete("/memory/sessions/s/entries/1").await;
    assert_eq!(again.json(), json!({"erased": 0, "pending": 0}));

    let read = server.get("/memory/sessions/s").await.json();
    assert_eq!(read["entries"][0]["status"], "forgotten");
    assert_eq!(texts(&read).len(), texts(&before).len());
    assert_eq!(read["entries"][0]["content"], json!([]));
    server.delete("/memory/sessions/s/entries/one").await.problem(400, "invalid_request");
    let unknown = server.delete("/memory/sessions/nobody/entries/1").await;
    assert_eq!(unknown.json(), json!({"erased": 0, "pending": 0}));
}

#[tokio::test]
async fn what_a_running_turn_forbids_is_not_called_a_change() {
    let gate = Gate::new();
    let answers = [Answer::text("one"), Answer::new().wait(&gate).say("two").finish()];
    let server = Server::start(answers).await;
    say(&server, "s", "1").await;
    let body = json!({"message": "2", "session_id": "s", "stream": true});
    let mut stream = server.stream(body).await;
    let turn = stream.event().await.unwrap().data["turn_id"].clone();
    let before = server.get("/memory/sessions/s").await.json();
    let head = json!({"head": 1, "token": before["session"]["token"]});
    for refused in [
        server.delete("/memory/sessions/s/entries/1").await,
        server.patch("/memory/sessions/s", head.clone()).await,
    ] {
        let problem = refused.problem(409, "turn_in_progress");
        assert_eq!(problem["turn_id"], turn);
        assert!(problem["lease_left_ms"].as_u64().is_some_and(|it| it <= 10_000), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("cancel it"), "{problem}");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(server.get("/memory/sessions/s").await.json(), before);
    gate.open();
    stream.events().await;
    server.patch("/memory/sessions/s", head).await.problem(409, "session_conflict");
    let forgotten = server.delete("/memory/sessions/s/entries/1").await.json();
    assert_eq!(forgotten["erased"], 1);
}
