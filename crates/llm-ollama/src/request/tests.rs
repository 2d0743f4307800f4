//! The JSON that leaves us.

use std::sync::Arc;

use brain_core::{
    chat::{Message, Part, Role, ToolCall},
    json::RawJson,
    llm::{Capabilities, ChatRequest, CompletionRequest, GenerationOptions, LlmErrorKind},
    tool::ToolSpec,
};
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use super::Setting;
use crate::{config::KeepAlive, profile::Profile, request, version::Version};

/// A model that can do everything, on a server of this version.
fn setting(version: &str) -> Setting {
    let capabilities =
        Capabilities { chat: true, tools: true, vision: true, ..Capabilities::default() };
    let profile = Profile { capabilities, thinking: true, num_ctx: Some(8_192) };
    Setting { profile, version: Version::parse(version), keep_alive: None }
}

/// The body as a server reads it.
fn sent(request: &ChatRequest, setting: &Setting) -> Value {
    serde_json::to_value(request::chat(request, "qwen3", setting).unwrap()).unwrap()
}

fn call(id: &str, provider_id: Option<&str>, arguments: &str) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        name: "read_file".to_owned(),
        arguments: arguments.to_owned(),
        provider_id: provider_id.map(str::to_owned),
    }
}

fn calling(calls: Vec<ToolCall>) -> Message {
    let reasoning = Some("I should look.".to_owned());
    Message { tool_calls: calls, reasoning, ..Message::assistant("") }
}

fn conversation(messages: Vec<Message>) -> ChatRequest {
    let messages = messages.into_iter().map(Arc::new).collect();
    ChatRequest { messages, ..ChatRequest::default() }
}

fn tools() -> Vec<ToolSpec> {
    vec![ToolSpec {
        name: "read_file".to_owned(),
        description: "Reads a file.".to_owned(),
        parameters: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
    }]
}

fn with_format(format: &str) -> ChatRequest {
    let response_format = Some(RawJson::parse(format).unwrap());
    let options = GenerationOptions { response_format, ..GenerationOptions::default() };
    ChatRequest { options, ..conversation(vec![Message::user("Hi")]) }
}

fn with_effort(effort: &str) -> ChatRequest {
    let reasoning_effort = Some(effort.to_owned());
    let options = GenerationOptions { reasoning_effort, ..GenerationOptions::default() };
    ChatRequest { options, ..conversation(vec![Message::user("Hi")]) }
}

#[test]
fn plain_text() {
    let request = conversation(vec![
        Message::system("Be brief."),
        Message::user("Hi"),
        Message::assistant("Hello"),
        Message::user("Bye"),
    ]);
    assert_json_snapshot!(sent(&request, &setting("0.33.0")));
}

#[test]
fn every_option_and_a_tool() {
    let schema = r#"{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object"}}}"#;
    let options = GenerationOptions {
        temperature: Some(0.5),
        top_p: Some(0.9),
        max_tokens: Some(100),
        stop: vec!["END".to_owned()],
        seed: Some(u64::MAX),
        response_format: Some(RawJson::parse(schema).unwrap()),
        reasoning_effort: Some("low".to_owned()),
    };
    let request =
        ChatRequest { tools: tools(), options, ..conversation(vec![Message::user("Hi")]) };
    let setting = Setting { keep_alive: Some(KeepAlive::Forever), ..setting("0.33.0") };
    assert_json_snapshot!(sent(&request, &setting));
}

