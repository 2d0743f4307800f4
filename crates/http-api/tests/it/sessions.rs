//! Sessions over HTTP.

use brain_testkit::{Answer, Gate};
use serde_json::{Value, json};

use crate::{
    client::{Reply, stable},
    server::Server,
};

async fn made(server: &Server, id: &str) -> Reply {
    let reply = server.post("/memory/sessions", json!({"id": id})).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply
}

#[tokio::test]
async fn a_session_is_made_read_changed_and_forgotten() {
    let server = Server::echo().await;
    let body = json!({"id": "s", "title": "T", "metadata": {"n": 1.5}, "system": "Be brief.",
        "recall": true, "memory": "durable"});
    let reply = server.post("/memory/sessions", body).await;
    assert_eq!((reply.status, reply.header("location")), (201, Some("/memory/sessions/s")));
    insta::assert_snapshot!(stable(&serde_json::to_string_pretty(&reply.json()).unwrap()));
    let again = server.post("/memory/sessions", json!({"id": "s"})).await;
    again.problem(409, "session_exists");

    server.post("/chat", json!({"message": "hi", "session_id": "s"})).await;
    let read = server.get("/memory/sessions/s").await.json();
    insta::assert_snapshot!(stable(&serde_json::to_string_pretty(&read).unwrap()));

    let patch = json!({"title": null, "metadata": {"m": 2}, "recall": false});
    let patched = server.patch("/memory/sessions/s", patch).await.json();
    assert_eq!((&patched["title"], &patched["metadata"]), (&json!(null), &json!({"m": 2})));
    assert_eq!((&patched["recall"], &patched["system"]), (&json!(false), &json!("Be brief.")));
    for (recall, kept) in [(json!(true), true), (json!(null), false)] {
        let patched = server.patch("/memory/sessions/s", json!({"recall": recall})).await.json();
        assert_eq!(patched["recall"], kept);
    }

    let forgotten = server.delete("/memory/sessions/s").await;
    assert_eq!((forgotten.status, forgotten.json()), (200, json!({"erased": 2, "pending": 0})));
    let forgotten = server.delete("/memory/sessions/s").await;
    assert_eq!((forgotten.status, forgotten.json()), (200, json!({"erased": 0, "pending": 0})));
    for path in ["/memory/forgotten/s", "/memory/forgotten?id=s"] {
        assert_eq!(server.get(path).await.json(), json!({"pending": 0}), "{path}");
    }
    server.get("/memory/sessions/s").await.problem(404, "session_not_found");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Server::echo().await;
    server.get("/memory/sessions/s").await.problem(404, "session_not_found");
    server.get("/memory/sessions?id=s").await.problem(404, "session_not_found");
    server.get("/memory/sessions/s/entries").await.problem(404, "session_not_found");
    let patch = server.patch("/memory/sessions/s", json!({"title": "x"})).await;
    patch.problem(404, "session_not_found");
    made(&server, "s").await;
    server.get("/memory/sessions/s?from=7").await.problem(404, "unknown_entry");
}

#[tokio::test]
async fn ids_may_be_any_text() {
    let server = Server::echo().await;
    for id in ["a/b", "..", ".", "a?b#c", "%2F", "日本 語", "+", "\0", " "] {
        let reply = made(&server, id).await;
        assert_eq!(reply.header("location").unwrap().contains("?id="), id.starts_with('.'), "{id}");
        let read = server.get(reply.header("location").unwrap()).await;
        assert_eq!(read.json()["session"]["id"], id);
        let query: String = id.bytes().map(|it| format!("%{it:02X}")).collect();
        let read = server.get(&format!("/memory/sessions?id={query}")).await;
        assert_eq!(read.json()["session"]["id"], id);
        let path = format!("/memory/sessions?id={query}");
        assert_eq!(server.patch(&path, json!({"title": "t"})).await.json()["title"], "t");
        assert_eq!(server.delete(&path).await.status, 200);
        server.get(&path).await.problem(404, "session_not_found");
    }
}

#[tokio::test]
async fn sessions_are_listed_in_pages() {
    let server = Server::echo().await;
    for id in ["a", "b", "c", "d", "e"] {
        made(&server, id).await;
    }
    let all = server.get("/memory/sessions").await.json();
    assert_eq!(all["next_cursor"], Value::Null);
    let all = all["sessions"].as_array().unwrap().clone();
    assert_eq!(all.len(), 5);

    let (mut found, mut query) = (Vec::new(), "limit=2".to_owned());
    loop {
        let page = server.get(&format!("/memory/sessions?{query}")).await.json();
        found.extend(page["sessions"].as_array().unwrap().clone());
        // What arrives meanwhile shifts nothing.
        server.post("/memory/sessions", json!({})).await;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        assert_eq!(page["sessions"].as_array().unwrap().len(), 2);
        query = format!("limit=2&cursor={cursor}");
    }
    assert_eq!(found, all);
}

