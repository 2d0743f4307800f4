//! What clients see when memory fails.

use std::io;

use brain_core::memory::MemoryErrorKind;
use brain_testkit::{Operation, ScriptedLlm};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::server::{Server, Wishes};

#[tokio::test]
async fn no_turn_is_acknowledged_that_is_not_stored() {
    let server = Server::echo().await;
    for (kind, status) in [
        (MemoryErrorKind::Unavailable, 503),
        (MemoryErrorKind::Full, 507),
        (MemoryErrorKind::Corrupt, 500),
    ] {
        for stream in [false, true] {
            server.store.fail(Operation::Open, 1, kind);
            let reply = server.post("/chat", json!({"message": "hi", "stream": stream})).await;
            reply.problem(status, kind.code());
        }
    }
    assert!(server.llm.requests().is_empty());
    assert_eq!(server.get("/memory/sessions").await.json()["sessions"], json!([]));
}

#[tokio::test]
async fn readiness_ends_with_memory() {
    let server = Server::echo().await;
    server.store.break_down(Operation::Health, MemoryErrorKind::Full);
    let ready = server.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["status"]), (503, &json!("unavailable")));
    let check = &ready.json()["checks"][0];
    assert_eq!((&check["name"], &check["status"]), (&json!("memory"), &json!("failed")));
    assert_eq!(server.get("/health/live").await.status, 200);
    server.store.heal();
    assert_eq!(server.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn an_export_that_fails_does_not_look_whole() {
    let server = Server::with(ScriptedLlm::echo(), Wishes::default()).await;
    for session in ["a", "b"] {
        server.post("/chat", json!({"message": "hi", "session_id": session})).await;
    }
    server.store.fail(Operation::Export, 1, MemoryErrorKind::Unavailable);
    server.get("/memory/export").await.problem(503, "memory_unavailable");

    // The head of the second session, after a head and two entries: nothing is sent by then.
    server.store.fail(Operation::ExportPart, 4, MemoryErrorKind::Unavailable);
    server.get("/memory/export").await.problem(503, "memory_unavailable");
    // The same after sixteen entries more, which are sent.
    for _ in 0..8 {
        let long = json!({"message": "long ".repeat(1_000), "session_id": "a"});
        assert_eq!(server.post("/chat", long).await.status, 200);
    }
    for accept in ["*/*", "application/x-ndjson"] {
        let ask = |version: &str| {
            server.store.fail(Operation::ExportPart, 20, MemoryErrorKind::Unavailable);
            format!("GET /memory/export {version}\r\nhost: localhost\r\naccept: {accept}\r\n\r\n")
        };
        let (bytes, end) = read_all(&server, &ask("HTTP/1.1")).await;
        assert!(end.is_ok());
        assert!(bytes.starts_with("HTTP/1.1 200") && bytes.contains("{\"format\""), "{bytes}");
        assert!(!bytes.contains(r#""id":"b""#) && !bytes.ends_with("0\r\n\r\n"));
        // Here the end of the connection is the end of the body, and it must not be a clean one.
        let (bytes, end) = read_all(&server, &ask("HTTP/1.0")).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset, "{bytes}");
        let (bytes, end) = read_all(&server, &ask("HTTP/1.0").replace("export", "sessions")).await;
        assert!(end.is_ok() && bytes.ends_with("null}"), "{bytes}");
        server.store.heal();
    }
}

/// Everything that a connection gives after a request, and how it ends.
async fn read_all(server: &Server, request: &str) -> (String, io::Result<()>) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.map(drop);
    (String::from_utf8(bytes).unwrap(), end)
}
