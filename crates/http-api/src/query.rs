//! Which fields the query of each route may have.
//!
//! It is asked before any handler, and a route that is not listed takes no field: so whoever
//! believes to have narrowed a request, and has not, is told instead of obeyed. What the fields
//! mean is the handlers' business.

use axum::{
    extract::{MatchedPath, Query, Request},
    middleware::Next,
    response::Response,
};
use http::Method;
use percent_encoding::percent_decode_str;

use crate::error::ApiError;

/// The fields of a query, by method and route.
const FIELDS: &[(Method, &str, &[&str])] = &[
    (Method::GET, "/chat/turns/{id}/events", &["after"]),
    (Method::GET, "/memory/sessions", &["id", "limit", "cursor", "from"]),
    (Method::PATCH, "/memory/sessions", &["id"]),
    (Method::DELETE, "/memory/sessions", &["id"]),
    (Method::GET, "/memory/sessions/{id}", &["limit", "from"]),
    (Method::GET, "/memory/sessions/{id}/entries", &["after", "limit"]),
    (Method::GET, "/memory/forgotten", &["id"]),
    (Method::GET, "/memory/search", &["q", "limit"]),
    (Method::POST, "/memory/import", &["on_conflict"]),
];

/// Refuses a request whose query has a field that its route does not take.
pub(crate) async fn refuse_unknown_fields(
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    check(&request)?;
    Ok(next.run(request).await)
}

fn check(request: &Request) -> Result<(), ApiError> {
    let query = request.uri().query().unwrap_or_default();
    percent_decode_str(query).decode_utf8().map_err(|_| {
        ApiError::invalid("the query is not UTF-8; percent-encode the bytes of UTF-8")
    })?;
    let Query(pairs): Query<Vec<(String, String)>> = Query::try_from_uri(request.uri())
        .map_err(|error| ApiError::invalid(format!("the query is wrong: {error}")))?;
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let known = fields(request.method(), route);
    let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let known: Vec<_> = known.iter().map(|it| format!("`{it}`")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let detail = format!("unknown field `{name}` in the query; this route takes {known}");
    Err(ApiError::unknown_field(detail))
}

fn fields(method: &Method, route: &str) -> &'static [&'static str] {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let listed = FIELDS.iter().find(|(of, path, _)| of == method && *path == route);
    listed.map_or(&[], |(_, _, fields)| *fields)
}
