//! What may be tried again, row by row: status, headers and body of a refusal.

use std::time::Duration;

use brain_core::llm::{
    LlmError,
    LlmErrorKind::{self, *},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use llm_http::{Endpoint, Refusal};

/// The failure that follows from this status (0 inside a stream), headers and body.
fn failure(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> LlmError {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let endpoint = Endpoint::new("http://x").unwrap();
    let status = (status != 0).then(|| StatusCode::from_u16(status).unwrap());
    endpoint.refused(Refusal::new(&endpoint, status, &headers, body.as_bytes()))
}

fn kind(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> (LlmErrorKind, bool) {
    let error = failure(status, headers, body);
    (error.kind(), error.is_transient())
}

fn never(status: u16, body: &str, expected: LlmErrorKind) {
    assert_eq!(kind(status, &[], body), (expected, false), "{status} {body}");
}

fn again(status: u16, body: &str, expected: LlmErrorKind) {
    assert_eq!(kind(status, &[], body), (expected, true), "{status} {body}");
}

fn code(code: &str) -> String {
    format!(r#"{{"error":{{"message":"m","type":"t","param":null,"code":"{code}"}}}}"#)
}

#[test]
fn a_wrong_request_is_never_tried_again() {
    for status in [400, 405, 413, 415, 422] {
        never(status, "", Rejected);
    }
    never(401, "", Unauthorised);
    never(403, "", Unauthorised);
    never(404, "", Rejected);
    never(404, r#"{"error":"model \"x\" not found, try pulling it first"}"#, ModelNotFound);
    never(400, &code("content_filter"), Rejected);
    never(400, &code("context_length_exceeded"), ContextOverflow);
    never(501, "", Unsupported);
}

#[test]
fn what_may_pass_is_tried_again() {
    for status in [408, 409, 425, 500, 502, 504] {
        again(status, "", Unavailable);
    }
    again(503, &code("server_is_overloaded"), Overloaded);
    let full = r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#;
    again(503, full, Overloaded);
    let loading = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
    again(503, loading, Unavailable);
}

#[test]
fn a_limit_of_the_rate_passes_and_one_of_the_account_does_not() {
    again(429, "", RateLimited);
    again(429, &code("rate_limit_exceeded"), RateLimited);
    again(429, &code("slow_down"), RateLimited);
    again(429, &code("429"), RateLimited);
    for account in [
        "insufficient_quota",
        "credit_balance_exhausted",
        "project_spend_limit_exceeded",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    ] {
        never(429, &code(account), QuotaExceeded);
    }
    never(
        429,
        r#"{"error":{"message":"m","type":"insufficient_quota","code":null}}"#,
        QuotaExceeded,
    );
}

#[test]
fn an_error_inside_a_stream_counts_by_its_code() {
    again(0, &code("rate_limit_exceeded"), RateLimited);
    again(0, &code("server_is_overloaded"), Overloaded);
    again(0, r#"{"error":{"message":"m","code":500}}"#, Unavailable);
    never(0, &code("insufficient_quota"), QuotaExceeded);
    never(0, &code("content_filter"), Rejected);
    never(0, r#"{"error":{"message":"m","code":400}}"#, Rejected);
}

#[test]
fn the_servers_hints_are_kept() {
    let half = Some(Duration::from_millis(1_500));
    for status in [429, 503] {
        let hinted = |headers: &[_]| failure(status, headers, "").retry_after();
        assert_eq!(hinted(&[("retry-after-ms", "1500"), ("retry-after", "9")]), half);
        assert_eq!(hinted(&[("retry-after", "1.5")]), half);
        assert_eq!(hinted(&[]), None);
    }
    let (no, yes) = ([("x-should-retry", "false")], [("x-should-retry", "true")]);
    // The fault stays whose it is.
    assert_eq!(kind(500, &no, ""), (Unavailable, false));
    assert_eq!(kind(503, &no, &code("server_is_overloaded")), (Overloaded, false));
    assert_eq!(kind(400, &no, ""), (Rejected, false));
    assert_eq!(kind(400, &yes, ""), (Rejected, true));
    assert_eq!(kind(401, &yes, ""), (Unauthorised, false));
    assert_eq!(kind(429, &yes, &code("insufficient_quota")), (QuotaExceeded, false));
}
