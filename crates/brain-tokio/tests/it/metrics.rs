//! What an observer learns, however a request ends.

use std::{collections::BTreeMap, sync::Arc};

use brain_core::{
    chat::Usage,
    llm::{ChatEvent, CompletionRequest, LlmErrorKind, LlmGateway},
};
use brain_tokio::llm::{Counters, Metrics, Operation, Totals};
use futures_util::StreamExt;

use crate::fake::{Fake, Play, outcome, question, seconds, texts};

fn observed(plays: impl IntoIterator<Item = Play>) -> (Metrics, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let metrics = Metrics::new(Fake::new(plays).gateway(), "lab", Arc::clone(&counters) as _);
    (metrics, counters)
}

fn totals(counters: &Counters, operation: Operation) -> Totals {
    counters.totals()["lab"][&operation].clone()
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_timed_and_its_cost_added_up() {
    let usage = |count| {
        let usage = Usage { input_tokens: count, output_tokens: 2, ..Usage::default() };
        ChatEvent::Usage(usage)
    };
    let play = Play::default().after(seconds(1)).progress().wait(seconds(2)).say("Hello");
    let play = play.event(usage(1)).wait(seconds(4)).event(usage(5)).finish();
    let (metrics, counters) = observed([play.clone(), play]);
    for _ in 0..2 {
        let mut stream = metrics.stream(question()).await.unwrap();
        assert_eq!(totals(&counters, Operation::Chat).under_way, 1);
        while stream.next().await.is_some() {}
        // It is told at the end, not when the stream is dropped.
        assert_eq!(totals(&counters, Operation::Chat).under_way, 0);
    }
    let expected = Totals {
        answered: 2,
        begun: 2,
        first_event: seconds(6),
        duration: seconds(14),
        usage: Usage { input_tokens: 10, output_tokens: 4, ..Usage::default() },
        ..Totals::default()
    };
    assert_eq!(totals(&counters, Operation::Chat), expected);
}

#[tokio::test(start_paused = true)]
async fn failures_count_by_their_kind_and_leaving_is_none() {
    let cut = Play::default().say("Hel").fail_as(LlmErrorKind::Interrupted);
    let refused = || Play::refuse_as(LlmErrorKind::Overloaded);
    let silent = || Play::default().after(seconds(60));
    let (metrics, counters) =
        observed([cut, refused(), refused(), silent(), Play::answer("Hello")]);
    for _ in 0..3 {
        outcome(metrics.stream(question()).await).await.1.unwrap();
    }
    let asking = tokio::time::timeout(seconds(1), metrics.stream(question()));
    assert!(asking.await.is_err());
    let mut stream = metrics.stream(question()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let totals = totals(&counters, Operation::Chat);
    let failed = BTreeMap::from([("provider_interrupted", 1), ("provider_overloaded", 2)]);
    assert_eq!((totals.failed, totals.cancelled, totals.answered), (failed, 2, 0));
    assert_eq!((totals.under_way, totals.begun), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_unfinished_broke_off() {
    let (metrics, counters) = observed([Play::default().say("Hel")]);
    outcome(metrics.stream(question()).await).await;
    let totals = totals(&counters, Operation::Chat);
    assert_eq!(totals.failed, BTreeMap::from([("provider_interrupted", 1)]));
    assert_eq!(totals.cancelled, 0);
}

#[tokio::test(start_paused = true)]
async fn every_operation_is_observed() {
    let whole = Play::default().after(seconds(1));
    let (metrics, counters) = observed([Play::answer("x"), whole.clone(), whole]);
    outcome(metrics.complete_text(CompletionRequest::default()).await).await;
    metrics.embed(texts()).await.unwrap();
    metrics.models().await.unwrap();
    for operation in [Operation::Complete, Operation::Embed, Operation::Models] {
        assert_eq!(totals(&counters, operation).answered, 1, "{}", operation.name());
    }
    let vectors = totals(&counters, Operation::Embed);
    assert_eq!((vectors.usage.input_tokens, vectors.duration), (7, seconds(1)));
}
