//! What is filled is what is read, or nothing.

use brain_core::{
    chat::{Message, Part, Role, ToolCall},
    ids::{Owner, Seq, SessionId, SessionKey},
    json::RawJson,
    memory::{Branch, MemoryClass, Session},
    time::Clock,
};

use super::subject::{CacheSubject, chain, entry, entry_of, key, next, positions, summary};

/// A cache that was not filled knows nothing.
pub async fn what_was_not_filled_is_not_here(it: CacheSubject) {
    for limit in [0, 1, usize::MAX] {
        assert_eq!(it.newest(&key("none"), limit).await, None);
        assert_eq!(it.from(&key("none"), 1, limit).await, None);
    }
}

/// A copy is the session and the entries that were filled.
pub async fn a_copy_is_as_it_was_filled(it: CacheSubject) {
    let key = key("filled");
    let copy = it.copy(&key, chain(1..=3));
    let session = Session {
        title: Some("a \"title\" \u{0} \u{1f600}".to_owned()),
        metadata: Some(RawJson::parse(r#"{"n":12345678901234567890123}"#).unwrap()),
        system: Some("be brief".to_owned()),
        model: Some("a/model".to_owned()),
        recall: true,
        class: MemoryClass::Durable,
        entries: 9,
        updated_at: it.clock.now().plus(std::time::Duration::from_secs(1)),
        ..copy.session
    };
    let copy = Branch { session, summary: Some(summary(2)), ..copy };
    it.cache.fill(&key, &copy).await.unwrap();
    assert_eq!(it.newest(&key, 3).await, Some(copy));
}

/// A second fill changes nothing, whatever its state.
pub async fn a_filled_copy_stays(it: CacheSubject) {
    let key = key("stays");
    let copy = it.filled(&key, chain(1..=2)).await;
    let other = it.copy(&key, chain(1..=3));
    it.cache.fill(&key, &other).await.unwrap();
    assert_eq!(it.newest(&key, 2).await, Some(copy));
}

/// A copy that begins in the middle answers no more than it holds.
pub async fn a_copy_answers_what_it_reaches(it: CacheSubject) {
    let key = key("reach");
    let copy = it.filled(&key, chain(8..=12)).await;
    for limit in 0..=5_usize {
        let entries = copy.entries[5 - limit..].to_vec();
        assert_eq!(it.newest(&key, limit).await, Some(Branch { entries, ..copy.clone() }));
    }
    for limit in [6, 100, usize::MAX] {
        assert_eq!(it.newest(&key, limit).await, None, "limit {limit}");
    }
}

/// A copy that begins at the root answers any limit.
pub async fn a_copy_of_all_answers_any_limit(it: CacheSubject) {
    let key = key("all");
    let copy = it.filled(&key, chain(1..=5)).await;
    for limit in [5, 6, 1_000_000, usize::MAX] {
        assert_eq!(it.newest(&key, limit).await.as_ref(), Some(&copy));
    }
}

/// A session without entries has a copy too, and so has one whose head is before the first.
pub async fn an_empty_session_has_a_copy(it: CacheSubject) {
    let copy = it.filled(&key("empty"), Vec::new()).await;
    assert_eq!(it.newest(&key("empty"), 9).await, Some(copy));
    let moved = it.copy(&key("moved"), Vec::new());
    let moved = Branch { session: next(&moved.session, None, 4), ..moved };
    it.cache.fill(&key("moved"), &moved).await.unwrap();
    assert_eq!(it.newest(&key("moved"), 9).await, Some(moved));
}

/// A read may begin at any entry of the copy; another one is not known to be absent.
pub async fn a_copy_is_read_from_any_entry_it_holds(it: CacheSubject) {
    let key = key("from");
    let copy = it.filled(&key, chain(3..=7)).await;
    for last in 3..=7 {
        let branch = it.from(&key, last, 1).await.unwrap();
        assert_eq!((positions(&branch), &branch.session), (vec![last], &copy.session));
    }
    assert_eq!(positions(&it.from(&key, 6, 3).await.unwrap()), [4, 5, 6]);
    assert_eq!(it.from(&key, 6, 5).await, None);
    for last in [1, 2, 8] {
        assert_eq!(it.from(&key, last, 1).await, None, "{last}");
    }
}

/// A summary is part of what is read only where it was made.
pub async fn a_summary_goes_with_its_entry(it: CacheSubject) {
    let key = key("summary");
    let copy = Branch { summary: Some(summary(3)), ..it.copy(&key, chain(1..=5)) };
    it.cache.fill(&key, &copy).await.unwrap();
    for limit in 2..=9 {
        let branch = it.newest(&key, limit).await.unwrap();
        assert_eq!(branch.summary, Some(summary(3)), "limit {limit}: 3, or the parent of 4");
    }
    assert_eq!(it.newest(&key, 1).await.unwrap().summary, None);
    for limit in 1..=3 {
        let branch = it.from(&key, 3, limit).await;
        assert!(branch.is_none_or(|it| it.summary == Some(summary(3))), "limit {limit}");
    }
    assert_eq!(it.from(&key, 2, 2).await, None, "an older one may be there");
}

/// Entries with a gap, or of another branch than the head's, are no copy.
pub async fn what_is_no_copy_is_not_kept(it: CacheSubject) {
    let gap = it.copy(&key("gap"), vec![entry(1, None, "a"), entry(3, Some(2), "c")]);
    it.cache.fill(&key("gap"), &gap).await.unwrap();
    let branch = it.copy(&key("branch"), chain(1..=2));
    let branch = Branch { session: next(&branch.session, Some(5), 5), ..branch };
    it.cache.fill(&key("branch"), &branch).await.unwrap();
    for id in ["gap", "branch"] {
        assert_eq!(it.newest(&key(id), 1).await, None, "{id}");
    }
}

/// Tools, pictures, unknown fields, control characters and a mebibyte come back unchanged.
pub async fn every_content_comes_back(it: CacheSubject) {
    let call = ToolCall {
        id: "c\0".to_owned(),
        name: "look".to_owned(),
        arguments: r#"{ "n": 1e400 }"#.to_owned(),
        provider_id: Some("call_x".to_owned()),
    };
    let calls = Message {
        tool_calls: vec![call],
        reasoning: Some("hm".to_owned()),
        extra: Some(RawJson::parse(r#"{"z":1.0}"#).unwrap()),
        ..Message::assistant("")
    };
    let picture = Part::Image { url: "https://example.com/a.png".to_owned() };
    let file = Part::File { file_id: "f".to_owned(), name: None };
    let parts = Message { content: vec![picture, file], ..Message::text(Role::User, "") };
    let messages = [
        calls,
        Message::tool("c\0", "\u{0} \u{2028} \u{1f600} \"quoted\""),
        parts,
        Message::user("x".repeat(1 << 20)),
    ];
    let entries = (1_u64..).zip(messages).map(|(seq, message)| {
        let parent = seq.checked_sub(1).filter(|it| 0 < *it);
        entry_of(seq, parent, message)
    });
    let key = key("content");
    let copy = it.filled(&key, entries.collect()).await;
    assert_eq!(it.newest(&key, 9).await, Some(copy));
}

/// More entries than any context window has come back in order.
pub async fn a_long_copy_comes_back(it: CacheSubject) {
    let key = key("long");
    let copy = it.filled(&key, chain(1..=1000)).await;
    assert_eq!(it.newest(&key, 1000).await, Some(copy));
}

/// What was evicted is gone, and may be filled again.
pub async fn an_evicted_copy_is_gone(it: CacheSubject) {
    let key = key("evicted");
    it.filled(&key, chain(1..=2)).await;
    for _ in 0..2 {
        it.cache.evict(&key).await.unwrap();
        assert_eq!(it.newest(&key, 0).await, None);
    }
    let copy = it.filled(&key, chain(1..=3)).await;
    assert_eq!(it.newest(&key, 3).await, Some(copy));
}

/// Owner and id are both part of the name, and any characters may be in either.
pub async fn names_of_any_characters_are_different_sessions(it: CacheSubject) {
    let names =
        [("a", "b:c"), ("a:b", "c"), ("{a}", "*"), ("a b", "\0"), ("日本", "%2F"), ("A", "B:c")];
    let key = |(owner, id): (&str, &str)| {
        SessionKey::new(Owner::new(owner).unwrap(), SessionId::new(id).unwrap())
    };
    for (seq, name) in (1_u64..).zip(names) {
        let only = vec![entry(seq, None, name.1)];
        it.filled(&key(name), only).await;
    }
    for (seq, name) in (1_u64..).zip(names) {
        let branch = it.newest(&key(name), 9).await.unwrap();
        assert_eq!((branch.session.head, positions(&branch)), (Some(Seq(seq)), vec![seq]));
    }
}
