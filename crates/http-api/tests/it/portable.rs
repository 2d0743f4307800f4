//! Export and import.

use brain_testkit::Answer;
use serde_json::{Value, json};

use crate::{
    client::{Reply, raw},
    server::Server,
};

const LINES: &str = "application/x-ndjson";

/// A service that remembers two sessions, one of them with two branches.
async fn filled() -> Server {
    let server = Server::start(["a", "b", "c"].map(Answer::text)).await;
    let body = json!({"message": "1", "session_id": "s/1", "title": "T", "metadata": {"z": 1, "a": [1.50]}});
    server.post("/chat", body).await;
    server.post("/chat", json!({"regenerate": 1, "session_id": "s/1"})).await;
    server.post("/chat", json!({"message": "\u{1F600}\0", "session_id": "s2"})).await;
    server
}

async fn export(server: &Server, accept: &str) -> Reply {
    let reply =
        server.send(&raw("GET", "/memory/export", &format!("accept: {accept}\r\n"), b"")).await;
    assert_eq!(reply.status, 200);
    reply
}

async fn import(server: &Server, kind: &str, query: &str, body: &[u8]) -> Reply {
    let path = format!("/memory/import{query}");
    server.send(&raw("POST", &path, &format!("content-type: {kind}\r\n"), body)).await
}

