//! Gaps that a model fills.

use brain_core::llm::{CompletionRequest, LlmErrorKind, LlmGateway};
use serde_json::json;

use crate::{
    done, gateway,
    server::{Reply, Server},
    serving, text_of,
};

fn gap() -> CompletionRequest {
    CompletionRequest {
        prefix: "fn one() {".to_owned(),
        suffix: "}".to_owned(),
        ..CompletionRequest::default()
    }
}

#[tokio::test]
async fn a_gap_is_filled() {
    let piece = json!({"model": "qwen3", "response": " 1 ", "done": false});
    let server = serving(move |_| Reply::lines(&[piece.clone(), done()])).await;
    let stream = gateway(&server).complete_text(gap()).await.unwrap();
    assert_eq!(text_of(stream).await, " 1 ");
    let expected = json!({
        "model": "qwen3", "prompt": "fn one() {", "suffix": "}", "stream": true, "truncate": false,
        "shift": false, "think": false, "options": {"num_ctx": 4_096},
    });
    assert_eq!(server.asked("POST /api/generate")[0].body, expected);
}

#[tokio::test]
async fn a_model_that_fills_none_says_so() {
    let server = Server::start(|asked| match asked.line.as_str() {
        "GET /api/version" => Reply::json(200, &json!({"version": "0.33.0"})),
        _ => Reply::json(200, &json!({"capabilities": ["completion"]})),
    })
    .await;
    let gateway = gateway(&server);
    let error = gateway.complete_text(gap()).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Unsupported);
    assert!(!gateway.capabilities("").completion);
    assert!(server.asked("POST /api/generate").is_empty());
}
