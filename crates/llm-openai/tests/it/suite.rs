//! The gateway keeps to the contract of its port.

use brain_testkit::gateway::Subject;
use llm_openai::OpenAiGateway;
use serde_json::{Value, json};

use crate::{
    KEY, config,
    server::{Asked, Script, Server},
};

/// What a server with one chat model and one embedding model answers.
fn answer(asked: &Asked) -> Script {
    match (asked.line.as_str(), asked.body["model"].as_str()) {
        ("GET /v1/models", _) => {
            let models =
                json!([{"id": "vectors-embed"}, {"id": "default-model", "max_model_len": 4096}]);
            Script::json(200, &json!({"object": "list", "data": models}).to_string())
        }
        ("POST /v1/chat/completions", Some("default-model")) => chat(asked),
        ("POST /v1/embeddings", Some("vectors")) => vectors(asked),
        _ => {
            let message = format!("The model does not exist for this key: {KEY}");
            let error = json!({"message": message, "type": "invalid_request_error", "code": "model_not_found"});
            Script::json(404, &json!({ "error": error }).to_string())
        }
    }
}

/// Says back the last message, a word an event.
fn chat(asked: &Asked) -> Script {
    let messages = asked.body["messages"].as_array().unwrap();
    let text = messages.last().unwrap()["content"].as_str().unwrap();
    let chunk = |choices: Value| json!({"model": "served", "choices": choices}).to_string();
    let words =
        text.split_inclusive(' ').map(|it| chunk(json!([{"index": 0, "delta": {"content": it}}])));
    let mut data: Vec<String> = words.collect();
    data.push(chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}])));
    data.push(
        json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 5}}).to_string(),
    );
    data.push("[DONE]".to_owned());
    Script::sse(&data.iter().map(String::as_str).collect::<Vec<_>>())
}

fn vectors(asked: &Asked) -> Script {
    let inputs = asked.body["input"].as_array().unwrap().iter().enumerate();
    let item = |(index, text): (usize, &Value)| json!({"index": index, "embedding": [text.as_str().unwrap().len(), 1]});
    let data: Vec<Value> = inputs.map(item).collect();
    Script::json(200, &json!({"object": "list", "model": "vectors", "data": data}).to_string())
}

brain_testkit::llm_gateway_suite!(async || {
    let server = Server::answering(answer).await;
    let gateway = OpenAiGateway::new(config(&server.base_url())).unwrap();
    Subject::from(gateway).with_secret(KEY).keeping(server)
});
