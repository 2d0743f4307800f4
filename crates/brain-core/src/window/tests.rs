//! Tables and properties of the context window.

use std::sync::Arc;

use super::{
    Accuracy, Bounds, Counting, Known, Leaving, Recollection, Window, WindowInput, WindowTooSmall,
    leaving,
};
use crate::{
    chat::{Message, Part, ToolCall},
    ids::{Seq, SessionId},
    llm::{Estimate, TokenCounter, Tokens},
    memory::{Entry, EntryBody, EntryStatus, Summary},
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

fn input(branch: &[Entry], budget_tokens: u64) -> WindowInput<'_> {
    WindowInput {
        system: Some("be kind"),
        summary: None,
        recalled: &[],
        branch,
        has_older: false,
        tools: &[],
        sees_pictures: true,
        budget_tokens,
    }
}

fn build(input: &WindowInput<'_>) -> Result<Window, WindowTooSmall> {
    super::build(input, &mut Counting::estimate())
}

fn window(branch: &[Entry], budget_tokens: u64) -> Window {
    build(&input(branch, budget_tokens)).unwrap()
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
    let long = "word ".repeat(60);
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
    let small = WindowInput { system: None, ..input(&branch[..1], 50) };
    assert_eq!(build(&small).unwrap_err().needed_tokens, 74);
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
    let round = |id: &str| [call(&[id]), Message::tool(id, "word ".repeat(20))];
    let mut messages = vec![Message::user("old"), Message::assistant("b"), Message::user("why?")];
    messages.extend(["1", "2", "3"].iter().flat_map(|id| round(id)));
    let branch = branch(messages);
    let window = window(&branch, 200);
    assert_eq!(roles(&window), "suatat", "one round is too old, and so is what was before");
    assert_eq!(window.messages[1].joined_text(), "why?");
    let small = WindowInput { system: None, ..input(&branch, 50) };
    assert!(build(&small).is_err(), "the newest round does not fit beside its question");
}

#[test]
fn a_model_that_reads_no_pictures_is_told_in_words_where_one_was() {
    let picture = || Part::Image { url: "data:image/png;base64,AAAA".to_owned() };
    let text = |text: &str| Part::Text { text: text.to_owned() };
    let with = |content| Message { content, ..Message::user("") };
    let branch = branch(vec![
        with(vec![text("look"), picture(), picture()]),
        Message::assistant("nice"),
        with(vec![picture()]),
    ]);
    let seeing = input(&branch, 10_000);
    let blind = WindowInput { sees_pictures: false, ..seeing };
    // One way of counting serves both, whichever came first.
    let mut counting = Counting::estimate();
    for _ in 0..2 {
        let window = super::build(&seeing, &mut counting).unwrap();
        assert_eq!((window.messages[1].content.len(), window.report.pictures_left_out), (3, 0));
        assert!(window.report.used_tokens > 3_000);
        let window = super::build(&blind, &mut counting).unwrap();
        let words = ["look\n[picture]\n[picture]", "nice", "[picture]"];
        let shown: Vec<_> = window.messages[1..].iter().map(|it| it.joined_text()).collect();
        assert_eq!(shown, words);
        assert_eq!(window.report.pictures_left_out, 3);
        assert!(window.report.used_tokens < 200, "{:?}", window.report);
        assert!(Arc::ptr_eq(&window.messages[2], &branch[1].body.message), "no copy is made");
    }
    let cut = WindowInput { budget_tokens: 40, ..blind };
    assert_eq!(build(&cut).unwrap().report.pictures_left_out, 1, "what is not sent is not counted");
    assert!(build(&WindowInput { sees_pictures: true, ..cut }).is_err());
    assert_eq!(branch[2].body.message.content, [picture()], "the history is not touched");
}

/// Ten turns of about 40 tokens each.
fn ten_turns() -> Vec<Entry> {
    let turn = |it: u32| {
        [
            Message::user(format!("question {it}: {}", "so ".repeat(10))),
            Message::assistant("yes ".repeat(10)),
        ]
    };
    branch((1..=10).flat_map(turn).collect())
}

fn summary(at: u64) -> Summary {
    let text = "they spoke".to_owned();
    Summary { at: Seq(at), text, model: None, created_at: Timestamp::default() }
}

fn text_of(window: &Window) -> String {
    window.messages.iter().map(|it| it.joined_text() + "\n").collect()
}

