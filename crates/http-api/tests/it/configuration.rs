//! What holds where nobody says otherwise, and who may say what.

use brain_core::llm::{Capabilities, ModelInfo};
use brain_testkit::{Answer, ScriptedLlm};
use serde_json::{Value, json};

use crate::{
    client::raw,
    server::{Server, Wishes},
};

fn llm() -> ScriptedLlm {
    let info = |id: &str, chat| ModelInfo {
        id: id.to_owned(),
        capabilities: Capabilities { chat, ..Capabilities::default() },
    };
    ScriptedLlm::echo().with_models([
        info("first", true),
        info("given", true),
        info("chosen", true),
        info("kept", true),
        info("named", true),
        info("vectors", false),
    ])
}

/// A server that was started with a model and a system prompt.
async fn given() -> Server {
    let (model, system) = ("given".to_owned(), Some("Be given.".to_owned()));
    Server::with(llm(), Wishes { model, system, ..Wishes::default() }).await
}

fn config(model: (Option<&str>, &str), system_prompt: (Option<&str>, &str)) -> Value {
    json!({
        "model": {"value": model.0, "origin": model.1},
        "system_prompt": {"value": system_prompt.0, "origin": system_prompt.1},
        "lasting": false,
    })
}

/// Asks in a session; the model and the system prompt that the question came with.
async fn ask(server: &Server, body: Value) -> (String, Option<String>) {
    let reply = server.post("/chat", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let request = server.llm.requests().pop().unwrap();
    let first = request.messages.first().unwrap();
    let system = (first.role.as_str() == "system").then(|| first.joined_text());
    (request.model, system)
}

#[tokio::test]
async fn it_tells_what_holds_and_where_that_comes_from() {
    let server = Server::echo().await;
    let config = config((None, "default"), (None, "default"));
    assert_eq!(server.get("/config").await.json(), config);
    let given = given().await.get("/config").await.json();
    assert_eq!(given["model"], json!({"value": "given", "origin": "environment"}));
    assert_eq!(given["system_prompt"], json!({"value": "Be given.", "origin": "environment"}));
}

#[tokio::test]
async fn what_is_chosen_holds_from_the_next_turn_on() {
    let server = given().await;
    let asked = |model: &str, system: &str| (model.to_owned(), Some(system.to_owned()));
    assert_eq!(ask(&server, json!({"message": "1"})).await, asked("given", "Be given."));

    let chosen = server.patch("/config", json!({"model": "chosen"})).await;
    let given = (Some("Be given."), "environment");
    assert_eq!(chosen.json(), config((Some("chosen"), "runtime"), given));
    assert_eq!(ask(&server, json!({"message": "2"})).await, asked("chosen", "Be given."));
    let models = server.get("/models").await.json();
    let default: Vec<_> = models["models"].as_array().unwrap().iter().collect();
    let default: Vec<_> = default.iter().filter(|it| it["default"] == true).collect();
    assert_eq!((default.len(), &default[0]["id"]), (1, &json!("chosen")));

    let both = json!({"model": null, "system_prompt": "Be chosen."});
    let chosen = server.patch("/config", both).await.json();
    let expected = config((Some("given"), "environment"), (Some("Be chosen."), "runtime"));
    assert_eq!(chosen, expected);
    assert_eq!(server.get("/config").await.json(), expected);
    assert_eq!(ask(&server, json!({"message": "3"})).await, asked("given", "Be chosen."));

    let none = server.patch("/config", json!({"system_prompt": ""})).await.json();
    assert_eq!(none["system_prompt"], json!({"value": "", "origin": "runtime"}));
    assert_eq!(ask(&server, json!({"message": "4"})).await, ("given".to_owned(), None));

    let back = server.patch("/config", json!({"system_prompt": null})).await.json();
    assert_eq!(back, config((Some("given"), "environment"), given));
    assert_eq!(server.patch("/config", json!({})).await.json(), back);
}

#[tokio::test]
async fn the_nearest_choice_counts() {
    let server = given().await;
    server.patch("/config", json!({"model": "chosen", "system_prompt": "C"})).await;
    let made = json!({"id": "s", "model": "kept", "system": "S"});
    assert_eq!(server.post("/memory/sessions", made).await.json()["model"], "kept");
    let in_session = |more: Value| {
        let mut body = json!({"message": "hi", "session_id": "s"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let asked = |model: &str| (model.to_owned(), Some("S".to_owned()));
    assert_eq!(ask(&server, in_session(json!({}))).await, asked("kept"));
    assert_eq!(ask(&server, in_session(json!({"model": "named"}))).await, asked("named"));
    assert_eq!(ask(&server, in_session(json!({}))).await, asked("kept"), "once is not for good");

    let patched = server.patch("/memory/sessions/s", json!({"model": "first"})).await.json();
    assert_eq!(patched["model"], "first");
    assert_eq!(ask(&server, in_session(json!({}))).await, asked("first"));
    let cleared = server.patch("/memory/sessions/s", json!({"model": null})).await.json();
    assert_eq!(cleared["model"], json!(null));
    assert_eq!(ask(&server, in_session(json!({}))).await, asked("chosen"));
}

#[tokio::test]
async fn a_session_goes_on_with_the_model_that_it_began_with() {
    let server = given().await;
    let begun = json!({"message": "hi", "session_id": "n", "model": "named"});
    ask(&server, begun).await;
    let again = json!({"message": "hi", "session_id": "n"});
    assert_eq!(ask(&server, again).await.0, "named");
    let export = server.get("/memory/export").await;
    assert_eq!(export.json()["sessions"][0]["model"], "named");

    let other = given().await;
    assert_eq!(other.post("/memory/import", export.json()).await.json()["created"], 1);
    assert_eq!(other.get("/memory/sessions/n").await.json()["session"]["model"], "named");
    assert_eq!(other.get("/memory/export").await.body, export.body);
}

#[tokio::test]
async fn what_makes_no_sense_changes_nothing() {
    let server = given().await;
    let before = server.get("/config").await.json();
    let long = "x".repeat(64 * 1024 + 1);
    for (body, code, word) in [
        (json!({"modell": "first"}), "unknown_field", "`modell`"),
        (
            json!({"model": "nobody/has-it", "system_prompt": "S"}),
            "model_not_found",
            "nobody/has-it",
        ),
        (json!({"model": "vectors"}), "model_not_found", "answers no chats"),
        (json!({"model": ""}), "invalid_request", "`model`"),
        (json!({"model": " "}), "invalid_request", "`model`"),
        (json!({"model": 1}), "invalid_request", "`model`"),
        (json!({"model": "x".repeat(513)}), "invalid_request", "512"),
        (json!({"system_prompt": long}), "invalid_request", "`system_prompt`"),
        (json!(["first", null]), "invalid_request", "object"),
    ] {
        let reply = server.patch("/config", body).await;
        let problem = reply.problem(400, code);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{word}: {detail}");
        assert_eq!(server.get("/config").await.json(), before);
    }
    let both = br#"{"model":"first","model":"given"}"#;
    let json = "content-type: application/json\r\n";
    server.send(&raw("PATCH", "/config", json, both)).await.problem(400, "invalid_request");
    let sessions = json!({"id": "s", "model": " "});
    server.post("/memory/sessions", sessions).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_model_that_is_gone_is_told_by_the_turn() {
    let server = given().await;
    server.post("/memory/sessions", json!({"id": "s", "model": "was/there"})).await;
    server.llm.push(Answer::text("never said"));
    let reply = server.post("/chat", json!({"message": "hi", "session_id": "s"})).await;
    reply.problem(400, "model_not_found");
}
