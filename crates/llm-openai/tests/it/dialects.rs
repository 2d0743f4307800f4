//! Servers that refuse a field get the request again without it, and are not asked twice.

use brain_core::llm::{GenerationOptions, LlmErrorKind, LlmGateway};

use crate::{
    gateway, question,
    server::{Script, Server},
    text_of,
};

fn hi() -> Script {
    Script::sse(&[r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#])
}

fn refusal(status: u16, message: &str) -> Script {
    Script::json(status, &format!(r#"{{"error":{{"message":"{message}"}}}}"#))
}

#[tokio::test]
async fn a_field_that_is_refused_is_left_out_and_remembered() {
    let server = Server::start([
        refusal(422, "stream_options: extra inputs are not permitted"),
        refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        hi(),
        hi(),
    ])
    .await;
    let gateway = gateway(&server);
    let mut request = question("Hi");
    request.options = GenerationOptions { max_tokens: Some(5), ..GenerationOptions::default() };
    for _ in 0..2 {
        assert_eq!(text_of(gateway.stream(request.clone()).await.unwrap()).await, "Hi");
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked[0].body.get("stream_options").is_some());
    assert!(asked[1].body.get("stream_options").is_none());
    assert_eq!(asked[1].body["max_tokens"], 5);
    for asked in &asked[2..] {
        assert!(asked.body.get("max_tokens").is_none());
        assert_eq!(asked.body["max_completion_tokens"], 5);
    }
}

#[tokio::test]
async fn a_server_that_refuses_everything_is_not_asked_for_ever() {
    let message = "unknown field stream_options";
    let server = Server::start([refusal(400, message), refusal(400, message)]).await;
    let error = gateway(&server).stream(question("Hi")).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Rejected);
    assert_eq!(server.asked().len(), 2);
}
