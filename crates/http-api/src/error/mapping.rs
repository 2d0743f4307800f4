//! From the errors of the ports to statuses and sentences, each kind named.

use std::time::Duration;

use brain_core::{
    brain::{ChangeError, ChatError, TurnEnd},
    ids::TurnId,
    llm::{LlmError, LlmErrorKind},
    memory::{MemoryError, MemoryErrorKind},
};
use http::StatusCode;

use super::ApiError;

/// When to come back where nobody said so.
const SOON: Duration = Duration::from_secs(1);

impl From<MemoryError> for ApiError {
    fn from(error: MemoryError) -> Self {
        let kind = error.kind();
        let answer = Self::new(memory_status(kind), kind.code(), memory_detail(kind));
        match kind {
            MemoryErrorKind::Overloaded { retry_after } => answer.with_retry_after(retry_after),
            MemoryErrorKind::Unavailable | MemoryErrorKind::OutcomeUnknown => {
                answer.with_retry_after(SOON)
            }
            MemoryErrorKind::Conflict
            | MemoryErrorKind::UnknownParent
            | MemoryErrorKind::InsideToolRound
            | MemoryErrorKind::Superseded
            | MemoryErrorKind::KeyReused
            | MemoryErrorKind::Full
            | MemoryErrorKind::Expired
            | MemoryErrorKind::Corrupt
            | MemoryErrorKind::Backend => answer,
        }
        .with_source(error)
    }
}

