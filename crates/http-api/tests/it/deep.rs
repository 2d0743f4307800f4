//! JSON that nests deeper than any stack bears.

use serde_json::json;

use crate::{client::raw, server::Server, socket::Client};

/// Levels of lists: far beyond what is taken, and what overflowed a stack once.
const LEVELS: [usize; 3] = [200, 20_000, 200_000];
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

fn lists(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

async fn check(server: &Server, (method, path): (&str, &str), kind: &str, body: &str, code: &str) {
    let headers = format!("content-type: {kind}\r\n");
    let reply = server.send(&raw(method, path, &headers, body.as_bytes())).await;
    let problem = reply.problem(400, code);
    assert!(problem["detail"].as_str().unwrap().len() < 300, "{problem}");
}

#[tokio::test]
async fn it_is_refused_in_every_body() {
    let server = Server::echo().await;
    server.post("/memory/sessions", json!({"id": "s"})).await;
    for levels in LEVELS {
        let deep = lists(levels);
        for (field, code) in [
            (format!(r#""metadata":{{"a":{deep}}}"#), "invalid_request"),
            (format!(r#""options":{{"response_format":{{"a":{deep}}}}}"#), "invalid_request"),
            (format!(r#""options":{deep}"#), "invalid_request"),
            (format!(r#""x":{deep}"#), "unknown_field"),
        ] {
            let body = format!(r#"{{"message":"ok",{field}}}"#);
            check(&server, ("POST", "/chat"), JSON, &body, code).await;
        }
        let body = format!(r#"{{"message":{deep}}}"#);
        check(&server, ("POST", "/chat"), JSON, &body, "invalid_request").await;
        let body = format!(r#"{{"metadata":{{"a":{deep}}}}}"#);
        check(&server, ("POST", "/memory/sessions"), JSON, &body, "invalid_request").await;
        check(&server, ("PATCH", "/memory/sessions/s"), JSON, &body, "invalid_request").await;
    }
    assert!(server.llm.requests().is_empty());
    assert_eq!(server.get("/memory/sessions/s").await.json()["session"]["metadata"], json!(null));
}

#[tokio::test]
async fn it_is_refused_in_both_forms_of_an_import() {
    let server = Server::echo().await;
    let time = "2026-01-01T00:00:00.000Z";
    for levels in LEVELS {
        let deep = lists(levels);
        let entry = format!(
            r#"{{"seq":1,"entry":{{"v":1,"message":{{"role":"user","extra":{{"a":{deep}}}}},"created_at":"{time}"}}}}"#
        );
        for (metadata, entries, more) in [
            (deep.as_str(), "", ""),
            ("{}", entry.as_str(), ""),
            ("{}", "", &format!(r#","x":{deep}"#)),
        ] {
            let session = format!(
                r#"{{"id":"s","metadata":{{"a":{metadata}}},"created_at":"{time}","updated_at":"{time}","entries":[{entries}]{more}}}"#
            );
            let head = r#""format":"codexd-memory","v":1"#;
            let document = format!(r#"{{{head},"sessions":[{session}]}}"#);
            check(&server, ("POST", "/memory/import"), JSON, &document, "invalid_import").await;
            let lines = format!("{{{head}}}\n{session}\n");
            check(&server, ("POST", "/memory/import"), LINES, &lines, "invalid_import").await;
            let header = format!(r#"{{{head},"x":{deep}}}"#);
            let lines = format!("{header}\n{session}\n");
            check(&server, ("POST", "/memory/import"), LINES, &lines, "invalid_import").await;
        }
    }
    assert_eq!(server.get("/memory/sessions").await.json()["sessions"], json!([]));
}

#[tokio::test]
async fn it_is_refused_over_a_socket() {
    let server = Server::echo().await;
    let mut client = Client::connect(&server).await;
    for levels in LEVELS {
        let deep = lists(levels);
        for (field, code) in [
            (format!(r#""metadata":{{"a":{deep}}}"#), "invalid_request"),
            (format!(r#""options":{{"response_format":{{"a":{deep}}}}}"#), "invalid_request"),
            (format!(r#""idempotency_key":{deep}"#), "invalid_request"),
            (format!(r#""ref":{deep}"#), "invalid_request"),
            (format!(r#""x":{deep}"#), "unknown_field"),
        ] {
            client.say_text(format!(r#"{{"type":"chat","message":"ok",{field}}}"#)).await;
            assert_eq!(client.hear().await["data"]["code"], code, "{levels}");
        }
        client.say_text(deep).await;
        assert_eq!(client.hear().await["data"]["code"], "invalid_request");
    }
    assert!(server.llm.requests().is_empty());
}
