//! The JSON that leaves us.

use std::sync::Arc;

use brain_core::{
    chat::{Message, Part, Role, ToolCall},
    json::RawJson,
    llm::{ChatRequest, GenerationOptions},
    tool::ToolSpec,
};
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::{
    dialect::{Dialect, Field},
    families, request,
};

/// The body as a server reads it.
fn sent(request: &ChatRequest, model: &str, dialect: &Dialect) -> Value {
    serde_json::to_value(request::chat(request, model, dialect)).unwrap()
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
    Message { tool_calls: calls, ..Message::assistant("") }
}

fn conversation(messages: Vec<Message>) -> ChatRequest {
    let messages = messages.into_iter().map(Arc::new).collect();
    ChatRequest { messages, ..ChatRequest::default() }
}

fn every_option() -> GenerationOptions {
    GenerationOptions {
        temperature: Some(0.5),
        top_p: Some(0.9),
        max_tokens: Some(100),
        stop: vec!["END".to_owned()],
        seed: Some(7),
        response_format: Some(RawJson::parse(r#"{"type":"json_object"}"#).unwrap()),
        reasoning_effort: Some("low".to_owned()),
    }
}

#[test]
fn plain_text() {
    let request = conversation(vec![
        Message::system("Be brief."),
        Message::user("Hi"),
        Message::assistant("Hello"),
        Message::user("Bye"),
    ]);
    assert_json_snapshot!(sent(&request, "m", &Dialect::default()));
}

#[test]
fn every_option_and_a_tool() {
    let tools = vec![ToolSpec {
        name: "read_file".to_owned(),
        description: "Reads a file.".to_owned(),
        parameters: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
    }];
    let request =
        ChatRequest { tools, options: every_option(), ..conversation(vec![Message::user("Hi")]) };
    assert_json_snapshot!(sent(&request, "m", &Dialect::default()));
}

#[test]
fn a_reasoning_model_gets_no_sampling_options() {
    let request =
        ChatRequest { options: every_option(), ..conversation(vec![Message::user("Hi")]) };
    assert_json_snapshot!(sent(&request, "o3-mini", &families::dialect("o3-mini", false)));
}

#[test]
fn a_dialect_without_stream_options_and_seed() {
    let dialect = Dialect::assumed(true, &[Field::StreamOptions, Field::Seed]);
    let request =
        ChatRequest { options: every_option(), ..conversation(vec![Message::user("Hi")]) };
    assert_json_snapshot!(sent(&request, "m", &dialect));
}

#[test]
fn tool_rounds_carry_the_providers_ids_where_they_are_unique() {
    let request = conversation(vec![
        Message::user("Compare a and b"),
        calling(vec![call("call_1", Some("abc"), r#"{"path":"a"}"#), call("call_2", None, "")]),
        Message::tool("call_1", "A"),
        Message::tool("call_2", "B"),
        calling(vec![call("call_3", Some("abc"), "{}")]),
        Message::tool("call_3", ""),
    ]);
    assert_json_snapshot!(sent(&request, "m", &Dialect::default()));
}

#[test]
fn pictures_files_and_empty_answers() {
    let text = |text: &str| Part::Text { text: text.to_owned() };
    let image = || Part::Image { url: "data:image/png;base64,AAAA".to_owned() };
    let file = || Part::File { file_id: "f1".to_owned(), name: Some("a \"b\".csv".to_owned()) };
    let with = |role, content| Message { content, ..Message::text(role, "") };
    let request = conversation(vec![
        with(Role::User, vec![text("What is this?"), image(), file()]),
        Message::assistant(""),
        with(Role::User, vec![text("one"), text("two"), file()]),
        with(Role::Assistant, vec![image()]),
    ]);
    assert_json_snapshot!(sent(&request, "m", &Dialect::default()));
}
