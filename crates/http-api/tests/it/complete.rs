//! Filling gaps over HTTP.

use std::time::Duration;

use brain_core::{
    brain::Limits,
    llm::{Capabilities, CompletionRequest, LlmErrorKind, ModelInfo},
};
use brain_testkit::{Answer, Gate, ScriptedLlm};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    client::{Event, raw, reset},
    server::{Server, Wishes, within},
};

const JSON: &str = "content-type: application/json\r\n";
const SEEN: Duration = Duration::from_millis(200);

fn llm(answers: impl IntoIterator<Item = Answer>) -> ScriptedLlm {
    let info = |id: &str, completion| ModelInfo {
        id: id.to_owned(),
        capabilities: Capabilities { completion, ..Capabilities::default() },
    };
    ScriptedLlm::new(answers).with_models([info("filler", true), info("talker", false)])
}

async fn server(answers: impl IntoIterator<Item = Answer>) -> Server {
    Server::with(llm(answers), Wishes::default()).await
}

/// All events of an answer.
async fn events(server: &Server, mut body: Value) -> Vec<Event> {
    body["stream"] = json!(true);
    let request = raw("POST", "/complete", JSON, body.to_string().as_bytes());
    let mut streamed = server.open(&request).await;
    assert_eq!(streamed.status, 200);
    assert_eq!(streamed.header("content-type"), Some("text/event-stream"));
    streamed.events().await
}

#[tokio::test]
async fn a_gap_is_filled_and_nothing_is_remembered() {
    let server = server([Answer::new().say("a, ").say("b").usage(7, 2).finish()]).await;
    let body = json!({"prefix": "fn add(", "suffix": ") {}", "model": "filler", "language": "rust",
        "max_tokens": 9, "stop": ["\n"]});
    let reply = server.post("/complete", body).await;
    let usage = json!({"input_tokens": 7, "output_tokens": 2});
    let filled =
        json!({"text": "a, b", "model": "filler", "usage": usage, "finish_reason": "stop"});
    assert_eq!((reply.status, reply.json()), (200, filled));
    let asked = CompletionRequest {
        model: "filler".to_owned(),
        prefix: "fn add(".to_owned(),
        suffix: ") {}".to_owned(),
        language: Some("rust".to_owned()),
        max_tokens: Some(9),
        stop: vec!["\n".to_owned()],
    };
    assert_eq!(server.llm.gaps(), [asked]);
    assert_eq!(server.get("/memory/sessions").await.json()["sessions"], json!([]));
}

#[tokio::test]
async fn the_cost_is_estimated_where_nobody_says_it() {
    let server = server([Answer::text("x"), Answer::text("x")]).await;
    let reply = server.post("/complete", json!({"prefix": "let a = "})).await.json();
    assert_eq!((&reply["usage"]["estimated"], &reply["model"]), (&json!(true), &json!("filler")));
    assert!(0 < reply["usage"]["input_tokens"].as_u64().unwrap(), "{reply}");
    let last = events(&server, json!({"prefix": "let a = "})).await.pop().unwrap();
    assert_eq!((last.name.as_str(), &last.data), ("completed", &reply));
}

#[tokio::test]
async fn it_streams_what_comes() {
    let server = server([Answer::new().say("a").say("b").usage(1, 2).finish()]).await;
    let told = events(&server, json!({"prefix": "p"})).await;
    let names: Vec<_> = told.iter().map(|it| (it.name.as_str(), it.id)).collect();
    assert_eq!(names, [("text.delta", None), ("text.delta", None), ("completed", None)]);
    assert_eq!((&told[0].data, &told[1].data), (&json!({"text": "a"}), &json!({"text": "b"})));
    assert_eq!(
        (&told[2].data["text"], &told[2].data["finish_reason"]),
        (&json!("ab"), &json!("stop"))
    );
}

