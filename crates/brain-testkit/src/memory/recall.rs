//! Search: what is found, and what is never an error.

use brain_core::{
    chat::{Message, Part},
    ids::Seq,
    memory::{Expect, Hit, Search},
};

use super::subject::{Subject, ann, append, draft_of, key};

fn said(hits: &[Hit]) -> Vec<String> {
    hits.iter().map(|it| it.entry.body.message.joined_text()).collect()
}

/// An entry is found as soon as it is acknowledged, with its place.
pub async fn what_was_written_is_found_at_once(it: Subject) {
    it.say(&key("s"), "first").await;
    it.say(&key("s"), "I moved to Berlin in May").await;
    let hits = it.store.search(&ann(), &Search::words("berlin", 10)).await.unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!((&hits[0].session, hits[0].entry.seq), (&key("s"), Seq(2)));
    assert_eq!(hits[0].entry, it.read(&key("s")).await.entries[1]);
}

/// Every word must be there, in any order and any case.
pub async fn every_word_must_be_there(it: Subject) {
    it.say(&key("s"), "the quick brown fox").await;
    it.say(&key("s"), "the lazy dog").await;
    for (query, found) in [
        ("fox", 1),
        ("THE", 2),
        ("fox the", 1),
        ("  Quick\n\tFOX  ", 1),
        ("quick dog", 0),
        ("cat", 0),
    ] {
        let hits = it.store.search(&ann(), &Search::words(query, 10)).await.unwrap();
        assert_eq!(hits.len(), found, "{query:?}");
    }
}

/// Case does not matter beyond ASCII either.
pub async fn case_does_not_matter_in_any_script(it: Subject) {
    it.say(&key("s"), "viele Äpfel und ЯБЛОКИ").await;
    for query in ["äpfel", "ÄPFEL", "яблоки"] {
        assert_eq!(
            it.store.search(&ann(), &Search::words(query, 10)).await.unwrap().len(),
            1,
            "{query}"
        );
    }
}

/// The newest come first, over all sessions and branches, as many as were asked for.
pub async fn the_newest_are_found_first(it: Subject) {
    for (id, text) in
        [("a", "one word"), ("b", "two word"), ("a", "three word"), ("b", "word four")]
    {
        it.say(&key(id), text).await;
    }
    let aside = append(Some(Seq(1)), Expect::Attach, "aside word");
    it.store.append(&key("a"), aside).await.unwrap();
    let all = ["aside word", "word four", "three word", "two word", "one word"];
    for limit in [0, 1, 3, 5, usize::MAX] {
        let hits = it.store.search(&ann(), &Search::words("word", limit)).await.unwrap();
        assert_eq!(said(&hits), all[..limit.min(5)], "limit {limit}");
    }
}

/// A query without a word finds nothing.
pub async fn no_word_finds_nothing(it: Subject) {
    it.say(&key("s"), "hello").await;
    for query in ["", " ", "\n\t "] {
        assert_eq!(
            it.store.search(&ann(), &Search::words(query, 10)).await.unwrap(),
            [],
            "{query:?}"
        );
    }
}

/// No query is malformed, and none is a pattern or a program.
pub async fn no_query_is_malformed(it: Subject) {
    it.say(&key("s"), "hello world").await;
    let long = "long ".repeat(2000);
    let queries = [
        "\"",
        "'",
        "*",
        "hello*x",
        "NEAR",
        "NEAR(",
        "NOT",
        "AND",
        "OR",
        "hello OR nothing",
        "-",
        "-hello",
        ":",
        "body:hello",
        "^hello x",
        "(",
        ")",
        "%",
        "_",
        "h_llo",
        "hel%",
        "\\",
        "\0",
        "\u{1f600}",
        "hello NOT world",
        "'; DROP TABLE messages; --",
        "{",
        "\u{feff}",
        &long,
    ];
    for query in queries {
        let hits = it.store.search(&ann(), &Search::words(query, 10)).await;
        assert!(hits.is_ok_and(|it| it.len() <= 1), "{query:?}");
    }
    for query in ["hello*x", "h_llo", "hel%d", "hello OR nothing", "hello NOT world"] {
        let hits = it.store.search(&ann(), &Search::words(query, 10)).await.unwrap();
        assert_eq!(hits, [], "{query:?}");
    }
    assert_eq!(it.texts(&key("s")).await, ["hello world"]);
}

/// All text parts are searched, of all roles; what is not said is not.
pub async fn all_that_is_said_is_searched(it: Subject) {
    let text = |text: &str| Part::Text { text: text.to_owned() };
    let picture = Part::Image { url: "https://example.com/hiddenword.png".to_owned() };
    let content = vec![text("alpha"), picture, text("beta")];
    let input = Message { content, ..Message::user("") };
    let answer =
        Message { reasoning: Some("hiddenword".to_owned()), ..Message::assistant("gamma") };
    it.add(&key("s"), vec![draft_of(input), draft_of(answer)]).await;
    for (query, found) in [("alpha beta", 1), ("gamma", 1), ("hiddenword", 0)] {
        assert_eq!(
            it.store.search(&ann(), &Search::words(query, 10)).await.unwrap().len(),
            found,
            "{query}"
        );
    }
}

/// What is forgotten is not found.
pub async fn the_forgotten_is_not_found(it: Subject) {
    it.say(&key("gone"), "canary").await;
    it.say(&key("kept"), "canary").await;
    it.store.forget(&key("gone")).await.unwrap();
    let hits = it.store.search(&ann(), &Search::words("canary", 10)).await.unwrap();
    assert_eq!(hits.iter().map(|it| &it.session).collect::<Vec<_>>(), [&key("kept")]);
}
