//! Leaving through all wrappers: the server sees it at once, before its first byte and after.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::llm::ChatEvent;
use brain_testkit::{
    Answer,
    model_server::{At, Fault, ModelServer, Reply, Wire},
};
use brain_tokio::llm::{StackSettings, stack};
use futures_util::StreamExt;
use llm_http::{Network, Protocol};
use llm_openai::{OpenAiConfig, OpenAiGateway};
use tokio::{sync::Notify, time::timeout};

use crate::question;

/// Longest that a server computes for nobody.
const LONGEST: Duration = Duration::from_millis(200);

/// Longest that a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Leaves an answer that stalls there.
async fn leave(at: At, protocol: Protocol) {
    let answer = Answer::new().say("Hel").say("lo").finish();
    let server = ModelServer::start([Reply::from(answer).with(Fault::Stall(at))]);
    let network = Network { protocol, ..Network::default() };
    let config = OpenAiConfig::new(server.base_url(Wire::OpenAi), "mock");
    let gateway = OpenAiGateway::new(OpenAiConfig { network, ..config }).unwrap();
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
        server.asked(1).await;
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
    let seen = server.requests()[0].dropped.unwrap().saturating_duration_since(left);
    assert!(seen <= LONGEST, "{at:?}, {protocol:?}: {seen:?}");
}

#[tokio::test]
async fn leaving_ends_the_request_at_any_stage() {
    for protocol in [Protocol::Negotiated, Protocol::Http2] {
        for at in [At::Head, At::Start, At::Content] {
            leave(at, protocol).await;
        }
    }
}
