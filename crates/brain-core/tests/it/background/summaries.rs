//! Summaries: made of what leaves, kept at the ends of turns, used where they apply, and never in
//! anybody's way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::{
    brain::{Brain, TurnEnd},
    chat::{Message, Role},
    ids::{AppendId, Seq},
    llm::LlmErrorKind,
    memory::{
        Append, Catalog, Draft, EntryBody, Expect, InMemoryStore, MemoryStore, SessionLog, Summary,
        TurnState,
    },
    time::Timestamp,
};
use brain_testkit::{Answer, Gate, ScriptedLlm};

use super::{eventually, summarising};
use crate::fixture::{history, in_memory, key, say};

/// About 30 tokens, and as many in the answer.
fn words(turn: usize) -> String {
    format!("{turn}: {}", "word ".repeat(20))
}

async fn summaries(store: &dyn MemoryStore) -> Vec<Summary> {
    store.summaries(&key("s")).await.unwrap()
}

async fn summarised(store: &Arc<InMemoryStore>, count: usize) {
    eventually("a summary", || async { summaries(&**store).await.len() >= count }).await;
}

/// Says something in every turn of these.
async fn talk(brain: &Brain, turns: std::ops::Range<usize>) -> Vec<TurnEnd> {
    let mut ends = Vec::new();
    for turn in turns {
        let end = say(brain, "s", &words(turn)).await;
        assert_eq!(end.status, TurnState::Completed, "{:?}", end.error);
        ends.push(end);
    }
    ends
}

/// What the summariser was shown, in the order it was.
fn shown(other: &ScriptedLlm) -> Vec<String> {
    let requests = other.requests();
    requests.iter().map(|it| it.messages.last().unwrap().joined_text()).collect()
}

/// Every summary stands at the end of a turn: the next entry is the user's.
async fn stand_at_ends(store: &dyn MemoryStore) {
    let entries = history(store, "s").await;
    for summary in summaries(store).await {
        let next = entries.iter().find(|it| it.seq.0 == summary.at.0 + 1).unwrap();
        assert_eq!(next.body.message.role, Role::User, "{summary:?}");
    }
}

#[tokio::test]
async fn what_leaves_the_window_is_summarised_once_and_the_summary_is_used() {
    let (store, other) = (in_memory(), ScriptedLlm::new([]));
    for number in 1..20 {
        other.push(Answer::text(format!("summary {number}")));
    }
    for turn in 0..24 {
        let brain = summarising(store.clone(), &other);
        let context = talk(&brain, turn..turn + 1).await.remove(0).context.unwrap();
        assert_eq!(context.dropped_entries, context.summarised_entries, "{turn}: {context:?}");
        brain.drain(Duration::from_secs(5)).await;
        assert_eq!(summaries(&*store).await.len(), other.requests().len());
    }
    let kept = summaries(&*store).await;
    assert!((3..10).contains(&kept.len()), "{kept:?}");
    assert_eq!(history(&*store, "s").await.len(), 48, "the raw entries stay");
    stand_at_ends(&*store).await;
    let shown = shown(&other);
    assert!(shown[1].starts_with("<summary>\nsummary 1\n</summary>"), "{}", shown[1]);
    let told: Vec<usize> = (0..24)
        .filter_map(|turn| {
            shown.iter().position(|it| it.contains(&format!("User: {}", words(turn).trim())))
        })
        .collect();
    assert!(told.is_sorted(), "the oldest come first: {told:?}");
    for turn in 0..told.len() {
        let times = shown.iter().filter(|it| it.contains(&format!("User: {turn}: "))).count();
        assert_eq!(times, 1, "turn {turn} is summarised once");
    }
}

#[tokio::test]
async fn a_summary_that_fails_or_is_empty_changes_nothing_and_is_tried_again() {
    let (store, other) = (in_memory(), ScriptedLlm::new([]));
    other.push(Answer::refused(LlmErrorKind::Unavailable, "away"));
    other.push(Answer::new().say(" \n").finish());
    other.push(Answer::new().say("half").fail(LlmErrorKind::Interrupted, "gone"));
    other.push(Answer::text("at last"));
    for turn in 0..20 {
        let brain = summarising(store.clone(), &other);
        talk(&brain, turn..turn + 1).await;
        brain.drain(Duration::from_secs(5)).await;
        match other.requests().len() {
            tries @ 0..4 => assert_eq!(summaries(&*store).await, [], "after {tries} tries"),
            _ => break,
        }
    }
    assert_eq!(summaries(&*store).await[0].text, "at last");
    assert_eq!(other.requests().len(), 4, "one try a turn");
}

