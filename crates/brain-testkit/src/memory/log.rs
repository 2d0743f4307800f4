//! Appending and reading: order, identity, and what an append may assume.

use std::{sync::Arc, time::Duration};

use super::subject::{
    Subject, append, calls, draft, draft_of, drop_after, key, kind, positions, texts, unique,
};
use brain_core::{
    chat::{Message, Part, Role, ToolCall, Usage},
    ids::{Owner, Seq, SessionId, SessionKey},
    json::RawJson,
    memory::{
        Append, Draft, EntryBody, EntryError, EntryStatus, Expect, Forget, MemoryErrorKind,
        NewSession, ReadFrom, ReadOptions,
    },
    time::{Clock, Timestamp},
};

/// A session that nobody made reads as none, and has no entries to scan.
pub async fn an_unknown_session_is_none(it: Subject) {
    let nobody = key("nobody");
    for from in [ReadFrom::Head, ReadFrom::Entry(Seq(1))] {
        assert_eq!(
            it.store
                .read(&nobody, ReadOptions { from, limit: 10, unverified: false })
                .await
                .unwrap(),
            None
        );
    }
    assert_eq!(it.store.session(&nobody).await.unwrap(), None);
    assert_eq!(it.all(&nobody).await, []);
}

/// The first append makes the session, with the store's time.
pub async fn appending_makes_the_session(it: Subject) {
    let key = key("new");
    let appended = it.store.append(&key, append(None, Expect::Absent, "a")).await.unwrap();
    let session = it.session(&key).await;
    assert_eq!((appended.last, appended.head), (Some(Seq(1)), Some(Seq(1))));
    assert_eq!((session.head, session.token, session.entries), (Some(Seq(1)), appended.token, 1));
    assert_eq!((session.created_at, session.updated_at), (it.clock.now(), it.clock.now()));
    assert_eq!((session.id, session.title, session.metadata), (key.id, None, None));
}

/// Entries come back in the order they were written, numbered from one, each after the last.
pub async fn entries_are_numbered_from_one(it: Subject) {
    let key = key("order");
    it.say(&key, "a").await;
    it.add(&key, vec![draft("b"), draft("c")]).await;
    let branch = it.read(&key).await;
    assert_eq!(texts(&branch.entries), ["a", "b", "c"]);
    assert_eq!(positions(&branch.entries), [1, 2, 3]);
    let parents: Vec<Option<Seq>> = branch.entries.iter().map(|it| it.parent).collect();
    assert_eq!(parents, [None, Some(Seq(1)), Some(Seq(2))]);
    assert_eq!(branch.session, it.session(&key).await);
}

/// Twelve messages in one call: all there in order, and the newest ten are the newest ten.
pub async fn a_batch_keeps_its_order_and_its_newest(it: Subject) {
    let key = key("batch");
    let said: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
    it.add(&key, said.iter().map(|text| draft(text)).collect()).await;
    assert_eq!(it.texts(&key).await, said);
    assert_eq!(texts(&it.newest(&key, 10).await.entries), said[2..]);
}

/// A thousand appends within one tick of the clock stay in the order of their acknowledgement.
pub async fn a_thousand_appends_keep_their_order(it: Subject) {
    let key = key("thousand");
    let mut said = Vec::new();
    let (mut parent, mut expect) = (None, Expect::Absent);
    for n in 0..1000 {
        let text = format!("message {n} {}", "x".repeat(n % 100));
        let done = it.store.append(&key, append(parent, expect, &text)).await.unwrap();
        (parent, expect) = (done.head, Expect::At(done.token));
        said.push(text);
    }
    assert_eq!(it.texts(&key).await, said);
}

/// Neither the length nor the number of messages changes their order.
pub async fn long_and_many_messages_keep_their_order(it: Subject) {
    for (id, count, length) in [("long", 20, 65), ("many", 600, 3)] {
        let said: Vec<String> = (0..count).map(|n| format!("{n:0length$}")).collect();
        for text in &said {
            it.say(&key(id), text).await;
        }
        assert_eq!(it.texts(&key(id)).await, said);
    }
}

