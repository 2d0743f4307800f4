//! The model server keeps to its script, records what happens, and goes wrong as it is told.
//!
//! Whether it speaks the wires as their own clients know them is what scripts/test-clients asks.
#![expect(clippy::indexing_slicing, reason = "tests may fail")]

mod client;
mod faults;

use std::time::{Duration, Instant};

use brain_core::llm::{FinishReason, LlmErrorKind};
use brain_testkit::{
    Answer, Gate,
    model_server::{ModelServer, Reply, ServerConfig, Wire},
};
use http::Version;
use serde_json::{Value, json};

use self::client::{Client, chat, get, post};

/// How soon a client that hangs up is seen.
const SOON: Duration = Duration::from_millis(200);

const WIRES: [Wire; 4] = [Wire::OpenAi, Wire::Azure, Wire::TabbyMl, Wire::Ollama];

/// Everything an answer can have.
fn answer() -> Answer {
    let answer = Answer::new().think("Hm.").say("Grüße ").say("von hier.");
    answer.call("c1", "read", r#"{"path":"a"}"#).usage(7, 3).finish()
}

fn nobody() -> [Reply; 0] {
    []
}

#[test]
fn each_wire_streams_the_script() {
    for wire in WIRES {
        let server = ModelServer::start([answer()]);
        let answer = chat(&server, wire, true);
        assert_eq!(answer.status, 200, "{wire:?}");
        let frames = answer.frames();
        let deltas: Vec<&Value> = frames.iter().map(|it| delta(wire, it)).collect();
        let texts: String = deltas.iter().filter_map(|it| it["content"].as_str()).collect();
        assert_eq!(texts, "Grüße von hier.", "{wire:?}");
        let calls: Vec<&Value> = deltas.iter().map(|it| &it["tool_calls"][0]["function"]).collect();
        let name = calls.iter().find_map(|it| it["name"].as_str());
        assert_eq!(name, Some("read"), "{wire:?}");
        let marked = answer.text().ends_with("data: [DONE]\n\n");
        assert_eq!(marked, matches!(wire, Wire::OpenAi | Wire::Azure), "{wire:?}");
    }
}

/// What a piece adds to the answer.
fn delta(wire: Wire, frame: &Value) -> &Value {
    match wire {
        Wire::Ollama => &frame["message"],
        Wire::OpenAi | Wire::Azure | Wire::TabbyMl => &frame["choices"][0]["delta"],
    }
}

#[test]
fn each_wire_answers_in_one_piece() {
    for wire in [Wire::OpenAi, Wire::Azure, Wire::Ollama] {
        let server = ModelServer::start([answer()]);
        let whole = chat(&server, wire, false).json();
        let (message, tokens) = match wire {
            Wire::Ollama => (&whole["message"], &whole["eval_count"]),
            _ => (&whole["choices"][0]["message"], &whole["usage"]["completion_tokens"]),
        };
        assert_eq!(message["content"], "Grüße von hier.", "{wire:?}");
        assert_eq!(message["tool_calls"][0]["function"]["name"], "read", "{wire:?}");
        assert_eq!(*tokens, 3, "{wire:?}");
    }
    // TabbyML has no such thing.
    assert_eq!(chat(&ModelServer::start([answer()]), Wire::TabbyMl, false).status, 500);
}

#[test]
fn failures_of_the_script_are_told_in_each_wires_way() {
    let refused = |wire| {
        let server = ModelServer::start([Answer::refused(LlmErrorKind::ModelNotFound, "no")]);
        chat(&server, wire, true)
    };
    assert_eq!(refused(Wire::OpenAi).json()["error"]["code"], "model_not_found");
    assert_eq!(refused(Wire::Azure).json()["error"]["code"], "DeploymentNotFound");
    assert_eq!(refused(Wire::Ollama).json(), json!({ "error": "no" }));
    assert_eq!(
        (refused(Wire::TabbyMl).status, refused(Wire::TabbyMl).text()),
        (404, String::new())
    );

    let broken = |wire| {
        let fails = Answer::new().say("a").fail(LlmErrorKind::Interrupted, "gone");
        chat(&ModelServer::start([fails]), wire, true).frames()
    };
    assert_eq!(broken(Wire::OpenAi).last().unwrap()["error"]["message"], "gone");
    assert_eq!(broken(Wire::Ollama).last().unwrap(), &json!({ "error": "gone" }));
    assert_eq!(broken(Wire::TabbyMl).last().unwrap()["choices"][0]["delta"]["content"], "a");
}

#[test]
fn requests_are_kept_whole() {
    let server = ModelServer::start(nobody());
    let body = json!({ "messages": [{ "role": "user", "content": "x" }] });
    let path = "/openai/deployments/mock/chat/completions?api-version=2024-10-21";
    post(&server, path, &[("api-key", "k")], &body);
    get(&server, "/v1/health");
    let asked = server.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].path, "/openai/deployments/mock/chat/completions");
    assert_eq!(asked[0].query, "api-version=2024-10-21");
    assert_eq!((asked[0].header("api-key"), asked[0].header("none")), ("k", ""));
    assert_eq!((asked[0].json(), asked[0].status), (body, Some(200)));
    assert!(asked[0].answered.is_some() && asked[0].dropped.is_none());
    assert_eq!((asked[1].method.as_str(), asked[1].connection), ("GET", 1));
    assert_eq!((server.connections(), server.cancelled()), (2, 0));
}

