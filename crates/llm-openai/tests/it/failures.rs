//! Everything that can go wrong, and what people are told.

use std::time::Duration;

use brain_core::llm::{LlmError, LlmErrorKind, LlmGateway};
use llm_openai::{OpenAiConfig, OpenAiGateway};
use tokio::net::TcpListener;

use crate::{
    KEY, assert_tells, config, drain, gateway, impatient_gateway, joined, question,
    server::{Script, Server},
};

const HEL: &str = r#"{"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

async fn answering(script: Script) -> (Server, OpenAiGateway) {
    let stalls = script.stalls();
    let server = Server::start([script]).await;
    let gateway = if stalls { impatient_gateway(&server) } else { gateway(&server) };
    (server, gateway)
}

/// The outer error of a request that is answered with `script`.
async fn refused(script: Script) -> LlmError {
    let (server, gateway) = answering(script).await;
    let error = gateway.stream(question("Hi")).await.err().unwrap();
    assert_tells(&error, &server.host());
    error
}

/// The text and the failure of a stream that is answered with `script`.
async fn broken(script: Script) -> (String, LlmError) {
    let (server, gateway) = answering(script).await;
    let stream = gateway.stream(question("Hi")).await.unwrap();
    let (events, failure) = drain(stream).await;
    let error = failure.unwrap();
    assert_tells(&error, &server.host());
    (joined(&events), error)
}

#[tokio::test]
async fn a_refused_key_is_unauthorised_and_not_shown() {
    let body = format!(
        r#"{{"error":{{"message":"Incorrect API key provided: {KEY}. See https://x.y","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}}}"#
    );
    let error = refused(Script::json(401, &body)).await;
    assert_eq!(error.kind(), LlmErrorKind::Unauthorised);
    assert!(error.to_string().contains("check the API key"), "{error}");
}

