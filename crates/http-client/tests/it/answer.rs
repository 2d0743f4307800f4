//! Answers as they come: streams that break, go on, and skip.

use std::error::Error as _;

use http_client::{Client, ClientErrorKind, Piece};
use serde_json::{Value, json};
use url::Url;

use crate::server::{Reply, events, serve};

const STARTED: (u64, &str, &str) = (1, "turn.started", r#"{"turn_id": "t", "session_id": "s"}"#);
const END: (u64, &str, &str) = (99, "turn.completed", r#"{"status": "completed"}"#);

fn chat(url: Url) -> (Result<Value, http_client::ClientError>, String) {
    let mut text = String::new();
    let ended = Client::new(url).chat(&json!({}), &mut |piece| {
        if let Piece::Text(more) = piece {
            text.push_str(more);
        }
        Ok(())
    });
    (ended, text)
}

fn replies(streams: &[&[(u64, &str, &str)]]) -> Vec<Reply> {
    streams.iter().map(|it| Reply::Whole(events(it))).collect()
}

#[test]
fn a_stream_that_breaks_often_but_goes_on_is_followed_to_its_end() {
    let numbers: Vec<String> = (0..9).map(|it| format!(r#"{{"text": "{it}"}}"#)).collect();
    let mut streams = vec![vec![STARTED]];
    for (at, text) in numbers.iter().enumerate() {
        streams.push(vec![(at as u64 + 2, "text.delta", text.as_str())]);
    }
    streams.push(vec![END]);
    let streams: Vec<_> = streams.iter().map(Vec::as_slice).collect();
    let (url, server) = serve(replies(&streams));
    let (ended, text) = chat(url);
    assert_eq!(ended.unwrap()["status"], "completed");
    assert_eq!(text, "012345678");
    let asked = server.join().unwrap();
    assert_eq!(asked[0], "POST /chat HTTP/1.1");
    assert_eq!(asked[10], "GET /chat/turns/t/events?after=10 HTTP/1.1");
}

#[test]
fn a_stream_that_stays_broken_tells_why() {
    let mut all = replies(&[&[STARTED]]);
    all.extend(vec![Reply::Whole(events(&[(2, "text.delta", "{no json")])); 6]);
    let (url, server) = serve(all);
    let error = chat(url).0.unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::Broken);
    assert!(error.to_string().contains("`codexd sessions show s`"), "{error}");
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("line 1 column 2"), "{cause}");
    assert_eq!(server.join().unwrap().len(), 7);
}

#[test]
fn a_stream_that_breaks_before_the_turn_begins_tells_why() {
    let (url, _server) = serve(replies(&[&[]]));
    let error = chat(url).0.unwrap_err();
    assert!(error.to_string().contains("hung up"), "{error}");
    assert!(error.source().is_some(), "{error:?}");
}

#[test]
fn a_snapshot_shows_what_is_missing_and_no_more() {
    let check = |said: &str, snapshot: &str, expected: &str| {
        let text = |text: &str| json!({"text": text}).to_string();
        let (said, all, rest) = (text(said), text(snapshot), text("!"));
        let streams: [&[_]; 2] = [
            &[STARTED, (2, "text.delta", &said)],
            &[(7, "turn.snapshot", &all), (8, "text.delta", &rest), END],
        ];
        let (url, _server) = serve(replies(&streams));
        let (ended, text) = chat(url);
        assert_eq!(ended.unwrap()["status"], "completed");
        assert_eq!(text, expected, "{said} {all}");
    };
    check("One", "One, two", "One, two!");
    check("One", "One", "One!");
    // The text of a later call of the model.
    check("Let me look. ", "It is", "Let me look. It is!");
    check("Let me look. ", "", "Let me look. !");
    // What was stored before all was shown.
    check("One, two", "One", "One, two!");
}
