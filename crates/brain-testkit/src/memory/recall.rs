//! Search: what is found and in which order, what is never an error, and embeddings.

use std::sync::Arc;

use brain_core::{
    chat::{Message, Part},
    ids::{Owner, Seq, SessionId, SessionKey},
    json::RawJson,
    memory::{
        Draft, Embedded, EntryBody, EntryStatus, Expect, ExportedSession, Forget, Hit, NewSession,
        QueryVector, Restored, Search, Unembedded,
    },
    recall::{embed_some, query_vector},
    time::Timestamp,
};

use super::subject::{Subject, ann, append, bob, draft, draft_of, key};
use crate::ScriptedLlm;

fn said(hits: &[Hit]) -> Vec<String> {
    hits.iter().map(|it| it.entry.body.message.joined_text()).collect()
}

impl Subject {
    async fn found(&self, query: &str) -> Vec<Hit> {
        self.store.search(&ann(), &Search::words(query, 10)).await.unwrap()
    }

    async fn unembedded(&self, model: &str) -> Vec<Unembedded> {
        self.store.unembedded(model, 100).await.unwrap()
    }

    /// Keeps a vector for each entry of a session, from its first on.
    async fn embed(&self, key: &SessionKey, vectors: &[[f32; 2]]) {
        let place = |(seq, values): (u64, &[f32; 2])| Embedded {
            session: key.clone(),
            seq: Seq(seq),
            values: Arc::from(values.as_slice()),
        };
        let vectors = (1..).zip(vectors).map(place).collect();
        self.store.keep_embeddings("m", vectors).await.unwrap();
    }

    async fn found_by(&self, query: &str, model: &str, vector: [f32; 2]) -> Vec<String> {
        let vector = QueryVector { model: model.to_owned(), values: Arc::from(vector.as_slice()) };
        let search = Search { vector: Some(vector), ..Search::words(query, 10) };
        said(&self.store.search(&ann(), &search).await.unwrap())
    }
}

/// An entry is found as soon as it is acknowledged, with its place.
pub async fn what_was_written_is_found_at_once(it: Subject) {
    it.say(&key("s"), "first").await;
    it.say(&key("s"), "I moved to Berlin in May").await;
    let hits = it.found("berlin").await;
    assert_eq!((&hits[0].session, hits[0].entry.seq), (&key("s"), Seq(2)));
    assert_eq!(hits[0].entry, it.read(&key("s")).await.entries[1]);
    for round in 0..50 {
        it.say(&key("busy"), &format!("the word of round {round} is w{round}")).await;
        let hits = it.found(&format!("w{round}")).await;
        assert_eq!(said(&hits)[0], format!("the word of round {round} is w{round}"));
    }
}

/// One word is enough; what holds more of them, and rarer ones, comes first.
pub async fn any_word_may_match(it: Subject) {
    let texts =
        ["the lazy dog sleeps", "a brown dog barks", "the quick brown fox", "a dog, a dog, a bone"];
    for (session, text) in ["a", "b", "c", "d"].iter().zip(texts) {
        it.say(&key(session), text).await;
    }
    for (query, count, first) in [
        ("fox", 1, "the quick brown fox"),
        ("  Quick\n\tDOGS  FOX!", 4, "the quick brown fox"),
        ("bones of a cat", 1, "a dog, a dog, a bone"),
        ("cat", 0, ""),
    ] {
        let found = said(&it.found(query).await);
        assert_eq!(
            (found.len(), found.first().map_or("", String::as_str)),
            (count, first),
            "{query}"
        );
    }
}

/// What stands beside the words may be the answer, and is found below them.
pub async fn the_answer_beside_the_words_is_found(it: Subject) {
    for text in ["so long ago", "Which instrument did you buy?", "A cello, from my aunt", "lovely"]
    {
        it.say(&key("s"), text).await;
    }
    it.say(&key("other"), "what else is there").await;
    let found = said(&it.found("instrument").await);
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(&found[..2], ["A cello, from my aunt", "Which instrument did you buy?"]);
}

