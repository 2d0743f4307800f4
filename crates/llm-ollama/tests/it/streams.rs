//! Answers that stream: text, calls, usage, what is sent, cancelling, connections.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use brain_core::{
    chat::Usage,
    llm::{ChatEvent, ChatRequest, FinishReason, LlmGateway, LlmGatewayExt},
    tool::ToolSpec,
};
use futures_util::{StreamExt, future};
use llm_ollama::{KeepAlive, OllamaConfig, OllamaGateway};
use serde_json::json;

use crate::{
    CHAT, KEY, SHOW, config, done, drain, gateway, hello, joined, piece, question,
    server::{Reply, Server},
    serving, shown, text_of,
};

#[tokio::test]
async fn text_arrives_and_the_request_is_as_documented() {
    let server = serving(|_| Reply::lines(&hello())).await;
    let (events, failure) = drain(gateway(&server).stream(question("Hi")).await.unwrap()).await;
    assert!(failure.is_none());
    assert_eq!(joined(&events), "Žluť 🦊");
    assert_eq!(events[0], ChatEvent::Reasoning("Hm.".to_owned()));
    let usage = Usage { input_tokens: 26, output_tokens: 12, ..Usage::default() };
    assert!(events.contains(&ChatEvent::Usage(usage)), "{events:?}");
    let Some(ChatEvent::Finished(finish)) = events.last() else { panic!("{events:?}") };
    assert_eq!((finish.reason, finish.model.as_str()), (FinishReason::Stop, "qwen3"));

    let asked = &server.asked(CHAT)[0];
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(asked.headers["content-type"], "application/json");
    assert!(asked.headers["user-agent"].starts_with("codexd/"));
    let expected = json!({
        "model": "qwen3", "stream": true, "truncate": false, "shift": false,
        "messages": [{"role": "user", "content": "Hi"}], "options": {"num_ctx": 4_096},
    });
    assert_eq!(asked.body, expected);
    assert_eq!(server.asked(SHOW)[0].body, json!({"model": "qwen3"}));
}

#[tokio::test]
async fn the_length_of_the_context_never_changes_and_is_asked_for_once() {
    let context = AtomicU32::new(4_096);
    let server = Server::start(move |asked| match asked.line.as_str() {
        SHOW => Reply::json(200, &shown(context.fetch_add(1_000, Ordering::SeqCst))),
        CHAT => Reply::lines(&hello()),
        _ => Reply::error(404, "404 page not found"),
    })
    .await;
    let gateway = gateway(&server);
    let ask = |text: &'static str| async {
        let named = ChatRequest { model: "qwen3:latest".to_owned(), ..question(text) };
        let streams = future::join(gateway.stream(question(text)), gateway.stream(named)).await;
        future::join(text_of(streams.0.unwrap()), text_of(streams.1.unwrap())).await;
    };
    // Both ask at first, and both take what came first.
    ask("Hi").await;
    ask("And so on, and on. ").await;
    assert!(server.asked(SHOW).len() <= 2);
    let sent: HashSet<_> =
        server.asked(CHAT).iter().map(|it| it.body["options"]["num_ctx"].to_string()).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(server.asked(CHAT).len(), 4);
    assert!(server.asked(CHAT)[0].body.get("truncate").is_none(), "the version is not known");
}

#[tokio::test]
async fn what_an_operator_chose_is_sent() {
    let server = serving(|_| Reply::lines(&hello())).await;
    let keep_alive = Some(KeepAlive::For(Duration::from_mins(30)));
    let chosen = OllamaConfig { num_ctx: Some(2_048), keep_alive, ..config(&server) };
    let gateway = OllamaGateway::new(chosen).unwrap();
    assert_eq!(gateway.capabilities("qwen3").context_tokens, Some(2_048));
    text_of(gateway.stream(question("Hi")).await.unwrap()).await;
    let body = &server.asked(CHAT)[0].body;
    assert_eq!((&body["options"]["num_ctx"], &body["keep_alive"]), (&json!(2_048), &json!(1_800)));
}

#[tokio::test]
async fn tool_calls_arrive_whole_with_ids_of_ours() {
    let call = |id: &str, name: &str| json!({"id": id, "function": {"index": 0, "name": name, "arguments": {"path": "a"}}});
    let calls = json!({"content": "", "tool_calls": [call("p1", "read_file"), call("p2", "now")]});
    let server = serving(move |_| Reply::lines(&[piece(&calls), done()])).await;
    let gateway = gateway(&server);
    let mut request = question("Hi");
    let parameters = json!({"type": "object"});
    request.tools = vec![ToolSpec { name: "now".into(), description: "Time.".into(), parameters }];
    let first = gateway.complete(request.clone()).await.unwrap();
    let second = gateway.complete(request).await.unwrap();
    assert_eq!(first.finish.reason, FinishReason::ToolCalls);
    let rows: Vec<_> = first
        .message
        .tool_calls
        .iter()
        .map(|it| (it.provider_id.as_deref().unwrap(), it.name.as_str(), it.arguments.as_str()))
        .collect();
    assert_eq!(rows, [("p1", "read_file", r#"{"path":"a"}"#), ("p2", "now", r#"{"path":"a"}"#)]);
    let calls = first.message.tool_calls.iter().chain(&second.message.tool_calls);
    let ids: HashSet<_> = calls.map(|it| it.id.as_str()).collect();
    assert_eq!(ids.len(), 4, "every id is new");
    let function = json!({"name": "now", "description": "Time.", "parameters": {"type": "object"}});
    assert_eq!(
        server.asked(CHAT)[0].body["tools"],
        json!([{"type": "function", "function": function}])
    );
}

#[tokio::test]
async fn an_answer_in_one_piece_will_do() {
    let whole = json!({
        "model": "qwen3", "message": {"role": "assistant", "content": "Hi"}, "done": true,
        "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 1,
    });
    let server = serving(move |_| Reply::json(200, &whole)).await;
    assert_eq!(text_of(gateway(&server).stream(question("Hi")).await.unwrap()).await, "Hi");
}

#[tokio::test]
async fn events_arrive_before_the_answer_ends_and_dropping_it_closes_the_connection() {
    let server = serving(|_| Reply::lines(&hello()[1..2]).then_stall()).await;
    let mut stream = gateway(&server).stream(question("Hi")).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first, ChatEvent::Text("Žluť ".to_owned()));
    assert_eq!(server.hang_ups(), 0);
    drop(stream);
    assert!(server.hang_ups_within(1, Duration::from_millis(200)).await);
}

#[tokio::test]
async fn dropping_the_future_before_any_answer_closes_the_connection() {
    let server = serving(|_| Reply::silence()).await;
    let gateway = gateway(&server);
    let asking = gateway.stream(question("Hi"));
    tokio::select! {
        _ = asking => panic!("the server is silent"),
        () = server.asked_times(CHAT, 1) => {}
    }
    assert!(server.hang_ups_within(1, Duration::from_millis(200)).await);
}

#[tokio::test]
async fn a_connection_serves_the_next_request() {
    let server = serving(|_| Reply::lines(&hello())).await;
    let gateway = gateway(&server);
    for _ in 0..3 {
        text_of(gateway.stream(question("Hi")).await.unwrap()).await;
    }
    let connections: HashSet<_> = server.asked(CHAT).iter().map(|it| it.connection).collect();
    assert_eq!(connections.len(), 1);
}