/// Neither the store's clock nor the times of messages order anything.
pub async fn a_clock_set_back_changes_no_order(it: Subject) {
    let key = key("clock");
    let at = |text: &str, millis| {
        let time = Timestamp::from_millis(millis);
        Draft::new(EntryBody::complete(Message::user(text), time)).unwrap()
    };
    it.add(&key, vec![at("first", 7_200_000)]).await;
    it.clock.set_hour(Timestamp::from_millis(0));
    it.add(&key, vec![at("second", 3_600_000)]).await;
    assert_eq!(it.texts(&key).await, ["first", "second"]);
}

/// A limit counts from the newest; none gives none, and more than there is gives all.
pub async fn a_limit_gives_the_newest(it: Subject) {
    let key = key("limit");
    it.add(&key, ["a", "b", "c", "d"].map(draft).into()).await;
    for (limit, expected) in [
        (0, &[][..]),
        (1, &["d"]),
        (3, &["b", "c", "d"]),
        (4, &["a", "b", "c", "d"]),
        (5, &["a", "b", "c", "d"]),
        (usize::MAX, &["a", "b", "c", "d"]),
    ] {
        let branch = it.newest(&key, limit).await;
        assert_eq!(texts(&branch.entries), expected, "limit {limit}");
        assert_eq!(branch.has_older(), (1..4).contains(&limit), "limit {limit}");
        assert_eq!(branch.session.entries, 4);
    }
}

/// A long history is not capped.
pub async fn twelve_thousand_messages_are_all_there(it: Subject) {
    let key = key("long");
    for batch in 0..12 {
        it.add(&key, (0..1000).map(|n| draft(&format!("{}", batch * 1000 + n))).collect()).await;
    }
    let said: Vec<String> = (0..12_000).map(|n| n.to_string()).collect();
    assert_eq!(it.texts(&key).await, said);
    assert_eq!(it.all(&key).await.len(), 12_000);
    assert_eq!(texts(&it.newest(&key, 2).await.entries), said[11_998..]);
}

/// A scan gives the entries of all branches by position, in pages.
pub async fn a_scan_goes_by_position(it: Subject) {
    let key = key("scan");
    it.add(&key, ["a", "b", "c"].map(draft).into()).await;
    it.store.append(&key, append(Some(Seq(1)), Expect::Attach, "aside")).await.unwrap();
    let scan =
        async |after, limit| positions(&it.store.scan(&key, Seq(after), limit).await.unwrap());
    assert_eq!(scan(0, 10).await, [1, 2, 3, 4]);
    assert_eq!(scan(0, 2).await, [1, 2]);
    assert_eq!(scan(2, 2).await, [3, 4]);
    assert_eq!(scan(1, 0).await, [] as [u64; 0]);
    assert_eq!(scan(4, 10).await, [] as [u64; 0]);
    assert_eq!(scan(u64::MAX, 10).await, [] as [u64; 0]);
}

/// A branch can be read from any of its entries; from none of them, it is an error.
pub async fn a_branch_reads_from_any_entry(it: Subject) {
    let key = key("from");
    it.add(&key, ["a", "b", "c"].map(draft).into()).await;
    assert_eq!(it.texts_from(&key, Seq(2)).await, ["a", "b"]);
    for missing in [0, 4, u64::MAX] {
        let options = ReadOptions::of_branch(Seq(missing), 1);
        let result = it.store.read(&key, options).await;
        assert_eq!(kind(result), MemoryErrorKind::UnknownParent, "from {missing}");
    }
}

/// Asking again by the same append id returns the first result and writes nothing, whatever else
/// the second call says.
pub async fn a_known_append_answers_as_before(it: Subject) {
    let key = key("again");
    let first = append(None, Expect::Absent, "once");
    let done = it.store.append(&key, first.clone()).await.unwrap();
    it.say(&key, "more").await;
    let changed = Append {
        parent: Some(Seq(99)),
        drafts: vec![draft("other"), draft("text")],
        ..first.clone()
    };
    for again in [first, changed] {
        assert_eq!(it.store.append(&key, again).await.unwrap(), done);
    }
    assert_eq!(it.texts(&key).await, ["once", "more"]);
}

