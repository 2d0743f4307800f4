//! What a client sees of models that stand in for one another.

use brain_core::llm::{Capabilities, LlmErrorKind, ModelInfo};
use brain_testkit::{Answer, ScriptedLlm};
use serde_json::json;

use crate::server::{Server, Wishes};

fn down() -> Answer {
    Answer::refused(LlmErrorKind::Overloaded, "it is busy; try again in a moment")
}

/// A surface whose first model is `first`, and whose second one reads no pictures.
async fn server(answers: impl IntoIterator<Item = Answer>) -> Server {
    let info = |id: &str, vision| {
        let capabilities = Capabilities { chat: true, vision, ..Capabilities::default() };
        ModelInfo { id: id.to_owned(), capabilities }
    };
    let llm = ScriptedLlm::new(answers).with_models([info("first", true), info("second", false)]);
    let fallback = vec!["second".to_owned()];
    Server::with(llm, Wishes { fallback, ..Wishes::default() }).await
}

#[tokio::test]
async fn the_answer_says_who_gave_it_and_who_did_not() {
    let server = server([down(), Answer::text("nice")]).await;
    let message = json!([
        {"type": "text", "text": "look"},
        {"type": "image", "url": "data:image/png;base64,AAAA"},
    ]);
    let answer = server.post("/chat", json!({"message": message, "model": "first"})).await.json();
    assert_eq!(
        (&answer["status"], &answer["message"]["model"]),
        (&json!("completed"), &json!("second"))
    );
    let context = &answer["context"];
    let over = json!([{"model": "first", "code": "provider_overloaded"}]);
    assert_eq!((&context["fallback"], &context["pictures_left_out"]), (&over, &json!(1)));
    let asked = server.llm.requests();
    assert_eq!(asked.iter().map(|it| it.model.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(asked[1].messages[0].joined_text(), "look\n[picture]");
    let turn = server.get(&format!("/chat/turns/{}", answer["turn_id"].as_str().unwrap())).await;
    assert_eq!(turn.json()["context"], *context, "the stored turn says the same");
}

#[tokio::test]
async fn listeners_see_who_is_asked_next() {
    let server = server([down(), Answer::text("nice")]).await;
    let request = json!({"message": "hi", "model": "first", "stream": true});
    let events = server.stream(request).await.events().await;
    let progress = events.iter().find(|it| it.name == "model.progress").unwrap();
    let stage = "first is overloaded; asking second";
    assert_eq!(progress.data, json!({"stage": stage, "done": 0, "total": 0}));
}

#[tokio::test]
async fn the_first_failure_is_the_error() {
    let server = server([down(), Answer::refused(LlmErrorKind::Protocol, "what?")]).await;
    let failed = server.post("/chat", json!({"message": "hi", "model": "first"})).await;
    assert_eq!(failed.header("retry-after"), Some("1"));
    let told = "it is busy; try again in a moment; none of 2 models answered";
    assert_eq!(failed.json()["detail"], told);
    failed.problem(503, "provider_overloaded");
}