#[tokio::test]
async fn clients_that_hang_up_are_seen_at_once() {
    let closed = Gate::new();
    let waits = [Answer::new().after(&closed), Answer::new().say("a").wait(&closed)];
    for (count, answer) in (1..).zip(waits) {
        for wire in WIRES {
            let server = ModelServer::start([answer.clone()]);
            let mut client = Client::connect(&server);
            client.send_chat(wire, true);
            closed.reached_by(1).await;
            server.asked(1).await;
            if count == 2 {
                client.read_until("\"a\"");
            }
            let left = Instant::now();
            drop(client);
            tokio::time::timeout(SOON * 10, server.dropped(1)).await.unwrap();
            let seen = server.requests()[0].dropped.unwrap();
            assert!(seen.duration_since(left) < SOON, "{wire:?}, {count}");
        }
    }
}

#[tokio::test]
async fn requests_share_a_connection_of_http2() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    let server = ModelServer::start([Answer::text("one"), Answer::text("two")]);
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let body = r#"{"model":"mock","messages":[{"role":"user","content":"x"}]}"#;
    for expected in ["one", "two"] {
        let url = format!("{}/chat/completions", server.base_url(Wire::OpenAi));
        let request = http::Request::post(url).body(Full::<bytes::Bytes>::from(body)).unwrap();
        let answer = client.request(request).await.unwrap().into_body().collect().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.to_bytes()).unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], expected);
    }
    assert_eq!(server.connections(), 1);
    assert!(server.requests().iter().all(|it| it.version == Version::HTTP_2));
}

#[test]
fn the_seed_says_the_same_to_the_same() {
    let says = |seed: u64| {
        let config = ServerConfig { seed, ..ServerConfig::default() };
        chat(&ModelServer::with(config).unwrap(), Wire::OpenAi, true).body
    };
    assert_eq!(says(1), says(1));
    assert_ne!(says(1), says(2));
}

#[test]
fn a_pull_goes_on_where_it_was_left() {
    let server = ModelServer::start(
        ["cut:500".parse::<brain_testkit::model_server::Fault>()]
            .map(|it| Reply::from(it.unwrap()).at("/api/pull")),
    );
    let chat = |status: u16| {
        let body = json!({ "model": "fresh", "messages": [{ "role": "user", "content": "x" }] });
        assert_eq!(post(&server, "/api/chat", &[], &body).status, status);
    };
    let pull = || post(&server, "/api/pull", &[], &json!({ "model": "fresh" }));
    chat(404);
    let done = |frame: &Value| frame["completed"].as_u64();
    let first = pull().frames().iter().filter_map(done).max().unwrap();
    chat(404);
    let rest = pull().frames();
    assert!(first <= rest.iter().find_map(done).unwrap());
    assert_eq!(rest.last().unwrap()["status"], "success");
    chat(200);
}

#[test]
fn a_key_is_wanted_where_the_wire_has_keys() {
    let config = ServerConfig { api_key: Some("right".to_owned()), ..ServerConfig::default() };
    let server = ModelServer::with(config).unwrap();
    let ask = |path: &str, name: &str, value: &str| {
        let body = json!({ "model": "mock", "input": "x", "prompt": "x" });
        post(&server, path, &[(name, value)], &body).status
    };
    let azure = "/openai/v1/embeddings";
    assert_eq!(ask("/v1/embeddings", "authorization", "Bearer right"), 200);
    assert_eq!(ask("/v1/embeddings", "authorization", "Bearer wrong"), 401);
    assert_eq!(ask("/v1/embeddings", "api-key", "right"), 401);
    assert_eq!((ask(azure, "api-key", "right"), ask(azure, "api-key", "wrong")), (200, 401));
    assert_eq!(ask("/tabby/v1/completions", "authorization", "none"), 401);
    assert_eq!(ask("/api/generate", "authorization", "none"), 200);
}

#[test]
fn scripts_are_read_from_lines() {
    let script = r#"
# a comment
{"think": "Hm.", "say": ["a", "b"], "usage": [1, 2], "finish": "length"}
{"fault": "429:7"}
{"refuse": {"code": "provider_overloaded"}}
"#;
    let server = ModelServer::start(Reply::script(script).unwrap());
    let first = chat(&server, Wire::OpenAi, false).json();
    assert_eq!(first["choices"][0]["message"]["content"], "ab");
    assert_eq!(first["choices"][0]["finish_reason"], "length");
    let second = chat(&server, Wire::OpenAi, false);
    assert_eq!((second.status, second.header("retry-after")), (429, Some("7")));
    assert_eq!(chat(&server, Wire::OpenAi, false).status, 503);
    assert_eq!(chat(&server, Wire::OpenAi, false).status, 200);

    for wrong in ["{\"sya\": 1}", "{\"fault\": \"no\"}", "{\"say\": 1}", "{\"finish\": \"never\"}"]
    {
        let error = Reply::script(&format!("\n{wrong}")).unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
    }
}

#[test]
fn a_reply_waits_for_its_path() {
    let server = ModelServer::start([
        Reply::from(Answer::text("of the gap")).at("/v1/completions"),
        Reply::from(Answer::new().say("of the chat").finish_for(FinishReason::Stop)),
    ]);
    assert!(chat(&server, Wire::OpenAi, false).text().contains("of the chat"));
    let gap = post(&server, "/v1/completions", &[], &json!({ "segments": { "prefix": "fn " } }));
    assert_eq!(gap.json()["choices"][0]["text"], "of the gap");
}
