//! What handlers take out of a request's head: who asks, what is named, what is asked for.
//!
//! Which fields a query may have at all is `query`'s business.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, MatchedPath, Path, Query};
use brain_core::ids::{IdempotencyKey, Owner, SessionId, SessionKey, TurnId};
use http::{HeaderMap, header, request::Parts};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{body::plain, edge::RequestId, error::ApiError};

/// Who asks. There are no keys yet, so everybody is the owner of everything.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Owner);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Owner::local()))
    }
}

impl Caller {
    /// The full name of a session of the caller's.
    pub(crate) fn key(&self, id: SessionId) -> SessionKey {
        SessionKey::new(self.0.clone(), id)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(ApiError::internal)
    }
}

/// The query, refusing values that make no sense.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(error) => {
                use std::error::Error as _;
                let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                Err(ApiError::invalid(format!("the query is wrong: {}", plain(&cause))))
            }
        }
    }
}

/// The session that a path names by `{id}`, or a query by `?id=` where there is no such path.
#[derive(Debug)]
pub(crate) struct SessionName(pub(crate) SessionId);

#[derive(Debug, Deserialize)]
struct IdParam {
    id: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for SessionName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let in_path =
            parts.extensions.get::<MatchedPath>().is_some_and(|it| it.as_str().contains("{id}"));
        let text = if in_path {
            let path = Path::<String>::from_request_parts(parts, state).await;
            path.map_err(|_| ApiError::invalid("the session id in the path is not UTF-8"))?.0
        } else {
            let Params(IdParam { id }) = Params::from_request_parts(parts, state).await?;
            id.ok_or_else(|| ApiError::invalid("name a session in the path, or by `?id=`"))?
        };
        session_id(text).map(Self)
    }
}

/// Reads a session's id.
pub(crate) fn session_id(text: String) -> Result<SessionId, ApiError> {
    SessionId::new(text).map_err(|error| ApiError::invalid(error.to_string()))
}

/// The turn that a path names. What is no id names no turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnName(pub(crate) TurnId);

impl<S: Send + Sync> FromRequestParts<S> for TurnName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = path.and_then(|Path(text)| TurnId::parse(&text));
        id.map(Self).ok_or_else(ApiError::turn_not_found)
    }
}

/// The client's name for its request.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| ApiError::invalid("the Idempotency-Key header is not UTF-8"))?;
    let key = IdempotencyKey::new(text);
    key.map(Some).map_err(|error| ApiError::invalid(format!("the Idempotency-Key header: {error}")))
}

/// Whether the client names `media_type` as one that it accepts; a weight of 0 refuses it.
pub(crate) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
    fields.flat_map(|it| it.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|it| it.eq_ignore_ascii_case(media_type));
        let weight = |it: &str| {
            let (name, weight) = it.split_once('=')?;
            name.eq_ignore_ascii_case("q").then(|| weight.parse::<f32>().ok())?
        };
        is_named && parts.filter_map(weight).all(|it| 0.0 < it)
    })
}

/// A number of the query within its bounds, or the default.
pub(crate) fn bounded(
    name: &'static str,
    value: Option<usize>,
    (default, max): (usize, usize),
) -> Result<usize, ApiError> {
    let value = value.unwrap_or(default);
    if (1..=max).contains(&value) {
        return Ok(value);
    }
    Err(ApiError::invalid(format!("`{name}` must be 1 to {max}, not {value}")))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, header::ACCEPT};

    use super::accepts;

    #[test]
    fn a_weight_of_nothing_refuses() {
        let is_accepted = |text: &'static str| {
            accepts(&HeaderMap::from_iter([(ACCEPT, text.parse().unwrap())]), "text/event-stream")
        };
        for good in ["Text/Event-Stream", "*/*, text/event-stream; q=0.1", "text/event-stream;q=1"]
        {
            assert!(is_accepted(good), "{good}");
        }
        for bad in
            ["*/*", "text/event-stream;q=0", "text/event-stream ; Q=0.0, */*", "text/event-streams"]
        {
            assert!(!is_accepted(bad), "{bad}");
        }
    }
}
