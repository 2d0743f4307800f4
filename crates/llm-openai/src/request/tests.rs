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
    Server,
    dialect::{Dialect, Field},
    families,
    make::{AZURE, Make, OPENAI, TABBYML, UNKNOWN},
    request,
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
    assert_json_snapshot!(sent(&request, "o3-mini", &families::dialect("o3-mini", &UNKNOWN)));
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

/// What a make is sent of a conversation with every option and a tool round of another provider.
fn sent_to(make: &Make, model: &str) -> Value {
    let request = ChatRequest {
        options: every_option(),
        ..conversation(vec![
            Message::system("Be brief."),
            Message::user("Compare a and b"),
            calling(vec![call("call_0123456789_0", Some("toolu_1"), r#"{"path":"a"}"#)]),
            Message::tool("call_0123456789_0", "A"),
        ])
    };
    sent(&request, model, &families::dialect(model, make))
}

fn at(host: &str) -> &'static Make {
    Make::of(&Server::Compatible, host).unwrap()
}

#[test]
fn each_make_is_asked_in_its_words() {
    assert_json_snapshot!("to_openai", sent_to(&OPENAI, "gpt-4.1-mini"));
    assert_json_snapshot!("to_openai_reasoning", sent_to(&OPENAI, "gpt-5-mini"));
    assert_json_snapshot!("to_azure", sent_to(&AZURE, "my-deployment"));
    assert_json_snapshot!("to_tabbyml", sent_to(&TABBYML, ""));
    assert_json_snapshot!("to_mistral", sent_to(at("api.mistral.ai"), "mistral-small-latest"));
    assert_json_snapshot!("to_groq", sent_to(at("api.groq.com"), "openai/gpt-oss-20b"));
}

#[test]
fn the_other_makes_are_asked_in_the_same_words() {
    let plain = sent_to(&UNKNOWN, "m");
    let makes = ["llamacpp", "vllm", "organization_owner", "library"];
    let makes = makes.map(|owner| Make::by_owner(owner).unwrap());
    for make in [at("openrouter.ai"), at("api.deepseek.com")].into_iter().chain(makes) {
        assert_eq!(sent_to(make, "m"), plain, "{}", make.name);
    }
}

#[test]
fn short_ids_are_valid_distinct_and_stable() {
    let mistral = Dialect::of(at("api.mistral.ai"));
    let request = conversation(vec![
        calling(vec![
            call("call_1", Some("abcDEF123"), "{}"),
            call("call_2", Some("abcDEF123"), "{}"),
            call("call_3", None, "{}"),
            call("call_4", Some("short"), "{}"),
        ]),
        Message::tool("call_1", "A"),
        Message::tool("call_2", "B"),
        Message::tool("call_3", "C"),
        Message::tool("call_4", "D"),
    ]);
    let body = sent(&request, "m", &mistral);
    let calls = body["messages"][0]["tool_calls"].as_array().unwrap();
    let ids: Vec<&str> = calls.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids[0], "abcDEF123");
    for (place, id) in ids.iter().enumerate() {
        assert!(id.len() == 9 && id.bytes().all(|it| it.is_ascii_alphanumeric()), "{id}");
        assert!(!ids[..place].contains(id), "{ids:?}");
        assert_eq!(body["messages"][place + 1]["tool_call_id"], *id);
    }
    assert_eq!(sent(&request, "m", &mistral), body);
}