#[test]
fn a_summary_stands_for_what_does_not_fit_and_for_nothing_else() {
    let branch = ten_turns();
    let made = summary(12);
    let whole = WindowInput { summary: Some(&made), ..input(&branch, 10_000) };
    let window = build(&whole).unwrap();
    assert_eq!(window.report.summary, None, "all of it fits");
    assert_eq!(window.messages.len(), 21);

    let cut = WindowInput { summary: Some(&made), ..input(&branch, 300) };
    let window = build(&cut).unwrap();
    let report = &window.report;
    assert_eq!(report.summary, Some(Seq(12)));
    assert!(window.messages[1].joined_text().contains("they spoke"));
    assert_eq!(report.used_entries + report.dropped_entries, 20);
    assert_eq!(report.summarised_entries, report.dropped_entries, "nothing is in neither");
    assert!(report.until_summary_tokens > 0, "{report:?}");

    let early = summary(2);
    let window = build(&WindowInput { summary: Some(&early), ..input(&branch, 300) }).unwrap();
    assert_eq!(window.report.summarised_entries, 2);
    assert!(window.report.dropped_entries > 2);
    assert_eq!(window.report.until_summary_tokens, 0);

    for elsewhere in [summary(33), Summary { text: " ".to_owned(), ..summary(12) }] {
        let window = build(&WindowInput { summary: Some(&elsewhere), ..cut }).unwrap();
        assert_eq!(window.report.summary, None);
    }
}

#[test]
fn a_summary_of_what_was_not_read_counts() {
    let branch = ten_turns().split_off(10);
    assert_eq!(branch[0].parent, Some(Seq(10)));
    let made = summary(10);
    let whole = WindowInput { summary: Some(&made), has_older: true, ..input(&branch, 10_000) };
    let window = build(&whole).unwrap();
    assert_eq!((window.report.summary, window.report.dropped_entries), (Some(Seq(10)), 0));
    assert!(window.report.until_summary_tokens > 0);
    let without = build(&WindowInput { summary: None, ..whole }).unwrap();
    assert_eq!(without.report.until_summary_tokens, 0, "something is in neither");
    let unrelated = build(&WindowInput { branch: &branch[1..], ..whole }).unwrap();
    assert_eq!(unrelated.report.summary, None);
}

fn recollection(session: &str, seq: u64, text: &str, millis: i64) -> Recollection {
    let body = EntryBody::complete(Message::user(text), Timestamp::from_millis(millis));
    let entry = Entry { seq: Seq(seq), parent: None, body: Arc::new(body) };
    let session_id = SessionId::new(session).unwrap();
    let title = (session == "trip").then(|| "A trip".to_owned());
    Recollection { session_id, title, is_here: session == "here", entry }
}

#[test]
fn recalled_entries_are_marked_cited_and_newest_first() {
    let branch = ten_turns();
    let recalled = [
        recollection("trip", 3, "I live in London", 0),
        recollection("here", 1, "so", 1),
        recollection("other", 7, "I moved to Berlin", 86_400_000),
    ];
    let window = build(&WindowInput { recalled: &recalled, ..input(&branch, 4_000) }).unwrap();
    let cited: Vec<(&str, u64)> =
        window.report.recalled.iter().map(|it| (it.session_id.as_str(), it.seq.0)).collect();
    assert_eq!(cited, [("other", 7), ("trip", 3)], "what is shown anyway is not recalled");
    let question = window.messages.iter().rfind(|it| it.joined_text().contains("question 10"));
    insta::assert_snapshot!(question.unwrap().joined_text());
    assert!(branch[18].body.message.joined_text().starts_with("question 10"), "nothing is stored");

    let all = build(&input(&branch, 10_000)).unwrap().report.used_tokens;
    let full = build(&WindowInput { recalled: &recalled, ..input(&branch, all) }).unwrap();
    assert!(full.report.recalled.is_empty(), "it goes first");
    assert_eq!(full.report.used_entries, 20);
}

#[test]
fn a_long_recalled_entry_is_cut_and_says_so() {
    let recalled = [recollection("trip", 3, &"é".repeat(4_000), 0)];
    let branch = ten_turns();
    let window = build(&WindowInput { recalled: &recalled, ..input(&branch, 40_000) }).unwrap();
    assert_eq!(window.report.recalled.len(), 1);
    assert!(text_of(&window).contains(" […]"));
    assert!(text_of(&window).len() < 8_000);
}

#[test]
fn a_forgotten_part_takes_its_round_along() {
    let round = vec![
        Message::user("a"),
        call(&["1", "2"]),
        Message::tool("1", "x"),
        Message::tool("2", "y"),
        Message::user("b"),
    ];
    for position in 1..4 {
        let mut branch = branch(round.clone());
        let body = branch[position].body.forgotten();
        branch[position].body = Arc::new(body);
        let window = window(&branch, 1_000);
        assert_eq!(roles(&window), "su", "{position}");
        assert_eq!(window.report.dropped_entries, 3);
    }
}

