//! Vectors.

use brain_core::llm::{EmbedRequest, LlmErrorKind, LlmGateway};
use serde_json::{Value, json};

use crate::{gateway, server::Reply, serving};

const EMBED: &str = "POST /api/embed";

fn texts(count: usize) -> EmbedRequest {
    let inputs = (0..count).map(|it| format!("text {it}")).collect();
    EmbedRequest { model: String::new(), inputs }
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_texts_and_in_batches() {
    let server = serving(|asked| {
        let texts = asked.body["input"].as_array().unwrap();
        let vector = |it: &Value| {
            let number: f64 = it.as_str().unwrap().trim_start_matches("text ").parse().unwrap();
            json!([number, 1])
        };
        let vectors: Vec<Value> = texts.iter().map(vector).collect();
        Reply::json(
            200,
            &json!({"model": "vectors", "embeddings": vectors, "prompt_eval_count": 3}),
        )
    })
    .await;
    let made = gateway(&server).embed(texts(300)).await.unwrap();
    let firsts: Vec<f32> = made.vectors.iter().map(|it| it[0]).collect();
    assert_eq!(firsts.len(), 300);
    assert!(firsts.is_sorted());
    assert_eq!((made.model.as_str(), made.usage.input_tokens), ("vectors", 6));
    let asked = server.asked(EMBED);
    assert_eq!(asked.len(), 2);
    let expected = json!({
        "model": "vectors", "input": ["text 256"], "truncate": true, "options": {"num_ctx": 4_096},
    });
    let mut last = asked[1].body.clone();
    last["input"].as_array_mut().unwrap().truncate(1);
    assert_eq!(last, expected);
}

#[tokio::test]
async fn nothing_to_embed_asks_nobody_and_wrong_counts_are_refused() {
    let server = serving(|_| Reply::json(200, &json!({"embeddings": [[1]]}))).await;
    let gateway = gateway(&server);
    assert!(gateway.embed(texts(0)).await.unwrap().vectors.is_empty());
    assert!(server.asked(EMBED).is_empty());
    assert_eq!(gateway.embed(texts(2)).await.unwrap_err().kind(), LlmErrorKind::Protocol);
}

#[tokio::test]
async fn refusals_are_told() {
    let server = serving(|_| Reply::error(400, "this model does not support embeddings")).await;
    let error = gateway(&server).embed(texts(1)).await.unwrap_err();
    assert_eq!(error.kind(), LlmErrorKind::Rejected);
    assert!(error.to_string().contains("does not support embeddings"), "{error}");
}
