//! Export and import.

use std::iter;

use brain_core::memory::MemoryErrorKind;
use brain_testkit::{Answer, Operation};
use http_api::ApiConfig;
use serde_json::{Value, json};

use crate::{
    client::{Reply, raw},
    server::Server,
};

const JSON: &str = "application/json";
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
    assert_eq!(lines.text().lines().count(), 4);
    assert_eq!(lines.text().lines().last(), Some(r#"{"end":{"sessions":2}}"#));
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
    let lines = export(&server, LINES).await;
    let empty = "{\"format\":\"codexd-memory\",\"v\":1}\n{\"end\":{\"sessions\":0}}\n";
    assert_eq!(lines.text(), empty);
    assert_eq!(import(&server, LINES, "", &lines.body).await.status, 200);
}

#[tokio::test]
async fn lines_that_were_cut_change_nothing_and_tell_how_many_there_were() {
    let server = Server::echo().await;
    let whole = String::from_utf8(export(&filled().await, LINES).await.body).unwrap();
    let (open, last) = whole.trim_end().rsplit_once('\n').unwrap();
    let without_second = open.rsplit_once('\n').unwrap().0;
    for (cut, line, count) in [
        (open.to_owned(), 3, 2),
        (format!("{open}\n"), 4, 2),
        (without_second.to_owned(), 2, 1),
        (format!("{without_second}\n{last}\n"), 3, 1),
    ] {
        let problem = import(&server, LINES, "", cut.as_bytes()).await;
        let problem = problem.problem(400, "truncated_import");
        assert_eq!((&problem["line"], &problem["sessions_read"]), (&json!(line), &json!(count)));
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("the export is truncated: its last line"), "{detail}");
        assert!(detail.contains(&format!("({count} whole session")), "{detail}");
        assert!(detail.ends_with("; nothing was imported"), "{detail}");
    }
    let twice = format!("{whole}{whole}");
    let problem = import(&server, LINES, "", twice.as_bytes()).await.problem(400, "invalid_json");
    assert_eq!(problem["line"], 5);
    assert_eq!(server.get("/memory/sessions").await.json()["sessions"], json!([]));
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
        ("application/json", String::new(), "truncated_import", Some(1)),
        ("application/json", "{\n\n\"format\":".to_owned(), "truncated_import", Some(3)),
        ("application/json", "[7]".to_owned(), "invalid_import", Some(1)),
        ("application/json", "PK\u{3}\u{4}".to_owned(), "invalid_json", Some(1)),
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
        (LINES, "\n \n".to_owned(), "truncated_import", Some(3)),
        (LINES, good.replacen("\"v\":1", "\"v\":7", 1), "unsupported_version", None),
        (
            LINES,
            good.replacen("\"entry\":{\"v\":1", "\"entry\":{\"v\":2", 1),
            "unsupported_version",
            None,
        ),
        (LINES, good.replace("{\"end\"", "{\"id\""), "invalid_import", Some(4)),
        (LINES, good[..good.len() - 3].to_owned(), "truncated_import", Some(4)),
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
    let deep = (0..64).fold(json!(1), |inner, _| json!([inner]));
    let sessions = [
        session("list", json!({"metadata": [1]})),
        session("text", json!({"metadata": "x"})),
        session("large", json!({"metadata": {"x": "x".repeat(70_000)}})),
        session("long", json!({"title": "x".repeat(1_025)})),
        session("prompt", json!({"system": "x".repeat(64 * 1024 + 1)})),
        session("deep", json!({"metadata": {"a": deep}})),
        session(
            "extra",
            json!({"entries": [{"seq": 1, "entry": {"v": 1, "created_at": time,
            "message": {"role": "user", "content": [], "extra": {"a": deep}}}}]}),
        ),
        session("good", json!({"title": "x".repeat(1_024), "metadata": {"a": 1}})),
        session("brief", json!({"class": "ephemeral"})),
    ];
    let head = json!({"format": "codexd-memory", "v": 1});
    let mut document = head.clone();
    document["sessions"] = json!(sessions);
    let end = json!({"end": {"sessions": sessions.len()}});
    let lines = iter::once(&head).chain(&sessions).chain([&end]);
    let lines = lines.map(|it| format!("{it}\n")).collect::<String>();
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
            ("prompt", "invalid_request"),
            ("deep", "invalid_request"),
            ("extra", "invalid_request"),
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
    let config = ApiConfig { max_import_bytes: 1_000, ..ApiConfig::default() };
    let server = Server::configured([], config).await;
    let problem = import(&server, LINES, "", &[b'x'; 2_000]).await.problem(413, "body_too_large");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("1000 bytes") && detail.contains("MAX_IMPORT_BYTES"), "{detail}");
}

/// A conversation of ChatGPT's: a question, and an answer that was made twice.
fn chatgpt(id: &str) -> Value {
    let said = |id: &str, parent: &str, role: &str, text: &str| {
        json!({"id": id, "parent": parent, "children": [], "message": {
            "author": {"role": role}, "create_time": 1_762_989_084.5,
            "content": {"content_type": "text", "parts": [text]}}})
    };
    json!({"conversation_id": id, "title": "Trains", "create_time": 1_762_989_084.5,
        "current_node": "a2", "mapping": {
            "root": {"id": "root", "parent": null, "children": ["q"], "message": null},
            "q": said("q", "root", "user", "When?"),
            "a": said("a", "q", "assistant", "At nine."),
            "a2": said("a2", "q", "assistant", "At ten."),
            "lost": said("lost", "nowhere", "user", ""),
    }})
}

