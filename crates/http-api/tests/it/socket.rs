//! Turns over a WebSocket.

use std::time::Duration;

use brain_testkit::{Answer, Gate};
use futures_util::{SinkExt, StreamExt};
use http_api::ApiConfig;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::server::{Server, within};

const SOON: Duration = Duration::from_secs(5);

pub(crate) struct Client(WebSocketStream<TcpStream>);

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        Self(client_async("ws://localhost/chat/ws", stream).await.unwrap().0)
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.say_text(frame.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, frame: String) {
        self.0.send(Message::text(frame)).await.unwrap();
    }

    /// The next text frame.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match within(SOON, self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other}"),
            }
        }
    }

    /// Frames through a last event.
    pub(crate) async fn hear_turn(&mut self) -> Vec<Value> {
        let mut frames = vec![self.hear().await];
        while !frames.last().unwrap()["data"]["status"].is_string() {
            frames.push(self.hear().await);
        }
        frames
    }

    /// The code that the socket is closed with.
    async fn close_code(&mut self) -> u16 {
        loop {
            match within(SOON, self.0.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                end => panic!("{end:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_turn_has_the_same_events_as_elsewhere() {
    let server = Server::start([Answer::new().say("a").say("b").finish()]).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type": "chat", "message": "hi", "session_id": "s", "ref": "r1"})).await;
    let frames = client.hear_turn().await;
    let turn = frames[0]["turn_id"].as_str().unwrap();
    let mut stream = server.listen(&format!("/chat/turns/{turn}/events")).await;
    let events = stream.events().await;
    assert_eq!(frames.len(), events.len());
    for (frame, event) in frames.iter().zip(events) {
        assert_eq!(
            *frame,
            json!({"event": event.name, "id": event.id, "turn_id": turn,
            "ref": "r1", "data": event.data})
        );
    }
}

#[tokio::test]
async fn several_turns_run_at_once_and_each_is_stopped_by_itself() {
    let gate = Gate::new();
    let waiting = || Answer::new().say("w").wait(&gate).say("end").finish();
    let server = Server::start([waiting(), waiting()]).await;
    let mut client = Client::connect(&server).await;
    for name in ["a", "b"] {
        client.say(json!({"type": "chat", "message": "hi", "session_id": name, "ref": name})).await;
    }
    gate.reached_by(2).await;
    let mut turns = std::collections::HashMap::new();
    for _ in 0..4 {
        let frame = client.hear().await;
        turns.insert(frame["ref"].as_str().unwrap().to_owned(), frame["turn_id"].clone());
    }
    client.say(json!({"type": "cancel", "turn_id": turns["a"]})).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let frame = client.hear().await;
        assert_eq!(
            (&frame["turn_id"], &frame["data"]["status"]),
            (&turns["a"], &json!("interrupted"))
        );
        seen.push(frame["event"].as_str().unwrap().to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["turn.interrupted", "turn.state"]);
    gate.open();
    let last = client.hear_turn().await.pop().unwrap();
    assert_eq!((&last["event"], &last["turn_id"]), (&json!("turn.completed"), &turns["b"]));
}

#[tokio::test]
async fn a_turn_is_listened_to_again() {
    let server = Server::start([Answer::new().say("a").say("b").finish()]).await;
    let turn = server.post("/chat", json!({"message": "hi"})).await.json()["turn_id"].clone();
    let mut client = Client::connect(&server).await;
    client.say(json!({"type": "listen", "turn_id": turn, "after": 2})).await;
    let frames = client.hear_turn().await;
    assert_eq!((frames.len(), &frames[0]["id"]), (2, &json!(3)));
    assert_eq!(frames[0]["data"], json!({"text": "b"}));
}

#[tokio::test]
async fn a_key_is_known_on_every_way() {
    let server = Server::echo().await;
    let first = server.post_as("k", "/chat", json!({"message": "hi"})).await.json();
    let mut client = Client::connect(&server).await;
    client.say(json!({"type": "chat", "message": "hi", "idempotency_key": "k"})).await;
    let last = client.hear_turn().await.pop().unwrap();
    assert_eq!(last["data"]["message"], first["message"]);
    client
        .say(json!({"type": "chat", "message": "other", "idempotency_key": "k", "ref": "r"}))
        .await;
    let heard = client.hear().await;
    assert_eq!(
        (&heard["data"]["code"], &heard["ref"]),
        (&json!("idempotency_key_reused"), &json!("r"))
    );
}

#[tokio::test]
async fn leaving_the_socket_is_leaving_its_turns() {
    let gate = Gate::new();
    let answer = || Answer::new().say("w").wait(&gate).finish();
    let server = Server::start([answer(), answer(), answer()]).await;
    for (index, way) in ["close", "drop", "reset"].into_iter().enumerate() {
        let mut client = Client::connect(&server).await;
        let body = json!({"type": "chat", "message": "hi", "on_disconnect": "cancel"});
        client.say(body).await;
        gate.reached_by(index + 1).await;
        let left = std::time::Instant::now();
        match way {
            "close" => client.0.close(None).await.unwrap(),
            "drop" => drop(client),
            _ => crate::client::reset(client.0.into_inner()),
        }
        within(SOON, server.llm.dropped(index + 1)).await;
        assert!(left.elapsed() < Duration::from_millis(200), "{way}: {:?}", left.elapsed());
    }
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_then_cut() {
    let gate = Gate::new();
    let config = ApiConfig { heartbeat: Duration::from_millis(50), ..ApiConfig::default() };
    let answers = [Answer::new().wait(&gate).finish()];
    let server = Server::configured(answers, config).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type": "chat", "message": "hi", "on_disconnect": "cancel"})).await;
    // Reading answers pings: it stays for longer than silence would be borne.
    let alive = tokio::time::timeout(Duration::from_millis(400), async {
        loop {
            client.hear().await;
        }
    });
    assert!(alive.await.is_err());
    assert_eq!(server.llm.cancelled(), 0);
    // Not reading does not.
    within(SOON, server.llm.dropped(1)).await;
}

#[tokio::test]
async fn frames_of_other_kinds_and_sizes_close_the_socket() {
    let config = ApiConfig { max_body_bytes: 1_000, ..ApiConfig::default() };
    let server = Server::configured([], config).await;
    let mut client = Client::connect(&server).await;
    client.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(client.close_code().await, 1003);
    let mut client = Client::connect(&server).await;
    client.0.send(Message::text("x".repeat(2_000))).await.unwrap();
    assert_eq!(client.close_code().await, 1002);
}

#[tokio::test]
async fn a_shutdown_says_so_once_the_turns_are_over() {
    let gate = Gate::new();
    let mut server = Server::start([Answer::new().wait(&gate).say("done").finish()]).await;
    let mut client = Client::connect(&server).await;
    client.say(json!({"type": "chat", "message": "hi"})).await;
    assert_eq!(client.hear().await["event"], "turn.started");
    server.stop();
    gate.open();
    assert_eq!(client.hear_turn().await.last().unwrap()["event"], "turn.completed");
    assert_eq!(client.close_code().await, 1001);
    drop(client);
    within(SOON, server.ended()).await;
}

#[tokio::test]
async fn a_page_of_another_host_gets_no_socket() {
    let server = Server::echo().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut request = "ws://localhost/chat/ws".into_client_request().unwrap();
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert!(client_async(request, stream).await.is_err());
    server.get("/chat/ws").await.problem(400, "invalid_request");
}
