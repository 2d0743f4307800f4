//! What every request passes: names, hosts, limits.

use brain_testkit::{Answer, Gate, ScriptedLlm};
use http_api::ApiConfig;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::raw,
    server::{Server, Wishes},
};

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn a_request_keeps_the_id_it_came_with() {
    let server = Server::echo().await;
    let own = server.send(&raw("GET", "/health/live", "x-request-id: my-1\r\n", b"")).await;
    assert_eq!(own.header("x-request-id"), Some("my-1"));
    let long = format!("x-request-id: {}\r\n", "x".repeat(129));
    for odd in ["x-request-id: two words\r\n", "x-request-id:\r\n", &long, ""] {
        let given = server.send(&raw("GET", "/health/live", odd, b"")).await;
        let id = given.header("x-request-id").unwrap();
        assert!(id.len() == 36 && !odd.contains(id), "{id}");
    }
    let error = server.send(&raw("GET", "/nowhere", "x-request-id: my-2\r\n", b"")).await;
    assert_eq!(error.problem(404, "route_not_found")["request_id"], "my-2");
}

#[tokio::test]
async fn wrong_paths_and_methods_are_problems() {
    let server = Server::echo().await;
    for path in ["/nowhere", "/chat/", "/memory/sessions/", "/chat/turns", "//"] {
        server.get(path).await.problem(404, "route_not_found");
    }
    let reply = server.get("/chat").await;
    reply.problem(405, "method_not_allowed");
    assert_eq!(reply.header("allow"), Some("POST"));
    let reply = server.post("/memory/sessions/a", json!({})).await;
    reply.problem(405, "method_not_allowed");
    assert_eq!(reply.header("allow"), Some("GET,HEAD,PATCH,DELETE"));
    let preflight = "origin: http://evil.example\r\naccess-control-request-method: POST\r\n";
    let reply = server.send(&raw("OPTIONS", "/chat", preflight, b"")).await;
    reply.problem(403, "origin_not_allowed");
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn pages_elsewhere_cannot_use_the_service() {
    let config = ApiConfig { allowed_hosts: vec!["brain.example".into()], ..ApiConfig::default() };
    let server = Server::configured([], config).await;
    let ask = |host: &str, more: &str| {
        format!("GET /health/live HTTP/1.1\r\n{host}{more}\r\n").into_bytes()
    };
    for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:80", "brain.example:443"] {
        let reply = server.send(&ask(&format!("host: {host}\r\n"), "")).await;
        assert_eq!(reply.status, 200, "{host}");
        let origin = format!("origin: http://{host}\r\n");
        let reply = server.send(&ask("host: localhost\r\n", &origin)).await;
        assert_eq!(reply.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "0.0.0.0", "169.254.169.254"] {
        let reply = server.send(&ask(&format!("host: {host}\r\n"), "")).await;
        reply.problem(403, "host_not_allowed");
        let origin = format!("origin: https://{host}\r\n");
        let reply = server.send(&ask("host: localhost\r\n", &origin)).await;
        reply.problem(403, "origin_not_allowed");
    }
    let reply = server.send(&ask("host: localhost\r\n", "origin: null\r\n")).await;
    reply.problem(403, "origin_not_allowed");
    server.send(&ask("", "")).await.problem(400, "invalid_request");
    let two = "host: localhost\r\nhost: evil.example\r\n";
    server.send(&ask(two, "")).await.problem(400, "invalid_request");
    let absolute = b"GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n";
    server.send(absolute).await.problem(403, "host_not_allowed");
}

#[tokio::test]
async fn only_json_is_taken_for_json() {
    let server = Server::echo().await;
    let body = br#"{"message":"hi"}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        for path in ["/chat", "/memory/sessions", "/memory/import"] {
            let request = raw("POST", path, &format!("content-type: {kind}\r\n"), body);
            server.send(&request).await.problem(415, "unsupported_media_type");
        }
    }
    server.send(&raw("POST", "/chat", "", body)).await.problem(415, "unsupported_media_type");
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/a+json"] {
        let request = raw("POST", "/chat", &format!("content-type: {kind}\r\n"), body);
        assert_eq!(server.send(&request).await.status, 200, "{kind}");
    }
    assert_eq!(server.llm.requests().len(), 3);
}