/// An append id means nothing in another session.
pub async fn append_ids_are_scoped_to_the_session(it: Subject) {
    let once = append(None, Expect::Absent, "hi");
    for id in ["one", "two"] {
        it.store.append(&key(id), once.clone()).await.unwrap();
        assert_eq!(it.texts(&key(id)).await, ["hi"]);
    }
}

/// A failed append leaves its id free.
pub async fn a_failed_append_keeps_no_id(it: Subject) {
    let key = key("failed");
    let bad = append(Some(Seq(7)), Expect::Absent, "late");
    assert_eq!(kind(it.store.append(&key, bad.clone()).await), MemoryErrorKind::UnknownParent);
    let good = Append { parent: None, ..bad };
    it.store.append(&key, good).await.unwrap();
    assert_eq!(it.texts(&key).await, ["late"]);
}

/// An appender with an old token loses, and nothing is stored.
pub async fn a_stale_token_conflicts(it: Subject) {
    let key = key("stale");
    let first = it.say(&key, "first").await;
    it.say(&key, "second").await;
    let before = it.session(&key).await;
    let late = append(first.head, Expect::At(first.token), "late");
    assert_eq!(kind(it.store.append(&key, late).await), MemoryErrorKind::Conflict);
    assert_eq!(it.session(&key).await, before);
    assert_eq!(it.texts(&key).await, ["first", "second"]);
}

/// Whoever expects no session finds an empty one good enough, and one with entries not.
pub async fn absent_means_without_entries(it: Subject) {
    let key = key("absent");
    it.store.create(&key, NewSession::default()).await.unwrap();
    it.store.append(&key, append(None, Expect::Absent, "a")).await.unwrap();
    let late = it.store.append(&key, append(None, Expect::Absent, "b")).await;
    assert_eq!(kind(late), MemoryErrorKind::Conflict);
    assert_eq!(it.texts(&key).await, ["a"]);
}

/// Only an appender that expects no session makes one.
pub async fn a_missing_session_is_not_made_by_mistake(it: Subject) {
    let other = it.say(&key("other"), "hi").await;
    let missing = key("missing");
    for expect in [Expect::At(other.token), Expect::Attach] {
        let result = it.store.append(&missing, append(None, expect, "a")).await;
        assert_eq!(kind(result), MemoryErrorKind::Conflict, "{expect:?}");
    }
    assert_eq!(it.store.session(&missing).await.unwrap(), None);
}

/// A parent that does not exist is refused, and nothing is stored.
pub async fn an_unknown_parent_is_refused(it: Subject) {
    let missing = key("missing");
    let result = it.store.append(&missing, append(Some(Seq(1)), Expect::Absent, "a")).await;
    assert_eq!(kind(result), MemoryErrorKind::UnknownParent);
    assert_eq!(it.store.session(&missing).await.unwrap(), None);

    let key = key("known");
    let done = it.say(&key, "a").await;
    let before = it.session(&key).await;
    for (parent, expect) in [
        (0, Expect::Attach),
        (2, Expect::Attach),
        (2, Expect::At(done.token)),
        (u64::MAX, Expect::Attach),
    ] {
        let result = it.store.append(&key, append(Some(Seq(parent)), expect, "b")).await;
        assert_eq!(kind(result), MemoryErrorKind::UnknownParent, "parent {parent}");
    }
    assert_eq!(it.session(&key).await, before);
}

/// Every append gives the session a token that it never had.
pub async fn every_append_has_a_new_token(it: Subject) {
    let key = key("tokens");
    let mut seen = Vec::new();
    for n in 0..20 {
        let done = it.say(&key, &n.to_string()).await;
        assert_eq!(it.session(&key).await.token, done.token);
        assert!(!seen.contains(&done.token));
        seen.push(done.token);
    }
}

/// Making, appending and moving are told apart by time: one stays, the other moves.
pub async fn created_stays_and_updated_moves(it: Subject) {
    let key = key("times");
    it.say(&key, "a").await;
    let created = it.clock.now();
    it.clock.advance(Duration::from_millis(1234));
    it.say(&key, "b").await;
    let session = it.session(&key).await;
    assert_eq!((session.created_at, session.updated_at), (created, it.clock.now()));
}

