//! Peers that are slow, silent or too many.

use std::time::Duration;

use brain_testkit::{Answer, Gate};
use http_api::ApiConfig;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    client::raw,
    server::{Server, within},
};

const SOON: Duration = Duration::from_secs(5);

async fn closes(server: &Server, bytes: &[u8]) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    // A reset is an end too.
    drop(within(SOON, stream.read_to_end(&mut rest)).await);
}

#[tokio::test]
async fn a_peer_that_does_not_send_a_request_is_cut() {
    let config = ApiConfig { head_timeout: Duration::from_millis(50), ..ApiConfig::default() };
    let server = Server::configured([], config).await;
    for bytes in ["", "P", "PRI * HTTP/2.0\r\n", "G", "GET / HTTP/1.1\r\nhost: localhost\r\n"] {
        closes(&server, bytes.as_bytes()).await;
    }
    // One that has asked and then falls silent is, too.
    closes(&server, &raw("GET", "/health/live", "", b"")).await;
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_refused() {
    let config = ApiConfig { body_timeout: Duration::from_millis(50), ..ApiConfig::default() };
    let server = Server::configured([], config).await;
    let head = "content-type: application/json\r\ncontent-length: 100\r\nexpect: x\r\n";
    let reply = server.send(&raw("POST", "/chat", head, b"")).await;
    reply.problem(408, "body_timeout");
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_cut() {
    let config = ApiConfig { write_timeout: Duration::from_millis(100), ..ApiConfig::default() };
    let answer = Answer::new().say("x".repeat(8_000_000)).wait(&Gate::new());
    let server = Server::configured([answer], config).await;
    let body = json!({"message": "hi", "stream": true, "on_disconnect": "cancel"});
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let json = "content-type: application/json\r\n";
    let request = raw("POST", "/chat", json, body.to_string().as_bytes());
    stream.write_all(&request).await.unwrap();
    within(SOON, server.llm.dropped(1)).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let config = ApiConfig { max_connections: 1, ..ApiConfig::default() };
    let server = Server::configured([], config).await;
    let first = TcpStream::connect(server.address).await.unwrap();
    let second = server.get("/health/live");
    tokio::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut second).await;
    assert!(early.is_err());
    drop(first);
    assert_eq!(within(SOON, second).await.status, 200);
}

#[tokio::test]
async fn http_2_is_spoken_too() {
    let server = Server::echo().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    for (host, status) in [("localhost", 200), ("evil.example", 403)] {
        let request = http::Request::get(format!("http://{host}/health/live"));
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), status);
    }
}