/// Case does not matter beyond ASCII either, and scripts without spaces have words too.
pub async fn case_does_not_matter_in_any_script(it: Subject) {
    it.say(&key("s"), "viele Äpfel und ЯБЛОКИ, 東京タワー").await;
    for query in ["äpfel", "ÄPFEL", "яблоки", "東京", "タワー"] {
        assert_eq!(it.found(query).await.len(), 1, "{query}");
    }
}

/// Of entries that fit equally the newest come first, over all sessions and branches.
pub async fn of_equals_the_newest_is_first(it: Subject) {
    for id in ["k", "l", "m", "n"] {
        it.say(&key(id), &format!("{id} word")).await;
    }
    let all = ["n word", "m word", "l word", "k word"];
    for limit in [0, 1, 3, 4, usize::MAX] {
        let hits = it.store.search(&ann(), &Search::words("word", limit)).await.unwrap();
        assert_eq!(said(&hits), all[..limit.min(4)], "limit {limit}");
    }
    let aside = append(None, Expect::Attach, "another root, another word");
    it.store.append(&key("k"), aside).await.unwrap();
    assert_eq!(it.found("root").await[0].entry.seq, Seq(2));
}

/// What changed is found as it was and as it is, with dates, newest first.
pub async fn what_changed_is_found_both_ways(it: Subject) {
    let at = |text: &str, time: &str| {
        let time = Timestamp::parse(time).unwrap();
        draft_of_body(EntryBody::complete(Message::user(text), time))
    };
    it.add(&key("a"), vec![at("I live in London", "2024-03-01T09:00:00Z")]).await;
    it.add(&key("b"), vec![at("I live in Berlin", "2025-06-01T09:00:00Z")]).await;
    it.say(&key("c"), "something else entirely").await;
    let hits = it.found("where do I live?").await;
    assert_eq!(said(&hits), ["I live in Berlin", "I live in London"]);
    let years: Vec<_> =
        hits.iter().map(|it| it.entry.body.created_at.to_string()[..4].to_owned()).collect();
    assert_eq!(years, ["2025", "2024"]);
    assert_eq!(said(&it.found("home in March 2024").await)[0], "I live in London");
}

fn draft_of_body(body: EntryBody) -> Draft {
    Draft::new(body).unwrap()
}

/// A query without a word finds nothing.
pub async fn no_word_finds_nothing(it: Subject) {
    it.say(&key("s"), "hello, what is that").await;
    for query in ["", " ", "\n\t ", "?!", "what is that"] {
        assert_eq!(it.found(query).await, [], "{query:?}");
    }
}

/// No query is malformed, and none is a pattern or a program.
pub async fn no_query_is_malformed(it: Subject) {
    it.say(&key("s"), "hello world").await;
    let (long, wide) = ("long ".repeat(2_000), "x".repeat(10_240));
    let many: String = (0..2_000).map(|n| format!("n{n} ")).collect();
    let queries = [
        "\"",
        "'",
        "*",
        "NEAR",
        "NEAR(",
        "NEAR(\"a\" \"b\", 2)",
        "NOT",
        "AND",
        "OR",
        "-",
        ":",
        "^x",
        "(",
        ")",
        "%",
        "_",
        "\\",
        "\0",
        "\u{1f600}",
        "body:",
        "{",
        "{a b} : c",
        "\u{feff}",
        "hel*",
        "hel%",
        "\"hel\"*",
        "'; DROP TABLE messages; --",
        &long,
        &wide,
        &many,
    ];
    for query in queries {
        assert_eq!(it.found(query).await, [], "{query:?}");
    }
    for query in [
        "hello*x",
        "-hello",
        "^hello x",
        "words:hello",
        "hello NOT world",
        "\"hello",
        "w1 OR hello",
    ] {
        assert_eq!(it.found(query).await.len(), 1, "{query:?}");
    }
    assert_eq!(it.texts(&key("s")).await, ["hello world"]);
}

