//! What clients see when memory fails.

use brain_core::memory::MemoryErrorKind;
use brain_testkit::{Operation, ScriptedLlm};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::raw,
    server::{Server, Wishes},
};

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
    server.store.fail(Operation::ExportPart, 20, MemoryErrorKind::Unavailable);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&raw("GET", "/memory/export", "", b"")).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    // What of it was not on its way when it broke off never comes.
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(!text.contains(r#""id":"b""#) && !text.ends_with("0\r\n\r\n"));
}
