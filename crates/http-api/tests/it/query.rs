//! Queries whose fields nobody knows.

use brain_testkit::Answer;
use serde_json::json;

use crate::{client::raw, server::Server};

const JSON: &str = "content-type: application/json\r\n";

/// Every method of every route, and a field that it does not take.
const CASES: &[(&str, &str, &str)] = &[
    ("GET", "/", "x"),
    ("POST", "/complete", "prefix"),
    ("GET", "/config", "model"),
    ("PATCH", "/config", "model"),
    ("GET", "/models", "limit"),
    ("GET", "/health/live", "x"),
    ("GET", "/health/ready", "verbose"),
    ("POST", "/chat", "session_id"),
    ("GET", "/chat/ws", "session_id"),
    ("GET", "/chat/turns/{turn}", "after"),
    ("GET", "/chat/turns/{turn}/events", "before"),
    ("POST", "/chat/turns/{turn}/cancel", "force"),
    ("DELETE", "/memory", "id"),
    ("POST", "/memory/sessions/s/fork", "at"),
    ("DELETE", "/memory/sessions/s/entries/1", "force"),
    ("GET", "/memory/forgotten", "limit"),
    ("GET", "/memory/forgotten/s", "id"),
    ("DELETE", "/memory", "dry_run"),
    ("GET", "/memory/sessions", "size"),
    ("POST", "/memory/sessions", "id"),
    ("PATCH", "/memory/sessions", "title"),
    ("DELETE", "/memory/sessions", "seq"),
    ("GET", "/memory/sessions/s", "id"),
    ("PATCH", "/memory/sessions/s", "id"),
    ("DELETE", "/memory/sessions/s", "seq"),
    ("GET", "/memory/sessions/s/entries", "from"),
    ("GET", "/memory/search", "query"),
    ("GET", "/memory/export", "id"),
    ("POST", "/memory/import", "onconflict"),
];

#[tokio::test]
async fn unknown_fields_are_refused_by_name_everywhere_and_nothing_happens() {
    let server = Server::start([Answer::text("a")]).await;
    let body = json!({"message": "hi", "session_id": "s"});
    let turn = server.post("/chat", body).await.json()["turn_id"].as_str().unwrap().to_owned();
    let before = server.get("/memory/export").await.body;
    for (method, path, field) in CASES {
        let path = path.replace("{turn}", &turn);
        for query in [format!("{field}=z"), (*field).to_owned(), format!("{field}=&{field}=1")] {
            let reply = server.send(&raw(method, &format!("{path}?{query}"), JSON, b"")).await;
            let problem = reply.problem(400, "unknown_field");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.starts_with(&format!("unknown field `{field}` in")), "{path}: {detail}");
        }
    }
    let body = br#"{"id":"zzz"}"#;
    server.send(&raw("DELETE", "/memory", JSON, body)).await.problem(400, "unexpected_body");
    assert_eq!(server.open(&raw("HEAD", "/models?x=1", "", b"")).await.status, 400);
    assert_eq!(server.get("/memory/export").await.body, before);
    assert_eq!(server.get("/memory/sessions/s").await.json()["session"]["entry_count"], 2);
}

#[tokio::test]
async fn no_route_is_left_out_above() {
    let server = Server::echo().await;
    let page = server.get("/").await.json();
    let mut routes = Vec::new();
    for route in page["routes"].as_array().unwrap() {
        let route = route.as_str().unwrap();
        let reply = server.send(&raw("PUT", &route.replace(['{', '}'], ""), "", b"")).await;
        let path = route.replace("turns/{id}", "turns/{turn}");
        let path = path.replace("{id}", "s").replace("{seq}", "1");
        reply.problem(405, "method_not_allowed");
        let methods = reply.header("allow").unwrap().split(',').filter(|it| *it != "HEAD");
        routes.extend(methods.map(|method| (method.to_owned(), path.clone())));
    }
    assert_eq!(routes.len(), 28, "{routes:?}");
    for (method, path) in routes {
        let is_listed = CASES.iter().any(|it| (it.0, it.1) == (method.as_str(), path.as_str()));
        assert!(is_listed, "{method} {path}");
    }
}

#[tokio::test]
async fn an_empty_query_is_none() {
    let server = Server::echo().await;
    for path in ["/?", "/models?", "/health/live?&"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    assert_eq!(server.delete("/memory?").await.status, 200);
}
