//! Any history, any budget: what a model is shown is valid for every provider, fits, and invents
//! nothing.
#![expect(clippy::indexing_slicing, reason = "a broken promise fails loudly")]

use std::{iter, sync::Arc};

use brain_core::{
    chat::{Message, Part, Role, ToolCall},
    ids::{Seq, SessionId},
    memory::{Entry, EntryBody, EntryStatus, Summary},
    time::Timestamp,
    window::{Counting, Recollection, Window, WindowInput, build},
};
use proptest::{prelude::*, test_runner::TestRunner};

const HISTORIES: u32 = 10_000;

/// A piece of a history, whole or broken.
#[derive(Clone, Debug)]
enum Step {
    Say(usize, EntryStatus),
    Answer(usize, EntryStatus),
    /// Calls, and then results: each a call's id or a stranger's, in any order.
    Round(Vec<u8>, Vec<(u8, EntryStatus)>, EntryStatus),
    /// A round inside a round: the second's calls come before the first's results.
    Nested(u8, u8),
    Result(u8),
}

fn status() -> impl Strategy<Value = EntryStatus> {
    prop_oneof![
        12 => Just(EntryStatus::Complete),
        1 => Just(EntryStatus::Interrupted),
        1 => Just(EntryStatus::Failed),
        1 => Just(EntryStatus::Forgotten),
    ]
}

/// A round that is whole more often than not.
fn round() -> impl Strategy<Value = Step> {
    let whole = (1..4u8, status()).prop_map(|(calls, it)| {
        let results = (0..calls).rev().map(|id| (id, EntryStatus::Complete)).collect();
        Step::Round((0..calls).collect(), results, it)
    });
    let broken = (
        prop::collection::vec(0..4u8, 1..4),
        prop::collection::vec((0..4u8, status()), 0..4),
        status(),
    );
    prop_oneof![2 => whole, 1 => broken.prop_map(|(calls, results, it)| Step::Round(calls, results, it))]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..60usize, status()).prop_map(|(length, it)| Step::Say(length, it)),
        3 => (0..60usize, status()).prop_map(|(length, it)| Step::Answer(length, it)),
        2 => round(),
        1 => (0..4u8, 0..4u8).prop_map(|(outer, inner)| Step::Nested(outer, inner)),
        1 => (0..4u8).prop_map(Step::Result),
    ]
}

#[derive(Clone, Debug)]
struct History {
    branch: Vec<Entry>,
    has_older: bool,
    system: bool,
    summary: Option<Summary>,
    recalled: Vec<Recollection>,
}

fn history() -> impl Strategy<Value = History> {
    (
        prop::collection::vec(step(), 1..9),
        any::<(bool, bool, bool)>(),
        prop::option::of((0..30u64, 0..80usize)),
        prop::collection::vec((any::<bool>(), 1..30u64, 1..60usize), 0..3),
    )
        .prop_map(|(steps, (older, system, instructions), summary, recalled)| History {
            branch: branch(&steps, older, instructions),
            has_older: older,
            system,
            summary: summary.map(|(at, length)| Summary {
                at: Seq(at),
                text: "s".repeat(length),
                model: None,
                created_at: Timestamp::default(),
            }),
            recalled: recalled.into_iter().map(recollection).collect(),
        })
}

fn recollection((is_here, seq, length): (bool, u64, usize)) -> Recollection {
    let body = EntryBody::complete(Message::user("r".repeat(length)), Timestamp::default());
    let entry = Entry { seq: Seq(seq), parent: None, body: Arc::new(body) };
    let session_id = SessionId::new(if is_here { "here" } else { "there" }).unwrap();
    Recollection { session_id, title: None, is_here, entry }
}

/// The text of an entry names its position, so that every piece can be found again.
fn text(seq: u64, length: usize) -> String {
    if length == 0 { String::new() } else { format!("#{seq}# {}", "a ".repeat(length)) }
}

