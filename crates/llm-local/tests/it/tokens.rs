//! Counting: what is counted before a request is what the model then reads.

use brain_core::{
    chat::{Message, Role},
    llm::{Estimate, LlmGateway, TokenCounter},
};
use brain_testkit::gateway::{estimate_is_never_low, long_texts_are_counted_in_time};
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

#[tokio::test]
async fn hostile_texts_are_counted_within_a_bound() {
    ask(vec![Message::user("Hello")], short(1)).await;
    let counter = GATEWAY.tokens("");
    for character in ["a", " ", "\n", "é", "😀", "0"] {
        for (bytes, exact) in [(32 << 10, true), (1 << 20, false)] {
            let text = character.repeat(bytes / character.len());
            assert_eq!(counter.text(&text).exact, exact);
            long_texts_are_counted_in_time(&*counter, character, bytes);
        }
    }
}
