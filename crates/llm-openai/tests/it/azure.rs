//! Azure OpenAI: where requests go, how they are signed, what its refusals come to.

use brain_core::llm::{EmbedRequest, LlmError, LlmErrorKind, LlmGateway};
use llm_openai::{Names, OpenAiConfig, OpenAiGateway};

use crate::{
    KEY, assert_tells, question,
    server::{Script, Server},
    text_of,
};

fn names() -> Names {
    Names {
        key: "AZURE_OPENAI_API_KEY".into(),
        url: "AZURE_OPENAI_ENDPOINT".into(),
        model: Some("AZURE_OPENAI_DEPLOYMENT".into()),
        version: Some("AZURE_OPENAI_API_VERSION".into()),
    }
}

fn config(server: &Server, version: Option<&str>) -> OpenAiConfig {
    let endpoint = format!("http://{}/", server.host());
    OpenAiConfig {
        api_key: Some(KEY.to_owned().into()),
        embedding_model: Some("my-vectors".to_owned()),
        names: names(),
        ..OpenAiConfig::azure(endpoint, "my-gpt", version.map(str::to_owned))
    }
}

fn gateway(server: &Server, version: Option<&str>) -> OpenAiGateway {
    OpenAiGateway::new(config(server, version)).unwrap()
}

fn hi() -> Script {
    Script::sse(&[
        r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}"#,
        r#"{"choices":[{"content_filter_results":{},"delta":{"content":"Hi"},"finish_reason":"stop","index":0}],"model":"gpt-4o-2024-08-06","object":"chat.completion.chunk"}"#,
        "[DONE]",
    ])
}

fn vectors() -> Script {
    Script::json(
        200,
        r#"{"data":[{"index":0,"embedding":[1,2]}],"model":"text-embedding-3-small"}"#,
    )
}

fn texts() -> EmbedRequest {
    EmbedRequest { model: String::new(), inputs: vec!["a".to_owned()] }
}

