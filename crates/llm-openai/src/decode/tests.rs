//! Chunks in, events out: what servers were seen to send.

use std::{collections::VecDeque, sync::Arc};

use brain_core::{
    chat::{ToolCall, Usage},
    llm::{ChatEvent, FinishReason, LlmErrorKind, PartialReply, Reply},
};
use llm_http::Endpoint;

use super::{ChunkDecoder, Shape};

mod makes;

/// The events of an answer made of `chunks`, and the kind of its failure.
fn decode(chunks: &[&str], marked: bool) -> (Vec<ChatEvent>, Option<LlmErrorKind>) {
    decode_as(Shape::Choices, chunks, marked)
}

fn decode_as(
    shape: Shape,
    chunks: &[&str],
    marked: bool,
) -> (Vec<ChatEvent>, Option<LlmErrorKind>) {
    let endpoint = Arc::new(Endpoint::new("http://model.test/v1").unwrap());
    let mut decoder = ChunkDecoder::new(endpoint, shape, "asked", "call_".to_owned());
    let mut events = VecDeque::new();
    let mut decode = || {
        for chunk in chunks {
            decoder.chunk(chunk, &mut events)?;
        }
        decoder.end(marked, &mut events)
    };
    let failure = decode().err().map(|error| error.kind());
    (events.into(), failure)
}

fn reply(chunks: &[&str]) -> Reply {
    let (events, failure) = decode(chunks, true);
    assert_eq!(failure, None, "{events:?}");
    let mut reply = PartialReply::default();
    events.into_iter().for_each(|event| reply.push(event));
    reply.finish().unwrap()
}

