//! What the service says of itself.

use std::sync::Arc;

use async_trait::async_trait;
use brain_core::llm::{Capabilities, ModelInfo};
use brain_testkit::ScriptedLlm;
use http_api::{ApiConfig, HealthCheck};
use serde_json::json;

use crate::server::{Server, Wishes};

#[derive(Debug)]
struct Disk(Option<&'static str>);

#[async_trait]
impl HealthCheck for Disk {
    fn name(&self) -> &str {
        "disk"
    }

    async fn check(&self) -> Result<(), String> {
        match self.0 {
            None => Ok(()),
            Some("panic") => panic!("hunter2"),
            Some(why) => Err(why.to_owned()),
        }
    }
}

async fn server(disk: Option<&'static str>) -> Server {
    let api = ApiConfig { checks: vec![Arc::new(Disk(disk))], ..ApiConfig::default() };
    Server::with(ScriptedLlm::echo(), Wishes { api, ..Wishes::default() }).await
}

#[tokio::test]
async fn health_is_told_check_by_check() {
    let well = server(None).await;
    assert_eq!(well.get("/health/live").await.json(), json!({"status": "ok"}));
    let ok = json!({"status": "ok", "checks": [
        {"name": "memory:process", "status": "ok", "detail": "ends with the process"},
        {"name": "disk", "status": "ok"}]});
    let ready = well.get("/health/ready").await;
    assert_eq!((ready.status, ready.json()), (200, ok));

    let ready = server(Some("nearly full; make room")).await.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("degraded")));
    assert_eq!(ready.json()["checks"][1]["detail"], "nearly full; make room");
}

#[tokio::test]
async fn a_panic_is_an_error_that_tells_nothing() {
    let server = server(Some("panic")).await;
    let reply = server.get("/health/ready").await;
    reply.problem(500, "internal_error");
    assert!(!reply.text().contains("hunter2"));
    assert_eq!(server.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn models_have_a_provider_and_one_is_the_default() {
    let info = |id: &str| ModelInfo {
        id: id.to_owned(),
        capabilities: Capabilities { chat: true, ..Capabilities::default() },
    };
    let llm = ScriptedLlm::echo().with_models([info("local/small"), info("openai/a/b")]);
    let server = Server::with(llm, Wishes::default()).await;
    let models = server.get("/models").await.json()["models"].clone();
    let of = |index: usize, field: &str| models[index][field].clone();
    assert_eq!(
        (of(0, "id"), of(0, "provider"), of(0, "default")),
        (json!("local/small"), json!("local"), json!(true))
    );
    assert_eq!((of(1, "provider"), of(1, "default")), (json!("openai"), json!(false)));
    assert_eq!(of(0, "capabilities")["chat"], true);
}

#[tokio::test]
async fn the_front_page_names_the_service() {
    let server = Server::echo().await;
    let page = server.get("/").await.json();
    assert_eq!(page["name"], "codexd");
    assert_eq!(page["version"], ApiConfig::default().version);
}
