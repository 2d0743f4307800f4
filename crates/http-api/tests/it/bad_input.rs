//! What makes no sense is refused by name, and stores nothing.

use serde_json::json;

use crate::{client::raw, server::Server, socket::Client};

const JSON: &str = "content-type: application/json\r\n";

/// Body, code, and what the sentence must name.
const CASES: &[(&str, &str, &str)] = &[
    ("", "invalid_json", "EOF"),
    ("{", "invalid_json", "line 1"),
    ("{\"message\":\"hi\"} x", "invalid_json", "trailing"),
    ("{'message':'hi'}", "invalid_json", "line 1"),
    ("nonsense", "invalid_json", "line 1"),
    (r#"{"message":"\ud800"}"#, "invalid_request", "`message`: unexpected end of hex escape"),
    ("{\"x\":1,", "invalid_json", "EOF"),
    (r#"{"message":"hi","metadata":{"a":"\udc00x"}}"#, "invalid_request", "`metadata`: lone"),
    ("[]", "invalid_request", "expected a JSON object"),
    (r#"["hi"]"#, "invalid_request", "expected a JSON object"),
    ("null", "invalid_request", "null, expected a JSON object"),
    (r#"{"message":"hi","options":[0.5]}"#, "invalid_request", "`options`: invalid type: array"),
    (r#"{"message":[["text",{"text":"hi"}]]}"#, "invalid_request", "`message[0]`"),
    ("{}", "invalid_request", "`message` is missing"),
    (r#"{"message":null}"#, "invalid_request", "`message` is missing"),
    (r#"{"message":""}"#, "invalid_request", "empty"),
    (r#"{"message":" \n\t "}"#, "invalid_request", "empty"),
    (r#"{"message":[]}"#, "invalid_request", "empty"),
    (
        r#"{"message":5}"#,
        "invalid_request",
        "`message`: invalid type: integer `5`, expected text or",
    ),
    (r#"{"message":{"text":"hi"}}"#, "invalid_request", "`message`"),
    (r#"{"message":["hi"]}"#, "invalid_request", "`message[0]`"),
    (r#"{"message":[{"type":"text"}]}"#, "invalid_request", "missing field `text`"),
    (r#"{"message":[{"type":"sound","url":"x"}]}"#, "invalid_request", "sound"),
    (r#"{"message":[{"type":"text","text":"a","x":1}]}"#, "unknown_field", "`x`"),
    (r#"{"message":[{"type":"image","url":"file:///etc/passwd"}]}"#, "invalid_request", "https"),
    (r#"{"message":[{"type":"file","file_id":"f"}]}"#, "not_supported", "files"),
    (r#"{"message":"hi","mesage":"x"}"#, "unknown_field", "`mesage`"),
    (r#"{"message":"hi","message":"hi"}"#, "invalid_request", "duplicate field `message`"),
    (r#"{"message":"hi","options":{"temp":1}}"#, "unknown_field", "`temp`"),
    (
        r#"{"message":"hi","options":{"temperature":"hot"}}"#,
        "invalid_request",
        "`options.temperature`",
    ),
    (r#"{"message":"hi","options":{"temperature":2.1}}"#, "invalid_request", "options.temperature"),
    (
        r#"{"message":"hi","options":{"temperature":1e400}}"#,
        "invalid_request",
        "`options.temperature`: number out of range",
    ),
    (r#"{"message":"hi","options":{"top_p":0}}"#, "invalid_request", "options.top_p"),
    (r#"{"message":"hi","options":{"max_tokens":0}}"#, "invalid_request", "options.max_tokens"),
    (r#"{"message":"hi","options":{"max_tokens":-1}}"#, "invalid_request", "options.max_tokens"),
    (r#"{"message":"hi","options":{"stop":[""]}}"#, "invalid_request", "options.stop"),
    (
        r#"{"message":"hi","options":{"response_format":"json"}}"#,
        "invalid_request",
        "response_format",
    ),
    (
        r#"{"message":"hi","session_id":""}"#,
        "invalid_request",
        "`session_id`: a session id must have",
    ),
    (r#"{"message":"hi","session_id":7}"#, "invalid_request", "`session_id`"),
    (r#"{"message":"hi","stream":"yes"}"#, "invalid_request", "`stream`"),
    (r#"{"message":"hi","tools":"clock"}"#, "invalid_request", "`tools`"),
    (r#"{"message":"hi","tools":["clock"]}"#, "unknown_tool", "clock"),
    (r#"{"message":"hi","metadata":[1]}"#, "invalid_request", "metadata"),
    (r#"{"message":"hi","metadata":{"z":1e400}}"#, "invalid_request", "`metadata`: number out of"),
    (r#"{"message":"hi","metadata":{"a":[{"b":1,"b":2}]}}"#, "invalid_request", "has `b` twice"),
    (
        r#"{"message":"hi","options":{"response_format":{"a":1e400}}}"#,
        "invalid_request",
        "`options.response_format`: number out of range",
    ),
    (
        r#"{"message":"hi","options":{"response_format":{"type":"text","type":"x"}}}"#,
        "invalid_request",
        "`options.response_format`: an object has `type` twice",
    ),
    (
        r#"{"message":"hi","options":{"response_format":{"a":[{"b":1,"b":1}]}}}"#,
        "invalid_request",
        "has `b` twice",
    ),
    (
        r#"{"message":"hi","options":{"seed":1,"seed":1}}"#,
        "invalid_request",
        "`options`: duplicate field `seed`",
    ),
    (r#"{"message":"hi","options":{},"options":{}}"#, "invalid_request", "field `options`"),
    (
        r#"{"message":[{"type":"text","type":"text","text":"a"}]}"#,
        "invalid_request",
        "`message[0]`: duplicate field `type`",
    ),
    (
        r#"{"message":[{"type":"text","text":"a","text":"b"}]}"#,
        "invalid_request",
        "`message[0]`: duplicate field `text`",
    ),
    (r#"{"message":"hi","memory":"ephemeral"}"#, "not_supported", "memory"),
    (r#"{"message":"hi","memory":"forever"}"#, "invalid_request", "`memory`"),
    (r#"{"message":"hi","on_busy":"queue"}"#, "invalid_request", "`on_busy`"),
    (r#"{"message":"hi","on_disconnect":"die"}"#, "invalid_request", "`on_disconnect`"),
    (
        r#"{"message":"hi","on_disconnect":1}"#,
        "invalid_request",
        "`on_disconnect`: invalid type: integer `1`, expected text",
    ),
    (r#"{"message":"hi","on_busy":{"wait":null}}"#, "invalid_request", "`on_busy`: invalid type"),
    (r#"{"message":"hi","memory":["durable"]}"#, "invalid_request", "`memory`: invalid type"),
    (r#"{"message":"hi","parent":1e400}"#, "invalid_request", "`parent`: number out of range"),
    (r#"{"message":"hi","parent":"1"}"#, "invalid_request", "`parent`"),
    (r#"{"message":"hi","regenerate":1}"#, "invalid_request", "not both"),
    (r#"{"regenerate":1,"parent":1}"#, "invalid_request", "`parent`"),
];

#[tokio::test]
async fn bad_chats_are_refused_by_name() {
    let server = Server::echo().await;
    for (body, code, names) in CASES {
        let reply = server.send(&raw("POST", "/chat", JSON, body.as_bytes())).await;
        let problem = reply.problem(400, code);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(names), "{body}: {detail}");
    }
    let bytes = server.send(&raw("POST", "/chat", JSON, b"{\"message\":\"\xff\"}")).await;
    bytes.problem(400, "invalid_json");
    let deep = format!(r#"{{"message":"hi","metadata":{}}}"#, "[".repeat(100_000));
    server.send(&raw("POST", "/chat", JSON, deep.as_bytes())).await.problem(400, "invalid_json");
    let long = json!({"message": "hi", "session_id": "x".repeat(513)});
    server.post("/chat", long).await.problem(400, "invalid_request");
    let long = json!({"message": "hi", "title": "x".repeat(1_025)});
    server.post("/chat", long).await.problem(400, "invalid_request");
    let long = json!({"message": "hi", "metadata": {"x": "x".repeat(70_000)}});
    server.post("/chat", long).await.problem(400, "invalid_request");
    let long = json!({"message": "hi", "system": "x".repeat(64 * 1024 + 1)});
    server.post("/chat", long).await.problem(400, "invalid_request");
    let long = json!({"message": "hi", "model": "x".repeat(513)});
    server.post("/chat", long).await.problem(400, "invalid_request");
    assert!(server.llm.requests().is_empty());
    assert_eq!(server.get("/memory/sessions").await.json()["sessions"], json!([]));
}

#[tokio::test]
async fn what_others_could_not_read_is_no_metadata() {
    let server = Server::echo().await;
    server.post("/memory/sessions", json!({"id": "s", "metadata": {"a": 1}})).await;
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let deep = nested(64);
    for value in ["1e400", r#"{"b":1,"b":1}"#, &deep] {
        let body = format!(r#"{{"metadata":{{"z":{value}}}}}"#);
        for (method, path) in [("POST", "/memory/sessions"), ("PATCH", "/memory/sessions/s")] {
            let reply = server.send(&raw(method, path, JSON, body.as_bytes())).await;
            let problem = reply.problem(400, "invalid_request");
            assert!(problem["detail"].as_str().unwrap().starts_with("`metadata`: "), "{problem}");
        }
    }
    let good = format!(r#"{{"metadata":{{"z":{},"y":1e300}}}}"#, nested(63));
    let reply = server.send(&raw("PATCH", "/memory/sessions/s", JSON, good.as_bytes())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let listed = server.get("/memory/sessions").await.json()["sessions"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["metadata"]["y"]), (1, &json!(1e300)));
}

#[tokio::test]
async fn no_answer_is_as_long_as_what_it_refuses() {
    let server = Server::echo().await;
    let long = "z".repeat(1_000_000);
    for body in [
        json!({"message": "hi", "memory": long}),
        json!({"message": "hi", "session_id": long}),
        json!({"message": "hi", "tools": [long]}),
        json!({"message": "hi", "options": {"temperature": long}}),
        json!({"message": "hi", "options": {&long: 1}}),
        json!({"message": "hi", &long: 1}),
        json!({"message": [{"type": long}]}),
    ] {
        let reply = server.post("/chat", body).await;
        assert_eq!(reply.status, 400);
        assert!(reply.body.len() < 2_000, "{}", reply.body.len());
    }
    let mut client = Client::connect(&server).await;
    for frame in [
        json!({"type": "chat", "message": "hi", "memory": long}),
        json!({"type": "chat", "message": "hi", &long: 1}),
        json!({"type": "chat", "message": "hi", "ref": long}),
        json!({"type": "cancel", "turn_id": long}),
    ] {
        client.say(frame).await;
        let heard = client.hear().await;
        assert_eq!(heard["event"], "error");
        assert!(heard.to_string().len() < 2_000);
    }
}

#[tokio::test]
async fn bad_keys_are_refused() {
    let server = Server::echo().await;
    let long = "x".repeat(513);
    for key in ["", long.as_str()] {
        let reply = server.post_as(key, "/chat", json!({"message": "hi"})).await;
        let problem = reply.problem(400, "invalid_request");
        assert!(problem["detail"].as_str().unwrap().contains("Idempotency-Key"));
    }
    let longest = "x".repeat(512);
    assert_eq!(server.post_as(&longest, "/chat", json!({"message": "hi"})).await.status, 200);
}

#[tokio::test]
async fn odd_but_whole_text_is_kept_as_it_is() {
    let server = Server::echo().await;
    let text = "NUL \0, \u{1F600}, \u{202e}, \r\n and \u{feff}";
    let body = json!({"message": text, "session_id": "a/b?c#d e\0"});
    let answer = server.post("/chat", body).await.json();
    assert_eq!(answer["session_id"], "a/b?c#d e\0");
    assert_eq!(answer["message"]["content"][0]["text"], text);
    let read = server.get("/memory/sessions/a%2Fb%3Fc%23d%20e%00").await.json();
    assert_eq!(read["entries"][0]["content"][0]["text"], text);
}

#[tokio::test]
async fn bad_session_requests_are_refused_by_name() {
    let server = Server::echo().await;
    let cases = [
        (json!({"id": ""}), "invalid_request"),
        (json!({"id": "a", "titel": "x"}), "unknown_field"),
        (json!({"metadata": "x"}), "invalid_request"),
        (json!({"memory": "ephemeral"}), "not_supported"),
        (json!({"memory": 1}), "invalid_request"),
        (json!({"recall": "yes"}), "invalid_request"),
        (json!({"system": "x".repeat(64 * 1024 + 1)}), "invalid_request"),
    ];
    for (body, code) in cases {
        server.post("/memory/sessions", body).await.problem(400, code);
    }
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=-1",
        "cursor=!",
        "cursor=",
        "from=1",
        "cursor=bm9uc2Vuc2U",
        "id=",
    ] {
        let reply = server.get(&format!("/memory/sessions?{query}")).await;
        reply.problem(400, "invalid_request");
    }
    for path in [
        "/memory/sessions/%FF",
        "/memory/sessions/a?limit=1001",
        "/memory/sessions/a?from=x",
        "/memory/sessions/a/entries?after=x",
        "/memory/search",
        "/memory/search?q=a&limit=0",
        "/memory/search?q=%ff",
        "/memory/search?q=a%C3",
    ] {
        server.get(path).await.problem(400, "invalid_request");
    }
    server.delete("/memory/sessions").await.problem(400, "invalid_request");
    server.patch("/memory/sessions", json!({})).await.problem(400, "invalid_request");
}