fn memory_status(kind: MemoryErrorKind) -> StatusCode {
    match kind {
        MemoryErrorKind::Conflict
        | MemoryErrorKind::InsideToolRound
        | MemoryErrorKind::Superseded => StatusCode::CONFLICT,
        MemoryErrorKind::UnknownParent => StatusCode::NOT_FOUND,
        MemoryErrorKind::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        MemoryErrorKind::OutcomeUnknown
        | MemoryErrorKind::Unavailable
        | MemoryErrorKind::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
        MemoryErrorKind::Full => StatusCode::INSUFFICIENT_STORAGE,
        MemoryErrorKind::Expired => StatusCode::GONE,
        MemoryErrorKind::Corrupt | MemoryErrorKind::Backend => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn memory_detail(kind: MemoryErrorKind) -> &'static str {
    match kind {
        MemoryErrorKind::Conflict => "the session has changed meanwhile; read it and try again",
        MemoryErrorKind::UnknownParent => {
            "the session has no such entry; GET /memory/sessions/{id}/entries lists them"
        }
        MemoryErrorKind::InsideToolRound => {
            "the entry lies between a tool call and its result; name one before or after both"
        }
        MemoryErrorKind::Superseded => {
            "the turn is over or held by another process; read it to see how it ended"
        }
        MemoryErrorKind::KeyReused => {
            "this Idempotency-Key came with another request; use a new key for a new request"
        }
        MemoryErrorKind::OutcomeUnknown => {
            "memory did not say whether it was stored; send the same request again, with an \
             Idempotency-Key"
        }
        MemoryErrorKind::Unavailable => "memory cannot be reached now; try again in a moment",
        MemoryErrorKind::Overloaded { .. } => {
            "too much waits to be written; try again after the time in Retry-After"
        }
        MemoryErrorKind::Full => {
            "there is no room left; make room on the disk: forgetting needs some too"
        }
        MemoryErrorKind::Expired => "the session has expired; start a new one",
        MemoryErrorKind::Corrupt => "stored data does not decode; the log says where",
        MemoryErrorKind::Backend => "memory reported an error; the log says which",
    }
}

impl From<ChatError> for ApiError {
    fn from(error: ChatError) -> Self {
        let (code, detail) = (error.code(), error.to_string());
        let answer = |status| Self::new(status, code, detail);
        match error {
            ChatError::Memory(error) => error.into(),
            ChatError::UnknownSession => Self::session_not_found(),
            ChatError::Invalid(_) | ChatError::UnknownTool(_) | ChatError::NoEphemeralMemory => {
                answer(StatusCode::BAD_REQUEST)
            }
            ChatError::MessageTooLarge { .. } => answer(StatusCode::PAYLOAD_TOO_LARGE),
            ChatError::TurnInProgress { turn, lease_left } => {
                answer(StatusCode::CONFLICT).with_turn(turn, lease_left)
            }
            ChatError::ShuttingDown | ChatError::TooManyTurns(_) => {
                answer(StatusCode::SERVICE_UNAVAILABLE).with_retry_after(SOON)
            }
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let detail = error.to_string();
        match error {
            ChangeError::Memory(error) => error.into(),
            ChangeError::TurnInProgress { turn, lease_left } => {
                Self::new(StatusCode::CONFLICT, "turn_in_progress", detail)
                    .with_turn(turn, lease_left)
            }
        }
    }
}

impl ApiError {
    /// Names the turn that is in the way.
    fn with_turn(self, turn: TurnId, lease_left: Option<Duration>) -> Self {
        let left = lease_left.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
        self.with_member("turn_id", turn.to_string())
            .with_member("lease_left_ms", left)
            .with_retry_after(SOON)
    }
}

impl From<LlmError> for ApiError {
    fn from(error: LlmError) -> Self {
        let kind = error.kind();
        let answer = Self::new(provider_status(kind), kind.code(), error.to_string());
        let usual = match kind {
            LlmErrorKind::Overloaded | LlmErrorKind::Unavailable => Some(SOON),
            LlmErrorKind::RateLimited
            | LlmErrorKind::QuotaExceeded
            | LlmErrorKind::ContextOverflow
            | LlmErrorKind::Unauthorised
            | LlmErrorKind::ModelNotFound
            | LlmErrorKind::Rejected
            | LlmErrorKind::Unsupported
            | LlmErrorKind::Damaged
            | LlmErrorKind::Interrupted
            | LlmErrorKind::Protocol => None,
        };
        let retry_after = error.retry_after().or(usual);
        let answer = answer.with_source(error);
        match retry_after {
            Some(after) => answer.with_retry_after(after),
            None => answer,
        }
    }
}

/// What the client can change is 400, a queue of ours that is full is 503, the rest is the
/// provider's: 502.
fn provider_status(kind: LlmErrorKind) -> StatusCode {
    match kind {
        LlmErrorKind::ContextOverflow
        | LlmErrorKind::ModelNotFound
        | LlmErrorKind::Rejected
        | LlmErrorKind::Unsupported => StatusCode::BAD_REQUEST,
        LlmErrorKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        LlmErrorKind::RateLimited
        | LlmErrorKind::QuotaExceeded
        | LlmErrorKind::Unauthorised
        | LlmErrorKind::Unavailable
        | LlmErrorKind::Damaged
        | LlmErrorKind::Interrupted
        | LlmErrorKind::Protocol => StatusCode::BAD_GATEWAY,
    }
}

/// Kinds whose codes a failed turn may have, and which mean another status than 502.
const PROVIDER: [LlmErrorKind; 5] = [
    LlmErrorKind::ContextOverflow,
    LlmErrorKind::ModelNotFound,
    LlmErrorKind::Rejected,
    LlmErrorKind::Unsupported,
    LlmErrorKind::Overloaded,
];
const MEMORY: [MemoryErrorKind; 8] = [
    MemoryErrorKind::Conflict,
    MemoryErrorKind::UnknownParent,
    MemoryErrorKind::OutcomeUnknown,
    MemoryErrorKind::Unavailable,
    MemoryErrorKind::Overloaded { retry_after: SOON },
    MemoryErrorKind::Full,
    MemoryErrorKind::Corrupt,
    MemoryErrorKind::Backend,
];

/// The status of a turn that failed with this code.
fn turn_status(code: &str) -> StatusCode {
    let provider = PROVIDER.into_iter().find(|it| it.code() == code).map(provider_status);
    let memory = || MEMORY.into_iter().find(|it| it.code() == code).map(memory_status);
    match code {
        "turn_timeout" => StatusCode::GATEWAY_TIMEOUT,
        "tool_broken" | "internal_error" | "turn_failed" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => provider.or_else(memory).unwrap_or(StatusCode::BAD_GATEWAY),
    }
}

impl ApiError {
    /// A turn that failed, for a caller who waits for a JSON answer. The turn is stored either
    /// way, so its names go with the error.
    pub(crate) fn of_failed_turn(end: &TurnEnd) -> Self {
        let (code, detail, asked) = match end.error.clone() {
            Some(error) => (error.code, error.message, error.retry_after),
            None => {
                ("turn_failed".to_owned(), "the turn failed; the log says why".to_owned(), None)
            }
        };
        let status = turn_status(&code);
        let problem = Self::new(status, code, detail)
            .logged()
            .with_member("turn_id", end.turn_id.to_string())
            .with_member("session_id", end.session_id.as_str());
        let usual = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(SOON);
        match asked.or(usual) {
            Some(after) => problem.with_retry_after(after),
            None => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use brain_core::{
        brain::{ChatError, TurnEnd},
        ids::{SessionId, TurnId},
        memory::{MemoryError, MemoryErrorKind, TurnError, TurnState},
        time::Timestamp,
    };

    use super::{ApiError, turn_status};

    const DOCS: &str = include_str!("../../../../docs/API.md");

    fn check(error: impl Into<ApiError>, (status, code): (u16, &str), retry_after: Option<&str>) {
        let error = error.into();
        let problem = serde_json::to_value(error.problem("r")).unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()));
        let headers = error.headers();
        let header = headers.get("retry-after").map(|it| it.to_str().unwrap());
        assert_eq!(header, retry_after, "{code}");
        assert!(DOCS.contains(&format!("`{code}`")), "docs/API.md does not name {code}");
    }

    #[test]
    fn every_error_of_memory_has_a_status() {
        let overloaded = MemoryErrorKind::Overloaded { retry_after: Duration::from_millis(2_100) };
        for (kind, status, retry_after) in [
            (MemoryErrorKind::Conflict, 409, None),
            (MemoryErrorKind::UnknownParent, 404, None),
            (MemoryErrorKind::InsideToolRound, 409, None),
            (MemoryErrorKind::Superseded, 409, None),
            (MemoryErrorKind::KeyReused, 422, None),
            (MemoryErrorKind::OutcomeUnknown, 503, Some("1")),
            (MemoryErrorKind::Unavailable, 503, Some("1")),
            (overloaded, 503, Some("3")),
            (MemoryErrorKind::Full, 507, None),
            (MemoryErrorKind::Expired, 410, None),
            (MemoryErrorKind::Corrupt, 500, None),
            (MemoryErrorKind::Backend, 500, None),
        ] {
            check(MemoryError::new("try", kind), (status, kind.code()), retry_after);
            let error = ChatError::from(MemoryError::new("try", kind));
            check(error, (status, kind.code()), retry_after);
        }
    }

    #[test]
    fn every_refusal_of_a_turn_has_a_status() {
        let turn = TurnId::generate(Timestamp::default());
        let busy = ChatError::TurnInProgress { turn, lease_left: Some(Duration::from_secs(7)) };
        for (error, status, retry_after) in [
            (ChatError::Invalid("no".to_owned()), 400, None),
            (ChatError::MessageTooLarge { bytes: 2, max_bytes: 1 }, 413, None),
            (ChatError::UnknownTool("x".to_owned()), 400, None),
            (ChatError::NoEphemeralMemory, 400, None),
            (ChatError::UnknownSession, 404, None),
            (busy, 409, Some("1")),
            (ChatError::ShuttingDown, 503, Some("1")),
            (ChatError::TooManyTurns(3), 503, Some("1")),
        ] {
            let code = error.code();
            check(error, (status, code), retry_after);
        }
    }

    #[test]
    fn every_failed_turn_has_a_status() {
        for (code, status) in [
            ("provider_unavailable", 502),
            ("provider_overloaded", 503),
            ("context_length_exceeded", 400),
            ("model_not_found", 400),
            ("memory_unavailable", 503),
            ("memory_full", 507),
            ("turn_timeout", 504),
            ("too_many_tool_rounds", 502),
            ("tool_broken", 500),
            ("internal_error", 500),
            ("something_new", 502),
        ] {
            assert_eq!(turn_status(code).as_u16(), status, "{code}");
        }
    }

    #[test]
    fn a_failed_turn_says_when_to_come_back() {
        let end = |code: &str, retry_after: Option<u64>| TurnEnd {
            session_id: SessionId::new("s").unwrap(),
            turn_id: TurnId::generate(Timestamp::default()),
            status: TurnState::Failed,
            answer: None,
            usage: None,
            context: None,
            error: Some(TurnError {
                code: code.to_owned(),
                message: "as told".to_owned(),
                retry_after: retry_after.map(Duration::from_millis),
            }),
        };
        for (code, asked, status, told) in [
            ("provider_rate_limited", Some(6_100), 502, Some("7")),
            ("provider_rate_limited", None, 502, None),
            ("provider_unavailable", Some(30_000), 502, Some("30")),
            ("provider_overloaded", Some(5_000), 503, Some("5")),
            ("provider_overloaded", None, 503, Some("1")),
        ] {
            check(ApiError::of_failed_turn(&end(code, asked)), (status, code), told);
        }
    }

    #[test]
    fn what_lies_below_is_not_told() {
        let secret = std::io::Error::other("password=hunter2");
        let error = MemoryError::new("try", MemoryErrorKind::Backend).with_source(secret);
        let problem = serde_json::to_string(&ApiError::from(error).problem("r")).unwrap();
        assert!(!problem.contains("hunter2"));
    }
}
