//! Refusing a body where none is taken: whoever sends one means something that would not happen.
//!
//! It is asked before any handler. An empty body is none, however it is framed.

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{Method, StatusCode};
use http_body::Body as _;

use super::Pieces;
use crate::{api::App, error::ApiError};

/// Routes without a body whose method may have one.
const BODILESS: [(Method, &str); 1] = [(Method::POST, "/chat/turns/{id}/cancel")];

/// Refuses a request with a body that its route does not take.
pub(crate) async fn refuse_unexpected(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if takes_body(request.method(), route) || request.body().is_end_stream() {
        return Ok(next.run(request).await);
    }
    let refusal = unexpected_body(request.method(), route);
    let (parts, body) = request.into_parts();
    let mut pieces = Pieces::of(&app, Request::from_parts(parts.clone(), body));
    if 0 < pieces.declared() {
        pieces.linger().await;
        return Err(refusal);
    }
    while let Some(piece) = pieces.next().await? {
        if !piece.is_empty() {
            pieces.linger().await;
            return Err(refusal);
        }
    }
    Ok(next.run(Request::from_parts(parts, Body::empty())).await)
}

fn takes_body(method: &Method, route: &str) -> bool {
    let may = [Method::POST, Method::PATCH].contains(method);
    may && !BODILESS.iter().any(|(of, path)| of == method && *path == route)
}

fn unexpected_body(method: &Method, route: &str) -> ApiError {
    let detail = format!(
        "{method} {route} takes no body, and nothing was done; what it is about stands in its path \
         and query"
    );
    ApiError::new(StatusCode::BAD_REQUEST, "unexpected_body", detail)
}
