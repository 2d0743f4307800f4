//! What every request passes on its way in, and every answer on its way out.
//!
//! It gives requests their ids, refuses what comes by a name that is not ours or is one too many,
//! and puts errors on the wire. It knows no route.

mod guarded;
mod host;

use std::{any::Any, sync::Arc};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tracing::Instrument;
use uuid::Uuid;

use self::guarded::Guarded;
pub(crate) use self::{guarded::Breaker, host::LocalAddress};
use crate::{api::App, error::ApiError};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Most bytes of a request id that a client chose.
const MAX_REQUEST_ID: usize = 128;

/// The name of one request, in its answer, its errors and the log.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's own, if it is short and printable, else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let usable = |it: &&HeaderValue| {
            (1..=MAX_REQUEST_ID).contains(&it.len())
                && it.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        headers.get(REQUEST_ID).filter(usable).cloned().map_or_else(Self::random, Self)
    }

    fn random() -> Self {
        let text = Uuid::new_v4().to_string();
        Self(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-")))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Lets a request through, and finishes its answer.
pub(crate) async fn pass(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let route = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned());
    let span = tracing::info_span!(
        "request",
        request.id = id.as_str(),
        http.method = %request.method(),
        http.route = route.as_deref().unwrap_or("none"),
    );
    let answer = async {
        let started = Instant::now();
        let response = match admit(&app, &request) {
            Ok(permit) => {
                let breaker = breaker(&request);
                hold(next.run(request).await, breaker, permit)
            }
            Err(error) => error.into_response(),
        };
        let response = finish(response, &id);
        let status = response.status().as_u16();
        tracing::info!(http.status = status, took_us = started.elapsed().as_micros(), "answered");
        response
    };
    answer.instrument(span).await
}

fn admit(app: &App, request: &Request) -> Result<OwnedSemaphorePermit, ApiError> {
    host::check(&app.config.allowed_hosts, request)?;
    Arc::clone(&app.requests).try_acquire_owned().map_err(|_| {
        ApiError::overloaded("too many requests are open; try again after the time in Retry-After")
    })
}

/// The connection, where an answer may end by closing it: one that breaks off would look whole.
fn breaker(request: &Request) -> Option<Breaker> {
    let is_old = request.version() < Version::HTTP_11;
    request.extensions().get().filter(|_| is_old).cloned()
}

/// Keeps the permit until the whole answer is sent.
fn hold(response: Response, breaker: Option<Breaker>, permit: OwnedSemaphorePermit) -> Response {
    response.map(|body| Body::new(Guarded::new(body, breaker, permit)))
}

/// Writes an error's body, logs it, and names the request.
fn finish(response: Response, id: &RequestId) -> Response {
    let mut response = match response.extensions().get::<Arc<ApiError>>().cloned() {
        Some(error) => write_problem(response, &error, id),
        None => response,
    };
    response.headers_mut().insert(REQUEST_ID, id.0.clone());
    response
}

fn write_problem(response: Response, error: &ApiError, id: &RequestId) -> Response {
    error.log();
    let (mut parts, _) = response.into_parts();
    parts.headers.extend(error.headers());
    parts.headers.remove(http::header::CONTENT_LENGTH);
    let body = serde_json::to_vec(&error.problem(id.as_str())).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

/// The answer where a handler panicked: what it panicked with goes to the log only.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
pub(crate) fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    tracing::error!(panic = text, "a handler panicked");
    ApiError::internal().into_response()
}
