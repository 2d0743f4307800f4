//! What the lists of single makes of servers tell of their models.

use brain_core::llm::{Capabilities, LlmGateway};

use crate::{
    gateway,
    server::{Script, Server},
};

/// What is known of `default-model` once this card stood in a list.
async fn told(card: &str) -> Capabilities {
    let list = format!(r#"{{"object":"list","data":[{card}]}}"#);
    let server = Server::start([Script::json(200, &list)]).await;
    let gateway = gateway(&server);
    let models = gateway.models().await.unwrap().models;
    assert_eq!(models[0].capabilities, gateway.capabilities(""));
    models[0].capabilities
}

#[tokio::test]
async fn facts_are_taken_from_the_cards() {
    // openrouter.ai, `/api/v1/models`.
    let openrouter = told(
        r#"{"id":"default-model","canonical_slug":"x","created":1,"context_length":131072,"architecture":{"modality":"text+image->text","input_modalities":["text","image"],"output_modalities":["text"],"tokenizer":"Other"},"pricing":{"prompt":"0"},"supported_parameters":["max_tokens","temperature"]}"#,
    )
    .await;
    assert!(openrouter.vision && !openrouter.tools, "{openrouter:?}");
    assert_eq!(openrouter.context_tokens, Some(131_072));
    // mistralai/client-python, `BaseModelCard`.
    let mistral = told(
        r#"{"id":"default-model","object":"model","owned_by":"mistralai","capabilities":{"completion_chat":true,"completion_fim":false,"function_calling":false,"fine_tuning":false,"vision":true},"max_context_length":32768,"aliases":[]}"#,
    )
    .await;
    assert!(mistral.vision && !mistral.tools && mistral.chat, "{mistral:?}");
    assert_eq!(mistral.context_tokens, Some(32_768));
    // groq/groq-python, `/openai/v1/models`.
    let groq = told(
        r#"{"id":"default-model","object":"model","created":1,"owned_by":"Meta","active":true,"context_window":8192,"public_apps":null}"#,
    )
    .await;
    assert_eq!((groq.tools, groq.context_tokens), (true, Some(8_192)));
    // vllm-project/vllm, `ModelCard`.
    let vllm = told(
        r#"{"id":"default-model","object":"model","created":1,"owned_by":"vllm","root":"x","parent":null,"max_model_len":2048,"permission":[{"id":"p"}]}"#,
    )
    .await;
    assert_eq!((vllm.completion, vllm.context_tokens), (false, Some(2_048)));
    // lmstudio-ai/docs, `/v1/models`.
    let lm_studio =
        told(r#"{"id":"default-model","object":"model","owned_by":"organization_owner"}"#).await;
    assert_eq!((lm_studio.tools, lm_studio.context_tokens), (true, None));
}

#[tokio::test]
async fn fields_of_other_shapes_are_no_facts() {
    let odd = told(
        r#"{"id":"default-model","owned_by":7,"capabilities":["completion"],"architecture":"x","supported_parameters":{},"max_model_len":"8192","context_length":-1}"#,
    )
    .await;
    assert_eq!(odd, told(r#"{"id":"default-model"}"#).await);
}
