//! Everything that can go wrong, and what people are told.

use std::time::Duration;

use brain_core::llm::{ChatEvent, LlmError, LlmErrorKind, LlmGateway};
use llm_ollama::{OllamaConfig, OllamaGateway};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    CHAT, KEY, assert_tells, config, done, drain, gateway, hello, impatient_gateway, joined,
    question,
    server::{Reply, Server},
    serving, shown,
};

/// The outer error of a chat that is answered with `reply`.
async fn refused(reply: Reply) -> LlmError {
    let server = serving(move |_| reply.clone()).await;
    let error = gateway(&server).stream(question("Hi")).await.err().unwrap();
    assert_tells(&error, &server.host());
    error
}

/// The text and the failure of a stream that is answered with `reply`.
async fn broken(reply: Reply) -> (String, LlmError) {
    let server = serving(move |_| reply.clone()).await;
    let stream = impatient_gateway(&server).stream(question("Hi")).await.unwrap();
    let (events, failure) = drain(stream).await;
    let failure = failure.unwrap();
    assert_tells(&failure, &server.host());
    (joined(&events), failure)
}

async fn check_refused(status: u16, body: &'static str, kind: LlmErrorKind, words: &str) {
    let error = refused(Reply::new(status, "application/json", body)).await;
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn refusals_are_classified() {
    let cases: [(u16, &'static str, LlmErrorKind, &str); 6] = [
        (400, r#"{"error":"\"m\" does not support chat"}"#, LlmErrorKind::Rejected, "chat"),
        (
            400,
            r#"{"error":"the input length exceeds the context length"}"#,
            LlmErrorKind::ContextOverflow,
            "shorten it",
        ),
        (401, r#"{"error":"unauthorized"}"#, LlmErrorKind::Unauthorised, "check the API key"),
        (403, "", LlmErrorKind::Unauthorised, "as localhost"),
        (
            503,
            r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
            LlmErrorKind::Overloaded,
            "try again later",
        ),
        (
            500,
            r#"{"error":"model requires more system memory (9 GiB) than is available (3 GiB)"}"#,
            LlmErrorKind::Unavailable,
            "smaller model",
        ),
    ];
    for (status, body, kind, words) in cases {
        check_refused(status, body, kind, words).await;
    }
}

#[tokio::test]
async fn the_key_does_not_come_back() {
    let error = refused(Reply::error(401, &format!("no such key: {KEY}"))).await;
    assert!(error.to_string().contains("[redacted]"), "{error}");
    let gateway = OllamaGateway::new(OllamaConfig {
        api_key: Some(KEY.to_owned().into()),
        ..OllamaConfig::new("http://localhost:1", "m")
    });
    assert!(!format!("{:?}", gateway.unwrap()).contains("hunter2"));
}

#[tokio::test]
async fn errors_in_the_stream_end_it_once() {
    let crash = json!({"error": "llama runner process has terminated: exit status 2"});
    let (text, error) = broken(Reply::lines(std::slice::from_ref(&crash))).await;
    assert_eq!((text.as_str(), error.kind()), ("", LlmErrorKind::Unavailable), "{error}");
    let lines = [&hello()[..2], &[crash, done()]].concat();
    let (text, error) = broken(Reply::lines(&lines)).await;
    assert_eq!((text.as_str(), error.kind()), ("Žluť ", LlmErrorKind::Interrupted), "{error}");
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_interrupted() {
    for reply in [
        Reply::lines(&hello()[..2]),
        Reply::lines(&hello()[..2]).then_cut(),
        Reply::lines(&hello()[..2]).then_stall(),
    ] {
        let (text, error) = broken(reply.clone()).await;
        assert_eq!(error.kind(), LlmErrorKind::Interrupted, "{reply:?} {error}");
        assert_eq!(text, "Žluť ");
    }
    for body in ["", r#"{"model":"llama3.2","mess"#] {
        let (_, error) = broken(Reply::new(200, "application/x-ndjson", body)).await;
        assert_eq!(error.kind(), LlmErrorKind::Interrupted, "{body:?}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told() {
    let page = Reply::new(200, "text/html", "<html><body>It works!</body></html>");
    let (_, error) = broken(page).await;
    assert_eq!(error.kind(), LlmErrorKind::Protocol);
    assert!(error.to_string().contains("check that the base URL is right"), "{error}");
    let (_, error) = broken(Reply::json(200, &json!({"status": "ok"}))).await;
    assert_eq!(error.kind(), LlmErrorKind::Protocol);
}

#[tokio::test]
async fn a_server_that_is_no_ollama_is_told_and_nothing_is_pulled() {
    let server = Server::start(|_| Reply::new(404, "text/plain", "404 page not found")).await;
    let error = gateway(&server).stream(question("Hi")).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Rejected, "{error}");
    assert!(error.to_string().contains("check that the base URL is right"), "{error}");
    assert_tells(&error, &server.host());
    assert!(server.asked(crate::PULL).is_empty());
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let gateway = OllamaGateway::new(OllamaConfig::new(format!("http://{host}"), "m")).unwrap();
    let error = gateway.stream(question("Hi")).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Unavailable);
    assert!(error.to_string().contains("refuses connections"), "{error}");
    assert_tells(&error, &host);
    assert!(OllamaGateway::new(OllamaConfig::new("localhost:11434", "m")).is_err());
}

#[tokio::test]
async fn silence_ends_and_the_connection_is_closed() {
    let server = serving(|_| Reply::silence()).await;
    let error = impatient_gateway(&server).stream(question("Hi")).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Unavailable);
    assert!(server.hang_ups_within(1, Duration::from_millis(200)).await);
}

#[tokio::test]
async fn a_prompt_that_the_server_cut_is_an_error_that_says_so() {
    let long = "It keeps every conversation, and where both disagree, the issue stands. ";
    let server = Server::start(|asked| match asked.line.as_str() {
        "GET /api/version" => Reply::json(200, &json!({"version": "0.9.0"})),
        CHAT => Reply::lines(&hello()),
        _ => Reply::json(200, &shown(1_000)),
    })
    .await;
    let gateway = gateway(&server);
    let (events, failure) = drain(gateway.stream(question(&long.repeat(300))).await.unwrap()).await;
    let failure = failure.unwrap();
    assert_eq!(failure.kind(), LlmErrorKind::ContextOverflow);
    assert!(failure.to_string().contains("cut the conversation to 26 tokens"), "{failure}");
    assert!(matches!(events.last(), Some(ChatEvent::Usage(_))), "{events:?}");
    assert_tells(&failure, &server.host());
    // The same count for a prompt that fits is what the server had not cached.
    let (_, failure) = drain(gateway.stream(question(&long.repeat(20))).await.unwrap()).await;
    assert!(failure.is_none(), "{failure:?}");
    assert!(server.asked(CHAT)[0].body.get("truncate").is_none(), "0.9.0 does not know it");
}

#[tokio::test]
async fn no_model_and_no_embedding_model_are_told() {
    let server = serving(|_| Reply::lines(&hello())).await;
    let none =
        OllamaConfig { default_model: String::new(), embedding_model: None, ..config(&server) };
    let gateway = OllamaGateway::new(none).unwrap();
    let error = gateway.stream(question("Hi")).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::ModelNotFound);
    let request = brain_core::llm::EmbedRequest { model: String::new(), inputs: vec!["a".into()] };
    assert_eq!(gateway.embed(request).await.unwrap_err().kind(), LlmErrorKind::Unsupported);
}