#[tokio::test]
async fn what_is_said_while_the_summary_is_made_stays() {
    let (store, gate) = (in_memory(), Gate::new());
    let other = ScriptedLlm::new([Answer::text("they counted").after(&gate)]);
    let brain = summarising(store.clone(), &other);
    talk(&brain, 0..6).await;
    gate.reached_by(1).await;
    let ends = talk(&brain, 6..16).await;
    assert_eq!(ends.len(), 10);
    assert_eq!(other.requests().len(), 1, "one at a time");
    gate.open();
    summarised(&store, 1).await;
    let said = history(&*store, "s").await;
    assert_eq!(said.len(), 32);
    for turn in 0..16 {
        assert!(said.iter().any(|it| it.body.message.joined_text() == words(turn)));
    }
    let summary = summaries(&*store).await.remove(0);
    assert!(summary.at < Seq(12), "{summary:?}");
}

#[tokio::test]
async fn a_restart_does_not_summarise_again() {
    let (store, other) = (in_memory(), ScriptedLlm::new([]));
    other.push(Answer::text("they counted"));
    talk(&summarising(store.clone(), &other), 0..6).await;
    summarised(&store, 1).await;
    let brain = summarising(store.clone(), &other);
    let end = talk(&brain, 6..7).await.remove(0);
    let context = end.context.unwrap();
    assert_eq!(context.dropped_entries, context.summarised_entries);
    brain.drain(Duration::from_secs(5)).await;
    assert_eq!(other.requests().len(), 1);
}

#[tokio::test]
async fn what_is_forgotten_meanwhile_is_in_no_summary() {
    let (store, gate) = (in_memory(), Gate::new());
    let other = ScriptedLlm::new([Answer::text("the secret is 0").after(&gate)]);
    let brain = summarising(store.clone(), &other);
    talk(&brain, 0..6).await;
    gate.reached_by(1).await;
    store.forget_entry(&key("s"), Seq(1)).await.unwrap();
    gate.open();
    brain.drain(Duration::from_secs(5)).await;
    assert_eq!(summaries(&*store).await, []);
    other.push(Answer::text("they counted"));
    let brain = summarising(store.clone(), &other);
    talk(&brain, 6..8).await;
    eventually("a summary", || async {
        summaries(&*store).await.iter().any(|it| it.text == "they counted")
    })
    .await;
    assert!(!shown(&other).last().unwrap().contains("User: 0: "));
}

#[tokio::test]
async fn a_session_that_is_forgotten_meanwhile_stays_forgotten() {
    let (store, gate) = (in_memory(), Gate::new());
    let other = ScriptedLlm::new([Answer::text("they counted").after(&gate)]);
    let brain = summarising(store.clone(), &other);
    talk(&brain, 0..6).await;
    gate.reached_by(1).await;
    brain.forget(&key("s")).await.unwrap();
    gate.open();
    brain.drain(Duration::from_secs(5)).await;
    assert!(store.session(&key("s")).await.unwrap().is_none());
    assert_eq!(summaries(&*store).await, []);
}

#[tokio::test]
async fn draining_does_not_wait_for_a_slow_summary() {
    let (store, gate) = (in_memory(), Gate::new());
    let other = ScriptedLlm::new([Answer::text("too late").after(&gate)]);
    let brain = summarising(store.clone(), &other);
    talk(&brain, 0..6).await;
    gate.reached_by(1).await;
    let begun = Instant::now();
    assert_eq!(brain.drain(Duration::from_millis(50)).await, 0);
    assert!(begun.elapsed() < Duration::from_secs(3));
    gate.open();
    assert_eq!(summaries(&*store).await, []);
}

/// A history of so many turns that no window has seen yet.
async fn imported(store: &InMemoryStore, turns: usize) {
    let drafts = (0..turns).flat_map(|turn| {
        let body = |message| EntryBody::complete(message, Timestamp::default());
        let said = [Message::user(words(turn)), Message::assistant("yes")];
        said.map(|it| Draft::new(body(it)).unwrap())
    });
    let (parent, expect, fence) = (None, Expect::Absent, None);
    let append_id = AppendId::new("import").unwrap();
    let append = Append { parent, expect, append_id, fence, drafts: drafts.collect() };
    store.append(&key("s"), append).await.unwrap();
}

#[tokio::test]
async fn a_long_history_is_caught_up_with_from_its_beginning() {
    let (store, other) = (in_memory(), ScriptedLlm::new([]));
    for number in 1..200 {
        other.push(Answer::text(format!("summary {number}")));
    }
    imported(&store, 300).await;
    let brain = summarising(store.clone(), &other);
    let mut turn = 300;
    let begun = Instant::now();
    loop {
        let context = talk(&brain, turn..turn + 1).await.remove(0).context.unwrap();
        turn += 1;
        if context.summary.is_some() && context.dropped_entries == context.summarised_entries {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{context:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stand_at_ends(&*store).await;
    let all = shown(&other).concat();
    let missing = (0..300).find(|it| !all.contains(&format!("User: {it}: ")));
    assert!(missing.is_none_or(|it| it > 250), "{missing:?} was never summarised");
    assert!(all.starts_with("<conversation>\nUser: 0: "), "it begins at the beginning");
}
