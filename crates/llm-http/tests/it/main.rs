//! The client against real servers and proxies on this machine.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail")]

mod cancel;
mod http1;
mod http2;
mod proxies;
mod retries;
mod roots;
mod server;

use std::time::Duration;

use brain_core::llm::LlmError;
use llm_http::{ByteStream, CallError, Endpoint, HttpClient, Network, Timeouts};
use serde_json::{Value, json};

/// How long anything that has to happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn client(base_url: &str, network: &Network) -> HttpClient {
    HttpClient::new(Endpoint::new(base_url).unwrap(), Timeouts::default(), network).unwrap()
}

async fn post(client: &HttpClient) -> Result<ByteStream, CallError> {
    client.post_stream("/chat", &json!({"stream": true})).await
}

async fn get(client: &HttpClient) -> Result<Value, LlmError> {
    client.get_json("/models").await.map_err(|error| error.into_error(client.endpoint()))
}
