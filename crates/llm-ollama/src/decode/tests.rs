//! Lines in, events out: what servers were seen to send, cut anywhere.

use std::{collections::VecDeque, sync::Arc};

use brain_core::{
    chat::{Message, Usage},
    llm::{ChatEvent, FinishReason, LlmErrorKind, PartialReply, Reply},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use llm_http::Endpoint;
use proptest::{prelude::*, sample::Index};

use super::LineDecoder;
use crate::{answer::Answer, prompt::Prompt};

fn decoder(prompt: Prompt) -> LineDecoder {
    let endpoint = Arc::new(Endpoint::new("http://model.test").unwrap());
    LineDecoder::new(endpoint, "asked", "call_".to_owned(), prompt)
}

fn short_prompt() -> Prompt {
    Prompt::new(vec![Message::user("Hi").into()], Some(1_000), true)
}

/// The events of an answer made of `lines`, and the kind of its failure.
fn decode(lines: &[&str]) -> (Vec<ChatEvent>, Option<LlmErrorKind>) {
    let mut decoder = decoder(short_prompt());
    let mut events = VecDeque::new();
    let mut decode = || {
        for line in lines {
            decoder.line(line, &mut events)?;
        }
        decoder.end(lines.is_empty())
    };
    let failure = decode().err().map(|error| error.kind());
    (events.into(), failure)
}

fn reply(lines: &[&str]) -> Reply {
    let (events, failure) = decode(lines);
    assert_eq!(failure, None, "{events:?}");
    let mut reply = PartialReply::default();
    events.into_iter().for_each(|event| reply.push(event));
    reply.finish().unwrap()
}

fn message(message: &str) -> String {
    format!(r#"{{"model":"m","created_at":"2026","message":{message},"done":false}}"#)
}

const DONE: &str = r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":4,"prompt_eval_count":26,"eval_count":12}"#;

#[test]
fn text_thoughts_usage_and_the_servers_name_of_the_model() {
    let reply = reply(&[
        &message(r#"{"role":"assistant","content":"","thinking":"hm"}"#),
        &message(r#"{"role":"assistant","content":"Hel"}"#),
        &message(r#"{"role":"assistant","content":"lo \ud83e"}"#),
        DONE,
    ]);
    assert_eq!(reply.message.joined_text(), "Hello \u{FFFD}");
    assert_eq!(reply.message.reasoning.as_deref(), Some("hm"));
    assert_eq!((reply.finish.reason, reply.finish.model.as_str()), (FinishReason::Stop, "m"));
    let usage = Usage { input_tokens: 26, output_tokens: 12, ..Usage::default() };
    assert_eq!(reply.usage, Some(usage));
}

#[test]
fn the_last_line_may_carry_text_and_calls() {
    let line = r#"{"message":{"content":"Hi","thinking":"t","tool_calls":[{"function":{"name":"f","arguments":{"x": 1}}}]},"done":true,"done_reason":"stop"}"#;
    let reply = reply(&[line]);
    assert_eq!(reply.message.joined_text(), "Hi");
    assert_eq!(reply.finish.reason, FinishReason::ToolCalls);
    assert_eq!(reply.finish.model, "asked");
    assert_eq!(reply.message.tool_calls[0].arguments, r#"{"x": 1}"#);
}

#[test]
fn calls_have_ids_of_ours_and_the_servers_where_they_are_new() {
    let call = |id: &str, arguments: &str| {
        format!(r#"{{{id}"function":{{"index":0,"name":"f","arguments":{arguments}}}}}"#)
    };
    let calls = [
        call(r#""id":"a","#, r#"{"x":12345678901234567890123}"#),
        call(r#""id":"a","#, "null"),
        call("", r#""{\"y\":2}""#),
        call(r#""id":"","#, r#""""#),
        r#"{"function":{"arguments":{}}}"#.to_owned(),
        r#"{"id":"b"}"#.to_owned(),
    ];
    let (first, rest) = calls.split_at(1);
    let list = |calls: &[String]| message(&format!(r#"{{"tool_calls":[{}]}}"#, calls.join(",")));
    let reply = reply(&[&list(first), &list(rest), DONE]);
    let row = |it: &brain_core::chat::ToolCall| {
        [it.id.clone(), it.provider_id.clone().unwrap_or_default(), it.arguments.clone()]
    };
    let found: Vec<_> = reply.message.tool_calls.iter().map(row).collect();
    let expected = [
        ["call_0", "a", r#"{"x":12345678901234567890123}"#],
        ["call_1", "", "{}"],
        ["call_2", "", r#"{"y":2}"#],
        ["call_3", "", "{}"],
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_done_reason_is_an_end() {
    let ends = |reason: &str| reply(&[&DONE.replace("stop", reason)]).finish.reason;
    assert_eq!(ends("length"), FinishReason::Length);
    for reason in ["stop", "load", "unload", "odd"] {
        assert_eq!(ends(reason), FinishReason::Stop, "{reason}");
    }
    assert_eq!(reply(&[r#"{"done":true}"#]).finish.reason, FinishReason::Stop);
}

#[test]
fn what_the_server_does_not_count_is_estimated() {
    let text = message(r#"{"content":"twelve bytes"}"#);
    let usage = |end: &str| reply(&[&text, end]).usage.unwrap();
    let none = usage(r#"{"done":true}"#);
    assert!(none.estimated && 0 < none.input_tokens && none.output_tokens == 3, "{none:?}");
    let no_input = usage(r#"{"done":true,"prompt_eval_count":0,"eval_count":7}"#);
    assert!(no_input.estimated && no_input.output_tokens == 7, "{no_input:?}");
    let all = usage(
        r#"{"done":true,"prompt_eval_count":21,"prompt_eval_cached_count":16,"eval_count":7}"#,
    );
    let expected =
        Usage { input_tokens: 21, output_tokens: 7, cached_tokens: 16, estimated: false };
    assert_eq!(all, expected);
}

#[test]
fn a_prompt_that_was_cut_is_an_error_after_its_usage() {
    let text = "It keeps every conversation, and where both disagree, the issue stands. ";
    let prompt = Prompt::new(vec![Message::user(text.repeat(400)).into()], Some(1_000), true);
    let mut decoder = decoder(prompt);
    let mut events = VecDeque::new();
    decoder.line(&message(r#"{"content":"a"}"#), &mut events).unwrap();
    let error = decoder.line(DONE, &mut events).unwrap_err();
    assert_eq!(error.kind(), LlmErrorKind::ContextOverflow);
    assert!(error.to_string().contains("26 tokens"), "{error}");
    assert!(matches!(events.make_contiguous(), [ChatEvent::Text(_), ChatEvent::Usage(_)]));
}

#[test]
fn an_answer_that_breaks_off_is_interrupted() {
    let (events, failure) = decode(&[&message(r#"{"content":"a"}"#)]);
    assert_eq!(events, [ChatEvent::Text("a".to_owned())]);
    assert_eq!(failure, Some(LlmErrorKind::Interrupted));
    assert_eq!(decode(&[]).1, Some(LlmErrorKind::Interrupted));
    assert_eq!(decode(&[r#"{"status":"ok"}"#]).1, Some(LlmErrorKind::Protocol));
}

#[test]
fn errors_in_the_stream_are_classified_and_nothing_is_heard_after_the_end() {
    let begun = message(r#"{"content":"a"}"#);
    let crash = r#"{"error":"an error was encountered while running the model"}"#;
    assert_eq!(decode(&[crash]).1, Some(LlmErrorKind::Unavailable));
    assert_eq!(decode(&[&begun, crash]).1, Some(LlmErrorKind::Interrupted));
    let long = r#"{"error":"the input length exceeds the context length"}"#;
    assert_eq!(decode(&[long]).1, Some(LlmErrorKind::ContextOverflow));
    assert_eq!(
        decode(&[r#"{"error":{"message":"m","code":429}}"#]).1,
        Some(LlmErrorKind::RateLimited)
    );
    assert_eq!(decode(&[r#"{"message":"#]).1, Some(LlmErrorKind::Protocol));
    assert_eq!(decode(&["[1]"]).1, Some(LlmErrorKind::Protocol));
    assert_eq!(decode(&[r#"{"error":null,"done":true}"#]).1, None);
    assert_eq!(decode(&[DONE, crash, "not JSON"]).1, None);
}

#[test]
fn odd_shapes_are_skipped() {
    let reply = reply(&[
        r#"{"message":7,"done":"no"}"#,
        r#"{"message":{"content":null,"thinking":[],"tool_calls":{}},"model":null}"#,
        &message(r#"{"content":"a","images":[],"x":{}}"#),
        DONE,
    ]);
    assert_eq!(reply.message.joined_text(), "a");
}

#[test]
fn a_completion_is_decoded_as_well() {
    let reply = reply(&[
        r#"{"model":"m","response":"let","done":false}"#,
        r#"{"model":"m","response":" x","thinking":"t","done":false}"#,
        r#"{"model":"m","response":"","done":true,"done_reason":"length","context":[1,2],"eval_count":2}"#,
    ]);
    assert_eq!(reply.message.joined_text(), "let x");
    assert_eq!(reply.finish.reason, FinishReason::Length);
}

/// Events and failure of an answer whose body comes in these pieces.
fn read(pieces: Vec<Bytes>) -> (Vec<ChatEvent>, Option<LlmErrorKind>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let bytes = stream::iter(pieces.into_iter().map(Ok)).boxed();
        let items: Vec<_> =
            Answer::new(bytes, decoder(short_prompt())).into_stream().collect().await;
        let mut events = Vec::new();
        for item in items {
            match item {
                Ok(event) => events.push(event),
                Err(error) => return (events, Some(error.kind())),
            }
        }
        (events, None)
    })
}

/// Bodies that end well, in an error, in the middle of a line, and as no answer at all.
fn body() -> impl Strategy<Value = String> {
    let text = message(r#"{"role":"assistant","content":"Žluť 🦊"}"#);
    let call =
        message(r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":"é"}}}]}"#);
    let error = r#"{"error":"boom"}"#;
    prop_oneof![
        Just(format!("{text}\n{call}\n{DONE}\n")),
        Just(format!("{text}\r\n\r\n{call}\r\n{DONE}")),
        Just(format!("{text}\n{error}\n")),
        Just(format!("{text}\n{text}\n")),
        Just(format!("{text}\n{{\"message\":{{\"content\":\"hal")),
        Just(format!("\u{FEFF}{DONE}\n{error}\nrubbish")),
        Just("<html>no</html>".to_owned()),
        Just(" \n".to_owned()),
    ]
}

proptest! {
    #[test]
    fn bytes_may_be_cut_anywhere(body in body(), cuts in prop::collection::vec(any::<Index>(), 0..12)) {
        let bytes = Bytes::from(body);
        let mut places: Vec<usize> = cuts.iter().map(|it| it.index(bytes.len() + 1)).collect();
        places.sort_unstable();
        places.push(bytes.len());
        let mut begin = 0;
        let mut pieces = Vec::new();
        for place in places {
            pieces.push(bytes.slice(begin..place));
            begin = place;
        }
        prop_assert_eq!(read(pieces), read(vec![bytes]));
    }
}
