//! The client: one request, one answer.
//!
//! It never retries; that is a wrapper's business, which knows what has been shown already.

use std::{sync::Arc, time::Duration};

use brain_core::llm::{LlmError, LlmErrorKind};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{ACCEPT, CONTENT_TYPE, PROXY_AUTHORIZATION},
};
use http_body_util::Full;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::{
    ByteStream, Endpoint, InvalidEndpoint, Network, Refusal, response,
    transport::{Answer, Transport},
};

/// Most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// Most bytes of a JSON answer: two thousand long vectors in base64 fit.
const MAX_JSON_BYTES: usize = 64 * 1024 * 1024;

/// Longest wait for the answer to a `GET`: no model has to think for it.
const GET_WAIT: Duration = Duration::from_secs(30);

/// Longest wait for more of an error's body; its status has said the most already.
const ERROR_WAIT: Duration = Duration::from_secs(5);

/// How long to wait for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection: name look-up, TCP and TLS together.
    pub connect: Duration,
    /// For the first byte of an answer; a server may have to load the model before it.
    pub first_byte: Duration,
    /// Between two pieces of an answer; a comment counts as a piece.
    pub idle: Duration,
}

impl Default for Timeouts {
    /// 10 s, 5 min, 2 min.
    fn default() -> Self {
        let [connect, first_byte, idle] = [10, 300, 120].map(Duration::from_secs);
        Self { connect, first_byte, idle }
    }
}

/// A call failed.
#[derive(Debug)]
pub enum CallError {
    /// The server answered, with an error.
    Refused(Box<Refusal>),
    /// There is no answer, or none that can be read.
    Failed(LlmError),
}

impl CallError {
    /// As the port's error.
    #[must_use]
    pub fn into_error(self, endpoint: &Endpoint) -> LlmError {
        match self {
            Self::Refused(refusal) => endpoint.refused(*refusal),
            Self::Failed(error) => error,
        }
    }
}

impl From<LlmError> for CallError {
    fn from(error: LlmError) -> Self {
        Self::Failed(error)
    }
}

/// Sends requests to one endpoint over a pool of connections. A clone shares the pool.
#[derive(Clone, Debug)]
pub struct HttpClient {
    transport: Transport,
    endpoint: Arc<Endpoint>,
    timeouts: Timeouts,
}

impl HttpClient {
    /// A client for `endpoint` that reaches it by `network`; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn new(
        endpoint: Endpoint,
        timeouts: Timeouts,
        network: &Network,
    ) -> Result<Self, InvalidEndpoint> {
        let mut endpoint = endpoint;
        let server = endpoint.uri("/").map_err(|_| InvalidEndpoint::Url(endpoint.host().into()))?;
        let transport = Transport::new(&server, network, timeouts.connect)
            .map_err(|error| InvalidEndpoint::Tls(error.to_string()))?;
        if let Some(auth) = transport.proxy_auth() {
            endpoint.headers.insert(PROXY_AUTHORIZATION, auth.clone());
        }
        Ok(Self { transport, endpoint: Arc::new(endpoint), timeouts })
    }

    /// Where requests go.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Gets `path` and reads the JSON answer. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// When the server cannot be asked, refuses, or answers something else.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let timeouts = self.timeouts.at_most(GET_WAIT);
        let request = self.request(Method::GET, path, Bytes::new())?;
        let answer = self.send(request, timeouts).await?;
        self.read_json(answer, timeouts).await
    }

    /// Posts `body` to `path` and reads the JSON answer. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// As [`HttpClient::get_json`].
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        let request = self.request(Method::POST, path, self.encode(body)?)?;
        let answer = self.send(request, self.timeouts).await?;
        self.read_json(answer, self.timeouts).await
    }

    /// Posts `body` to `path` and hands on the answer as it arrives. Dropping the future or the
    /// stream closes the connection.
    ///
    /// # Errors
    ///
    /// When the server cannot be asked or refuses; later failures are items of the stream.
    pub async fn post_stream(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<ByteStream, CallError> {
        let mut request = self.request(Method::POST, path, self.encode(body)?)?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let answer = self.send(request, self.timeouts).await?;
        Ok(response::stream(answer, Arc::clone(&self.endpoint), self.timeouts))
    }

    fn encode(&self, body: &impl Serialize) -> Result<Bytes, LlmError> {
        serde_json::to_vec(body).map(Bytes::from).map_err(|error| unsendable(&self.endpoint, error))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, LlmError> {
        let uri = self.endpoint.uri(path).map_err(|error| unsendable(&self.endpoint, error))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let json = HeaderValue::from_static("application/json");
        if request.method() == Method::POST {
            request.headers_mut().insert(CONTENT_TYPE, json.clone());
        }
        request.headers_mut().insert(ACCEPT, json);
        request.headers_mut().extend(self.endpoint.headers.clone());
        Ok(request)
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        timeouts: Timeouts,
    ) -> Result<Answer, CallError> {
        let answer = match timeout(timeouts.first_byte, self.transport.send(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.endpoint.unreachable(error).into()),
            Err(_) => return Err(self.endpoint.silent(timeouts.first_byte, false).into()),
        };
        if answer.response.status().is_success() {
            return Ok(answer);
        }
        Err(CallError::Refused(Box::new(self.read_refusal(answer).await)))
    }

    async fn read_refusal(&self, answer: Answer) -> Refusal {
        let (status, headers) = (answer.response.status(), answer.response.headers().clone());
        let timeouts = self.timeouts.at_most(ERROR_WAIT);
        let body = response::stream(answer, Arc::clone(&self.endpoint), timeouts);
        let body = response::beginning(body, MAX_ERROR_BYTES).await;
        Refusal::new(&self.endpoint, Some(status), &headers, &body)
    }

    async fn read_json<T: DeserializeOwned>(
        &self,
        answer: Answer,
        timeouts: Timeouts,
    ) -> Result<T, CallError> {
        let body = response::stream(answer, Arc::clone(&self.endpoint), timeouts);
        let Some(body) = response::collect(body, MAX_JSON_BYTES).await? else {
            return Err(self.endpoint.misspoke("sent an answer that is too large").into());
        };
        let text = String::from_utf8_lossy(&body);
        let text = crate::repair_surrogates(&text);
        if states_error(&text) {
            return Err(CallError::Refused(Box::new(Refusal::in_stream(&self.endpoint, &body))));
        }
        serde_json::from_str(&text).map_err(|error| {
            let misspoke = self.endpoint.misspoke("sent an answer that is not the expected JSON");
            misspoke.with_source(error).into()
        })
    }
}

/// Whether a JSON answer is an error in spite of its status.
fn states_error(json: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    serde_json::from_str::<Answer<'_>>(json).is_ok_and(|answer| answer.error.is_some())
}

fn unsendable(
    endpoint: &Endpoint,
    source: impl std::error::Error + Send + Sync + 'static,
) -> LlmError {
    let message = format!("the request to {} cannot be written; change it", endpoint.host());
    LlmError::new(LlmErrorKind::Rejected, message).with_source(source)
}

impl Timeouts {
    /// The same, with no wait for bytes above `limit`.
    fn at_most(self, limit: Duration) -> Self {
        Self { first_byte: self.first_byte.min(limit), idle: self.idle.min(limit), ..self }
    }
}