#[tokio::test]
async fn what_is_exported_imports_and_exports_again_to_the_byte() {
    let from = filled().await;
    let document = export(&from, "*/*").await;
    assert_eq!(document.header("content-type"), Some("application/json"));
    let lines = export(&from, LINES).await;
    assert_eq!(lines.header("content-type"), Some(LINES));
    assert_eq!(lines.text().lines().next(), Some(r#"{"format":"codexd-memory","v":1}"#));
    assert_eq!(lines.text().lines().count(), 3);
    for (kind, body) in [("application/json", &document.body), (LINES, &lines.body)] {
        let to = Server::echo().await;
        let report = import(&to, kind, "", body).await;
        assert_eq!(report.status, 200, "{}", report.text());
        let report = report.json();
        assert_eq!(report["created"], 2, "{report}");
        assert_eq!(export(&to, "application/json").await.body, document.body);
        assert_eq!(export(&to, LINES).await.body, lines.body);
        let again = import(&to, kind, "", body).await.json();
        assert_eq!((&again["created"], &again["unchanged"]), (&json!(0), &json!(2)));
    }
}

#[tokio::test]
async fn nothing_exports_as_an_empty_document() {
    let server = Server::echo().await;
    let empty = r#"{"format":"codexd-memory","v":1,"sessions":[]}"#;
    assert_eq!(export(&server, "application/json").await.text(), empty);
    let report = import(&server, "application/json", "", empty.as_bytes()).await;
    assert_eq!((report.status, &report.json()["created"]), (200, &json!(0)));
}

#[tokio::test]
async fn another_session_of_the_same_name_is_refused_or_renamed() {
    let (from, to) = (filled().await, Server::start([Answer::text("x")]).await);
    let document = export(&from, "application/json").await.body;
    to.post("/chat", json!({"message": "mine", "session_id": "s2"})).await;
    let report = import(&to, "application/json", "", &document).await.json();
    assert_eq!((&report["created"], &report["refused"][0]["id"]), (&json!(1), &json!("s2")));
    assert_eq!(report["refused"][0]["code"], "session_conflict");
    let why = report["refused"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("the session exists here with other content"), "{why}");
    let report = import(&to, "application/json", "?on_conflict=rename", &document).await.json();
    assert_eq!(report["renamed"][0], json!({"from": "s2", "to": "s2 (imported 2)"}));
    let query = "?on_conflict=overwrite";
    import(&to, "application/json", query, &document).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn an_import_that_cannot_be_read_changes_nothing() {
    let server = Server::echo().await;
    let good = String::from_utf8(export(&filled().await, LINES).await.body).unwrap();
    let second: Value = serde_json::from_str(good.lines().nth(2).unwrap()).unwrap();
    let second = second["id"].as_str().unwrap();
    for (kind, body, code, line) in [
        ("application/json", String::new(), "invalid_json", Some(1)),
        ("application/json", "{\n\n\"format\":".to_owned(), "invalid_json", Some(3)),
        ("application/json", "[]".to_owned(), "invalid_import", None),
        (
            "application/json",
            r#"{"format":"other","v":1,"sessions":[]}"#.to_owned(),
            "invalid_import",
            None,
        ),
        (
            "application/json",
            r#"{"format":"codexd-memory","v":2,"new":1}"#.to_owned(),
            "unsupported_version",
            None,
        ),
        (
            "application/json",
            r#"{"format":"codexd-memory","v":1,"sessions":[{}]}"#.to_owned(),
            "invalid_import",
            Some(1),
        ),
        (
            "application/json",
            r#"{"format":"codexd-memory","v":1,"sessions":[{"id":"s","class":1}]}"#.to_owned(),
            "invalid_import",
            Some(1),
        ),
        (LINES, String::new(), "invalid_json", Some(1)),
        (LINES, good.replacen("\"v\":1", "\"v\":7", 1), "unsupported_version", None),
        (
            LINES,
            good.replacen("\"entry\":{\"v\":1", "\"entry\":{\"v\":2", 1),
            "unsupported_version",
            None,
        ),
        (LINES, format!("{good}{{\"id\":"), "invalid_json", Some(4)),
        (
            LINES,
            good.replacen(&format!("\"id\":\"{second}\""), "\"id\":7", 1),
            "invalid_import",
            Some(3),
        ),
    ] {
        let problem = import(&server, kind, "", body.as_bytes()).await.problem(400, code);
        if let Some(line) = line {
            assert_eq!(problem["line"], line, "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains("column"), "{problem}");
        }
    }
    assert_eq!(server.get("/memory/sessions").await.json()["sessions"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_made_here_is_not_imported_either() {
    let time = "2026-01-01T00:00:00.000Z";
    let session = |id: &str, more: Value| {
        let mut session = json!({"id": id, "created_at": time, "updated_at": time, "entries": []});
        session.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        session
    };
    let sessions = [
        session("list", json!({"metadata": [1]})),
        session("text", json!({"metadata": "x"})),
        session("large", json!({"metadata": {"x": "x".repeat(70_000)}})),
        session("long", json!({"title": "x".repeat(1_025)})),
        session("good", json!({"title": "x".repeat(1_024), "metadata": {"a": 1}})),
        session("brief", json!({"class": "ephemeral"})),
    ];
    let head = json!({"format": "codexd-memory", "v": 1});
    let mut document = head.clone();
    document["sessions"] = json!(sessions);
    let lines = [head].iter().chain(&sessions).map(|it| format!("{it}\n")).collect::<String>();
    for (kind, body) in [("application/json", document.to_string()), (LINES, lines)] {
        let server = Server::echo().await;
        let report = import(&server, kind, "", body.as_bytes()).await.json();
        assert_eq!(report["created"], 1, "{report}");
        let refused = report["refused"].as_array().unwrap().iter();
        let refused: Vec<_> = refused.map(|it| (it["id"].clone(), it["code"].clone())).collect();
        let expected = [
            ("list", "invalid_request"),
            ("text", "invalid_request"),
            ("large", "invalid_request"),
            ("long", "invalid_request"),
            ("brief", "not_supported"),
        ];
        assert_eq!(refused, expected.map(|(id, code)| (json!(id), json!(code))));
        assert_eq!(
            report["refused"][0]["why"],
            "`metadata` must be a JSON object of at most 65536 bytes"
        );
        let kept = server.get("/memory/sessions").await.json()["sessions"].clone();
        assert_eq!((kept.as_array().unwrap().len(), &kept[0]["id"]), (1, &json!("good")));
    }
}

#[tokio::test]
async fn a_huge_import_is_told_the_limit_and_its_setting() {
    let config = http_api::ApiConfig { max_import_bytes: 1_000, ..http_api::ApiConfig::default() };
    let server = Server::configured([], config).await;
    let problem = import(&server, LINES, "", &[b'x'; 2_000]).await.problem(413, "body_too_large");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("1000 bytes") && detail.contains("MAX_BODY_BYTES"), "{detail}");
}