#[tokio::test]
async fn bodies_are_bounded() {
    let config = ApiConfig { max_body_bytes: 1_000, ..ApiConfig::default() };
    let server = Server::configured([], config).await;
    let huge = server.post("/chat", json!({"message": "x".repeat(100_000)})).await;
    huge.problem(413, "body_too_large");
    let text = "x".repeat(2_000);
    let chunked = format!(
        "POST /chat HTTP/1.1\r\nhost: localhost\r\n{JSON}transfer-encoding: chunked\r\n\r\n7d0\r\n{text}\r\n0\r\n\r\n"
    );
    server.send(chunked.as_bytes()).await.problem(413, "body_too_large");
    let waiting = format!("{JSON}content-length: 100000000\r\nexpect: 100-continue\r\n");
    server.send(&raw("POST", "/chat", &waiting, b"")).await.problem(413, "body_too_large");
}

#[tokio::test]
async fn bodies_are_bounded_all_together() {
    let config = ApiConfig { max_held_bytes: 10_000, ..ApiConfig::default() };
    let server = Server::configured([], config).await;
    let reply = server.post("/chat", json!({"message": "x".repeat(20_000)})).await;
    reply.problem(503, "overloaded");
    assert_eq!(reply.header("retry-after"), Some("1"));
    let small = server.post("/chat", json!({"message": " "})).await;
    small.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_message_has_its_own_bound() {
    let mut wishes = Wishes::default();
    wishes.limits.message_bytes = 10;
    let server = Server::with(ScriptedLlm::echo(), wishes).await;
    let reply = server.post("/chat", json!({"message": "more than ten"})).await;
    reply.problem(413, "message_too_large");
    assert_eq!(server.post("/chat", json!({"message": "just ten.."})).await.status, 200);
}

#[tokio::test]
async fn requests_are_bounded_for_as_long_as_their_answers_take() {
    let gate = Gate::new();
    let config = ApiConfig { max_requests: 1, ..ApiConfig::default() };
    let answers = [Answer::new().wait(&gate).say("done").finish()];
    let server = Server::configured(answers, config).await;
    let mut stream = server.stream(json!({"message": "hi", "stream": true})).await;
    assert_eq!(stream.event().await.unwrap().name, "turn.started");
    let reply = server.get("/health/live").await;
    reply.problem(503, "overloaded");
    assert_eq!(reply.header("retry-after"), Some("1"));
    gate.open();
    stream.events().await;
    drop(stream);
    let mut tries = 0;
    while server.get("/health/live").await.status != 200 {
        tries += 1;
        assert!(tries < 100);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn too_many_turns_are_refused() {
    let gate = Gate::new();
    let mut wishes = Wishes::default();
    wishes.limits.turns = 1;
    let llm = ScriptedLlm::new([Answer::new().wait(&gate).finish()]);
    let server = Server::with(llm, wishes).await;
    let _first = server.stream(json!({"message": "1", "stream": true})).await;
    let reply = server.post("/chat", json!({"message": "2"})).await;
    reply.problem(503, "too_many_turns");
    assert!(reply.header("retry-after").is_some());
}

#[tokio::test]
async fn many_requests_go_over_one_connection_without_a_pause() {
    let server = Server::echo().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let started = std::time::Instant::now();
    for _ in 0..50 {
        stream.write_all(&raw("GET", "/health/live", "", b"")).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(br#"{"status":"ok"}"#) {
            let mut part = [0; 1_024];
            let read = stream.read(&mut part).await.unwrap();
            assert!(0 < read);
            answer.extend_from_slice(&part[..read]);
        }
    }
    // Held back until an acknowledgement that waits 40 ms, they would take 2 s.
    assert!(started.elapsed().as_millis() < 1_000, "{:?}", started.elapsed());
}