#[tokio::test]
async fn statuses_become_kinds() {
    let error = refused(Script::json(
        404,
        r#"{"error":{"message":"No such model 'x'","code":"model_not_found"}}"#,
    ))
    .await;
    assert_eq!(error.kind(), LlmErrorKind::ModelNotFound);
    let error = refused(Script::answer(
        429,
        "retry-after: 3\r\n",
        r#"{"error":{"message":"Slow","code":"rate_limit_exceeded"}}"#,
    ))
    .await;
    assert_eq!(error.kind(), LlmErrorKind::RateLimited);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    let error =
        refused(Script::json(429, r#"{"error":{"message":"Pay","type":"insufficient_quota"}}"#))
            .await;
    assert_eq!(error.kind(), LlmErrorKind::QuotaExceeded);
    let error = refused(Script::json(
        400,
        r#"{"error":{"message":"Too long","code":"context_length_exceeded"}}"#,
    ))
    .await;
    assert_eq!(error.kind(), LlmErrorKind::ContextOverflow);
    let error = refused(Script::answer(500, "x-request-id: r1\r\n", "<html>oops</html>")).await;
    assert_eq!(error.kind(), LlmErrorKind::Unavailable);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "HTTP 500, request id r1: <html>oops</html>");
    let error = refused(Script::answer(301, "location: /x\r\n", "")).await;
    assert_eq!(error.kind(), LlmErrorKind::Rejected);
    assert!(error.to_string().contains("base URL"), "{error}");
}

#[tokio::test]
async fn an_endless_error_body_is_cut() {
    let endless = Script::raw("HTTP/1.1 500 X\r\n\r\nout of memory").then_stall();
    let error = refused(endless).await;
    assert_eq!(error.kind(), LlmErrorKind::Unavailable);
    assert!(error.to_string().contains("out of memory"), "{error}");
    let huge = refused(Script::answer(500, "", &"x".repeat(1 << 20))).await;
    assert!(huge.to_string().len() < 500, "{huge}");
}

#[tokio::test]
async fn an_error_in_the_stream_is_told_in_its_place() {
    let oops = r#"{"error":{"message":"oops","type":"server_error","param":null,"code":null}}"#;
    let (text, error) = broken(Script::sse(&[oops, "[DONE]"])).await;
    assert_eq!((text.as_str(), error.kind()), ("", LlmErrorKind::Unavailable));
    let (text, error) = broken(Script::sse(&[HEL, oops, "[DONE]"])).await;
    assert_eq!((text.as_str(), error.kind()), ("Hel", LlmErrorKind::Interrupted));
    assert!(error.to_string().contains("oops"), "{error}");
    let named = "event: error\ndata: {\"code\":\"Throttling\",\"message\":\"too fast\"}\n\n";
    let (text, error) = broken(Script::until_close("text/event-stream", named)).await;
    assert_eq!((text.as_str(), error.kind()), ("", LlmErrorKind::Unavailable));
    assert!(error.to_string().contains("too fast"), "{error}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_interrupted() {
    for script in [
        Script::sse(&[HEL]),
        Script::open_sse(&[HEL]).then_close(),
        Script::open_sse(&[HEL]).then_reset(),
        Script::open_sse(&[HEL]).then_stall(),
        Script::until_close(
            "text/event-stream",
            &format!("data: {HEL}\n\ndata: {{\"choices\":[{{\"del"),
        ),
    ] {
        let shown = format!("{script:?}");
        let (text, error) = broken(script).await;
        assert_eq!((text.as_str(), error.kind()), ("Hel", LlmErrorKind::Interrupted), "{shown}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_last_word_costs_nothing() {
    let server = Server::start([
        Script::open_sse(&[HEL, STOP]).then_reset(),
        Script::open_sse(&[HEL, STOP]).then_stall(),
    ])
    .await;
    let gateway = impatient_gateway(&server);
    for _ in 0..2 {
        let (events, failure) = drain(gateway.stream(question("Hi")).await.unwrap()).await;
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!(joined(&events), "Hel");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_a_protocol_error() {
    let (_, error) = broken(Script::until_close("text/html", "<!doctype html><html></html>")).await;
    assert_eq!(error.kind(), LlmErrorKind::Protocol);
    let (_, error) = broken(Script::json(200, r#"{"hello":"world"}"#)).await;
    assert_eq!(error.kind(), LlmErrorKind::Protocol);
    let (text, error) = broken(Script::sse(&[HEL, "{not json", STOP])).await;
    assert_eq!((text.as_str(), error.kind()), ("Hel", LlmErrorKind::Protocol));
    let (_, error) = broken(Script::until_close("", "")).await;
    assert_eq!(error.kind(), LlmErrorKind::Interrupted);
}

#[tokio::test]
async fn an_error_with_status_200_is_an_error() {
    let (_, error) =
        broken(Script::json(200, r#"{"error":"Unexpected endpoint or method. (POST /x)"}"#)).await;
    assert_eq!(error.kind(), LlmErrorKind::Rejected);
    let server =
        Server::start([Script::json(200, r#"{"error":"Unexpected endpoint or method."}"#)]).await;
    let error = gateway(&server).models().await.unwrap_err();
    assert_eq!(error.kind(), LlmErrorKind::Rejected, "{error}");
}

#[tokio::test]
async fn silence_ends_and_the_connection_is_closed() {
    let server = Server::start([Script::silence()]).await;
    let error = impatient_gateway(&server).stream(question("Hi")).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Unavailable);
    assert!(error.to_string().contains("0.4 s"), "{error}");
    assert!(server.hang_up_within(Duration::from_millis(200)).await);
    let (_, error) = broken(Script::open_sse(&[]).then_stall()).await;
    assert_eq!(error.kind(), LlmErrorKind::Unavailable, "headers alone are no answer");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let refused = failure_at(&format!("http://{host}/v1")).await;
    assert!(refused.to_string().contains("refuses connections"), "{refused}");
    assert_tells(&refused, &host);

    let unknown = failure_at("http://no-such-host.invalid/v1").await;
    assert!(unknown.to_string().contains("was not found"), "{unknown}");
    assert_tells(&unknown, "no-such-host.invalid");
}

#[tokio::test]
async fn plain_http_where_tls_is_expected_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/v1", listener.local_addr().unwrap());
    let answering = async {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (error, _stream) = tokio::join!(failure_at(&url), answering);
    assert!(error.to_string().contains("http or https"), "{error}");
}

async fn failure_at(base_url: &str) -> LlmError {
    let gateway = OpenAiGateway::new(config(base_url)).unwrap();
    let error = gateway.stream(question("Hi")).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Unavailable, "{error}");
    error
}

#[tokio::test]
async fn a_server_that_hangs_up_without_a_word_is_unavailable() {
    let error = refused(Script::hang_up()).await;
    assert_eq!(error.kind(), LlmErrorKind::Unavailable);
}

#[tokio::test]
async fn no_model_and_no_embedding_model_are_told() {
    let gateway = OpenAiGateway::new(OpenAiConfig::new("http://localhost:1/v1", "")).unwrap();
    let error = gateway.stream(question("Hi")).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::ModelNotFound);
    let request = brain_core::llm::EmbedRequest { model: String::new(), inputs: vec!["a".into()] };
    assert_eq!(gateway.embed(request).await.unwrap_err().kind(), LlmErrorKind::Unsupported);
}

#[test]
fn no_secret_is_in_debug() {
    let gateway = OpenAiGateway::new(config("http://localhost:1/v1")).unwrap();
    assert!(!format!("{gateway:?}").contains("hunter2"));
}