#[test]
fn a_message_larger_than_the_budget_is_refused_and_does_not_stay_in_the_way() {
    let mut branch = branch(vec![Message::user("a"), Message::user("x".repeat(9_000))]);
    let refused = build(&input(&branch, 1_000)).unwrap_err();
    assert!(refused.needed_tokens > 2_000 && refused.budget_tokens == 1_000);
    assert!(refused.to_string().starts_with("the message with"), "{refused}");
    let system = "x".repeat(9_000);
    let long = WindowInput { system: Some(&system), ..input(&branch[..1], 1_000) };
    let refused = build(&long).unwrap_err().to_string();
    assert!(refused.starts_with("the system prompt needs about"), "{refused}");
    assert!(refused.contains("shorten it"), "{refused}");
    branch.push(entry(3, Message::assistant(""), EntryStatus::Failed));
    branch.push(entry(4, Message::user("b"), EntryStatus::Complete));
    let window = window(&branch, 1_000);
    assert_eq!(roles(&window), "su", "the next message is answered");
}

#[test]
fn instructions_before_the_first_message_stay_with_it() {
    let branch = branch(vec![Message::system("be brief"), Message::user("a")]);
    assert_eq!(roles(&window(&branch, 1_000)), "ssu");
}

#[test]
fn an_answer_takes_in_the_calls_after_it() {
    let branch = branch(vec![
        Message::user("a"),
        Message::assistant("let me see"),
        call(&["1"]),
        Message::tool("1", "x"),
    ]);
    let window = window(&branch, 1_000);
    assert_eq!(roles(&window), "suat");
    assert_eq!(window.messages[2].joined_text(), "let me see");
    assert_eq!(window.messages[2].tool_calls.len(), 1);
}

/// Four bytes are a token; counts what it is asked.
#[derive(Debug, Default)]
struct Exact(std::sync::atomic::AtomicUsize);

impl TokenCounter for Exact {
    fn is_exact(&self) -> bool {
        true
    }

    fn text(&self, text: &str) -> Tokens {
        self.0.fetch_add(text.len(), std::sync::atomic::Ordering::Relaxed);
        Tokens::exact(text.len().div_ceil(4) as u64)
    }

    fn message(&self) -> u64 {
        0
    }

    fn frame(&self, _has_system: bool) -> u64 {
        0
    }
}

#[test]
fn each_text_is_counted_once_and_a_bounded_amount_at_a_time() {
    let counter = Arc::new(Exact::default());
    let counted = || counter.0.load(std::sync::atomic::Ordering::Relaxed);
    let known = Known::default();
    let branch = ten_turns();
    let mut counting = Counting::new(counter.clone(), "m", known.clone());
    let report = super::build(&input(&branch, 10_000), &mut counting).unwrap().report;
    assert_eq!(report.counting, Accuracy::Exact);
    let once = counted();
    super::build(&input(&branch, 10_000), &mut counting).unwrap();
    let mut next_turn = Counting::new(counter.clone(), "m", known.clone());
    super::build(&input(&branch, 10_000), &mut next_turn).unwrap();
    assert_eq!(counted(), once);

    let large = (0..9).map(|it| Message::user(format!("{it}{}", "x".repeat(30_000))));
    let large = self::branch(large.collect());
    let mut counting = Counting::new(counter.clone(), "m", known);
    let mut estimated = |left: usize| {
        let report = super::build(&input(&large, 1_000_000), &mut counting).unwrap().report;
        assert_eq!(report.counting == Accuracy::Estimated, left > 0, "{left} windows later");
        counted() - once
    };
    assert!(estimated(2) <= 128 * 1024);
    assert!(estimated(1) <= 256 * 1024);
    estimated(0);
}

fn leave(input: &WindowInput<'_>, entries: usize) -> Option<(Option<u64>, u64, u64)> {
    let bounds = Bounds { fixed_tokens: 0, entries };
    let Leaving { base, entries } = leaving(input, bounds, &mut Counting::estimate())?;
    let (first, last) = (entries.first()?.seq.0, entries.last()?.seq.0);
    Some((base.map(|it| it.at.0), first, last))
}

#[test]
fn whole_turns_leave_until_half_of_the_room_is_free() {
    let branch = ten_turns();
    let tokens: u64 =
        branch.iter().map(|it| Counting::estimate().message(&it.body.message).count).sum();
    assert_eq!(leave(&input(&branch, tokens * 2), 256), None, "nothing leaves");
    assert_eq!(leave(&input(&branch, tokens), 256), Some((None, 1, 12)));
    assert_eq!(leave(&input(&branch, tokens * 2), 20), Some((None, 1, 10)), "too many entries");
    let made = summary(10);
    let with = |budget| WindowInput { summary: Some(&made), ..input(&branch, budget) };
    assert_eq!(leave(&with(tokens), 256), None);
    assert_eq!(leave(&with(tokens / 2), 256), Some((Some(10), 11, 16)));
    assert_eq!(leave(&with(10), 256), Some((Some(10), 11, 18)), "the last turn stays");
    let older = WindowInput { has_older: true, ..input(&branch, tokens * 9) };
    assert_eq!(leave(&older, 10), None, "a summary would not stand for what is before");
}

#[test]
fn the_estimate_is_for_texts_that_no_counter_takes() {
    assert_eq!(Counting::estimate().text("How are you?"), Estimate.text("How are you?"));
}
