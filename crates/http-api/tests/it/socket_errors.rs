//! What is refused over a WebSocket comes back by the names that the peer gave.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use brain_testkit::{Answer, Gate};
use serde_json::{Value, json};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::{server::Server, socket::Client};

const UNKNOWN: &str = "0190a7c0-0000-7000-8000-000000000000";

/// Counts what is logged as an error.
#[derive(Clone, Default)]
struct Loud(Arc<AtomicUsize>);

impl Subscriber for Loud {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Says `frame`, and expects an error of `code` that names what the frame names.
async fn check(client: &mut Client, frame: Value, code: &str) {
    client.say(frame.clone()).await;
    let heard = client.hear().await;
    assert_eq!(
        (&heard["event"], &heard["data"]["code"]),
        (&json!("error"), &json!(code)),
        "{frame}"
    );
    let reference = frame.get("ref").filter(|it| it.is_string());
    assert_eq!(heard.get("ref"), reference, "{frame}: {heard}");
    let turn = frame.get("turn_id").filter(|it| it.is_string() && frame["type"] != "chat");
    assert_eq!(heard.get("turn_id"), turn, "{frame}: {heard}");
}

#[tokio::test]
async fn what_makes_no_sense_is_told_and_the_socket_stays() {
    let loud = Loud::default();
    let _guard = tracing::subscriber::set_default(loud.clone());
    let server = Server::echo().await;
    let mut client = Client::connect(&server).await;
    for (frame, code) in [
        (json!({}), "invalid_request"),
        (json!([]), "invalid_request"),
        (json!("chat"), "invalid_request"),
        (json!({"ref": "r"}), "invalid_request"),
        (json!({"type": "dance", "ref": "r"}), "invalid_request"),
        (json!({"type": 1, "ref": "r"}), "invalid_request"),
        (json!({"type": "chat", "ref": 1, "message": "hi"}), "invalid_request"),
        (json!({"type": "chat", "ref": "r"}), "invalid_request"),
        (json!({"type": "chat", "ref": "r", "message": 5}), "invalid_request"),
        (json!({"type": "chat", "ref": "r", "message": ""}), "invalid_request"),
        (json!({"type": "chat", "ref": "r", "message": "hi", "x": 1}), "unknown_field"),
        (json!({"type": "chat", "ref": "r", "message": "hi", "turn_id": UNKNOWN}), "unknown_field"),
        (
            json!({"type": "chat", "ref": "r", "message": "hi", "memory": "ephemeral"}),
            "not_supported",
        ),
        (
            json!({"type": "chat", "ref": "r", "message": "hi", "idempotency_key": ""}),
            "invalid_request",
        ),
        (
            json!({"type": "chat", "ref": "r", "message": "hi", "idempotency_key": 1}),
            "invalid_request",
        ),
        (json!({"type": "cancel", "ref": "r", "turn_id": UNKNOWN}), "turn_not_found"),
        (json!({"type": "cancel", "ref": "r", "turn_id": "x"}), "turn_not_found"),
        (json!({"type": "cancel", "ref": "r", "turn_id": 1}), "invalid_request"),
        (json!({"type": "cancel", "ref": "r"}), "invalid_request"),
        (json!({"type": "cancel", "ref": "r", "turn": "x"}), "unknown_field"),
        (json!({"type": "listen", "ref": "r", "turn_id": UNKNOWN}), "turn_not_found"),
        (json!({"type": "listen", "turn_id": UNKNOWN, "x": 1}), "unknown_field"),
        (
            json!({"type": "listen", "ref": "r", "turn_id": UNKNOWN, "after": "x"}),
            "invalid_request",
        ),
    ] {
        check(&mut client, frame, code).await;
    }
    client.say_text("nonsense".to_owned()).await;
    assert_eq!(client.hear().await["data"]["code"], "invalid_json");
    client.say(json!({"type": "chat", "message": "still here"})).await;
    assert_eq!(client.hear_turn().await.last().unwrap()["event"], "turn.completed");
    assert_eq!(loud.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn fields_that_are_there_twice_are_refused_and_places_count_in_the_frame() {
    let server = Server::echo().await;
    let mut client = Client::connect(&server).await;
    for (frame, names) in [
        (r#"{"type":"chat","ref":"r","message":"a","message":""}"#, "duplicate field `message`"),
        (r#"{"type":"chat","ref":"r","message":"a","ref":"s"}"#, "duplicate field `ref`"),
        (r#"{"type":"chat","ref":"r","type":"cancel"}"#, "duplicate field `type`"),
        (r#"{"type":"cancel","ref":"r","turn_id":"a","turn_id":"b"}"#, "duplicate field `turn_id`"),
        (r#"{"type":"chat","ref":"r","options":{"stop":[],"stop":[]}}"#, "duplicate field `stop`"),
        (r#"{"type":"chat",  "ref":"r","message":"a","parent":"1"}"#, "at line 1 column 53"),
    ] {
        client.say_text(frame.to_owned()).await;
        let heard = client.hear().await;
        assert_eq!(
            (&heard["ref"], &heard["data"]["code"]),
            (&json!("r"), &json!("invalid_request"))
        );
        let detail = heard["data"]["detail"].as_str().unwrap();
        assert!(detail.contains(names), "{frame}: {detail}");
    }
    assert!(server.llm.requests().is_empty());
}

#[tokio::test]
async fn turns_on_one_socket_are_bounded_and_can_still_be_stopped() {
    let loud = Loud::default();
    let _guard = tracing::subscriber::set_default(loud.clone());
    let gate = Gate::new();
    let server = Server::start((0..16).map(|_| Answer::new().wait(&gate).finish())).await;
    let mut client = Client::connect(&server).await;
    let mut turn = Value::Null;
    for _ in 0..16 {
        client.say(json!({"type": "chat", "message": "hi"})).await;
        let started = client.hear().await;
        assert_eq!(started["event"], "turn.started");
        turn = started["turn_id"].clone();
    }
    let one_more = json!({"type": "chat", "ref": "r", "message": "hi"});
    check(&mut client, one_more, "overloaded").await;
    let listen = json!({"type": "listen", "ref": "r", "turn_id": turn});
    check(&mut client, listen, "overloaded").await;
    client.say(json!({"type": "cancel", "ref": "stop", "turn_id": turn})).await;
    let mut heard = [client.hear().await, client.hear().await];
    heard.sort_by_key(|it| it["event"].to_string());
    assert_eq!(heard[0]["event"], "turn.interrupted");
    assert_eq!((&heard[1]["event"], &heard[1]["ref"]), (&json!("turn.state"), &json!("stop")));
    gate.open();
    for _ in 0..15 {
        assert_eq!(client.hear().await["event"], "turn.completed");
    }
    assert_eq!(loud.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn listening_beyond_the_end_shows_the_turn_as_it_stands() {
    let server = Server::echo().await;
    let turn = server.post("/chat", json!({"message": "hi"})).await.json()["turn_id"].clone();
    let view = server.get(&format!("/chat/turns/{}", turn.as_str().unwrap())).await.json();
    let mut client = Client::connect(&server).await;
    for after in [3, 4, u64::MAX] {
        client.say(json!({"type": "listen", "turn_id": turn, "after": after, "ref": "r"})).await;
        let heard = client.hear().await;
        let state = json!({"event": "turn.state", "turn_id": turn, "ref": "r", "data": view});
        assert_eq!(heard, state, "{after}");
    }
    client.say(json!({"type": "listen", "turn_id": turn, "after": 2, "ref": "r"})).await;
    let last = client.hear().await;
    assert_eq!((&last["event"], &last["ref"]), (&json!("turn.completed"), &json!("r")));
}
