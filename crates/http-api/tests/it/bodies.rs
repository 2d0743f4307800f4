//! Bodies as they are framed, packed and announced, and those that nobody asked for.

use http_api::ApiConfig;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{client::raw, server::Server};

const JSON: &str = "content-type: application/json\r\n";

/// Routes that take no body; none of them ends what the others need.
fn bodiless(turn: &str) -> [(&'static str, String); 9] {
    [
        ("GET", "/memory/sessions".to_owned()),
        ("GET", "/memory/export".to_owned()),
        ("GET", "/models".to_owned()),
        ("GET", format!("/chat/turns/{turn}")),
        ("POST", format!("/chat/turns/{turn}/cancel")),
        ("DELETE", "/memory/sessions/s/entries/1".to_owned()),
        ("DELETE", "/memory/sessions?id=s".to_owned()),
        ("DELETE", "/memory/sessions/s".to_owned()),
        ("DELETE", "/memory".to_owned()),
    ]
}

fn framed(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n{body}").into_bytes()
}

#[tokio::test]
async fn a_body_where_none_is_taken_is_refused_and_an_empty_one_is_none() {
    let server = Server::echo().await;
    let turn = server.post("/chat", json!({"message": "hi", "session_id": "s"})).await.json();
    let turn = turn["turn_id"].as_str().unwrap();
    let chunked = "transfer-encoding: chunked\r\n";
    for (method, path) in bodiless(turn) {
        for request in [
            raw(method, &path, JSON, br#"{"dry_run":true}"#),
            framed(method, &path, chunked, "2\r\n{}\r\n0\r\n\r\n"),
            framed(method, &path, "content-length: 9\r\nexpect: 100-continue\r\n", ""),
        ] {
            let problem = server.send(&request).await.problem(400, "unexpected_body");
            assert!(problem["detail"].as_str().unwrap().contains(method), "{problem}");
        }
    }
    assert_eq!(server.get("/memory/sessions/s").await.json()["session"]["entry_count"], 2);
    for (method, path) in bodiless(turn) {
        for request in [
            framed(method, &path, "", ""),
            framed(method, &path, &format!("{JSON}content-length: 0\r\n"), ""),
            framed(method, &path, chunked, "0\r\n\r\n"),
        ] {
            let reply = server.send(&request).await;
            assert!([200, 404].contains(&reply.status), "{method} {path}: {}", reply.text());
        }
    }
    assert_eq!(server.get("/memory/sessions").await.json()["sessions"], json!([]));
}

#[tokio::test]
async fn a_packed_body_is_refused_and_identity_is_not_packed() {
    let server = Server::echo().await;
    server.post("/memory/sessions", json!({"id": "s"})).await;
    for coding in ["gzip", "identity, gzip", "x", "identity\r\ncontent-encoding: br"] {
        let packed = format!("{JSON}content-encoding: {coding}\r\n");
        for path in ["/chat", "/memory/sessions", "/memory/sessions/s/fork", "/memory/import"] {
            let reply = server.send(&raw("POST", path, &packed, b"{}")).await;
            reply.problem(415, "unsupported_media_type");
        }
    }
    for coding in ["identity", "Identity", "identity, identity", ""] {
        let plain = format!("{JSON}content-encoding: {coding}\r\n");
        let reply = server.send(&raw("POST", "/memory/sessions", &plain, b"{}")).await;
        assert_eq!(reply.status, 201, "{coding}: {}", reply.text());
        let document = br#"{"format":"codexd-memory","v":1,"sessions":[]}"#;
        let reply = server.send(&raw("POST", "/memory/import", &plain, document)).await;
        assert_eq!(reply.status, 200, "{coding}: {}", reply.text());
    }
}

/// Who was told to go on is sending when the refusal comes, and must not lose it.
#[tokio::test]
async fn a_refusal_in_the_midst_of_a_body_arrives() {
    let config =
        ApiConfig { max_body_bytes: 1_000, max_import_bytes: 1_000, ..ApiConfig::default() };
    let server = Server::configured([], config).await;
    for path in ["/chat", "/memory/import"] {
        for expect in ["", "expect: 100-continue\r\n"] {
            let headers = format!("{JSON}transfer-encoding: chunked\r\n{expect}");
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(&framed("POST", path, &headers, "")).await.unwrap();
            if !expect.is_empty() {
                let mut sign = [0; 25];
                stream.read_exact(&mut sign).await.unwrap();
                assert_eq!(&sign, b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            // Far more than the buffers of the connection hold.
            for _ in 0..256 {
                stream.write_all(piece.as_bytes()).await.unwrap();
            }
            stream.write_all(b"0\r\n\r\n").await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 413", "{path} {expect}");
        }
    }
}
