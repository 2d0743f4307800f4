//! Filling gaps: each make of server in its own way, the others with one sentence.

use brain_core::llm::{ChatStream, CompletionRequest, LlmError, LlmErrorKind, LlmGateway};
use llm_openai::{OpenAiConfig, OpenAiGateway, Server as Kind};
use serde_json::json;

use crate::{
    config, gateway,
    server::{Asked, Script, Server},
    text_of,
};

fn gap(model: &str) -> CompletionRequest {
    CompletionRequest {
        model: model.to_owned(),
        prefix: "a".to_owned(),
        suffix: "c".to_owned(),
        max_tokens: Some(8),
        ..CompletionRequest::default()
    }
}

/// A list of one model of this owner.
fn list(owner: &str) -> Script {
    let card = json!({"id": "default-model", "object": "model", "owned_by": owner});
    Script::json(200, &json!({"object": "list", "data": [card]}).to_string())
}

fn texts() -> Script {
    Script::sse(&[
        r#"{"object":"text_completion","choices":[{"index":0,"text":"b","finish_reason":"stop"}]}"#,
        "[DONE]",
    ])
}

async fn fill(gateway: &OpenAiGateway, model: &str) -> Result<ChatStream, LlmError> {
    gateway.complete_text(gap(model)).await
}

#[tokio::test]
async fn llama_cpp_is_found_out_and_fills_at_its_root() {
    let answer = |asked: &Asked| match asked.line.as_str() {
        "GET /v1/models" => list("llamacpp"),
        "GET /props" => Script::json(
            200,
            r#"{"default_generation_settings":{"n_ctx":4096},"modalities":{"vision":true,"audio":false},"total_slots":1}"#,
        ),
        _ => Script::sse(&[
            r#"{"index":0,"content":"b","tokens":[1],"stop":false}"#,
            r#"{"index":0,"content":"","stop":true,"stop_type":"eos","tokens_evaluated":3,"tokens_predicted":1}"#,
        ]),
    };
    let server = Server::answering(answer).await;
    let gateway = gateway(&server);
    for _ in 0..2 {
        assert_eq!(text_of(fill(&gateway, "").await.unwrap()).await, "b");
    }
    let lines: Vec<String> = server.asked().into_iter().map(|it| it.line).collect();
    assert_eq!(lines, ["GET /v1/models", "GET /props", "POST /infill", "POST /infill"]);
    let body = json!({"input_prefix": "a", "input_suffix": "c", "n_predict": 8, "stream": true});
    assert_eq!(server.asked()[2].body, body);
    let able = gateway.capabilities("");
    assert!(able.completion && able.vision, "{able:?}");
    assert_eq!(able.context_tokens, Some(4_096), "of the server, not of the training");
}

#[tokio::test]
async fn a_model_without_its_tokens_is_unsupported() {
    let refusal = r#"{"error":{"code":501,"message":"Infill is not supported by this model: prefix token is missing. suffix token is missing. middle token is missing. ","type":"not_supported_error"}}"#;
    let server =
        Server::start([list("llamacpp"), Script::json(404, ""), Script::json(501, refusal)]).await;
    let error = fill(&gateway(&server), "").await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Unsupported);
    assert!(error.to_string().contains("prefix token is missing"), "{error}");
}

#[tokio::test]
async fn servers_that_fill_none_are_told_by_one_sentence() {
    for owner in ["vllm", "organization_owner", "somebody"] {
        let server = Server::start([list(owner)]).await;
        let gateway = gateway(&server);
        for _ in 0..2 {
            let error = fill(&gateway, "").await.err().unwrap();
            assert_eq!(error.kind(), LlmErrorKind::Unsupported);
            let expected = format!(
                "{} fills no gaps with default-model, as far as is known; choose a model whose `completion` is true",
                server.host()
            );
            assert_eq!(error.to_string(), expected);
        }
        assert!(!gateway.capabilities("").completion);
    }
}

#[tokio::test]
async fn a_server_without_a_list_fills_none() {
    let server = Server::start([Script::json(404, "404 page not found")]).await;
    let error = fill(&gateway(&server), "").await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn openai_fills_with_its_old_model_only() {
    let refusal =
        r#"{"error":{"message":"Unrecognized request argument supplied: stream_options"}}"#;
    let server = Server::start([Script::json(400, refusal), texts()]).await;
    let gateway =
        OpenAiGateway::new(OpenAiConfig { server: Kind::OpenAi, ..config(&server.base_url()) })
            .unwrap();
    let model = "gpt-3.5-turbo-instruct";
    assert!(gateway.capabilities(model).completion && !gateway.capabilities(model).chat);
    assert_eq!(text_of(fill(&gateway, model).await.unwrap()).await, "b");
    assert!(!gateway.capabilities("gpt-4o").completion);
    let error = fill(&gateway, "gpt-4o").await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::Unsupported);
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    let body =
        json!({"model": model, "prompt": "a", "suffix": "c", "max_tokens": 8, "stream": true});
    assert_eq!((asked[1].line.as_str(), &asked[1].body), ("POST /v1/completions", &body));
}

#[tokio::test]
async fn ollamas_compatible_surface_knows_a_suffix() {
    let server = Server::start([list("library"), texts()]).await;
    assert_eq!(text_of(fill(&gateway(&server), "").await.unwrap()).await, "b");
    assert_eq!(server.asked()[1].line, "POST /v1/completions");
}