/// All text parts of people and models are searched; what nobody said is not.
pub async fn all_that_is_said_is_searched(it: Subject) {
    let text = |text: &str| Part::Text { text: text.to_owned() };
    let picture = Part::Image { url: "https://example.com/hiddenword.png".to_owned() };
    let content = vec![text("alpha"), picture, text("beta")];
    let input = Message { content, ..Message::user("") };
    let answer =
        Message { reasoning: Some("hiddenword".to_owned()), ..Message::assistant("gamma") };
    let failed = EntryBody {
        status: EntryStatus::Failed,
        ..EntryBody::complete(Message::assistant("hiddenword"), Timestamp::from_millis(0))
    };
    let system = draft_of(Message::system("hiddenword"));
    it.add(&key("s"), vec![draft_of(input), draft_of(answer)]).await;
    it.add(&key("t"), vec![system, draft_of_body(failed)]).await;
    for (query, found) in [("alpha beta", 2), ("gamma", 2), ("hiddenword", 0)] {
        assert_eq!(it.found(query).await.len(), found, "{query}");
    }
}

/// What is forgotten is not found: a session, or one entry.
pub async fn the_forgotten_is_not_found(it: Subject) {
    it.say(&key("gone"), "canary").await;
    it.say(&key("kept"), "canary").await;
    it.say(&key("kept"), "nightingale").await;
    it.store.forget(&key("gone"), Forget::Always).await.unwrap();
    let hits = it.found("canary").await;
    assert!(hits.iter().all(|it| it.session == key("kept")), "{hits:?}");
    it.store.forget_entry(&key("kept"), Seq(1)).await.unwrap();
    assert_eq!(it.found("canary").await, []);
    assert_eq!(said(&it.found("nightingale").await), ["nightingale"]);
    // The name is free, and what is said under it now is found.
    it.say(&key("gone"), "another canary").await;
    assert_eq!(said(&it.found("canary").await), ["another canary"]);
}

