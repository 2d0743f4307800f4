//! Tables and properties of the context window.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Window, WindowInput, build};
use crate::{
    chat::{Message, Role, ToolCall},
    ids::Seq,
    memory::{Entry, EntryBody, EntryStatus},
    time::Timestamp,
};

fn entry(seq: u64, message: Message, status: EntryStatus) -> Entry {
    let body = EntryBody { status, ..EntryBody::complete(message, Timestamp::default()) };
    Entry { seq: Seq(seq), parent: seq.checked_sub(1).map(Seq), body: Arc::new(body) }
}

fn branch(messages: Vec<Message>) -> Vec<Entry> {
    (1..).zip(messages).map(|(seq, it)| entry(seq, it, EntryStatus::Complete)).collect()
}

fn call(ids: &[&str]) -> Message {
    let calls = ids.iter().map(|id| ToolCall {
        id: (*id).to_owned(),
        name: "t".to_owned(),
        arguments: "{}".to_owned(),
        provider_id: None,
    });
    Message { tool_calls: calls.collect(), ..Message::assistant("") }
}

fn window(branch: &[Entry], budget_tokens: u64) -> Window {
    let (system, has_older, tools) = (Some("be kind"), false, &[]);
    build(WindowInput { system, branch, has_older, tools, budget_tokens }).unwrap()
}

fn roles(window: &Window) -> String {
    window.messages.iter().map(|it| &it.role.as_str()[..1]).collect()
}

#[test]
fn everything_that_fits_is_sent_in_order() {
    let branch = branch(vec![Message::user("a"), Message::assistant("b"), Message::user("c")]);
    let window = window(&branch, 1_000);
    assert_eq!(roles(&window), "suau");
    assert!(Arc::ptr_eq(&window.messages[1], &branch[0].body.message), "no copy is made");
    assert_eq!((window.report.used_entries, window.report.dropped_entries), (3, 0));
}

#[test]
fn the_oldest_go_first_and_the_window_starts_with_the_user() {
    let long = "x".repeat(300);
    let branch = branch(vec![
        Message::user(long),
        Message::assistant("b"),
        Message::user("c"),
        Message::assistant("d"),
        Message::user("e"),
    ]);
    let window = window(&branch, 60);
    assert_eq!(roles(&window), "suau");
    assert_eq!(window.report.dropped_entries, 2);
    let (system, has_older, tools) = (None, false, &[]);
    let small = WindowInput { system, branch: &branch[..1], has_older, tools, budget_tokens: 50 };
    assert_eq!(build(small).unwrap_err().needed_tokens, 106);
}

#[test]
fn failed_answers_are_left_out_and_neighbours_merged() {
    let mut branch = branch(vec![Message::user("a"), Message::assistant(""), Message::user("b")]);
    branch[1] = entry(2, Message::assistant(""), EntryStatus::Failed);
    let window = window(&branch, 1_000);
    assert_eq!(roles(&window), "su");
    assert_eq!(window.messages[1].joined_text(), "a\nb");
    assert_eq!(branch[0].body.message.joined_text(), "a", "the history is not touched");
}

#[test]
fn an_answer_that_broke_off_before_its_text_is_left_out() {
    let thought = Message { reasoning: Some("hm".into()), ..Message::assistant("") };
    let mut branch = branch(vec![Message::user("a"), thought.clone(), Message::user("b")]);
    branch[1] = entry(2, thought, EntryStatus::Interrupted);
    assert_eq!(roles(&window(&branch, 1_000)), "su");
}

#[test]
fn rounds_are_whole_or_absent() {
    let (ask, again) = (Message::user("a"), Message::user("b"));
    let whole =
        vec![ask.clone(), call(&["1", "2"]), Message::tool("2", "y"), Message::tool("1", "x")];
    assert_eq!(roles(&window(&branch(whole), 1_000)), "suatt");
    for broken in [
        vec![ask.clone(), call(&["1", "2"]), Message::tool("1", "x"), again.clone()],
        vec![ask.clone(), call(&["1"]), again.clone()],
        vec![ask.clone(), Message::tool("1", "x"), again.clone()],
        vec![ask, call(&["1"]), Message::tool("1", "x"), Message::tool("1", "x"), again],
    ] {
        assert!(!roles(&window(&branch(broken), 1_000)).contains('t'));
    }
}

#[test]
fn the_question_stays_when_its_tool_rounds_fill_the_window() {
    let round = |id: &str| [call(&[id]), Message::tool(id, "x".repeat(90))];
    let mut messages = vec![Message::user("old"), Message::assistant("b"), Message::user("why?")];
    messages.extend(["1", "2", "3"].iter().flat_map(|id| round(id)));
    let branch = branch(messages);
    let window = window(&branch, 120);
    assert_eq!(roles(&window), "suatat", "one round is too old, and so is what was before");
    assert_eq!(window.messages[1].joined_text(), "why?");
    let (system, has_older, tools) = (None, false, &[]);
    let small = WindowInput { system, branch: &branch, has_older, tools, budget_tokens: 50 };
    assert!(build(small).is_err(), "the newest round does not fit beside its question");
}

fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        ".{0,40}".prop_map(Message::user),
        ".{0,40}".prop_map(Message::assistant),
        prop::collection::vec(0..4u8, 0..3).prop_map(|ids| {
            let ids: Vec<String> = ids.iter().map(u8::to_string).collect();
            call(&ids.iter().map(String::as_str).collect::<Vec<_>>())
        }),
        (0..4u8, ".{0,9}").prop_map(|(id, text)| Message::tool(id.to_string(), text)),
    ]
}

proptest! {
    #[test]
    fn any_history_gives_a_valid_window_within_the_budget(
        messages in prop::collection::vec(any_message(), 0..24),
        budget in 20..400u64,
    ) {
        let branch = branch(messages);
        let (system, has_older, tools) = (None, false, &[]);
        let input = WindowInput { system, branch: &branch, has_older, tools, budget_tokens: budget };
        let Ok(window) = build(input) else { return Ok(()) };
        prop_assert!(window.report.estimated_tokens <= budget);
        if branch.iter().any(|it| it.body.message.role == Role::User && !it.body.message.content.is_empty()) {
            prop_assert_eq!(window.messages[0].role, Role::User);
        }
        let mut open: Vec<&str> = Vec::new();
        for message in &window.messages {
            match message.role {
                Role::Tool => {
                    let id = message.tool_call_id.as_deref().unwrap();
                    let found = open.iter().position(|it| *it == id);
                    prop_assert!(found.is_some(), "a result without its call");
                    open.remove(found.unwrap());
                }
                Role::System | Role::User | Role::Assistant => {
                    prop_assert!(open.is_empty(), "a call without its result");
                    open.extend(message.tool_calls.iter().map(|it| it.id.as_str()));
                }
            }
        }
        prop_assert!(open.is_empty(), "a call without its result");
    }
}
