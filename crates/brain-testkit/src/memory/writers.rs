//! Several writers at once, on several threads.

use std::collections::HashMap;

use brain_core::{
    ids::{HolderId, Seq, SessionKey},
    memory::{Append, Expect, Fence, ListOptions, MemoryErrorKind, OpenTurn, Opened, ReadOptions},
};
use tokio::task::JoinSet;

use super::subject::{
    LEASE, Subject, ann, append, bob, draft, idempotency, key, positions, texts, unique,
};

/// Runs `count` tasks at once and gives their results.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize,
    task: impl Fn(usize) -> F,
) -> Vec<T> {
    let mut tasks: JoinSet<T> = (0..count).map(task).collect();
    let mut results = Vec::new();
    while let Some(result) = tasks.join_next().await {
        results.push(result.unwrap());
    }
    results
}

/// Eight writers of 250 messages each, through every store on the data: all there, no position
/// missing or twice, each writer's in its order.
pub async fn eight_writers_lose_nothing(it: Subject) {
    let key = key("eight");
    it.say(&key, "root").await;
    at_once(8, |writer| {
        let (it, key) = (it.at(writer), key.clone());
        async move {
            let mut parent = Some(Seq(1));
            for n in 0..250 {
                let append = append(parent, Expect::Attach, &format!("{writer} {n}"));
                parent = it.store.append(&key, append).await.unwrap().last;
            }
        }
    })
    .await;
    let all = it.all(&key).await;
    assert_eq!(positions(&all), (1..=2001).collect::<Vec<u64>>());
    let mut next: HashMap<String, usize> = HashMap::new();
    for text in &texts(&all)[1..] {
        let (writer, n) = text.split_once(' ').unwrap();
        let expected = next.entry(writer.to_owned()).or_default();
        assert_eq!(n, expected.to_string(), "writer {writer}");
        *expected += 1;
    }
    assert_eq!(next.len(), 8);
    assert_eq!(it.session(&key).await.entries, 2001);
}

/// Writers that read, then append by the token, take turns: one line, nothing lost.
pub async fn writers_by_token_take_turns(it: Subject) {
    let key = key("line");
    at_once(4, |writer| {
        let (it, key) = (it.at(writer), key.clone());
        async move {
            for n in 0..25 {
                loop {
                    let (parent, expect) = it.state(&key).await;
                    let append = append(parent, expect, &format!("{writer} {n}"));
                    match it.store.append(&key, append).await {
                        Ok(_) => break,
                        Err(error) => assert_eq!(error.kind(), MemoryErrorKind::Conflict),
                    }
                }
            }
        }
    })
    .await;
    let branch = it.read(&key).await;
    assert_eq!(positions(&branch.entries), (1..=100).collect::<Vec<u64>>());
}

/// The same append from sixteen tasks happens once, and all get the same answer.
pub async fn the_same_append_at_once_happens_once(it: Subject) {
    let key = key("same");
    let once = append(None, Expect::Absent, "once");
    let results = at_once(16, |n| {
        let (it, key, once) = (it.at(n), key.clone(), once.clone());
        async move { it.store.append(&key, once).await.unwrap() }
    })
    .await;
    assert!(results.iter().all(|it| it == &results[0]), "{results:?}");
    assert_eq!(it.texts(&key).await, ["once"]);
}

/// Of sixteen first writers one makes the session, and the others learn that it exists.
pub async fn one_of_many_first_writers_wins(it: Subject) {
    let key = key("first");
    let results = at_once(16, |n| {
        let (it, key) = (it.at(n), key.clone());
        async move { it.store.append(&key, append(None, Expect::Absent, &n.to_string())).await }
    })
    .await;
    let lost = results.iter().filter_map(|it| it.as_ref().err().map(|it| it.kind()));
    assert_eq!(lost.collect::<Vec<_>>(), [MemoryErrorKind::Conflict; 15]);
    assert_eq!(it.texts(&key).await.len(), 1);
}