#[test]
fn tool_rounds_carry_objects_names_ids_and_the_thoughts_of_now() {
    let request = conversation(vec![
        Message::user("Read a"),
        calling(vec![call("call_0", Some("old"), "not JSON")]),
        Message::tool("call_0", "?"),
        Message::assistant("It is empty."),
        Message::user("Compare a and b"),
        calling(vec![
            call("call_1", Some("abc"), r#"{"path":"a","n":1.50}"#),
            call("call_2", None, ""),
        ]),
        Message::tool("call_1", "A"),
        Message::tool("call_2", "B"),
        calling(vec![call("call_3", Some("abc"), "[1]")]),
        Message::tool("call_3", ""),
        Message::tool("call_9", "of a call that is not there"),
    ]);
    assert_json_snapshot!(sent(&request, &setting("0.33.0")));
}

#[test]
fn pictures_and_files() {
    let text = |text: &str| Part::Text { text: text.to_owned() };
    let image = |url: &str| Part::Image { url: url.to_owned() };
    let file = || Part::File { file_id: "f1".to_owned(), name: Some("a \"b\".csv".to_owned()) };
    let with = |role, content| Message { content, ..Message::text(role, "") };
    let request = conversation(vec![
        with(Role::User, vec![text("What is this?"), image("data:image/png;base64,AAAA"), file()]),
        with(Role::User, vec![image("https://x.y/z.png"), image("data:text/plain,AAAA")]),
        with(Role::User, vec![image("data:image/png;base64,BBBB")]),
    ]);
    let mut setting = setting("0.33.0");
    let seen = sent(&request, &setting);
    setting.profile.capabilities.vision = false;
    assert_json_snapshot!(json!({"seen": seen, "unseen": sent(&request, &setting)["messages"]}));
}

#[test]
fn an_old_server_gets_no_field_that_it_does_not_know() {
    let mut request = with_effort("high");
    let sent_to = |version| sent(&request, &setting(version));
    for version in ["0.12.5", "unknown"] {
        let body = sent_to(version);
        assert!(body.get("truncate").is_none() && body.get("shift").is_none(), "{body}");
        assert_eq!(body["options"]["num_ctx"], 8_192);
    }
    assert_eq!(sent_to("0.12.6")["truncate"], false);
    assert_eq!(sent_to("0.12.6")["shift"], false);
    assert_eq!(sent_to("0.9.0")["think"], true);
    assert_eq!(sent_to("0.12.6")["think"], "high");
    request = with_effort("xhigh");
    let sent_to = |version| sent(&request, &setting(version));
    assert_eq!(
        (&sent_to("0.21.2")["think"], &sent_to("0.22.0")["think"]),
        (&json!("high"), &json!("max"))
    );
}

#[test]
fn how_much_to_think_is_said_to_those_who_can() {
    let thinks = |effort, setting: &Setting| sent(&with_effort(effort), setting)["think"].clone();
    let able = setting("0.33.0");
    for (effort, expected) in [
        ("none", json!(false)),
        ("minimal", json!("low")),
        ("medium", json!("medium")),
        ("max", json!("max")),
        ("odd", json!("medium")),
    ] {
        assert_eq!(thinks(effort, &able), expected, "{effort}");
    }
    let unable = Setting { profile: Profile { thinking: false, ..able.profile }, ..able };
    assert_eq!(thinks("high", &unable), Value::Null);
    assert_eq!(sent(&conversation(vec![Message::user("Hi")]), &able).get("think"), None);
}

#[test]
fn a_model_without_tools_is_sent_none_and_one_elsewhere_keeps_its_context() {
    let request = ChatRequest { tools: tools(), ..conversation(vec![Message::user("Hi")]) };
    let mut setting = setting("0.33.0");
    setting.profile.capabilities.tools = false;
    setting.profile.num_ctx = None;
    let body = sent(&request, &setting);
    assert_eq!((body.get("tools"), &body["options"]), (None, &json!({})));
}

#[test]
fn every_response_format_becomes_a_format_or_is_refused() {
    let setting = setting("0.33.0");
    let format = |format| sent(&with_format(format), &setting).get("format").cloned();
    assert_eq!(format(r#"{"type":"text"}"#), None);
    assert_eq!(format(r#"{"type":"json_object"}"#), Some(json!("json")));
    let schema = r#"{"type":"json_schema","json_schema":{"schema":{"a":1}}}"#;
    assert_eq!(format(schema), Some(json!({"a": 1})));
    for odd in ["7", "{}", r#"{"type":"json_schema"}"#, r#"{"type":"grammar"}"#] {
        let error = request::chat(&with_format(odd), "m", &setting).err().map(|it| it.kind());
        assert_eq!(error, Some(LlmErrorKind::Rejected), "{odd}");
    }
}

#[test]
fn a_completion_with_and_without_a_suffix() {
    let request = CompletionRequest {
        prefix: "fn one() {".to_owned(),
        suffix: "}".to_owned(),
        max_tokens: Some(32),
        stop: vec!["\n\n".to_owned()],
        ..CompletionRequest::default()
    };
    let setting = setting("0.33.0");
    let sent = |it: &CompletionRequest| {
        serde_json::to_value(request::generate(it, "coder", &setting)).unwrap()
    };
    assert_json_snapshot!(sent(&request));
    let open = sent(&CompletionRequest { suffix: String::new(), ..request });
    assert_eq!((open.get("suffix"), &open["raw"]), (None, &json!(true)));
}
