//! TabbyML: chats in OpenAI's way, everything else in its own.

use brain_core::llm::{
    ChatEvent, CompletionRequest, EmbedRequest, FinishReason, GenerationOptions, LlmErrorKind,
    LlmGateway,
};
use llm_openai::{OpenAiConfig, OpenAiGateway};
use serde_json::json;

use crate::{
    KEY, drain, joined, question,
    server::{Asked, Script, Server},
    text_of,
};

/// TabbyML/tabby, `HealthState`, without what is of no use here.
const HEALTH: &str = r#"{"model":"StarCoder-1B","chat_model":"Qwen2-1.5B-Instruct","chat_device":"cuda","device":"cuda","models":{"completion":{"local":{"model_id":"StarCoder-1B","device":"cuda"}},"chat":{"local":{"model_id":"Qwen2-1.5B-Instruct","device":"cuda"}}},"arch":"x86_64","cpu_info":"","cpu_count":8,"cuda_devices":[],"version":{"build_date":"2026-06-30","build_timestamp":"2026-06-30T00:00:00Z","git_sha":"21b2904","git_describe":"v0.33.0"},"webserver":true}"#;

fn answer(asked: &Asked) -> Script {
    match asked.line.as_str() {
        "GET /v1/health" => Script::json(200, HEALTH),
        "GET /v1beta/models" => {
            Script::json(200, r#"{"completion":null,"chat":["Qwen2-1.5B-Instruct","Other"]}"#)
        }
        // Always a stream, and no mark at its end.
        "POST /v1/chat/completions" => Script::sse(&[
            r#"{"id":"c","choices":[{"index":0,"delta":{"content":"Hi","role":"assistant"},"finish_reason":"stop","logprobs":null}],"created":1,"model":"","object":"chat.completion.chunk","usage":null}"#,
        ]),
        "POST /v1/completions" => Script::json(
            200,
            r#"{"id":"cmpl-1","choices":[{"index":0,"text":"a + b"}],"mode":"standard"}"#,
        ),
        _ => Script::json(404, ""),
    }
}

async fn start() -> (Server, OpenAiGateway) {
    let server = Server::answering(answer).await;
    let gateway = gateway(&server);
    (server, gateway)
}

fn gateway(server: &Server) -> OpenAiGateway {
    let address = format!("http://{}", server.host());
    let config =
        OpenAiConfig { api_key: Some(KEY.to_owned().into()), ..OpenAiConfig::tabbyml(address, "") };
    OpenAiGateway::new(config).unwrap()
}

#[tokio::test]
async fn a_chat_needs_no_model_and_is_asked_strictly() {
    let (server, gateway) = start().await;
    let mut request = question("Hi");
    request.options = GenerationOptions {
        max_tokens: Some(9),
        reasoning_effort: Some("low".to_owned()),
        ..GenerationOptions::default()
    };
    let (events, failure) = drain(gateway.stream(request).await.unwrap()).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(joined(&events), "Hi");
    let Some(ChatEvent::Finished(finish)) = events.last() else { panic!("{events:?}") };
    assert_eq!(finish.model, "TabbyML", "somebody answered");
    let asked = &server.asked()[0];
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let body = json!({"model": "", "messages": messages, "stream": true, "max_tokens": 9});
    assert_eq!(asked.body, body);
}

#[tokio::test]
async fn it_calls_no_tools_and_makes_no_vectors() {
    let (_server, gateway) = start().await;
    let able = gateway.capabilities("");
    assert!(able.chat && able.completion && !able.tools && !able.vision, "{able:?}");
    let texts = EmbedRequest { model: "m".to_owned(), inputs: vec!["a".to_owned()] };
    assert_eq!(gateway.embed(texts).await.unwrap_err().kind(), LlmErrorKind::Unsupported);
}

#[tokio::test]
async fn its_models_are_those_of_its_list_or_of_its_health() {
    let (_server, listing) = start().await;
    let ids = async |gateway: OpenAiGateway| {
        let models = gateway.models().await.unwrap().models;
        models.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(listing).await, ["Qwen2-1.5B-Instruct", "Other"]);
    let old = Server::start([Script::json(200, HEALTH), Script::json(404, "")]).await;
    assert_eq!(ids(gateway(&old)).await, ["Qwen2-1.5B-Instruct"]);
}

#[tokio::test]
async fn a_wrong_token_is_told_by_an_empty_body() {
    let server = Server::start([Script::json(401, ""), Script::json(401, "")]).await;
    let gateway = gateway(&server);
    for error in
        [gateway.models().await.unwrap_err(), gateway.stream(question("Hi")).await.err().unwrap()]
    {
        assert_eq!(error.kind(), LlmErrorKind::Unauthorised);
    }
}

#[tokio::test]
async fn no_chat_model_is_unsupported() {
    let server = Server::start([Script::json(501, "")]).await;
    let error = gateway(&server).stream(question("Hi")).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Unsupported);
}

#[tokio::test]
async fn gaps_are_filled_by_segments() {
    let (server, gateway) = start().await;
    let request = CompletionRequest {
        prefix: "fn add() { ".to_owned(),
        suffix: " }".to_owned(),
        language: Some("rust".to_owned()),
        ..CompletionRequest::default()
    };
    let (events, failure) = drain(gateway.complete_text(request).await.unwrap()).await;
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(joined(&events), "a + b");
    let Some(ChatEvent::Finished(finish)) = events.last() else { panic!("{events:?}") };
    assert_eq!((finish.reason, finish.model.as_str()), (FinishReason::Stop, "TabbyML"));
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST /v1/completions");
    let segments = json!({"prefix": "fn add() { ", "suffix": " }"});
    assert_eq!(asked.body, json!({"language": "rust", "segments": segments}));
}

#[tokio::test]
async fn an_address_with_its_version_will_do() {
    let server = Server::answering(answer).await;
    let address = format!("http://{}/v1/", server.host());
    let gateway = OpenAiGateway::new(OpenAiConfig::tabbyml(address, "m")).unwrap();
    assert_eq!(text_of(gateway.stream(question("Hi")).await.unwrap()).await, "Hi");
}
