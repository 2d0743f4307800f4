//! Sentence embeddings on the real model.

use brain_core::llm::{EmbedRequest, LlmErrorKind, LlmGateway};

use crate::GATEWAY;

async fn embed(inputs: &[&str]) -> Vec<Vec<f32>> {
    let inputs = inputs.iter().map(|&it| it.to_owned()).collect();
    let request = EmbedRequest { model: String::new(), inputs };
    GATEWAY.embed(request).await.unwrap().vectors
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn similar_sentences_are_near() {
    let texts = [
        "A cat sits on the mat.",
        "There is a kitten on the rug.",
        "The stock market fell sharply today.",
    ];
    let vectors = embed(&texts).await;
    for vector in &vectors {
        assert_eq!(vector.len(), 384);
        assert!((dot(vector, vector) - 1.).abs() < 1e-4);
    }
    let (near, far) = (dot(&vectors[0], &vectors[1]), dot(&vectors[0], &vectors[2]));
    assert!(near > 0.4 && far < 0.2, "{near} and {far}");
}

#[tokio::test]
async fn a_text_has_the_same_vector_alone_and_among_longer_ones() {
    let long = "a longer sentence about nothing in particular ".repeat(4);
    let many: Vec<&str> = std::iter::repeat_n(long.as_str(), 20).chain(["short", ""]).collect();
    let together = embed(&many).await;
    let alone = embed(&["short"]).await;
    assert_eq!(together.len(), 22);
    assert!(dot(&together[20], &alone[0]) > 0.9999);
}

#[tokio::test]
async fn only_the_first_256_word_pieces_count() {
    let head = "word ".repeat(300);
    let longer = format!("{head}{}", "zebra ".repeat(100_000));
    let vectors = embed(&[&head, &longer]).await;
    assert!(dot(&vectors[0], &vectors[1]) > 0.9999);
}

#[tokio::test]
async fn usage_counts_the_word_pieces() {
    let request = EmbedRequest {
        model: "all-MiniLM-L6-v2".to_owned(),
        inputs: vec!["hello world".to_owned()],
    };
    let reply = GATEWAY.embed(request).await.unwrap();
    assert_eq!(reply.usage.input_tokens, 4);
    assert_eq!(reply.model, "all-minilm-l6-v2");
}

#[tokio::test]
async fn an_unknown_model_is_unsupported_and_too_many_texts_are_refused() {
    let unknown = EmbedRequest { model: "other".to_owned(), inputs: vec!["a".to_owned()] };
    assert_eq!(GATEWAY.embed(unknown).await.unwrap_err().kind(), LlmErrorKind::Unsupported);
    let many = EmbedRequest { model: String::new(), inputs: vec![String::new(); 2049] };
    assert_eq!(GATEWAY.embed(many).await.unwrap_err().kind(), LlmErrorKind::Rejected);
    let none = EmbedRequest { model: String::new(), inputs: Vec::new() };
    assert!(GATEWAY.embed(none).await.unwrap().vectors.is_empty());
}