/// A chunk with this delta.
fn delta(delta: &str) -> String {
    format!(r#"{{"model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
}

fn finish(reason: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#)
}

fn text_of(deltas: &[&str]) -> String {
    let chunks: Vec<String> = deltas.iter().map(|it| delta(it)).collect();
    reply(&chunks.iter().map(String::as_str).collect::<Vec<_>>()).message.joined_text()
}

/// The calls that these `tool_calls` lists add up to, as (id, provider's id, name, arguments).
fn calls(lists: &[&str], reason: &str) -> (Vec<[String; 4]>, FinishReason) {
    let mut chunks: Vec<String> =
        lists.iter().map(|it| delta(&format!(r#"{{"tool_calls":{it}}}"#))).collect();
    chunks.push(finish(reason));
    let reply = reply(&chunks.iter().map(String::as_str).collect::<Vec<_>>());
    let row = |it: ToolCall| [it.id, it.provider_id.unwrap_or_default(), it.name, it.arguments];
    (reply.message.tool_calls.into_iter().map(row).collect(), reply.finish.reason)
}

fn check_calls(lists: &[&str], expected: &[[&str; 4]]) {
    let (found, reason) = calls(lists, "tool_calls");
    assert_eq!(found, expected, "{lists:?}");
    assert_eq!(reason, FinishReason::ToolCalls);
}

#[test]
fn text_usage_and_the_servers_name_of_the_model() {
    let reply = reply(&[
        &delta(r#"{"role":"assistant","content":"","refusal":null}"#),
        &delta(r#"{"content":"Hel"}"#),
        &delta(r#"{"content":"lo"}"#),
        &finish("stop"),
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}"#,
    ]);
    assert_eq!(reply.message.joined_text(), "Hello");
    assert_eq!((reply.finish.reason, reply.finish.model.as_str()), (FinishReason::Stop, "m"));
    let usage = Usage { input_tokens: 3, output_tokens: 2, cached_tokens: 1, estimated: false };
    assert_eq!(reply.usage, Some(usage));
}

#[test]
fn empty_text_makes_no_event_and_finished_is_last() {
    let (events, failure) = decode(
        &[
            &delta(r#"{"content":""}"#),
            &finish("length"),
            r#"{"choices":[],"usage":{"prompt_tokens":1}}"#,
        ],
        false,
    );
    assert!(
        matches!(events.as_slice(), [ChatEvent::Usage(_), ChatEvent::Finished(_)]),
        "{events:?}"
    );
    assert_eq!(failure, None);
}

#[test]
fn what_is_no_piece_of_an_answer_is_skipped_beside_one_and_fails_alone() {
    let (word, stop) = (delta(r#"{"content":"a"}"#), finish("stop"));
    assert_eq!(decode(&["ping", &word, "not json", &stop], true).1, None);
    assert_eq!(decode(&["null", &stop], true).1, None);
    for alone in ["not json", "[1]", "\"a\""] {
        assert_eq!(decode(&[alone, &stop], true).1, Some(LlmErrorKind::Protocol), "{alone}");
        assert_eq!(decode(&[alone], true).1, Some(LlmErrorKind::Protocol), "{alone}");
    }
}

#[test]
fn odd_shapes_are_skipped() {
    assert_eq!(
        text_of(&[
            r#"{"content":null}"#,
            r#"{"content":7}"#,
            "null",
            "[]",
            r#"{"content":"a","x":{}}"#
        ]),
        "a"
    );
    assert_eq!(
        text_of(&[r#"{"content":[{"type":"thinking","thinking":[]},{"type":"text","text":"a"}]}"#]),
        "a"
    );
    assert_eq!(
        text_of(&[r#"{"content":null,"refusal":"I can"}"#, r#"{"refusal":"not"}"#]),
        "I cannot"
    );
    assert_eq!(text_of(&[r#"{"content":"a\ud83e"}"#]), "a\u{FFFD}");
    let chunks = [
        "null",
        "{}",
        r#"{"choices":null,"usage":null,"error":null}"#,
        r#"{"choices":{}}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"no"}}],"usage":{"prompt_tokens":0}}"#,
    ];
    let (events, failure) = decode(&chunks, true);
    assert!(
        matches!(events.as_slice(), [ChatEvent::Finished(finish)] if finish.model == "asked"),
        "{events:?}"
    );
    assert_eq!(failure, None);
}

#[test]
fn reasoning_is_told_apart_from_text() {
    for field in ["reasoning_content", "reasoning"] {
        let reply =
            reply(&[&delta(&format!(r#"{{"{field}":"hm"}}"#)), &delta(r#"{"content":"a"}"#)]);
        assert_eq!(reply.message.reasoning.as_deref(), Some("hm"));
        assert_eq!(reply.message.joined_text(), "a");
    }
    let both = reply(&[&delta(r#"{"reasoning_content":"hm","reasoning":"hm"}"#)]);
    assert_eq!(both.message.reasoning.as_deref(), Some("hm"));
    assert_eq!(reply(&[&delta(r#"{"reasoning":{"a":1},"content":"a"}"#)]).message.reasoning, None);
}

#[test]
fn one_call_in_fragments() {
    let lists = [
        r#"[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]"#,
        r#"[{"index":0,"function":{"arguments":"{\"pa"}}]"#,
        r#"[{"index":0,"function":{"arguments":"th\":\"x\"}"}}]"#,
    ];
    check_calls(&lists, &[["call_0", "a", "f", r#"{"path":"x"}"#]]);
}

#[test]
fn parallel_calls() {
    let lists = [
        r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#,
        r#"[{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x\""}}]"#,
        r#"[{"index":1,"function":{"arguments":":1}"}}]"#,
    ];
    check_calls(&lists, &[["call_0", "a", "f", "{}"], ["call_1", "b", "g", r#"{"x":1}"#]]);
    let together = r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"b","function":{"name":"g"}}]"#;
    check_calls(&[together], &[["call_0", "a", "f", "{}"], ["call_1", "b", "g", "{}"]]);
}

#[test]
fn calls_without_index_or_without_id() {
    let by_id = [
        r#"[{"id":"a","function":{"name":"f","arguments":"{\"x\""}}]"#,
        r#"[{"function":{"arguments":":1}"}}]"#,
        r#"[{"id":"b","function":{"name":"g","arguments":"{}"}}]"#,
    ];
    check_calls(&by_id, &[["call_0", "a", "f", r#"{"x":1}"#], ["call_1", "b", "g", "{}"]]);
    let always_zero = [
        r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#,
        r#"[{"index":0,"id":"b","function":{"name":"f","arguments":"{\"x\""}}]"#,
        r#"[{"index":0,"id":"","function":{"name":"","arguments":":1}"}}]"#,
    ];
    check_calls(&always_zero, &[["call_0", "a", "f", "{}"], ["call_1", "b", "f", r#"{"x":1}"#]]);
    let anonymous = [
        r#"[{"index":0,"id":"","function":{"name":"f","arguments":"{}"}}]"#,
        r#"[{"index":0,"id":"","function":{"name":"f","arguments":"{}"}}]"#,
    ];
    check_calls(&anonymous, &[["call_0", "", "f", "{}"], ["call_1", "", "f", "{}"]]);
}

#[test]
fn repeated_names_ids_and_objects_as_arguments() {
    let repeated = [
        r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}]"#,
        r#"[{"index":0,"id":"a","function":{"name":"f","arguments":":1}"}}]"#,
    ];
    check_calls(&repeated, &[["call_0", "a", "f", r#"{"x":1}"#]]);
    let object = r#"[{"function":{"name":"f","arguments":{"x": 1}}}]"#;
    check_calls(&[object], &[["call_0", "", "f", r#"{"x": 1}"#]]);
    let same_id = r#"[{"index":0,"id":"0","function":{"name":"f"}},{"index":1,"id":"0","function":{"name":"g"}}]"#;
    check_calls(&[same_id], &[["call_0", "0", "f", "{}"], ["call_1", "", "g", "{}"]]);
}

#[test]
fn the_calls_decide_how_an_answer_ended() {
    let call = r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#;
    assert_eq!(calls(&[call], "stop").1, FinishReason::ToolCalls);
    assert_eq!(calls(&[], "tool_calls").1, FinishReason::Stop);
    let cut = r#"[{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x"}}]"#;
    let (found, reason) = calls(&[call, cut], "length");
    assert_eq!((found.len(), reason), (1, FinishReason::Length));
}

#[test]
fn call_fragments_are_shown_as_they_come() {
    let (events, _) = decode(
        &[
            &delta(
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}"#,
            ),
            &delta(r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}"#),
            &delta(r#"{"tool_calls":[{"index":0}]}"#),
        ],
        true,
    );
    let shown: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            ChatEvent::ToolCallDelta(it) => {
                Some((it.index, it.name.as_deref(), it.arguments.as_str()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(shown, [(0, Some("f"), ""), (0, None, "{}")]);
}

#[test]
fn a_whole_completion_will_do() {
    let reply = reply(&[
        r#"{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","tool_calls":[
        {"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},
        {"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}],
        "usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
    ]);
    assert_eq!(reply.message.joined_text(), "Hi");
    assert_eq!(reply.message.tool_calls.len(), 2);
    assert_eq!(reply.usage.map(|it| it.output_tokens), Some(4));
}

#[test]
fn an_answer_that_breaks_off_is_interrupted() {
    let (events, failure) = decode(&[&delta(r#"{"content":"a"}"#)], false);
    assert_eq!(events, [ChatEvent::Text("a".to_owned())]);
    assert_eq!(failure, Some(LlmErrorKind::Interrupted));
}

#[test]
fn errors_in_the_stream_are_classified() {
    let begun = delta(r#"{"content":"a"}"#);
    let server = r#"{"error":{"message":"oops","type":"server_error","param":null,"code":null}}"#;
    assert_eq!(decode(&[server], true).1, Some(LlmErrorKind::Unavailable));
    assert_eq!(decode(&[&begun, server], true).1, Some(LlmErrorKind::Interrupted));
    let rate = r#"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#;
    assert_eq!(decode(&[&begun, rate], true).1, Some(LlmErrorKind::RateLimited));
    assert_eq!(decode(&[r#"{"error":"boom"}"#], true).1, Some(LlmErrorKind::Unavailable));
    let flat = r#"{"object":"error","message":"bad","type":"BadRequestError","code":400}"#;
    assert_eq!(decode(&[flat], true).1, Some(LlmErrorKind::Rejected));
    assert_eq!(decode(&[r#"{"choices":["#], true).1, Some(LlmErrorKind::Protocol));
}
