//! Vectors and the list of models.

use brain_core::llm::{EmbedRequest, LlmErrorKind, LlmGateway};
use serde_json::json;

use crate::{
    gateway,
    server::{Script, Server},
};

fn texts() -> EmbedRequest {
    EmbedRequest { model: String::new(), inputs: vec!["a".to_owned(), "b".to_owned()] }
}

#[tokio::test]
async fn vectors_come_as_floats_or_as_base64() {
    let floats = r#"{"object":"list","model":"served","data":[{"object":"embedding","index":1,"embedding":[0.5,0]},{"object":"embedding","index":0,"embedding":[1,-2]}],"usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    let base64 = r#"{"data":[{"index":0,"embedding":"AACAPwAAAMA="},{"index":1,"embedding":"AAAAPwAAAAA="}]}"#;
    let server = Server::start([Script::json(200, floats), Script::json(200, base64)]).await;
    let gateway = gateway(&server);
    let first = gateway.embed(texts()).await.unwrap();
    let second = gateway.embed(texts()).await.unwrap();
    assert_eq!(first.vectors, [[1.0, -2.0], [0.5, 0.0]]);
    assert_eq!(second.vectors, first.vectors);
    assert_eq!((first.model.as_str(), second.model.as_str()), ("served", "vectors"));
    assert_eq!((first.usage.input_tokens, first.usage.output_tokens), (2, 0));
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST /v1/embeddings");
    assert_eq!(
        asked.body,
        json!({"model": "vectors", "input": ["a", "b"], "encoding_format": "base64"})
    );
}

#[tokio::test]
async fn a_server_without_base64_is_asked_for_its_own_encoding() {
    let refusal =
        r#"{"error":{"message":"encoding_format is not supported","param":"encoding_format"}}"#;
    let answer = r#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#;
    let server = Server::start([Script::json(400, refusal), Script::json(200, answer)]).await;
    assert_eq!(gateway(&server).embed(texts()).await.unwrap().vectors, [[1.0], [2.0]]);
    assert!(server.asked()[1].body.get("encoding_format").is_none());
}

#[tokio::test]
async fn nothing_to_embed_asks_nobody_and_wrong_counts_are_refused() {
    let server = Server::start([Script::json(200, r#"{"data":[{"embedding":[1]}]}"#)]).await;
    let gateway = gateway(&server);
    let none = EmbedRequest { model: String::new(), inputs: Vec::new() };
    assert!(gateway.embed(none).await.unwrap().vectors.is_empty());
    assert_eq!(server.asked().len(), 0);
    assert_eq!(gateway.embed(texts()).await.unwrap_err().kind(), LlmErrorKind::Protocol);
}

#[tokio::test]
async fn models_are_listed_with_the_default_first() {
    let list = r#"{"object":"list","data":[{"id":"gpt-4o","object":"model","owned_by":"x"},{"id":"default-model","max_model_len":4096},{"id":"text-embedding-3-small","created":null}]}"#;
    let server = Server::start([
        Script::json(200, list),
        Script::json(200, r#"{"object":"list","data":null}"#),
    ])
    .await;
    let gateway = gateway(&server);
    let models = gateway.models().await.unwrap().models;
    let rows: Vec<_> =
        models.iter().map(|it| (it.id.as_str(), it.capabilities.context_tokens)).collect();
    assert_eq!(
        rows,
        [
            ("default-model", Some(4_096)),
            ("gpt-4o", Some(128_000)),
            ("text-embedding-3-small", Some(8_192))
        ]
    );
    assert!(models[0].capabilities.tools && models[2].capabilities.embeddings);
    assert_eq!(gateway.capabilities("").context_tokens, Some(4_096), "what a list said is known");
    let unlisted = gateway.models().await.unwrap().models;
    assert_eq!(unlisted.len(), 1, "the default can be asked for in any case");
    assert_eq!(unlisted[0].id, "default-model");
    assert_eq!(server.asked()[0].line, "GET /v1/models");
    assert!(server.asked()[0].headers.contains_key("authorization"));
}
