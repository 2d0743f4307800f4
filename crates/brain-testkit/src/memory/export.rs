//! The export as a stream of parts: in order, of one moment, and at the pace of its reader.

use std::time::Duration;

use brain_core::{
    ids::{Owner, Seq, SessionId, SessionKey},
    memory::{
        Expect, ExportPart, ExportedEntry, ExportedHead, ExportedSession, Forget, ListOptions,
        MemoryError, ReadOptions,
    },
};
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use tokio::task::JoinSet;

use super::subject::{Subject, ann, append, bob, closing, draft, key, positions};

/// How long a call may take that an idle reader must not hold up.
const SHORT: Duration = Duration::from_secs(10);

type Parts = BoxStream<'static, Result<ExportPart, MemoryError>>;

async fn parts(it: &Subject, owner: &Owner) -> Vec<ExportPart> {
    it.store.export(owner).await.unwrap().try_collect().await.unwrap()
}

/// The parts as sessions; each entry belongs to the head before it.
fn grouped(parts: Vec<ExportPart>) -> Vec<(ExportedHead, Vec<ExportedEntry>)> {
    let mut sessions: Vec<(ExportedHead, Vec<ExportedEntry>)> = Vec::new();
    for part in parts {
        match part {
            ExportPart::Session(head) => sessions.push((head, Vec::new())),
            ExportPart::Entry(entry) => sessions.last_mut().unwrap().1.push(entry),
        }
    }
    sessions
}

async fn fill(it: &Subject) {
    for n in 0..25 {
        it.clock.advance(Duration::from_millis(n % 2));
        let key = key(&format!("session {n}"));
        it.add(&key, (0..=n).map(|n| draft(&n.to_string())).collect()).await;
        it.store.append(&key, append(None, Expect::Attach, "aside")).await.unwrap();
    }
    it.summarise(&key("session 7"), super::summaries::summary(3, "s")).await.unwrap();
    it.add(&key("long"), (0..1_500).map(|n| draft(&n.to_string())).collect()).await;
    let turn = it.start(&key("session 3"), "q").await;
    it.store.close(closing(&turn, "a")).await.unwrap();
    it.say(&SessionKey::new(bob(), key("session 3").id), "bob's").await;
}

/// An export is what listing and scanning say: sessions oldest first, entries by position.
pub async fn an_export_is_what_list_and_scan_say(it: Subject) {
    fill(&it).await;
    let mut listed = it.store.list(&ann(), ListOptions { before: None, limit: 99 }).await.unwrap();
    listed.reverse();
    let mut expected = Vec::new();
    for session in listed {
        let key = SessionKey::new(ann(), session.id.clone());
        let summaries = it.store.summaries(&key).await.unwrap();
        expected.push(ExportedSession::of(&session, &it.all(&key).await, summaries));
    }
    assert_eq!(expected.len(), 26);
    let sessions: Vec<_> = grouped(parts(&it, &ann()).await)
        .into_iter()
        .map(|(head, entries)| head.with(entries))
        .collect();
    assert!(sessions == expected, "{sessions:?} is not {expected:?}");
}

/// Nobody's export is empty, and nobody finds another's in theirs.
pub async fn an_export_is_of_one_owner(it: Subject) {
    for owner in ["foo", "foobar", "f%"] {
        let key = SessionKey::new(Owner::new(owner).unwrap(), SessionId::new("s").unwrap());
        it.say(&key, owner).await;
    }
    let sessions = grouped(parts(&it, &Owner::new("foo").unwrap()).await);
    let said: Vec<String> = sessions[0].1.iter().map(|it| it.entry.message.joined_text()).collect();
    assert_eq!((sessions.len(), said), (1, vec!["foo".to_owned()]));
    assert_eq!(parts(&it, &Owner::new("fo").unwrap()).await, []);
}

/// While others write, each session is exported as it was at one moment: whole batches, and a head
/// that is there.
pub async fn an_export_never_tears(it: Subject) {
    let mut writers = JoinSet::new();
    for n in 0..3 {
        let (it, key) = (it.at(n), key(&format!("session {n}")));
        writers.spawn(async move {
            for _ in 0..40 {
                it.add(&key, (0..10).map(|n| draft(&n.to_string())).collect()).await;
            }
        });
    }
    loop {
        let done = writers.is_empty();
        for (head, entries) in grouped(parts(&it, &ann()).await) {
            assert_eq!(entries.len() % 10, 0);
            assert_eq!(head.session().head, entries.last().map(|it| it.seq));
        }
        if done {
            break;
        }
        while let Some(writer) = writers.try_join_next() {
            writer.unwrap();
        }
    }
    let sessions = grouped(parts(&it, &ann()).await);
    assert_eq!(sessions.iter().map(|it| it.1.len()).collect::<Vec<_>>(), [400; 3]);
}

async fn first(parts: &mut Parts) -> ExportPart {
    parts.next().await.unwrap().unwrap()
}

/// A reader that takes its time holds up nobody, and gets the rest all the same.
pub async fn a_slow_reader_holds_nothing(it: Subject) {
    fill(&it).await;
    let mut slow = it.store.export(&ann()).await.unwrap();
    let ExportPart::Session(head) = first(&mut slow).await else { panic!("no session first") };
    let meanwhile = async {
        it.say(&key("session 24"), "meanwhile").await;
        it.store.forget(&key("session 20"), Forget::Always).await.unwrap();
        it.add(&key("new"), (0..500).map(|n| draft(&n.to_string())).collect()).await;
        it.store.read(&key("long"), ReadOptions::newest(9)).await.unwrap();
    };
    tokio::time::timeout(SHORT, meanwhile).await.unwrap();
    let rest = slow.try_collect::<Vec<_>>().await.unwrap();
    let mut all = vec![ExportPart::Session(head)];
    all.extend(rest);
    for (head, entries) in grouped(all) {
        let named = positions_of(&entries);
        let last = head.session().head;
        assert!(named.is_sorted() && last.is_none_or(|it| named.contains(&it)), "{head:?}");
    }
}

fn positions_of(entries: &[ExportedEntry]) -> Vec<Seq> {
    entries.iter().map(|it| it.seq).collect()
}

/// Leaving an export in the middle leaves a store that works.
pub async fn an_export_may_be_left(it: Subject) {
    fill(&it).await;
    for taken in [0, 1, 2, 30, 300] {
        let parts = it.store.export(&ann()).await.unwrap();
        drop(parts.take(taken).collect::<Vec<_>>().await);
    }
    let parts = parts(&it, &ann()).await;
    assert_eq!(grouped(parts).len(), 26);
    assert_eq!(positions(&it.newest(&key("long"), 1).await.entries), [1_500]);
    assert_eq!(it.say(&key("long"), "more").await.last, Some(Seq(1_501)));
}
