//! The gateway keeps to the contract of its port.

use brain_testkit::gateway::Subject;
use llm_ollama::OllamaGateway;
use serde_json::{Value, json};

use crate::{
    CHAT, KEY, PULL, SHOW, config, done, piece,
    server::{Asked, Reply, Server},
    shown,
};

/// What a server with one chat model and one embedding model answers.
fn answer(asked: &Asked) -> Reply {
    let model = asked.model();
    let is_installed = matches!(model.trim_end_matches(":latest"), "qwen3" | "vectors");
    match asked.line.as_str() {
        "GET /api/version" => Reply::json(200, &json!({"version": "0.33.0"})),
        "GET /api/tags" => {
            let names = ["vectors:latest", "qwen3:latest"].map(|it| json!({"name": it}));
            Reply::json(200, &json!({"models": names}))
        }
        PULL => Reply::lines(&[
            json!({"status": "pulling manifest"}),
            json!({"error": format!("pull model manifest: file does not exist for {KEY}")}),
        ]),
        _ if !is_installed => Reply::error(404, &format!("model '{model}' not found by {KEY}")),
        SHOW if model.starts_with("vectors") => {
            Reply::json(200, &json!({"capabilities": ["embedding"]}))
        }
        SHOW => Reply::json(200, &shown(4_096)),
        CHAT => chat(asked),
        "POST /api/embed" => vectors(asked),
        other => panic!("{other}"),
    }
}

/// Says back the last message, a word a line.
fn chat(asked: &Asked) -> Reply {
    let messages = asked.body["messages"].as_array().unwrap();
    let text = messages.last().unwrap()["content"].as_str().unwrap();
    let words = text.split_inclusive(' ').map(|it| piece(&json!({"content": it})));
    Reply::lines(&words.chain([done()]).collect::<Vec<Value>>())
}

fn vectors(asked: &Asked) -> Reply {
    let inputs = asked.body["input"].as_array().unwrap().iter();
    let vectors: Vec<Value> = inputs.map(|it| json!([it.as_str().unwrap().len(), 1])).collect();
    Reply::json(200, &json!({"model": "vectors", "embeddings": vectors}))
}

brain_testkit::llm_gateway_suite!(async || {
    let server = Server::start(answer).await;
    let gateway = OllamaGateway::new(config(&server)).unwrap();
    Subject::from(gateway).with_secret(KEY).keeping(server)
});
