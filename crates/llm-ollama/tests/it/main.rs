//! The gateway against a scripted server: what it sends, what it makes of what comes back.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail")]

mod completions;
mod embeddings;
mod failures;
mod mock;
mod models;
mod pulls;
mod server;
mod stacked;
mod streams;
mod suite;
mod wires;

use std::{sync::Arc, time::Duration};

use brain_core::{
    chat::Message,
    llm::{ChatEvent, ChatRequest, ChatStream, LlmError},
};
use futures_util::StreamExt;
use llm_ollama::{OllamaConfig, OllamaGateway, Timeouts};
use serde_json::{Value, json};

use crate::server::{Asked, Reply, Server};

/// The key of every test; must never come back.
const KEY: &str = "ollama-hunter2-hunter2";

const CHAT: &str = "POST /api/chat";
const SHOW: &str = "POST /api/show";
const PULL: &str = "POST /api/pull";

fn config(server: &Server) -> OllamaConfig {
    OllamaConfig {
        api_key: Some(KEY.to_owned().into()),
        embedding_model: Some("vectors".to_owned()),
        ..OllamaConfig::new(server.base_url(), "qwen3")
    }
}

fn gateway(server: &Server) -> OllamaGateway {
    OllamaGateway::new(config(server)).unwrap()
}

/// A gateway that waits 400 ms for a first byte and 300 ms for the next.
fn impatient_gateway(server: &Server) -> OllamaGateway {
    let timeouts = Timeouts {
        first_byte: Duration::from_millis(400),
        idle: Duration::from_millis(300),
        ..Timeouts::default()
    };
    OllamaGateway::new(OllamaConfig { timeouts, ..config(server) }).unwrap()
}

/// What a server of version 0.33.0 says of itself and its models, and what `answer` says else.
async fn serving(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |asked| match asked.line.as_str() {
        "GET /api/version" => Reply::json(200, &json!({"version": "0.33.0"})),
        SHOW => Reply::json(200, &shown(4_096)),
        _ => answer(asked),
    })
    .await
}

/// What `/api/show` says of a model that can do everything.
fn shown(context: u32) -> Value {
    json!({
        "modelfile": "FROM x", "parameters": "stop \"<|im_end|>\"", "template": "{{ .Prompt }}",
        "details": {"family": "qwen3"},
        "model_info": {"general.architecture": "qwen3", "qwen3.context_length": context, "a.tokens": null},
        "capabilities": ["completion", "tools", "insert", "vision", "thinking", "embedding"],
    })
}

/// The lines of a short answer.
fn hello() -> Vec<Value> {
    vec![
        piece(&json!({"role": "assistant", "content": "", "thinking": "Hm."})),
        piece(&json!({"role": "assistant", "content": "Žluť "})),
        piece(&json!({"role": "assistant", "content": "🦊"})),
        done(),
    ]
}

fn piece(message: &Value) -> Value {
    json!({"model": "qwen3", "created_at": "2026-11-22T01:02:03Z", "message": message, "done": false})
}

fn done() -> Value {
    json!({
        "model": "qwen3", "message": {"role": "assistant", "content": ""}, "done": true,
        "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 12,
    })
}

fn question(text: &str) -> ChatRequest {
    ChatRequest { messages: vec![Arc::new(Message::user(text))], ..ChatRequest::default() }
}

/// Everything a stream yields, and that it ends after it.
async fn drain(mut stream: ChatStream) -> (Vec<ChatEvent>, Option<LlmError>) {
    let mut events = Vec::new();
    while let Some(item) = stream.next().await {
        match item {
            Ok(event) => events.push(event),
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error is the last item");
                return (events, Some(error));
            }
        }
    }
    assert!(matches!(events.last(), Some(ChatEvent::Finished(_))), "{events:?}");
    (events, None)
}

/// The text of a stream that ends well.
async fn text_of(stream: ChatStream) -> String {
    let (events, failure) = drain(stream).await;
    assert!(failure.is_none(), "{failure:?}");
    joined(&events)
}

fn joined(events: &[ChatEvent]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        ChatEvent::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// A failure tells the host and no key, in any form.
fn assert_tells(error: &LlmError, server_host: &str) {
    assert!(error.to_string().contains(server_host), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}
