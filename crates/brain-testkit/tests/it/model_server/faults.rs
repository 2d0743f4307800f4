//! Each fault does what its name says, on the bytes.

use std::io::ErrorKind;

use brain_testkit::model_server::{At, FAULTS, Fault, ModelServer, Wire};
use serde_json::Value;

use super::{
    client::{Client, Received, chat_with},
    nobody,
};

/// A streamed chat with the fault.
fn broken(wire: Wire, fault: &str) -> Received {
    chat_with(&ModelServer::start(nobody()), wire, true, &format!("mock/{fault}"))
}

/// Whether something of the answer came.
fn has_text(received: &Received) -> bool {
    let text = |it: &Value| it["choices"][0]["delta"]["content"].as_str().map(str::len);
    received.frames().iter().filter_map(text).any(|it| 0 < it)
}

#[test]
fn names_mean_their_faults() {
    for fault in Fault::all() {
        assert_eq!(fault.to_string().parse(), Ok(fault));
        let (name, _) = fault.to_string().split_once(':').map_or_else(
            || (fault.to_string(), String::new()),
            |(name, argument)| (name.to_owned(), argument.to_owned()),
        );
        let is_status = name.parse::<u16>().is_ok();
        let listed = FAULTS.iter().any(|(it, _)| it.split(['[', ':']).next() == Some(&name));
        assert!(listed || is_status, "{name} is not listed");
    }
    assert_eq!("error".parse(), Ok(Fault::Error(At::Content)));
    for wrong in
        ["", "cut:", "cut:tail", "error:head", "end:head", "600", "399", "429:x", "empty:1"]
    {
        let error = wrong.parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains(&format!("`{wrong}`")) && error.contains("cut"), "{error}");
    }
}

#[test]
fn cuts_and_ends_come_where_they_are_told() {
    let cut = broken(Wire::OpenAi, "cut:200");
    assert_eq!((cut.status, cut.body.len(), cut.is_whole), (200, 200, false));
    let end = broken(Wire::OpenAi, "end:200");
    assert_eq!((end.body.len(), end.is_whole), (200, true));
    assert_eq!(broken(Wire::OpenAi, "cut:head").status, 0);
    for name in ["cut", "end", "reset"] {
        let start = broken(Wire::OpenAi, &format!("{name}:start"));
        assert_eq!((start.status, has_text(&start)), (200, false), "{name}");
        let content = broken(Wire::OpenAi, &format!("{name}:content"));
        assert!(has_text(&content) && content.is_whole == (name == "end"), "{name}");
        assert!(!content.text().contains("[DONE]"), "{name}");
    }
}

#[test]
fn a_reset_is_one() {
    for place in ["head", "start", "content", "200"] {
        let reset = broken(Wire::Ollama, &format!("reset:{place}"));
        assert_eq!(reset.failure, Some(ErrorKind::ConnectionReset), "{place}");
        assert_eq!(reset.status, if place == "head" { 0 } else { 200 }, "{place}");
    }
}

#[tokio::test]
async fn a_stall_lasts_until_the_client_leaves() {
    let fault = Fault::Stall(At::Content);
    let server = ModelServer::start([fault]);
    let mut client = Client::connect(&server);
    client.send_chat(Wire::OpenAi, true);
    client.read_until("\"content\":\"");
    drop(client);
    server.dropped(1).await;
    assert!(server.requests()[0].answered.is_none());
}

#[test]
fn refusals_have_their_status_and_their_wait() {
    for wire in [Wire::OpenAi, Wire::Azure, Wire::TabbyMl, Wire::Ollama] {
        let limited = broken(wire, "429:7");
        assert_eq!((limited.status, limited.header("retry-after")), (429, Some("7")), "{wire:?}");
        assert_eq!(broken(wire, "429").header("retry-after"), None, "{wire:?}");
        assert_eq!(broken(wire, "503").status, 503, "{wire:?}");
        let page = broken(wire, "html");
        assert_eq!(
            (page.status, page.header("content-type")),
            (502, Some("text/html; charset=utf-8"))
        );
    }
}

#[test]
fn errors_in_the_body_are_the_wires_own() {
    let message = |it: &Value| it["error"]["message"].is_string() || it["error"].is_string();
    for wire in [Wire::OpenAi, Wire::Azure, Wire::TabbyMl, Wire::Ollama] {
        for place in ["start", "content"] {
            let error = broken(wire, &format!("error:{place}"));
            assert_eq!((error.status, error.is_whole), (200, true), "{wire:?}");
            assert!(error.frames().last().is_some_and(message), "{wire:?}: {}", error.text());
        }
    }
    let server = ModelServer::start(nobody());
    let whole = chat_with(&server, Wire::OpenAi, false, "mock/error");
    assert!(whole.status == 200 && message(&whole.json()));
}

#[test]
fn what_is_left_out_is_left_out() {
    let plain = broken(Wire::OpenAi, "crlf").text();
    for (fault, field) in [("no-index", "\"index\""), ("no-id", "\"id\"")] {
        assert!(plain.contains(field));
        assert!(!broken(Wire::OpenAi, fault).text().contains(field), "{fault}");
    }
    let counts = |fault: &str| broken(Wire::Ollama, fault).text().contains("eval_count");
    assert!(counts("crlf") && !counts("no-usage"));
    assert_eq!(broken(Wire::Ollama, "empty").body, b"");
}

#[test]
fn pieces_are_cut_as_told() {
    let tiny = broken(Wire::Ollama, "tiny-chunks");
    assert!(10_000 < tiny.chunks && tiny.is_whole, "{}", tiny.chunks);
    let split = broken(Wire::Ollama, "split-utf8");
    assert!(split.text().contains("世界") && 20 < split.chunks, "{}", split.chunks);
    let long = broken(Wire::OpenAi, "long-line");
    let longest = long.text().lines().map(str::len).max();
    assert!(longest.is_some_and(|it| 10 * 1024 * 1024 <= it), "{longest:?}");
    let drip = broken(Wire::Ollama, "drip:1");
    assert!(drip.body.len() / 20 < drip.chunks, "{}", drip.chunks);
}

#[test]
fn lines_end_and_begin_as_told() {
    let crlf = broken(Wire::OpenAi, "crlf").text();
    assert_eq!(crlf.matches('\n').count(), crlf.matches("\r\n").count());
    assert!(broken(Wire::OpenAi, "comments").text().starts_with(": "));
    let bad = broken(Wire::Ollama, "bad-json:start").text();
    let first = bad.lines().next().unwrap();
    assert!(serde_json::from_str::<Value>(first).is_err(), "{first}");
}
