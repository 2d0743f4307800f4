//! The tables against known counts, and the estimate of the core against the tables.

use std::{
    thread,
    time::{Duration, Instant},
};

use brain_core::llm::{Estimate, TokenCounter, Tokens};

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

fn json() -> String {
    let row = |it: u32| {
        format!(
            r#"{{"id":{it},"name":"user {it}","ok":true,"score":0.{},"tags":["a","b"],"at":"2026-01-01T00:00:00Z"}}"#,
            it.wrapping_mul(0x9E37_79B9)
        )
    };
    (0..60).map(row).collect::<Vec<_>>().join(",")
}

fn hexadecimal() -> String {
    (0..200u64).map(|it| format!("{:016x}", it.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect()
}

const PROSE: &str = "It keeps every conversation, chooses and survives providers, runs tools safely, \
    streams what happens, and gives the memory back as plain JSON. Where both disagree, the issue \
    stands; design comes before reference, and where all are silent, build what people expect.\n";

const CODE: &str = "fn take(rest: &mut Peekable<Chars<'_>>, belongs: impl Fn(char) -> bool) -> u64 {\n    \
    let mut count = 1;\n    while rest.next_if(|it| belongs(*it)).is_some() {\n        count += 1;\n    }\n}\n";

#[test]
fn the_estimate_is_above_both_tables() {
    let tables = Tables::default();
    let samples = [
        ("prose", PROSE.repeat(8), 1.0),
        ("code", CODE.repeat(8), 1.0),
        ("json", json(), 1.3),
        ("small json", r#"{"a":1,"b":[2,3,{"c":null}],"d":true}"#.repeat(40), 1.3),
        ("escaped json", json().replace('"', "\\\""), 1.3),
        ("hexadecimal", hexadecimal(), 1.0),
        ("base64", "aGVsbG8gd29ybGQsIHRoaXMgaXMgYmFzZTY0IQ9XkQz7Jm/Rt+".repeat(40), 1.0),
        ("signs", "!@#$%^&*()_+{}|:<>?~`-=[];',./".repeat(40), 1.0),
        ("german", "Über die Straße führt ein schöner Weg zum größten Gebäude. ".repeat(20), 1.0),
        ("russian", "Сегодня хорошая погода, и мы пойдём гулять в парк. ".repeat(20), 1.0),
        ("chinese", "今天天气很好我们去公园散步吧这是一个测试。".repeat(20), 1.0),
        ("japanese", "今日は天気がいいから、公園へ散歩に行きましょう。".repeat(20), 1.0),
        ("korean", "오늘은 날씨가 좋으니 공원에 산책하러 갑시다. ".repeat(20), 1.0),
        ("hindi", "आज मौसम अच्छा है, चलो पार्क में टहलते हैं। ".repeat(20), 1.0),
        ("thai", "วันนี้อากาศดีมากเราไปเดินเล่นในสวนกันเถอะ".repeat(20), 1.0),
        ("amharic", "ሰላም እንዴት ነህ ዛሬ ".repeat(20), 1.0),
        ("emoji", "👍🏽👩\u{200d}👩\u{200d}👧🎉😀🇩🇪".repeat(20), 1.0),
    ];
    for model in ["gpt-4.1-mini", "gpt-4-turbo"] {
        let counter = loaded(&tables, model);
        for (name, text, margin) in &samples {
            let (exact, estimate) = (counter.text(text), Estimate.text(text));
            assert!(exact.exact);
            let ratio = estimate.count as f64 / exact.count as f64;
            assert!(ratio >= *margin, "{name}: {} estimated as {}", exact.count, estimate.count);
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
        let text = character.repeat((1 << 20) / character.len());
        let begun = Instant::now();
        assert!(!counter.text(&text).exact, "a megabyte is estimated");
        let most = text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap();
        assert!(counter.text(most).exact);
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(800), "{character:?} took {took:?}");
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