#[tokio::test]
async fn a_dated_version_asks_by_deployment() {
    let server = Server::start([hi(), hi(), vectors(), Script::json(200, r#"{"data":[]}"#)]).await;
    let gateway = gateway(&server, Some("2024-10-21"));
    text_of(gateway.stream(question("Hi")).await.unwrap()).await;
    let mut other = question("Hi");
    other.model = "an other/one".to_owned();
    text_of(gateway.stream(other).await.unwrap()).await;
    gateway.embed(texts()).await.unwrap();
    let models = gateway.models().await.unwrap().models;
    let ids: Vec<&str> = models.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["my-gpt", "my-vectors"], "base models are no deployments");
    let lines: Vec<String> = server.asked().into_iter().map(|it| it.line).collect();
    assert_eq!(
        lines,
        [
            "POST /openai/deployments/my-gpt/chat/completions?api-version=2024-10-21",
            "POST /openai/deployments/an%20other%2Fone/chat/completions?api-version=2024-10-21",
            "POST /openai/deployments/my-vectors/embeddings?api-version=2024-10-21",
            "GET /openai/models?api-version=2024-10-21",
        ]
    );
    for asked in server.asked() {
        assert_eq!(asked.headers["api-key"], KEY);
        assert!(!asked.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn the_v1_surface_asks_by_model_and_takes_a_token() {
    let server = Server::start([hi(), vectors(), Script::json(200, r#"{"data":[]}"#)]).await;
    let config = OpenAiConfig { token: Some("a-token".to_owned().into()), ..config(&server, None) };
    let gateway = OpenAiGateway::new(config).unwrap();
    text_of(gateway.stream(question("Hi")).await.unwrap()).await;
    gateway.embed(texts()).await.unwrap();
    gateway.models().await.unwrap();
    let asked = server.asked();
    let lines: Vec<&str> = asked.iter().map(|it| it.line.as_str()).collect();
    let expected =
        ["POST /openai/v1/chat/completions", "POST /openai/v1/embeddings", "GET /openai/v1/models"];
    assert_eq!(lines, expected);
    assert_eq!(asked[0].body["model"], "my-gpt");
    assert_eq!(asked[1].body["model"], "my-vectors");
    for asked in asked {
        assert_eq!(asked.headers["authorization"], "Bearer a-token");
        assert!(!asked.headers.contains_key("api-key"));
    }
}

#[tokio::test]
async fn what_a_deployment_is_says_its_answer() {
    let server = Server::start([hi()]).await;
    let gateway = gateway(&server, None);
    assert!(!gateway.capabilities("").vision);
    text_of(gateway.stream(question("Hi")).await.unwrap()).await;
    let known = gateway.capabilities("");
    assert!(known.vision);
    assert_eq!(known.context_tokens, Some(128_000));
    assert_eq!(gateway.capabilities("another").context_tokens, None);
}

async fn refused(version: Option<&str>, script: Script) -> LlmError {
    let server = Server::start([script]).await;
    let error = gateway(&server, version).stream(question("Hi")).await.err().unwrap();
    assert_tells(&error, &server.host());
    error
}

async fn check(status: u16, body: &str, kind: LlmErrorKind, advice: &str) {
    let error = refused(Some("2024-10-21"), Script::json(status, body)).await;
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().ends_with(advice), "{error}");
}

/// The bodies are those that people quote in openai/openai-python and openai/openai-dotnet.
#[tokio::test]
async fn a_refusal_names_the_setting_to_mend() {
    check(
        401,
        r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."}}"#,
        LlmErrorKind::Unauthorised,
        "; check AZURE_OPENAI_API_KEY",
    )
    .await;
    check(
        404,
        r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}}"#,
        LlmErrorKind::ModelNotFound,
        "; choose one that it has, or check AZURE_OPENAI_DEPLOYMENT",
    )
    .await;
    check(
        404,
        r#"{"error":{"code":"404","message":"Resource not found"}}"#,
        LlmErrorKind::Rejected,
        "; check that AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_VERSION are right",
    )
    .await;
    check(
        400,
        r#"{"error":{"code":"BadRequest","message":"API version not supported"}}"#,
        LlmErrorKind::Rejected,
        "; check AZURE_OPENAI_API_VERSION",
    )
    .await;
    check(
        400,
        r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"violence":{"filtered":true,"severity":"medium"}}}}}"#,
        LlmErrorKind::Rejected,
        "content management policy; change the request",
    )
    .await;
    check(
        429,
        r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded token rate limit. Please retry after 7 seconds."}}"#,
        LlmErrorKind::RateLimited,
        "; try again later",
    )
    .await;
}

#[tokio::test]
async fn a_wrong_address_names_its_setting() {
    let config = OpenAiConfig {
        names: names(),
        ..OpenAiConfig::azure("http://no-such-host.invalid", "d", None)
    };
    let gateway = OpenAiGateway::new(config).unwrap();
    let error = gateway.stream(question("Hi")).await.err().unwrap();
    let expected = "no-such-host.invalid was not found; check the network and that \
                    AZURE_OPENAI_ENDPOINT is right";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn without_a_key_the_setting_is_named_too() {
    let server = Server::start([Script::json(401, "")]).await;
    let config = OpenAiConfig { api_key: None, ..config(&server, None) };
    let gateway = OpenAiGateway::new(config).unwrap();
    let error = gateway.stream(question("Hi")).await.err().unwrap();
    let expected = format!("{} wants credentials; set AZURE_OPENAI_API_KEY", server.host());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_model_that_would_lead_elsewhere_is_not_asked_for() {
    let server = Server::start([]).await;
    let mut request = question("Hi");
    request.model = "..".to_owned();
    let error = gateway(&server, Some("2024-10-21")).stream(request).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::ModelNotFound);
    assert!(server.asked().is_empty());
}