#[tokio::test]
async fn conversations_of_other_programs_come_in_with_their_branches() {
    let server = Server::echo().await;
    let webui = json!([{"id": "w", "title": "Web", "created_at": 1_787_938_845, "chat": {
        "history": {"currentId": "2", "messages": {
            "2": {"parentId": "1", "role": "assistant", "content": "Hi.", "model": "m"},
            "1": {"parentId": null, "role": "user", "content": "Hello", "files": [{"type": "image"}]}
    }}}}]);
    let body = json!([chatgpt("c")]).to_string();
    let report = import(&server, "application/json", "", body.as_bytes()).await;
    assert_eq!(report.status, 200, "{}", report.text());
    let report = report.json();
    assert_eq!((&report["created"], &report["refused"]), (&json!(1), &json!([])));
    let skipped = report["skipped"].as_array().unwrap().iter();
    let skipped: Vec<_> = skipped.map(|it| (it["code"].clone(), it["count"].clone())).collect();
    assert_eq!(skipped, [(json!("empty"), json!(1)), (json!("missing_parent"), json!(1))]);
    let again = import(&server, "application/json", "", body.as_bytes()).await.json();
    assert_eq!((&again["created"], &again["unchanged"]), (&json!(0), &json!(1)));
    let report = import(&server, LINES, "", webui.to_string().as_bytes()).await.json();
    assert_eq!((&report["created"], &report["skipped"][0]["code"]), (&json!(1), &json!("image")));
    for alone in [chatgpt("c"), webui[0].clone()] {
        let report = import(&server, JSON, "", alone.to_string().as_bytes()).await.json();
        assert_eq!((&report["created"], &report["unchanged"]), (&json!(0), &json!(1)), "{alone}");
    }

    let session = server.get("/memory/sessions/c").await.json();
    let texts = |it: &Value| {
        let entries = it["entries"].as_array().unwrap().iter();
        entries.map(|it| it["content"][0]["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(session["session"]["title"], "Trains");
    assert_eq!(texts(&session), ["When?", "At ten."]);
    assert_eq!(texts(&server.get("/memory/sessions/c?from=2").await.json()), ["When?", "At nine."]);
    let reply = server.post("/chat", json!({"message": "And back?", "session_id": "w"})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(texts(&server.get("/memory/sessions/w").await.json()).len(), 4);
}

#[tokio::test]
async fn a_session_that_is_too_large_is_refused_by_name() {
    let config = ApiConfig { max_session_bytes: 1_000, ..ApiConfig::default() };
    let server = Server::configured([], config).await;
    let time = "2026-01-01T00:00:00.000Z";
    let session = |id: &str, title: &str| json!({"id": id, "title": title, "created_at": time, "updated_at": time, "entries": []});
    let sessions = [session("large", &"x".repeat(2_000)), session("small", "")];
    let body = json!({"format": "codexd-memory", "v": 1, "sessions": sessions}).to_string();
    let report = import(&server, "application/json", "", body.as_bytes()).await.json();
    assert_eq!(report["created"], 1);
    assert_eq!(report["refused"][0]["id"], "large");
    assert_eq!(report["refused"][0]["code"], "session_too_large");
}

#[tokio::test]
async fn a_tree_that_is_none_changes_nothing_of_all_the_file() {
    let from = filled().await;
    let good = String::from_utf8(export(&from, LINES).await.body).unwrap();
    let server = Server::echo().await;
    for (from, to, seq, why) in [
        ("\"parent\":1", "\"parent\":3", 2, "entry 2 follows entry 3, which"),
        ("\"head\":", "\"head\":9", 93, "the head is entry 93, which is not there"),
        ("\"seq\":1", "\"seq\":2", 2, "position 2 comes after 2"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let problem = import(&server, LINES, "", bad.as_bytes()).await;
        let problem = problem.problem(400, "invalid_import");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("session `s/1`: {why}")), "{detail}");
        assert!(detail.ends_with("; nothing was imported"), "{detail}");
        assert_eq!((&problem["session_id"], &problem["seq"]), (&json!("s/1"), &json!(seq)));
        assert_eq!((&problem["line"], &problem["sessions_read"]), (&json!(2), &json!(0)));
    }
    assert_eq!(server.get("/memory/sessions").await.json()["sessions"], json!([]));
}

#[tokio::test]
async fn a_store_that_fails_half_way_is_an_error_that_says_what_came_in() {
    let document = export(&filled().await, "application/json").await.body;
    let server = Server::echo().await;
    server.store.fail(Operation::Restore, 2, MemoryErrorKind::Unavailable);
    let problem = import(&server, "application/json", "", &document).await;
    let problem = problem.problem(503, "memory_unavailable");
    assert_eq!(problem["imported"]["created"], 1, "{problem}");
    assert_eq!(problem["failed_at"], "s2");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("before session `s2` 1 sessions came in or were there already"),
        "{detail}"
    );
    let report = import(&server, "application/json", "", &document).await.json();
    assert_eq!((&report["created"], &report["unchanged"]), (&json!(1), &json!(1)));
}
