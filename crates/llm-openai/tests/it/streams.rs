//! Answers that stream: text, calls, usage, every cut, cancelling, connections.

use std::time::{Duration, Instant};

use brain_core::{
    chat::{ToolCall, Usage},
    llm::{ChatEvent, FinishReason, LlmGateway, LlmGatewayExt},
    tool::ToolSpec,
};
use futures_util::StreamExt;
use serde_json::json;

use crate::{
    KEY, drain, gateway, joined, question,
    server::{Script, Server},
    text_of,
};

const ROLE: &str = r#"{"id":"c1","object":"chat.completion.chunk","model":"served","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}"#;
const HEL: &str =
    r#"{"choices":[{"index":0,"delta":{"content":"Žluť "},"finish_reason":null}],"usage":null}"#;
const LO: &str =
    r#"{"choices":[{"index":0,"delta":{"content":"🦊"},"finish_reason":null}],"obfuscation":"x"}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str =
    r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
const DONE: &str = "[DONE]";

fn hello() -> Script {
    Script::sse(&[ROLE, HEL, LO, STOP, USAGE, DONE])
}

#[tokio::test]
async fn text_arrives_and_the_request_is_as_documented() {
    let server = Server::start([hello()]).await;
    let (events, failure) = drain(gateway(&server).stream(question("Hi")).await.unwrap()).await;
    assert!(failure.is_none());
    assert_eq!(joined(&events), "Žluť 🦊");
    let usage = Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() };
    assert!(events.contains(&ChatEvent::Usage(usage)), "{events:?}");
    let Some(ChatEvent::Finished(finish)) = events.last() else { panic!("{events:?}") };
    assert_eq!((finish.reason, finish.model.as_str()), (FinishReason::Stop, "served"));

    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST /v1/chat/completions");
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(asked.headers["content-type"], "application/json");
    assert_eq!(asked.headers["accept"], "text/event-stream");
    assert!(asked.headers["user-agent"].starts_with("codexd/"));
    let expected = json!({
        "model": "default-model", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "Hi"}],
    });
    assert_eq!(asked.body, expected);
}

#[tokio::test]
async fn bytes_may_be_cut_anywhere() {
    let sizes = [1, 2, 3, 7, 64];
    let server = Server::start(sizes.map(|size| hello().in_pieces(size))).await;
    let gateway = gateway(&server);
    for size in sizes {
        let text = text_of(gateway.stream(question("Hi")).await.unwrap()).await;
        assert_eq!(text, "Žluť 🦊", "in pieces of {size}");
    }
}

#[tokio::test]
async fn comments_crlf_and_no_end_mark_are_fine() {
    let body =
        format!(": ping\r\n\r\ndata:{HEL}\r\n\r\n: ping\r\n\r\ndata: null\r\n\r\ndata:{STOP}\r\n");
    let server = Server::start([Script::until_close("", &body)]).await;
    let text = text_of(gateway(&server).stream(question("Hi")).await.unwrap()).await;
    assert_eq!(text, "Žluť ");
}

#[tokio::test]
async fn an_answer_without_usage_has_none() {
    let server = Server::start([Script::sse(&[HEL, STOP, DONE])]).await;
    let reply = gateway(&server).complete(question("Hi")).await.unwrap();
    assert_eq!(reply.usage, None);
}

#[tokio::test]
async fn parallel_tool_calls_arrive_whole_with_ids_of_ours() {
    let call = |delta: &str| {
        format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{delta}]}}}}]}}"#)
    };
    let data = [
        call(
            r#"{"index":0,"id":"p1","type":"function","function":{"name":"read_file","arguments":""}}"#,
        ),
        call(r#"{"index":0,"function":{"arguments":"{\"path\":\"a\"}"}}"#),
        call(r#"{"index":1,"id":"p2","type":"function","function":{"name":"now","arguments":""}}"#),
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#.to_owned(),
        DONE.to_owned(),
    ];
    let data: Vec<&str> = data.iter().map(String::as_str).collect();
    let server = Server::start([Script::sse(&data), Script::sse(&data)]).await;
    let gateway = gateway(&server);
    let mut request = question("Hi");
    let parameters = json!({"type": "object"});
    request.tools = vec![ToolSpec { name: "now".into(), description: "Time.".into(), parameters }];
    let first = gateway.complete(request.clone()).await.unwrap();
    let second = gateway.complete(request).await.unwrap();

    assert_eq!(first.finish.reason, FinishReason::ToolCalls);
    let rows: Vec<_> = first.message.tool_calls.iter().map(row).collect();
    assert_eq!(rows, [("p1", "read_file", r#"{"path":"a"}"#), ("p2", "now", "{}")]);
    let calls = first.message.tool_calls.iter().chain(&second.message.tool_calls);
    let ids: std::collections::HashSet<_> = calls.map(|it| it.id.as_str()).collect();
    assert_eq!(ids.len(), 4, "every id is new");
    assert!(ids.iter().all(|id| id.starts_with("call_") && id.len() <= 40), "{ids:?}");
    let function = json!({"name": "now", "description": "Time.", "parameters": {"type": "object"}});
    assert_eq!(
        server.asked()[0].body["tools"],
        json!([{"type": "function", "function": function}])
    );
}

fn row(call: &ToolCall) -> (&str, &str, &str) {
    (call.provider_id.as_deref().unwrap(), &call.name, &call.arguments)
}

#[tokio::test]
async fn events_arrive_before_the_answer_ends() {
    let server = Server::start([Script::open_sse(&[ROLE, HEL]).then_stall()]).await;
    let mut stream = gateway(&server).stream(question("Hi")).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first, ChatEvent::Text("Žluť ".to_owned()));
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let server = Server::start([Script::open_sse(&[HEL]).then_stall()]).await;
    let mut stream = gateway(&server).stream(question("Hi")).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let dropped = Instant::now();
    drop(stream);
    assert!(server.hang_up_within(Duration::from_millis(200)).await, "{:?}", dropped.elapsed());
}

#[tokio::test]
async fn dropping_the_future_before_any_answer_closes_the_connection() {
    let server = Server::start([Script::silence()]).await;
    let gateway = gateway(&server);
    let asking = gateway.stream(question("Hi"));
    tokio::select! {
        _ = asking => panic!("the server is silent"),
        () = server.request() => {}
    }
    assert!(server.hang_up_within(Duration::from_millis(200)).await);
}

#[tokio::test]
async fn a_connection_serves_the_next_request() {
    let split_end = Script::open_sse(&[HEL, STOP, DONE]);
    let server =
        Server::start([hello(), hello().in_pieces(5), hello(), split_end.then_stall()]).await;
    let gateway = gateway(&server);
    for _ in 0..3 {
        text_of(gateway.stream(question("Hi")).await.unwrap()).await;
    }
    // A body that does not end costs the connection, not the answer.
    text_of(gateway.stream(question("Hi")).await.unwrap()).await;
    assert!(server.hang_up_within(Duration::from_millis(200)).await);
    let connections: Vec<_> = server.asked().iter().map(|it| it.connection).collect();
    assert_eq!(connections, [0; 4]);
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let body = r#"{"object":"chat.completion","model":"served","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let server = Server::start([
        Script::json(200, body),
        Script::json(200, &format!("\n {body}")).in_pieces(9),
    ])
    .await;
    let gateway = gateway(&server);
    for _ in 0..2 {
        let reply = gateway.complete(question("Hi")).await.unwrap();
        assert_eq!(reply.message.joined_text(), "Hi");
        assert!(reply.usage.is_some());
    }
}