fn branch(steps: &[Step], has_older: bool, instructions: bool) -> Vec<Entry> {
    let mut built = Branch { entries: Vec::new(), next: 1 + u64::from(has_older) * 4 };
    if instructions {
        built.push(EntryStatus::Complete, |seq| Message::system(text(seq, 3)));
    }
    for step in steps {
        built.add(step);
    }
    built.entries
}

struct Branch {
    entries: Vec<Entry>,
    next: u64,
}

impl Branch {
    fn push(&mut self, status: EntryStatus, message: impl Fn(u64) -> Message) {
        let parent = self.next.checked_sub(1).filter(|it| *it > 0).map(Seq);
        let body = EntryBody::complete(message(self.next), Timestamp::default());
        let body = match status {
            EntryStatus::Forgotten => body.forgotten(),
            EntryStatus::Complete | EntryStatus::Interrupted | EntryStatus::Failed => {
                EntryBody { status, ..body }
            }
        };
        self.entries.push(Entry { seq: Seq(self.next), parent, body: Arc::new(body) });
        self.next += 1;
    }

    fn add(&mut self, step: &Step) {
        match step {
            Step::Say(length, it) => self.push(*it, |seq| said(text(seq, *length + 1), *length)),
            Step::Answer(length, it) => {
                self.push(*it, |seq| Message::assistant(text(seq, *length)));
            }
            Step::Round(calls, results, it) => {
                self.push(*it, |seq| call(seq, calls));
                for (id, it) in results {
                    self.push(*it, |seq| Message::tool(id.to_string(), text(seq, 5)));
                }
            }
            Step::Nested(outer, inner) => {
                self.push(EntryStatus::Complete, |seq| call(seq, &[*outer]));
                self.push(EntryStatus::Complete, |seq| call(seq, &[*inner]));
                for id in [inner, outer] {
                    self.push(EntryStatus::Complete, |seq| {
                        Message::tool(id.to_string(), text(seq, 5))
                    });
                }
            }
            Step::Result(id) => {
                self.push(EntryStatus::Complete, |seq| Message::tool(id.to_string(), text(seq, 5)));
            }
        }
    }
}

/// What a person says; some show pictures with it.
fn said(text: String, length: usize) -> Message {
    let url = "data:image/png;base64,AAAA".to_owned();
    let pictures = iter::repeat_n(Part::Image { url }, length.saturating_sub(56));
    Message {
        content: iter::once(Part::Text { text }).chain(pictures).collect(),
        ..Message::user("")
    }
}

fn call(seq: u64, ids: &[u8]) -> Message {
    let calls = ids.iter().map(|id| ToolCall {
        id: id.to_string(),
        name: "t".to_owned(),
        arguments: format!("#{seq}#"),
        provider_id: None,
    });
    Message { tool_calls: calls.collect(), ..Message::assistant("") }
}

fn is_left_out(entry: &Entry) -> bool {
    matches!(entry.body.status, EntryStatus::Failed | EntryStatus::Forgotten)
}

/// Every budget at which a different set of entries fits, and one less of each.
fn budgets(history: &History) -> Vec<u64> {
    let mut counting = Counting::estimate();
    let entries = history.branch.iter().rev();
    let costs: Vec<u64> = entries.map(|it| counting.message(&it.body.message).count).collect();
    let summary = history.summary.as_ref().map_or(0, |it| it.text.len() as u64 / 4 + 30);
    let mut sum = 0;
    let mut budgets = vec![0, 1_000_000];
    for cost in costs {
        sum += cost;
        for extra in [12, 40, 40 + summary] {
            budgets.extend([sum + extra, sum + extra - 1]);
        }
    }
    budgets.sort_unstable();
    budgets.dedup();
    budgets
}

