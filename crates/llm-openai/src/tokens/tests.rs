//! The tables against known counts, and the estimate of the core against the tables.

use std::{
    thread,
    time::{Duration, Instant},
};

use brain_core::llm::{Estimate, TokenCounter, Tokens};
use brain_testkit::gateway::{estimate_is_never_low, long_texts_are_counted_in_time};

use super::{Encoding, MAX_TEXT, Pieces, Tables, encoding};

/// A counter whose table is there; the first asking loads it.
fn loaded(tables: &Tables, model: &str) -> std::sync::Arc<dyn TokenCounter> {
    let begun = Instant::now();
    loop {
        let counter = tables.counter(model, true);
        if counter.text("a").exact {
            return counter;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the table of {model} does not come");
        thread::sleep(Duration::from_millis(5));
    }
}

const PROSE: &str = "It keeps every conversation, chooses and survives providers, runs tools safely, \
    streams what happens, and gives the memory back as plain JSON. Where both disagree, the issue \
    stands; design comes before reference, and where all are silent, build what people expect.\n";

const CODE: &str = "fn take(rest: &mut Peekable<Chars<'_>>, belongs: impl Fn(char) -> bool) -> u64 {\n    \
    let mut count = 1;\n    while rest.next_if(|it| belongs(*it)).is_some() {\n        count += 1;\n    }\n}\n";

#[test]
fn the_estimate_is_above_both_tables_and_near_them_for_what_is_common() {
    let tables = Tables::default();
    for model in ["gpt-4.1-mini", "gpt-4-turbo"] {
        let counter = loaded(&tables, model);
        estimate_is_never_low(&*counter);
        for text in [PROSE, CODE] {
            let (exact, estimate) = (counter.text(text).count, Estimate.text(text).count);
            assert!(estimate * 4 <= exact * 9, "{exact} estimated as {estimate}: {text}");
        }
    }
}

#[test]
fn known_texts_have_their_known_counts() {
    let tables = Tables::default();
    assert_eq!(loaded(&tables, "gpt-4").text("tiktoken is great!"), Tokens::exact(6));
    assert_eq!(
        loaded(&tables, "gpt-4o").text("<|endoftext|>").count,
        7,
        "text, not a control token"
    );
    assert_eq!(tables.counter("o3", true).frame(false), 64);
}

#[test]
fn a_model_has_a_table_only_where_its_name_means_it() {
    for (model, official, table) in [
        ("gpt-4.1-mini", true, Some(Encoding::O200k)),
        ("ft:gpt-4o:me::1", true, Some(Encoding::O200k)),
        ("gpt-4-0613", true, Some(Encoding::Cl100k)),
        ("gpt-4o", false, None),
        ("openai/gpt-oss-20b", false, Some(Encoding::O200k)),
        ("llama-3", true, None),
        ("gpt-6", true, None),
    ] {
        assert_eq!(encoding(model, official), table, "{model}");
    }
}

#[test]
fn without_its_table_a_model_is_estimated_and_never_fails() {
    let tables = Tables::default();
    let first = tables.counter("gpt-4o", true);
    assert_eq!(first.text("How are you?"), Estimate.text("How are you?"), "loading takes longer");
    let failing = super::Table::default();
    assert!(super::told::<String>(Err("no table".to_owned())).is_none());
    let counter = super::Counter { table: std::sync::Arc::new(failing), frame: 0 };
    assert!(!counter.text("a").exact);
}

#[test]
fn hostile_texts_are_counted_within_a_bound() {
    let counter = loaded(&Tables::default(), "gpt-4o");
    for character in ["a", " ", "\n", "é", "😀", "ab ", "0"] {
        for (bytes, exact) in [(MAX_TEXT, true), (1 << 20, false)] {
            let text = character.repeat(bytes / character.len());
            assert_eq!(counter.text(&text).exact, exact, "a megabyte is estimated");
            long_texts_are_counted_in_time(&*counter, character, bytes);
        }
    }
}

#[test]
fn pieces_are_the_text_and_cutting_at_spaces_costs_nothing() {
    let counter = loaded(&Tables::default(), "gpt-4o");
    let text = PROSE.repeat(60);
    assert_eq!(Pieces(&text).collect::<String>(), text);
    assert!(Pieces(&text).count() > 4);
    let whole = counter.text(&PROSE.repeat(4)).count;
    assert_eq!(counter.text(&text).count, whole * 15);
}
