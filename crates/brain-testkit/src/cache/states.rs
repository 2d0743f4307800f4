//! A copy is of one state that the session was in, or it is not there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use brain_core::{
    ids::{AppendId, Seq, SessionKey, Token},
    memory::{
        Append, Branch, Catalog, Draft, Entry, Expect, InMemoryStore, NewSession, ReadOptions,
        SessionCache, SessionLog,
    },
};
use tokio::task::JoinSet;

use super::subject::{CacheSubject, chain, entry, key, next, positions, summary};

/// A copy of the previous state goes on.
pub async fn a_copy_goes_on_with_its_session(it: CacheSubject) {
    let key = key("goes on");
    let mut copy = it.filled(&key, chain(1..=2)).await;
    for round in 1..=3_u64 {
        let last = 2 + 2 * round;
        let new = chain(last - 1..=last);
        let session = next(&copy.session, Some(last), last);
        it.cache.advance(&key, copy.session.token, &session, &new).await.unwrap();
        copy.entries.extend(new);
        copy = Branch { session, ..copy };
        assert_eq!(it.newest(&key, 99).await.as_ref(), Some(&copy));
    }
}

/// A copy of another state is dropped, not mixed.
pub async fn a_copy_of_another_state_is_dropped(it: CacheSubject) {
    let key = key("another");
    let copy = it.filled(&key, chain(1..=2)).await;
    let session = next(&copy.session, Some(3), 3);
    it.cache.advance(&key, Token::random(), &session, &chain(3..=3)).await.unwrap();
    assert_eq!(it.newest(&key, 0).await, None);
}

/// Where there is no copy, going on makes none.
pub async fn nothing_advances_to_nothing(it: CacheSubject) {
    let key = key("nothing");
    let copy = it.copy(&key, chain(1..=1));
    it.cache.advance(&key, Token::random(), &copy.session, &copy.entries).await.unwrap();
    assert_eq!(it.newest(&key, 0).await, None);
}

/// Entries beside the head's branch change the state, and nothing else of the copy.
pub async fn a_sibling_changes_the_state_alone(it: CacheSubject) {
    let key = key("sibling");
    let copy = it.filled(&key, chain(1..=3)).await;
    let session = next(&copy.session, Some(3), 4);
    let new = [entry(4, Some(2), "beside")];
    it.cache.advance(&key, copy.session.token, &session, &new).await.unwrap();
    let expected = Branch { session, ..copy };
    assert_eq!(it.newest(&key, 9).await, Some(expected));
}

/// Where the head goes on from an earlier entry, the copy is of the new branch, or gone.
pub async fn a_branch_takes_the_place_of_another(it: CacheSubject) {
    for with_summary in [None, Some(summary(3))] {
        let key = key(if with_summary.is_some() { "edit, summed up" } else { "edit" });
        let copy = Branch { summary: with_summary.clone(), ..it.copy(&key, chain(1..=3)) };
        it.cache.fill(&key, &copy).await.unwrap();
        let session = next(&copy.session, Some(4), 4);
        let new = [entry(4, Some(1), "instead")];
        it.cache.advance(&key, copy.session.token, &session, &new).await.unwrap();
        let entries = vec![copy.entries[0].clone(), new[0].clone()];
        let expected = Branch { session, entries, summary: None };
        let found = it.newest(&key, 9).await;
        assert!(found.is_none_or(|found| found == expected && with_summary.is_none()));
    }
}

/// Where the head goes on from an entry that the copy does not hold, nothing is guessed.
pub async fn a_branch_from_before_the_copy_is_not_guessed(it: CacheSubject) {
    let key = key("before");
    let copy = it.filled(&key, chain(5..=8)).await;
    let session = next(&copy.session, Some(9), 9);
    let new = [entry(9, Some(2), "instead")];
    it.cache.advance(&key, copy.session.token, &session, &new).await.unwrap();
    assert_eq!(it.newest(&key, 2).await, None);
    let found = it.newest(&key, 1).await;
    assert!(found.is_none_or(|it| it.session == session && positions(&it) == [9]));
}

/// A head that moves back takes the end of the copy away, or all of it.
pub async fn a_head_may_move_back(it: CacheSubject) {
    let key = key("back");
    let copy = it.filled(&key, chain(1..=4)).await;
    let session = next(&copy.session, Some(2), 4);
    it.cache.advance(&key, copy.session.token, &session, &[]).await.unwrap();
    if let Some(found) = it.newest(&key, 9).await {
        assert_eq!((found.session, &found.entries[..]), (session, &copy.entries[..2]));
    }
}

