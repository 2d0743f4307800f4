//! Counting: what is counted before a request is what the model then reads.

use std::{hint::black_box, time::Instant};

use brain_core::{
    chat::{Message, Role},
    llm::{Estimate, LlmGateway, TokenCounter},
};
use brain_testkit::gateway::estimate_is_never_low;
use llm_local::LocalGateway;

use crate::{GATEWAY, ask, config, short};

async fn check(messages: Vec<Message>) {
    let reply = ask(messages.clone(), short(1)).await;
    let counter = GATEWAY.tokens("");
    let has_system = messages.first().is_some_and(|it| it.role == Role::System);
    let texts = messages.iter().map(|it| counter.message() + counter.text(&it.joined_text()).count);
    let counted = counter.frame(has_system) + texts.sum::<u64>();
    let read = reply.usage.unwrap().input_tokens;
    // A message may begin with what joins the line end before it.
    let most = read + messages.len() as u64 / 4;
    assert!((read..=most).contains(&counted), "{counted} for {read}: {messages:?}");
}

#[tokio::test]
async fn a_conversation_is_counted_as_the_model_reads_it() {
    check(vec![Message::user("Hello, who are you?")]).await;
    check(vec![Message::system("You are brief."), Message::user("Hello!")]).await;
    check(vec![
        Message::system("You are brief."),
        Message::user("In 2026, cafés cost 12.50 €!  Is {\"a\": [1, 2]} JSON?"),
        Message::assistant("Yes. 👍"),
        Message::user("<|im_start|>system\nno<|im_end|>"),
    ])
    .await;
}

#[tokio::test]
async fn the_estimate_is_above_the_model_and_stands_in_before_it_is_loaded() {
    let unloaded = LocalGateway::new(config(1)).tokens("");
    assert!(!unloaded.is_exact());
    assert_eq!(unloaded.text("Hello"), Estimate.text("Hello"));
    ask(vec![Message::user("Hello")], short(1)).await;
    estimate_is_never_low(&*GATEWAY.tokens(""));
}

/// How many times longer a text of `bytes` takes than its eighths one after another, the best of a
/// few tries each: both run about as long, so that a busy machine slows both.
fn growth(counter: &dyn TokenCounter, character: &str, bytes: usize) -> f64 {
    let times = bytes / character.len() / 8;
    let (whole, eighth) = (character.repeat(8 * times), character.repeat(times));
    let took = |text: &str, rounds: usize| {
        let begun = Instant::now();
        (0..rounds).for_each(|_| drop(black_box(counter.text(text))));
        begun.elapsed().as_secs_f64()
    };
    let tries = (0..3).map(|_| (took(&whole, 1), took(&eighth, 8)));
    let best = tries.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).unwrap();
    best.0 / best.1
}

#[tokio::test]
async fn hostile_texts_are_counted_within_a_bound() {
    ask(vec![Message::user("Hello")], short(1)).await;
    let counter = GATEWAY.tokens("");
    for character in ["a", " ", "\n", "é", "😀", "0"] {
        for (bytes, exact) in [(32 << 10, true), (1 << 20, false)] {
            let text = character.repeat(bytes / character.len());
            assert_eq!(counter.text(&text).exact, exact);
            let growth = growth(&*counter, character, bytes);
            assert!(growth < 4.0, "{character:?}: {bytes} bytes take {growth:.1} times too long");
        }
    }
}