#[test]
fn ten_thousand_histories_are_valid_at_every_budget() {
    let config =
        ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(HISTORIES) };
    let windows = std::cell::Cell::new(0_u64);
    let mut runner = TestRunner::new(config);
    let result = runner.run(&history(), |history| {
        let mut counting = Counting::estimate();
        for budget_tokens in budgets(&history) {
            // Each is a window of its own, whatever was counted for the one before.
            let sees_pictures = windows.get().is_multiple_of(2);
            let input = WindowInput {
                system: history.system.then_some("be kind"),
                summary: history.summary.as_ref(),
                recalled: &history.recalled,
                branch: &history.branch,
                has_older: history.has_older,
                tools: &[],
                sees_pictures,
                budget_tokens,
            };
            windows.set(windows.get() + 1);
            match build(&input, &mut counting) {
                Ok(window) => {
                    check(&input, &window)?;
                    // A model may find it too long although it fits.
                    let budget_tokens = window.report.used_tokens / 4 * 3;
                    let less = WindowInput { budget_tokens, ..input };
                    if windows.get().is_multiple_of(5)
                        && let Ok(rebuilt) = build(&less, &mut counting)
                    {
                        check(&less, &rebuilt)?;
                    }
                }
                Err(refused) => {
                    let needs_more = budget_tokens < refused.needed_tokens;
                    prop_assert!(needs_more || !has_question(&history.branch));
                }
            }
        }
        Ok(())
    });
    println!("{HISTORIES} histories, {} windows", windows.get());
    result.unwrap();
}

fn has_question(branch: &[Entry]) -> bool {
    branch.iter().any(|it| it.body.message.role == Role::User && !is_left_out(it))
}

type Checked = Result<(), TestCaseError>;

fn check(input: &WindowInput<'_>, window: &Window) -> Checked {
    openai(&window.messages)?;
    let said: Vec<&Message> =
        window.messages.iter().filter(|it| it.role != Role::System).map(|it| &**it).collect();
    if has_question(input.branch) {
        prop_assert_eq!(said[0].role, Role::User, "Anthropic and Gemini begin with the user");
        anthropic(&said)?;
        gemini(&said)?;
    }
    kept(input, window)?;
    fits(input, window)?;
    origin(input, window)?;
    pictures(input, window)?;
    accounted(input, window)
}

/// Calls are followed by exactly their results, and results stand nowhere else.
fn openai(messages: &[Arc<Message>]) -> Checked {
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        if message.role == Role::Tool {
            let id = message.tool_call_id.as_deref().unwrap();
            let found = open.iter().position(|it| *it == id);
            prop_assert!(found.is_some(), "a result without its call");
            open.remove(found.unwrap());
        } else {
            prop_assert!(open.is_empty(), "a call without its result");
            prop_assert!(message.tool_calls.is_empty() || message.role == Role::Assistant);
            open.extend(message.tool_calls.iter().map(|it| it.id.as_str()));
        }
        prop_assert!(
            !(message.content.is_empty()
                && message.tool_calls.is_empty()
                && message.role == Role::Assistant)
        );
    }
    prop_assert!(open.is_empty(), "a call without its result");
    Ok(())
}

/// Roles alternate; results are the user's, and may be followed by what the user says.
fn anthropic(said: &[&Message]) -> Checked {
    for pair in said.windows(2) {
        let both = (pair[0].role, pair[1].role);
        prop_assert!(!matches!(both, (Role::User, Role::User | Role::Tool)), "{both:?}");
        prop_assert!(both != (Role::Assistant, Role::Assistant), "{both:?}");
    }
    Ok(())
}

/// A call comes right after the user or a result.
fn gemini(said: &[&Message]) -> Checked {
    for pair in said.windows(2) {
        let is_call = !pair[1].tool_calls.is_empty();
        prop_assert!(!is_call || matches!(pair[0].role, Role::User | Role::Tool));
    }
    Ok(())
}

