//! What becomes of a turn when its client leaves.

use std::time::{Duration, Instant};

use brain_testkit::{Answer, Gate};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    chat::history,
    client::{raw, reset},
    server::{Server, within},
};

const SEEN: Duration = Duration::from_millis(200);

/// A server whose model says one word and waits.
async fn waiting() -> (Server, Gate) {
    let gate = Gate::new();
    let server = Server::start([Answer::new().say("word").wait(&gate).say("end").finish()]).await;
    (server, gate)
}

fn body(stream: bool, on_disconnect: &str) -> Value {
    json!({"message": "hi", "session_id": "s", "stream": stream, "on_disconnect": on_disconnect})
}

/// A connection on which a request waits for its answer.
async fn ask(server: &Server, body: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let json = "content-type: application/json\r\n";
    let request = raw("POST", "/chat", json, body.to_string().as_bytes());
    stream.write_all(&request).await.unwrap();
    stream
}

#[tokio::test]
async fn the_turn_goes_on_by_default() {
    for stream in [true, false] {
        let (server, gate) = waiting().await;
        let request = json!({"message": "hi", "session_id": "s", "stream": stream});
        let client = ask(&server, &request).await;
        gate.reached_by(1).await;
        drop(client);
        gate.open();
        let done = json!({"message": "2", "session_id": "s"});
        server.llm.push(Answer::text("2"));
        assert_eq!(server.post("/chat", done).await.status, 200);
        let said = ["user: hi", "assistant: wordend", "user: 2", "assistant: 2"];
        assert_eq!(history(&server, "s").await, said);
        assert_eq!(server.llm.cancelled(), 0);
    }
}

#[tokio::test]
async fn leaving_stops_the_turn_where_that_is_asked() {
    for stream in [true, false] {
        for leave in [|it: TcpStream| drop(it), reset] {
            let (server, gate) = waiting().await;
            let client = ask(&server, &body(stream, "cancel")).await;
            gate.reached_by(1).await;
            let left = Instant::now();
            leave(client);
            within(Duration::from_secs(5), server.llm.dropped(1)).await;
            assert!(left.elapsed() < SEEN, "{:?}", left.elapsed());
        }
    }
}

#[tokio::test]
async fn a_client_that_resumed_may_come_back() {
    let (server, gate) = waiting().await;
    let mut first = server.stream(body(true, "cancel")).await;
    let turn = first.event().await.unwrap().data["turn_id"].as_str().unwrap().to_owned();
    gate.reached_by(1).await;
    let path = format!("/chat/turns/{turn}/events?after=2");
    let second = server.listen(&path).await;
    drop(first);
    second.reset();
    let mut third = server.listen(&path).await;
    gate.open();
    let events = third.events().await;
    assert_eq!(events.last().unwrap().name, "turn.completed");
    assert_eq!(server.llm.cancelled(), 0);
}