/// Everything that a message can hold comes back as it was.
pub async fn every_kind_of_content_comes_back(it: Subject) {
    let key = key("content");
    let bodies = [rich_answer(), rich_result(), rich_input()];
    it.add(&key, bodies.iter().map(|body| Draft::new(body.clone()).unwrap()).collect()).await;
    let stored = it.read(&key).await.entries;
    assert_eq!(stored.iter().map(|it| (*it.body).clone()).collect::<Vec<_>>(), bodies);
}

fn rich_answer() -> EntryBody {
    let call = ToolCall {
        id: "c1".to_owned(),
        name: "look up".to_owned(),
        arguments: "{ \"n\" : 1e400, \"s\": \"\\u0000\" }".to_owned(),
        provider_id: Some("call_\u{0}\u{1f600}".to_owned()),
    };
    let message = Message {
        tool_calls: vec![call],
        reasoning: Some("thinking \u{0} about it".to_owned()),
        extra: Some(RawJson::parse(r#"{"n":12345678901234567890123,"s":"\u0000"}"#).unwrap()),
        ..Message::assistant("")
    };
    EntryBody {
        status: EntryStatus::Interrupted,
        model: Some("maker/model:1".to_owned()),
        usage: Some(Usage { input_tokens: 1, output_tokens: 2, cached_tokens: 3, estimated: true }),
        error: Some(EntryError { code: "cancelled".to_owned(), message: "stopped".to_owned() }),
        ..EntryBody::complete(message, Timestamp::from_millis(-1))
    }
}

fn rich_result() -> EntryBody {
    let text = "NUL \u{0}, BOM \u{feff}, e\u{301}, \u{202e}\u{1f468}\u{200d}\u{1f469} \u{fffd} \r\n\t\"'\\";
    EntryBody::complete(Message::tool("c1", text), Timestamp::from_millis(0))
}

fn rich_input() -> EntryBody {
    let content = vec![
        Part::Text { text: String::new() },
        Part::Image { url: "data:image/png;base64,AA==".to_owned() },
        Part::File { file_id: "f1".to_owned(), name: Some("a \"b\".csv".to_owned()) },
        Part::Text { text: "  what is this?  ".to_owned() },
    ];
    let message = Message { content, ..Message::text(Role::User, "") };
    let status = EntryStatus::Failed;
    let time = Timestamp::from_millis(253_402_300_799_999);
    EntryBody { status, ..EntryBody::complete(message, time) }
}

/// A message of a mebibyte is a message.
pub async fn a_mebibyte_of_text_comes_back(it: Subject) {
    let key = key("large");
    let text = "0123456789abcde\n".repeat(64 * 1024);
    it.say(&key, &text).await;
    it.say(&key, "short").await;
    assert_eq!(it.texts(&key).await, [text, "short".to_owned()]);
}

/// Ids are any text, and no two of them share anything.
pub async fn ids_of_any_characters_are_different_sessions(it: Subject) {
    let long = "x".repeat(512);
    let ids = [
        "a",
        "A",
        "a ",
        " a",
        "a\0",
        "a\0b",
        "a:b",
        "a&b",
        "a=b",
        "*",
        "{a}",
        "}a",
        "-",
        ".",
        "..",
        "#",
        "%",
        "%61",
        "_",
        "a/b",
        "a?b",
        "a'b",
        "a\"b",
        "--",
        "\u{e9}",
        "e\u{301}",
        "\u{1f600}",
        "日本",
        "\n",
        &long,
    ];
    for id in ids {
        it.say(&key(id), &format!("said in {id}")).await;
    }
    for id in ids {
        assert_eq!(it.texts(&key(id)).await, [format!("said in {id}")], "{id:?}");
        assert_eq!(it.session(&key(id)).await.id, SessionId::new(id).unwrap());
        assert_eq!(it.store.forget(&key(id), Forget::Always).await.unwrap().erased, 1, "{id:?}");
    }
}

/// No pair of owner and id is another pair.
pub async fn owner_and_id_are_never_run_together(it: Subject) {
    let pairs =
        [("a", "b:c"), ("a:b", "c"), ("a", "b/c"), ("a/b", "c"), ("a\0b", "c"), ("a", "b\0c")];
    let keys = pairs.map(|(owner, id)| {
        let owner = Owner::new(owner).unwrap();
        SessionKey::new(owner, SessionId::new(id).unwrap())
    });
    for (n, key) in keys.iter().enumerate() {
        it.say(key, &n.to_string()).await;
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(it.texts(key).await, [n.to_string()], "{key:?}");
    }
}

/// A caller that goes away leaves the whole batch or nothing, and a store that works.
pub async fn a_dropped_append_is_all_or_nothing(it: Subject) {
    for polls in 0..12 {
        let key = key(&format!("dropped {polls}"));
        let drafts: Vec<Draft> = (0..50).map(|n| draft(&n.to_string())).collect();
        let append = Append {
            parent: None,
            expect: Expect::Absent,
            append_id: unique(),
            fence: None,
            drafts,
        };
        drop_after(polls, it.store.append(&key, append.clone())).await;
        it.store.append(&key, append).await.unwrap();
        assert_eq!(it.texts(&key).await.len(), 50, "after {polls} polls");
    }
}

/// What is read is shared or copied, but never changes under the reader.
pub async fn what_was_read_stays_as_it_was(it: Subject) {
    let key = key("reader");
    it.say(&key, "a").await;
    let before = it.read(&key).await;
    let copy = before.clone();
    it.say(&key, "b").await;
    it.store.forget(&key, Forget::Always).await.unwrap();
    assert_eq!(before, copy);
    assert_eq!(Arc::clone(&before.entries[0].body).message.joined_text(), "a");
}

/// A tool round goes in as a whole batch, and comes out as one.
pub async fn a_tool_round_is_one_batch(it: Subject) {
    let key = key("round");
    it.say(&key, "look").await;
    let round = [calls(&["a", "b"]), Message::tool("b", "second"), Message::tool("a", "first")];
    let done = it.add(&key, round.clone().map(draft_of).into()).await;
    assert_eq!(done.head, Some(Seq(4)));
    let stored = it.newest(&key, 3).await.entries;
    assert_eq!(stored.iter().map(|it| (*it.body.message).clone()).collect::<Vec<_>>(), round);
}

/// A stored entry that does not decode is left out and counts for nothing; but no scan and so no
/// export leaves it out in silence. The session goes on.
pub async fn a_corrupt_entry_is_left_out(it: Subject) {
    let key = key("corrupt");
    it.add(&key, ["1", "2", "3", "4", "5"].map(draft).into()).await;
    if !it.damage(&key, Seq(4)).await {
        return;
    }
    assert_eq!(positions(&it.newest(&key, 2).await.entries), [3, 5]);
    assert_eq!(positions(&it.read(&key).await.entries), [1, 2, 3, 5]);
    assert_eq!(kind(it.store.scan(&key, Seq(0), 9).await), MemoryErrorKind::Corrupt);
    it.say(&key, "6").await;
    assert_eq!(positions(&it.newest(&key, 3).await.entries), [3, 5, 6]);
    it.damage(&key, Seq(6)).await;
    let head = it.session(&key).await.head;
    assert_eq!(head, Some(Seq(6)));
    it.store.append(&key, append(head, Expect::Attach, "7")).await.unwrap();
    let after = it.read(&key).await;
    assert_eq!(
        (positions(&after.entries), after.session.head),
        (vec![1, 2, 3, 5, 7], Some(Seq(7)))
    );
}

/// A read that nobody verified is checked by its token at the latest: it never loses anything.
pub async fn an_unverified_read_is_checked_by_its_token(it: Subject) {
    let key = key("unverified");
    it.say(&key, "0").await;
    for n in 1..=20 {
        let other = it.at(n);
        loop {
            let options = ReadOptions::newest(9).unverified();
            let read = it.store.read(&key, options).await.unwrap().unwrap();
            let last = read.entries.last().map(|it| it.seq);
            assert_eq!(last, read.session.head);
            let next = append(last, Expect::At(read.session.token), &n.to_string());
            match other.store.append(&key, next).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), MemoryErrorKind::Conflict),
            }
        }
    }
    let said: Vec<String> = (0..=20).map(|n| n.to_string()).collect();
    assert_eq!(it.texts(&key).await, said);
}
