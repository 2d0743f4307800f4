//! Which sessions there are, whose they are, and what is known about them.

use std::time::Duration;

use brain_core::{
    ids::{Owner, SessionId, SessionKey},
    json::RawJson,
    memory::{
        DefaultTitle, Forget, ListOptions, MemoryClass, MemoryErrorKind, NewSession, PageKey,
        Search, Session, SessionPatch,
    },
    time::Clock,
};

use super::subject::{Subject, ann, bob, key, kind};

fn ids(sessions: &[Session]) -> Vec<&str> {
    sessions.iter().map(|it| it.id.as_str()).collect()
}

fn full() -> NewSession {
    NewSession {
        title: Some("a \"title\" \u{0} \u{1f600}".to_owned()),
        metadata: Some(RawJson::parse(r#"{"n":12345678901234567890123,"owner":"bob"}"#).unwrap()),
        system: Some("be brief".to_owned()),
        model: Some("a/model".to_owned()),
        recall: true,
        class: MemoryClass::Durable,
    }
}

/// A made session is empty and holds what it was made with.
pub async fn a_made_session_is_as_it_was_made(it: Subject) {
    let key = key("made");
    let made = it.store.create(&key, full()).await.unwrap();
    let NewSession { title, metadata, system, model, recall, class } = full();
    assert_eq!((&made.title, &made.metadata, &made.system), (&title, &metadata, &system));
    assert_eq!((made.model.as_ref(), made.recall, made.class), (model.as_ref(), recall, class));
    assert_eq!((made.head, made.entries), (None, 0));
    assert_eq!((made.created_at, made.updated_at), (it.clock.now(), it.clock.now()));
    assert_eq!(it.session(&key).await, made);
    assert_eq!(it.read(&key).await.entries, []);
}

/// A session is made once.
pub async fn a_session_is_made_once(it: Subject) {
    let key = key("twice");
    let made = it.store.create(&key, full()).await.unwrap();
    let again = it.store.create(&key, NewSession::default()).await;
    assert_eq!(kind(again), MemoryErrorKind::Conflict);
    assert_eq!(it.session(&key).await, made);
}

/// The memory class is kept.
pub async fn the_class_is_kept(it: Subject) {
    let new = NewSession { class: MemoryClass::Ephemeral, ..NewSession::default() };
    it.store.create(&key("brief"), new).await.unwrap();
    assert_eq!(it.session(&key("brief")).await.class, MemoryClass::Ephemeral);
}

/// Sessions are listed by (made, id), newest first, in pages that neither skip nor repeat.
pub async fn sessions_are_listed_in_pages(it: Subject) {
    for (id, later) in [("a", 0), ("c", 1), ("b", 0), ("B", 0), ("d", 1)] {
        it.clock.advance(Duration::from_secs(later));
        it.store.create(&key(id), NewSession::default()).await.unwrap();
    }
    it.say(&key("a"), "a later change moves nothing").await;
    let expected = ["d", "c", "b", "B", "a"];
    let list =
        async |before, limit| it.store.list(&ann(), ListOptions { before, limit }).await.unwrap();
    assert_eq!(ids(&list(None, 10).await), expected);
    assert_eq!(list(None, 0).await, []);
    for limit in 1..=5 {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = list(before, limit).await;
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit);
            before = Some(PageKey::from(last));
            seen.extend(page);
        }
        assert_eq!(ids(&seen), expected, "pages of {limit}");
    }
    assert_eq!(list(None, 1).await, [it.session(&key("d")).await]);
}

/// A page goes on after a session that has been forgotten meanwhile.
pub async fn a_page_key_outlives_its_session(it: Subject) {
    for id in ["a", "b", "c"] {
        it.say(&key(id), "hi").await;
    }
    let before = Some(PageKey::from(&it.session(&key("b")).await));
    it.store.forget(&key("b"), Forget::Always).await.unwrap();
    let page = it.store.list(&ann(), ListOptions { before, limit: 10 }).await.unwrap();
    assert_eq!(ids(&page), ["a"]);
}

