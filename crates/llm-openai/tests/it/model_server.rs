//! The gateway against the model server of the testkit, which others wrote from the same documents.

use brain_core::llm::{CompletionRequest, LlmErrorKind, LlmGateway};
use brain_testkit::{
    gateway::Subject,
    model_server::{ModelServer, ServerConfig, Wire},
};
use llm_openai::{OpenAiConfig, OpenAiGateway, Server as Kind};

use crate::{KEY, question, text_of};

const OLD_MODEL: &str = "gpt-3.5-turbo-instruct";

fn server() -> ModelServer {
    let models = ["mock", "mock-embed", OLD_MODEL].map(str::to_owned).into();
    let api_key = Some(KEY.to_owned());
    ModelServer::with(ServerConfig { models, api_key, ..ServerConfig::default() }).unwrap()
}

fn gateway(server: &ModelServer, wire: Wire, version: Option<&str>) -> OpenAiGateway {
    let url = server.base_url(wire);
    let config = match wire {
        Wire::Azure => OpenAiConfig::azure(url, "mock", version.map(str::to_owned)),
        Wire::TabbyMl => OpenAiConfig::tabbyml(url, ""),
        Wire::OpenAi | Wire::Ollama => {
            OpenAiConfig { server: Kind::OpenAi, ..OpenAiConfig::new(url, "mock") }
        }
    };
    OpenAiGateway::new(OpenAiConfig {
        api_key: Some(KEY.to_owned().into()),
        embedding_model: Some("mock-embed".to_owned()),
        ..config
    })
    .unwrap()
}

fn subject(wire: Wire, version: Option<&str>) -> Subject {
    let server = server();
    Subject::from(gateway(&server, wire, version)).with_secret(KEY).keeping(server)
}

mod openai {
    use super::{Wire, subject};
    brain_testkit::llm_gateway_suite!(async || subject(Wire::OpenAi, None));
}

mod azure_v1 {
    use super::{Wire, subject};
    brain_testkit::llm_gateway_suite!(async || subject(Wire::Azure, None));
}

mod azure_deployments {
    use super::{Wire, subject};
    brain_testkit::llm_gateway_suite!(async || subject(Wire::Azure, Some("2024-10-21")));
}

#[tokio::test]
async fn tabby_chats_and_lists() {
    let server = server();
    let gateway = gateway(&server, Wire::TabbyMl, None);
    assert_ne!(text_of(gateway.stream(question("Hi")).await.unwrap()).await, "");
    let models = gateway.models().await.unwrap().models;
    assert_eq!(models[0].id, "mock");
}

#[tokio::test]
async fn gaps_are_filled_on_each_wire() {
    let server = server();
    for (wire, model) in [(Wire::OpenAi, OLD_MODEL), (Wire::Azure, OLD_MODEL), (Wire::TabbyMl, "")]
    {
        let request = CompletionRequest {
            model: model.to_owned(),
            prefix: "fn add(".to_owned(),
            suffix: ") {}".to_owned(),
            ..CompletionRequest::default()
        };
        let stream = gateway(&server, wire, None).complete_text(request).await.unwrap();
        assert_ne!(text_of(stream).await, "", "{wire:?}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_on_each_wire() {
    let server = server();
    for wire in [Wire::OpenAi, Wire::Azure, Wire::TabbyMl] {
        let url = server.base_url(wire);
        let config = match wire {
            Wire::Azure => OpenAiConfig::azure(url, "mock", None),
            Wire::TabbyMl => OpenAiConfig::tabbyml(url, ""),
            Wire::OpenAi | Wire::Ollama => OpenAiConfig::new(url, "mock"),
        };
        let gateway = OpenAiGateway::new(config).unwrap();
        let error = gateway.stream(question("Hi")).await.err().unwrap();
        assert_eq!(error.kind(), LlmErrorKind::Unauthorised, "{wire:?}: {error}");
    }
}