/// Sixteen sessions made at once are sixteen sessions.
pub async fn many_sessions_begin_at_once(it: Subject) {
    at_once(16, |n| {
        let it = it.at(n);
        async move { it.say(&key(&n.to_string()), "hi").await }
    })
    .await;
    let listed = it.store.list(&ann(), ListOptions { before: None, limit: 99 }).await.unwrap();
    assert_eq!(listed.len(), 16);
}

/// Two owners who write at once to the same id find only their own.
pub async fn owners_write_at_once(it: Subject) {
    let id = key("shared").id;
    at_once(2, |n| {
        let it = it.at(n);
        let owner = if n == 0 { ann() } else { bob() };
        let key = SessionKey::new(owner.clone(), id.clone());
        async move {
            for n in 0..100 {
                it.say(&key, &format!("{owner} {n}")).await;
            }
        }
    })
    .await;
    for owner in [ann(), bob()] {
        let said: Vec<String> = (0..100).map(|n| format!("{owner} {n}")).collect();
        assert_eq!(it.texts(&SessionKey::new(owner, id.clone())).await, said);
    }
}

/// A reader sees a batch whole or not at all, and a session that fits its entries.
pub async fn readers_see_whole_batches(it: Subject) {
    let key = key("batches");
    let writer = {
        let (it, key) = (it.at(1), key.clone());
        async move {
            for _ in 0..50 {
                it.add(&key, (0..10).map(|n| draft(&n.to_string())).collect()).await;
            }
        }
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(writer);
    loop {
        let done = tasks.try_join_next();
        if let Some(branch) = it.store.read(&key, ReadOptions::newest(usize::MAX)).await.unwrap() {
            let read = branch.entries.len();
            assert_eq!(read % 10, 0);
            assert_eq!(branch.session.entries, read as u64);
            assert_eq!(branch.session.head.map_or(0, |it| it.0), read as u64);
        }
        if let Some(done) = done {
            break done.unwrap();
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(it.texts(&key).await.len(), 500);
}

/// Of sixteen turns on one session one starts, and the others find it busy.
pub async fn one_of_many_turns_starts(it: Subject) {
    let key = key("turns");
    let turns: Vec<OpenTurn> = {
        let mut turns = Vec::new();
        for n in 0..16 {
            turns.push(it.turn(&key, &n.to_string()).await);
        }
        turns
    };
    let results = at_once(16, |n| {
        let (it, turn) = (it.at(n), turns[n].clone());
        async move { it.store.open(turn).await.unwrap() }
    })
    .await;
    let busy = results.iter().filter(|it| matches!(it, Opened::Busy { .. })).count();
    let started = results.iter().filter(|it| matches!(it, Opened::Started { .. })).count();
    assert_eq!((started, busy), (1, 15));
    assert_eq!(it.texts(&key).await.len(), 1);
}

/// One request sent sixteen times at once is one turn.
pub async fn one_request_at_once_is_one_turn(it: Subject) {
    let key = key("request");
    let open = it.turn(&key, "hi").await;
    let results = at_once(16, |n| {
        let (it, key, open) = (it.at(n), key.clone(), open.clone());
        async move {
            let own = it.turn(&key, "hi").await.id;
            let append = Append { append_id: unique(), ..open.append };
            let idempotency = Some(idempotency("k", "h"));
            it.store.open(OpenTurn { id: own, append, idempotency, ..open }).await.unwrap()
        }
    })
    .await;
    let known = results.iter().filter(|it| matches!(it, Opened::Known(_))).count();
    assert_eq!(known, 15);
    assert_eq!(it.texts(&key).await, ["hi"]);
}

/// Of sixteen takers of a lapsed turn one holds it.
pub async fn one_of_many_takers_holds(it: Subject) {
    let turn = it.start(&key("takers"), "q").await;
    it.clock.advance(LEASE);
    let results = at_once(16, |n| {
        let it = it.at(n);
        let fence = Fence { turn: turn.id, holder: HolderId::random() };
        async move { it.store.take(fence, LEASE).await }
    })
    .await;
    let held: Vec<_> = results.into_iter().flatten().collect();
    assert_eq!(held.len(), 1);
    assert_eq!(it.record(&turn).await, held[0]);
}