/// Owners are compared whole; nothing in a name is a pattern, and nothing in a session changes
/// whose it is. Nobody's words count in another's ranking.
pub async fn owners_find_only_their_own(it: Subject) {
    let named = |owner: &str, id: &str| {
        SessionKey::new(Owner::new(owner).unwrap(), SessionId::new(id).unwrap())
    };
    let owners = ["foo", "foobar", "fo", "f_o", "f%", "foo bar", "FOO"];
    for owner in owners {
        it.say(&named(owner, "s"), &format!("canary of {owner}")).await;
    }
    let new = NewSession {
        metadata: RawJson::parse(r#"{"owner":"foo","session":1}"#).ok(),
        ..NewSession::default()
    };
    it.store.create(&named("mallory", "s"), new).await.unwrap();
    it.say(&named("mallory", "s"), "canary of mallory").await;
    for owner in owners {
        let search = Search::words("canary", 100);
        let hits = it.store.search(&Owner::new(owner).unwrap(), &search).await.unwrap();
        assert_eq!(said(&hits), [format!("canary of {owner}")]);
    }
    assert_eq!(it.store.search(&bob(), &Search::words("canary", 9)).await.unwrap(), []);
}

/// What was put back is found as what was said here is.
pub async fn the_restored_is_found(it: Subject) {
    it.add(&key("old"), vec![draft("a heron"), draft("a stork")]).await;
    let session = it.session(&key("old")).await;
    let entries = it.all(&key("old")).await;
    let half = ExportedSession::of(&session, &entries[..1], Vec::new());
    let half = ExportedSession { head: Some(Seq(1)), ..half };
    let whole = ExportedSession::of(&session, &entries, Vec::new());
    assert_eq!(it.store.restore(&key("new"), &half).await.unwrap(), Restored::Created);
    assert_eq!(it.store.restore(&key("new"), &whole).await.unwrap(), Restored::Extended(1));
    it.store.forget(&key("old"), Forget::Always).await.unwrap();
    for (query, seq) in [("heron", Seq(1)), ("stork", Seq(2))] {
        let hits = it.found(query).await;
        assert_eq!(hits.len(), 2, "the neighbour is found too: {hits:?}");
        assert_eq!((&hits[0].session, hits[0].entry.seq), (&key("new"), seq));
    }
}

/// What has no vector of a model is asked for, oldest first, until it has one.
pub async fn what_is_not_embedded_is_named(it: Subject) {
    it.add(&key("a"), vec![draft("one"), draft_of(Message::tool("c", "x")), draft("two")]).await;
    it.say(&SessionKey::new(bob(), SessionId::new("b").unwrap()), "three").await;
    let texts =
        |found: &[Unembedded]| -> Vec<String> { found.iter().map(|it| it.text.clone()).collect() };
    let found = it.unembedded("m").await;
    assert_eq!(texts(&found), ["one", "two", "three"]);
    assert_eq!((&found[1].session, found[1].seq), (&key("a"), Seq(3)));
    assert_eq!(texts(&it.store.unembedded("m", 1).await.unwrap()), ["one"]);
    it.embed(&key("a"), &[[1.0, 0.0]]).await;
    assert_eq!(texts(&it.unembedded("m").await), ["two", "three"]);
    assert_eq!(texts(&it.unembedded("another").await), ["one", "two", "three"]);
    it.store.forget_entry(&key("a"), Seq(3)).await.unwrap();
    assert_eq!(texts(&it.unembedded("m").await), ["three"]);
}

/// Vectors of what is gone are dropped in silence.
pub async fn vectors_of_the_gone_are_dropped(it: Subject) {
    it.say(&key("s"), "kept").await;
    it.say(&key("gone"), "gone").await;
    it.store.forget(&key("gone"), Forget::Always).await.unwrap();
    it.embed(&key("gone"), &[[1.0, 0.0]]).await;
    it.embed(&key("s"), &[[1.0, 0.0], [1.0, 0.0]]).await;
    it.store.forget_entry(&key("s"), Seq(1)).await.unwrap();
    it.embed(&key("s"), &[[1.0, 0.0]]).await;
    assert_eq!(it.found_by("", "m", [1.0, 0.0]).await, [""; 0]);
}

/// Meaning finds what no word does, and not what is far; words still count.
pub async fn meaning_and_words_are_fused(it: Subject) {
    for (id, text, vector) in [
        ("a", "a feline on the sofa", [1.0, 0.0]),
        ("b", "taxes are due", [0.0, 1.0]),
        ("c", "the cat sat down", [0.8, 0.6]),
    ] {
        it.say(&key(id), text).await;
        it.embed(&key(id), &[vector]).await;
    }
    it.say(&key("d"), "not embedded yet: a cat").await;
    assert_eq!(it.found_by("", "m", [1.0, 0.0]).await[0], "a feline on the sofa");
    assert_eq!(it.found_by("xqzv blorp", "m", [-1.0, 0.0]).await, [""; 0], "nonsense");
    let found = it.found_by("cat", "m", [1.0, 0.0]).await;
    assert_eq!(found[0], "the cat sat down");
    assert!(found.contains(&"a feline on the sofa".to_owned()), "{found:?}");
    assert!(found.contains(&"not embedded yet: a cat".to_owned()), "{found:?}");
    // Vectors of another model, or of another size, are compared with nothing.
    let others = it.found_by("cat", "another", [1.0, 0.0]).await;
    assert!(!others.contains(&"a feline on the sofa".to_owned()), "{others:?}");
    let vector = QueryVector { model: "m".to_owned(), values: Arc::from([1.0].as_slice()) };
    let search = Search { vector: Some(vector), ..Search::words("feline", 10) };
    let hits = it.store.search(&ann(), &search).await.unwrap();
    assert_eq!(said(&hits), ["a feline on the sofa"]);
}

/// A step of background work embeds some, and the last one finds nothing left.
pub async fn embedding_comes_to_an_end(it: Subject) {
    for n in 2..7 {
        it.say(&key("s"), &format!("another entry {n}")).await;
    }
    let gateway = ScriptedLlm::new([]);
    let mut steps = Vec::new();
    loop {
        let done = embed_some(&*it.store, &gateway, "scripted", 2).await.unwrap();
        steps.push(done);
        if done < 2 {
            break;
        }
    }
    assert_eq!(steps, [2, 2, 1]);
    assert_eq!(it.unembedded("scripted").await, []);
    let vector = Some(query_vector(&gateway, "scripted", "another entry 3").await.unwrap());
    let search = Search { vector, ..Search::words("", 10) };
    let hits = it.store.search(&ann(), &search).await.unwrap();
    assert_eq!((hits.len(), said(&hits)[0].as_str()), (5, "another entry 3"));
}
