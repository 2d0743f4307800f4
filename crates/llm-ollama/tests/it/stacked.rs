//! Leaving through all wrappers: the server sees it at once, before its first byte and after.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::llm::ChatEvent;
use brain_testkit::{
    Answer,
    model_server::{Asked, At, Fault, ModelServer, Reply, Wire},
};
use brain_tokio::llm::{StackSettings, stack};
use futures_util::StreamExt;
use llm_ollama::{OllamaConfig, OllamaGateway};
use tokio::{sync::Notify, time::timeout};

use crate::question;

/// Longest that a server computes for nobody.
const LONGEST: Duration = Duration::from_millis(200);

/// Longest that a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The chat among what the server was asked; it is asked about itself and the model before.
fn chat(server: &ModelServer) -> Option<Asked> {
    server.requests().into_iter().find(|it| it.path == "/api/chat")
}

async fn asked_to_chat(server: &ModelServer) {
    for count in 1.. {
        server.asked(count).await;
        if chat(server).is_some() {
            return;
        }
    }
}

/// Leaves an answer that stalls there.
async fn leave(at: At) {
    let answer = Answer::new().say("Hel").say("lo").finish();
    let server = ModelServer::start([Reply::from(answer).with(Fault::Stall(at))]);
    let config = OllamaConfig::new(server.base_url(Wire::Ollama), "mock");
    let gateway = OllamaGateway::new(config).unwrap();
    let llm = stack(Arc::new(gateway), &StackSettings::remote("lab"));
    let text = Notify::new();
    let reading = async {
        let mut stream = llm.stream(question("Hi")).await.unwrap();
        while let Some(event) = stream.next().await {
            assert!(matches!(event.unwrap(), ChatEvent::Text(_)));
            text.notify_one();
        }
    };
    let stalled = async {
        asked_to_chat(&server).await;
        if at == At::Content {
            text.notified().await;
        }
        Instant::now()
    };
    let left = tokio::select! {
        () = reading => panic!("it stalls"),
        left = timeout(PATIENCE, stalled) => left.unwrap(),
    };
    timeout(PATIENCE, server.dropped(1)).await.unwrap();
    let seen = chat(&server).unwrap().dropped.unwrap().saturating_duration_since(left);
    assert!(seen <= LONGEST, "{at:?}: {seen:?}");
}

#[tokio::test]
async fn leaving_ends_the_request_at_any_stage() {
    for at in [At::Head, At::Start, At::Content] {
        leave(at).await;
    }
}