/// The system prompt is there, and the newest message of the user's, and what came last.
fn kept(input: &WindowInput<'_>, window: &Window) -> Checked {
    if let Some(system) = input.system {
        prop_assert_eq!(window.messages[0].role, Role::System);
        prop_assert_eq!(window.messages[0].joined_text(), system);
    }
    let is_said = |it: &&Entry| it.body.message.role == Role::User && !is_left_out(it);
    if let Some(last) = input.branch.iter().rfind(is_said) {
        let part = &last.body.message.content[0];
        prop_assert!(window.messages.iter().any(|it| it.content.contains(part)));
    }
    Ok(())
}

fn fits(input: &WindowInput<'_>, window: &Window) -> Checked {
    let mut counting = Counting::estimate();
    let tokens: u64 = window.messages.iter().map(|it| counting.message(it).count).sum();
    prop_assert!(window.report.used_tokens <= input.budget_tokens, "{:?}", window.report);
    prop_assert!(tokens <= window.report.used_tokens, "{tokens}: {:?}", window.report);
    Ok(())
}

/// The positions that the texts and calls of the window name, in order.
fn positions(window: &Window) -> Vec<u64> {
    let position = |text: &str| text.strip_prefix('#')?.split('#').next()?.parse::<u64>().ok();
    let mut found = Vec::new();
    for message in &window.messages {
        found.extend(message.texts().filter_map(position));
        found.extend(message.tool_calls.iter().filter_map(|it| position(&it.arguments)));
    }
    found.dedup();
    found
}

/// What is shown is a subsequence of the branch, without what failed or was forgotten; everything
/// else is marked.
fn origin(input: &WindowInput<'_>, window: &Window) -> Checked {
    let shown = positions(window);
    prop_assert!(shown.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
    for seq in &shown {
        let entry = input.branch.iter().find(|it| it.seq.0 == *seq);
        prop_assert!(entry.is_some_and(|it| !is_left_out(it)), "{seq}");
    }
    let texts =
        window.messages.iter().filter(|it| it.role != Role::System).flat_map(|it| &it.content);
    let strange = texts
        .filter_map(|it| if let Part::Text { text } = it { Some(text.as_str()) } else { None })
        .filter(|it| !it.starts_with('#') && !it.starts_with("<summary>") && *it != "[picture]")
        .count();
    let recalled = window.report.recalled.len();
    prop_assert_eq!(strange, if recalled == 0 { 0 } else { recalled + 2 });
    for it in &window.report.recalled {
        let is_shown = it.session_id.as_str() == "here" && shown.contains(&it.seq.0);
        prop_assert!(!is_shown, "{} twice", it.seq.0);
    }
    Ok(())
}

/// Pictures are shown to those who see them, and counted where words stand for them.
fn pictures(input: &WindowInput<'_>, window: &Window) -> Checked {
    let parts = || window.messages.iter().flat_map(|it| &it.content);
    let shown = parts().filter(|it| matches!(it, Part::Image { .. })).count();
    let words =
        parts().filter(|it| matches!(it, Part::Text { text } if text == "[picture]")).count();
    prop_assert_eq!(if input.sees_pictures { words } else { shown }, 0);
    prop_assert_eq!(window.report.pictures_left_out, words);
    Ok(())
}

/// Every entry is shown, summarised or said to be dropped.
fn accounted(input: &WindowInput<'_>, window: &Window) -> Checked {
    let report = &window.report;
    prop_assert_eq!(report.used_entries, positions(window).len(), "{:?}", report);
    prop_assert_eq!(report.used_entries + report.dropped_entries, input.branch.len());
    prop_assert!(report.summarised_entries <= report.dropped_entries);
    let is_summarised =
        window.messages.iter().flat_map(|it| it.texts()).any(|it| it.starts_with("<summary>"));
    prop_assert_eq!(report.summary.is_some(), is_summarised);
    if let Some(at) = report.summary {
        let before = input.branch[0].parent;
        prop_assert!(before == Some(at) || input.branch.iter().any(|it| it.seq == at));
        prop_assert!(report.dropped_entries > 0 || input.has_older);
    }
    Ok(())
}
