//! The gateway against a scripted server: what it sends, what it makes of what comes back.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail")]

mod azure;
mod dialects;
mod embeddings;
mod failures;
mod filling;
mod listing;
mod model_server;
mod server;
mod stacked;
mod streams;
mod suite;
mod tabbyml;
mod wires;

use std::{sync::Arc, time::Duration};

use brain_core::{
    chat::Message,
    llm::{ChatEvent, ChatRequest, ChatStream, LlmError},
};
use futures_util::StreamExt;
use llm_openai::{OpenAiConfig, OpenAiGateway, Timeouts};

use crate::server::Server;

/// The key of every test; must never come back.
const KEY: &str = "sk-test-hunter2-hunter2";

fn config(base_url: &str) -> OpenAiConfig {
    OpenAiConfig {
        api_key: Some(KEY.to_owned().into()),
        embedding_model: Some("vectors".to_owned()),
        ..OpenAiConfig::new(base_url, "default-model")
    }
}

fn gateway(server: &Server) -> OpenAiGateway {
    OpenAiGateway::new(config(&server.base_url())).unwrap()
}

/// A gateway that waits 400 ms for a first byte and 300 ms for the next.
fn impatient_gateway(server: &Server) -> OpenAiGateway {
    let timeouts = Timeouts {
        first_byte: Duration::from_millis(400),
        idle: Duration::from_millis(300),
        ..Timeouts::default()
    };
    OpenAiGateway::new(OpenAiConfig { timeouts, ..config(&server.base_url()) }).unwrap()
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