/// Whatever happens in whatever order, a copy is what the session was in some state.
pub async fn copies_are_states_that_were(it: CacheSubject) {
    let history = History::new(&it, key("history")).await;
    for step in 0..400 {
        history.step(step).await;
        history.check().await;
    }
}

/// The same where many do it at once.
pub async fn copies_are_states_that_were_when_many_write(it: CacheSubject) {
    let history = Arc::new(History::new(&it, key("many")).await);
    let mut tasks = JoinSet::new();
    for task in 0..4 {
        let history = Arc::clone(&history);
        tasks.spawn(async move {
            for step in 0..100 {
                history.step(task * 7_919 + step).await;
                history.check().await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// A session that really goes through its states, and a cache that hears of some of them.
struct History {
    cache: Arc<dyn SessionCache>,
    store: InMemoryStore,
    key: SessionKey,
    /// The head's whole branch in each state.
    states: Mutex<HashMap<Token, Branch>>,
}

impl History {
    async fn new(it: &CacheSubject, key: SessionKey) -> Self {
        let store = InMemoryStore::new(it.clock.clone());
        store.create(&key, NewSession::default()).await.unwrap();
        let cache = Arc::clone(&it.cache);
        let history = Self { cache, store, key, states: Mutex::default() };
        history.now().await;
        history
    }

    /// The state that the session is in now.
    async fn now(&self) -> Branch {
        let branch =
            self.store.read(&self.key, ReadOptions::newest(usize::MAX)).await.unwrap().unwrap();
        self.states.lock().unwrap().insert(branch.session.token, branch.clone());
        branch
    }

    /// One thing of many, as `step` has it.
    async fn step(&self, step: usize) {
        let before = self.now().await;
        let dice = step.wrapping_mul(2_654_435_761) >> 7;
        match dice % 8 {
            0 => self.cache.evict(&self.key).await.unwrap(),
            1 | 2 => {
                let skipped = before.entries.len().saturating_sub(dice / 8 % 12);
                let entries = before.entries.get(skipped..).unwrap_or_default().to_vec();
                self.cache.fill(&self.key, &Branch { entries, ..before }).await.unwrap();
            }
            3 => {
                let head = before.entries.get(dice / 8 % (before.entries.len() + 1));
                let head = head.map(|it| it.seq);
                let moved = self.store.move_head(&self.key, before.session.token, head).await;
                if let Ok(session) = moved {
                    self.tell(dice, &before, &session.token, &[]).await;
                }
            }
            _ => self.say(dice, &before).await,
        }
    }

    /// Appends at the head, or in its branch, and tells the cache; or forgets to.
    async fn say(&self, dice: usize, before: &Branch) {
        let middle = before.entries.get(dice / 8 % (before.entries.len() + 1));
        let parent = if dice % 16 < 12 { before.session.head } else { middle.map(|it| it.seq) };
        let expect =
            if dice.is_multiple_of(5) { Expect::Attach } else { Expect::At(before.session.token) };
        let bodies = (0..=dice % 3).map(|it| entry(1, None, &format!("{dice} {it}")).body);
        let drafts: Vec<Draft> = bodies.map(|it| Draft::new((*it).clone()).unwrap()).collect();
        let append_id = AppendId::new(Token::random().to_string()).unwrap();
        let append = Append { parent, expect, append_id, fence: None, drafts: drafts.clone() };
        let Ok(appended) = self.store.append(&self.key, append).await else { return };
        let first = appended.last.unwrap().0 + 1 - drafts.len() as u64;
        let mut parent = parent;
        let entries = drafts.iter().zip(first..).map(|(draft, seq)| {
            let seq = Seq(seq);
            Entry { seq, parent: parent.replace(seq), body: Arc::clone(draft.body()) }
        });
        let entries: Vec<Entry> = entries.collect();
        if expect != Expect::Attach {
            self.tell(dice, before, &appended.token, &entries).await;
        }
    }

    async fn tell(&self, dice: usize, before: &Branch, token: &Token, entries: &[Entry]) {
        let after = self.now().await;
        if !dice.is_multiple_of(11) && after.session.token == *token {
            let previous = before.session.token;
            self.cache.advance(&self.key, previous, &after.session, entries).await.unwrap();
        }
    }

    /// What the cache answers is what the store answered in that state.
    async fn check(&self) {
        for limit in [0, 1, 3, 10, usize::MAX] {
            let found = self.cache.cached(&self.key, ReadOptions::newest(limit)).await.unwrap();
            let Some(found) = found else { continue };
            let state = self.states.lock().unwrap()[&found.session.token].clone();
            let skipped = state.entries.len().saturating_sub(limit);
            assert_eq!(found, Branch { entries: state.entries[skipped..].to_vec(), ..state });
        }
    }
}