#[tokio::test]
async fn what_fails_fails_once() {
    let cut = || Answer::new().say("a").fail(LlmErrorKind::Interrupted, "it broke off; ask again");
    let unfinished = || Answer::new().say("a");
    for fail in [cut, unfinished] {
        let server = server([fail(), fail()]).await;
        let body = json!({"prefix": "p"});
        server.post("/complete", body.clone()).await.problem(502, "provider_interrupted");
        let told = events(&server, body).await;
        let names: Vec<_> = told.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["text.delta", "failed"]);
        assert_eq!(told[1].data["error"]["code"], "provider_interrupted");
    }
}

#[tokio::test]
async fn what_fails_before_anything_came_has_a_status() {
    let refused = || Answer::refused(LlmErrorKind::Unavailable, "it is down; try again");
    let broken = || Answer::new().fail(LlmErrorKind::Unavailable, "it is down; try again");
    let server = server([refused(), broken(), refused(), broken()]).await;
    for stream in [false, false, true, true] {
        let body = json!({"prefix": "p", "stream": stream});
        server.post("/complete", body).await.problem(502, "provider_unavailable");
    }
}

#[tokio::test]
async fn who_fills_no_gaps_says_so() {
    let server = server([]).await;
    for stream in [false, true] {
        let body = json!({"prefix": "p", "model": "talker", "stream": stream});
        let problem = server.post("/complete", body).await.problem(400, "unsupported");
        assert!(problem["detail"].as_str().unwrap().contains("`talker`"));
    }
    let unknown = json!({"prefix": "p", "model": "nobody"});
    server.post("/complete", unknown).await.problem(400, "model_not_found");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let limits = Limits { message_bytes: 8, answer_bytes: 4, ..Limits::default() };
    let llm = llm([Answer::text("12345"), Answer::text("12345")]);
    let server = Server::with(llm, Wishes { limits, ..Wishes::default() }).await;
    for (body, code, word) in [
        (json!({}), "invalid_request", "`prefix`"),
        (json!({"prefix": ""}), "invalid_request", "`prefix`"),
        (json!({"prefix": "p", "temperature": 1}), "unknown_field", "`temperature`"),
        (json!({"prefix": "p", "max_tokens": 0}), "invalid_request", "`max_tokens`"),
        (json!({"prefix": "p", "stop": [""]}), "invalid_request", "`stop`"),
        (json!({"prefix": "p", "stop": vec!["x"; 17]}), "invalid_request", "`stop`"),
        (json!({"prefix": "p", "language": "x".repeat(65)}), "invalid_request", "`language`"),
        (json!({"prefix": "p", "model": " "}), "invalid_request", "`model`"),
    ] {
        let problem = server.post("/complete", body).await.problem(400, code);
        assert!(problem["detail"].as_str().unwrap().contains(word), "{word}: {problem}");
    }
    let long = json!({"prefix": "12345", "suffix": "6789"});
    server.post("/complete", long).await.problem(413, "message_too_large");
    assert!(server.llm.gaps().is_empty());
    server.post("/complete", json!({"prefix": "p"})).await.problem(502, "answer_too_long");
    let told = events(&server, json!({"prefix": "p"})).await;
    assert_eq!((told.len(), &told[0].data["error"]["code"]), (1, &json!("answer_too_long")));
}

#[tokio::test]
async fn leaving_stops_the_model() {
    for stream in [true, false] {
        for leave in [|it: TcpStream| drop(it), reset] {
            let gate = Gate::new();
            let server = server([Answer::new().say("a").wait(&gate).finish()]).await;
            let mut client = TcpStream::connect(server.address).await.unwrap();
            let body = json!({"prefix": "p", "stream": stream}).to_string();
            client.write_all(&raw("POST", "/complete", JSON, body.as_bytes())).await.unwrap();
            gate.reached_by(1).await;
            leave(client);
            within(SEEN, server.llm.dropped(1)).await;
        }
    }
}