#[tokio::test]
async fn branches_and_all_entries_are_read_in_parts() {
    let server = Server::start(["a", "b", "c"].map(Answer::text)).await;
    server.post("/chat", json!({"message": "1", "session_id": "s"})).await;
    server.post("/chat", json!({"regenerate": 1, "session_id": "s"})).await;
    server.post("/chat", json!({"message": "2", "session_id": "s"})).await;
    let seqs = |reply: &Value| -> Vec<u64> {
        let entries = reply["entries"].as_array().unwrap().iter();
        entries.map(|it| it["seq"].as_u64().unwrap()).collect()
    };
    let head = server.get("/memory/sessions/s").await.json();
    assert_eq!((seqs(&head), &head["has_older"]), (vec![1, 3, 4, 5], &json!(false)));
    let newest = server.get("/memory/sessions/s?limit=2").await.json();
    assert_eq!((seqs(&newest), &newest["has_older"]), (vec![4, 5], &json!(true)));
    let other = server.get("/memory/sessions/s?from=2").await.json();
    assert_eq!(seqs(&other), [1, 2]);

    let first = server.get("/memory/sessions/s/entries?limit=3").await.json();
    assert_eq!((seqs(&first), &first["next_after"]), (vec![1, 2, 3], &json!(3)));
    let rest = server.get("/memory/sessions/s/entries?limit=3&after=3").await.json();
    assert_eq!((seqs(&rest), &rest["next_after"]), (vec![4, 5], &json!(null)));
}

#[tokio::test]
async fn the_head_moves_for_whoever_has_seen_the_session() {
    let server = Server::start(["a", "b"].map(Answer::text)).await;
    server.post("/chat", json!({"message": "1", "session_id": "s"})).await;
    server.post("/chat", json!({"regenerate": 1, "session_id": "s"})).await;
    let path = "/memory/sessions/s";
    let token = server.get(path).await.json()["session"]["token"].clone();
    let moved = server.patch(path, json!({"head": 2, "token": token, "title": "t"})).await.json();
    assert_eq!((&moved["head"], &moved["title"]), (&json!(2), &json!("t")));
    assert_ne!(moved["token"], token);
    let stale = server.patch(path, json!({"head": 3, "token": token, "title": "u"})).await;
    stale.problem(409, "session_conflict");
    let session = server.get(path).await.json()["session"].clone();
    assert_eq!((&session["head"], &session["title"]), (&json!(2), &json!("t")));

    let token = session["token"].clone();
    let unknown = server.patch(path, json!({"head": 99, "token": token})).await;
    unknown.problem(404, "unknown_entry");
    for body in [json!({"head": 1}), json!({"token": token}), json!({"head": 1, "token": "x"})] {
        server.patch(path, body).await.problem(400, "invalid_request");
    }
    let moved = server.patch(path, json!({"head": null, "token": token})).await.json();
    assert_eq!(moved["head"], Value::Null);
}

#[tokio::test]
async fn words_are_found_in_every_session() {
    let server = Server::echo().await;
    server.post("/chat", json!({"message": "blue whales sing", "session_id": "a"})).await;
    server.post("/chat", json!({"message": "red foxes", "session_id": "b"})).await;
    let hits = server.get("/memory/search?q=WHALES%20blue").await.json()["hits"].clone();
    assert_eq!(hits.as_array().unwrap().len(), 2);
    assert_eq!(hits[0]["session_id"], "a");
    assert_eq!(hits[0]["entry"]["content"][0]["text"], "blue whales sing");
    let one = server.get("/memory/search?q=whales&limit=1").await.json()["hits"].clone();
    assert_eq!(one.as_array().unwrap().len(), 1);
    assert_eq!(server.get("/memory/search?q=").await.json(), json!({"hits": []}));
}

#[tokio::test]
async fn everything_is_forgotten_with_the_turns_that_run() {
    let gate = Gate::new();
    let server =
        Server::start([Answer::text("a"), Answer::new().say("b").wait(&gate).finish()]).await;
    server.post("/chat", json!({"message": "1", "session_id": "a"})).await;
    let mut stream =
        server.stream(json!({"message": "2", "session_id": "b", "stream": true})).await;
    gate.reached_by(1).await;
    let forgotten = server.delete("/memory").await.json();
    assert_eq!((&forgotten["sessions"], &forgotten["pending"]), (&json!(2), &json!(0)));
    assert!(3 <= forgotten["erased"].as_u64().unwrap());
    assert_eq!(stream.events().await.last().unwrap().name, "turn.interrupted");
    assert_eq!(server.get("/memory/sessions").await.json()["sessions"], json!([]));
}
