//! The list of models and what they can do.

use brain_core::llm::{LlmErrorKind, LlmGateway};
use llm_ollama::{OllamaConfig, OllamaGateway};
use serde_json::{Value, json};

use crate::{
    SHOW, config, gateway,
    server::{Asked, Reply, Server},
    shown,
};

/// A server with these models, of which the first cannot be asked about.
fn answer(asked: &Asked) -> Reply {
    match (asked.line.as_str(), asked.model()) {
        ("GET /api/tags", _) => {
            let tag = |name: &str| json!({"name": name, "model": name, "size": 1, "details": null});
            let names = ["broken:1b", "qwen3:latest", "coder:7b", "nomic-embed-text:latest"];
            Reply::json(200, &json!({"models": names.map(tag)}))
        }
        (_, "broken:1b") => Reply::error(500, "invalid file magic"),
        (SHOW, "nomic-embed-text:latest") => Reply::json(
            200,
            &json!({
                "capabilities": ["embedding"], "model_info": {"nomic-bert.context_length": 2_048},
            }),
        ),
        (SHOW, "coder:7b") => Reply::json(
            200,
            &json!({"capabilities": ["completion", "insert"], "parameters": "num_ctx 6000"}),
        ),
        _ => Reply::json(200, &shown(40_960)),
    }
}

#[tokio::test]
async fn models_are_listed_with_the_default_first() {
    let server = Server::start(answer).await;
    let gateway = gateway(&server);
    assert_eq!(gateway.capabilities("").context_tokens, None, "nobody was asked yet");
    let models = gateway.models().await.unwrap().models;
    let row = |it: &brain_core::llm::ModelInfo| {
        let can = it.capabilities;
        (it.id.clone(), can.context_tokens, [can.chat, can.completion, can.embeddings, can.tools])
    };
    let found: Vec<_> = models.iter().map(row).collect();
    let expected = [
        ("qwen3", Some(16_384), [true; 4]),
        ("broken:1b", None, [true, false, false, true]),
        ("coder:7b", Some(6_000), [true, true, false, false]),
        ("nomic-embed-text:latest", Some(2_048), [false, false, true, false]),
    ];
    assert_eq!(found, expected.map(|(id, context, can)| (id.to_owned(), context, can)));
    assert_eq!(gateway.capabilities("qwen3:latest").context_tokens, Some(16_384));

    let shows = server.asked(SHOW).len();
    gateway.models().await.unwrap();
    assert_eq!(server.asked(SHOW).len(), shows + 1, "only the broken one is asked about again");
}

#[tokio::test]
async fn a_server_without_models_and_one_without_a_default() {
    let none = |tags: Value| {
        move |asked: &Asked| match asked.line.as_str() {
            "GET /api/tags" => Reply::json(200, &tags),
            _ => Reply::error(404, "model 'qwen3' not found"),
        }
    };
    for tags in [json!({"models": null}), json!({"models": []})] {
        let server = Server::start(none(tags)).await;
        let models = gateway(&server).models().await.unwrap().models;
        let ids: Vec<&str> = models.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["qwen3"], "the default can be pulled");
        assert!(models[0].capabilities.chat);
        let without = OllamaConfig { default_model: String::new(), ..config(&server) };
        assert!(OllamaGateway::new(without).unwrap().models().await.unwrap().models.is_empty());
    }
    let server = Server::start(|_| Reply::new(200, "text/html", "<html>")).await;
    let error = gateway(&server).models().await.unwrap_err();
    assert_eq!(error.kind(), LlmErrorKind::Protocol);
}