/// A patch sets, clears and leaves fields; the token stays, so that no turn trips over it.
pub async fn a_patch_changes_what_it_names(it: Subject) {
    let key = key("patch");
    let made = it.store.create(&key, full()).await.unwrap();
    it.clock.advance(Duration::from_secs(1));
    let patch = SessionPatch {
        title: Some(Some("new".to_owned())),
        metadata: Some(None),
        recall: Some(false),
        ..SessionPatch::default()
    };
    let patched = it.store.patch(&key, patch).await.unwrap().unwrap();
    let expected = Session {
        title: Some("new".to_owned()),
        metadata: None,
        recall: false,
        updated_at: it.clock.now(),
        ..made
    };
    assert_eq!(patched, expected);
    assert_eq!(it.session(&key).await, expected);
    let clear = SessionPatch {
        title: Some(None),
        system: Some(None),
        model: Some(None),
        ..SessionPatch::default()
    };
    let cleared = it.store.patch(&key, clear).await.unwrap().unwrap();
    assert_eq!((cleared.title, cleared.system, cleared.model), (None, None, None));
    let choose = Some(Some("another/model".to_owned()));
    let choice = SessionPatch { model: choose.clone(), ..SessionPatch::default() };
    let chosen = it.store.patch(&key, choice).await.unwrap().unwrap();
    assert_eq!(Some(chosen.model), choose);
}

/// A default title is taken in place of none and of another one, and never of one that was chosen.
pub async fn a_chosen_title_stays(it: Subject) {
    let key = key("titles");
    let edition = it.store.create(&key, NewSession::default()).await.unwrap().edition;
    let made = |title: &str| SessionPatch {
        default_title: Some(DefaultTitle { text: title.to_owned(), edition }),
        ..SessionPatch::default()
    };
    for title in ["first", "second"] {
        let patched = it.store.patch(&key, made(title)).await.unwrap().unwrap();
        assert_eq!((patched.title.as_deref(), patched.has_default_title), (Some(title), true));
    }
    let title = Some(Some("chosen".to_owned()));
    it.store.patch(&key, SessionPatch { title, ..SessionPatch::default() }).await.unwrap();
    let patched = it.store.patch(&key, made("third")).await.unwrap().unwrap();
    assert_eq!((patched.title.as_deref(), patched.has_default_title), (Some("chosen"), false));
}

/// Patching a session that there is not gives none, and makes none.
pub async fn patching_makes_no_session(it: Subject) {
    let patch = SessionPatch { recall: Some(true), ..SessionPatch::default() };
    assert_eq!(it.store.patch(&key("none"), patch).await.unwrap(), None);
    assert_eq!(it.store.session(&key("none")).await.unwrap(), None);
}

/// The same id is another session for another owner, in every method.
pub async fn owners_share_nothing(it: Subject) {
    let mine = key("same");
    let theirs = SessionKey::new(bob(), mine.id.clone());
    it.say(&mine, "ann's secret").await;
    it.say(&theirs, "bob's secret").await;
    let turn = it.start(&mine, "more of ann").await;
    assert_eq!(it.texts(&theirs).await, ["bob's secret"]);
    assert_eq!(it.store.turn(&bob(), turn.id).await.unwrap(), None);
    assert_eq!(it.store.request_cancel(&bob(), turn.id).await.unwrap(), None);
    assert!(!it.record(&turn).await.cancel_requested);
    let found = it.store.search(&bob(), &Search::words("secret", 10)).await.unwrap();
    assert_eq!(found.iter().map(|it| &it.session).collect::<Vec<_>>(), [&theirs]);
    it.store.forget(&theirs, Forget::Always).await.unwrap();
    assert_eq!(it.texts(&mine).await, ["ann's secret", "more of ann"]);
    assert_eq!(it.store.list(&bob(), ListOptions { before: None, limit: 9 }).await.unwrap(), []);
}

/// An owner's name is no pattern and no prefix.
pub async fn owners_are_compared_whole(it: Subject) {
    let owners = ["foo", "foobar", "f%", "f_o", "%", "FOO", "foo ", "foo\0"];
    let id = SessionId::new("s").unwrap();
    for owner in owners {
        let key = SessionKey::new(Owner::new(owner).unwrap(), id.clone());
        it.say(&key, &format!("hello {owner}")).await;
    }
    for owner in owners {
        let name = Owner::new(owner).unwrap();
        let listed = it.store.list(&name, ListOptions { before: None, limit: 99 }).await.unwrap();
        assert_eq!(listed.len(), 1, "{owner:?}");
        let found = it.store.search(&name, &Search::words("hello", 99)).await.unwrap();
        let said: Vec<_> = found.iter().map(|it| it.entry.body.message.joined_text()).collect();
        assert_eq!(said, [format!("hello {owner}")]);
    }
}
