//! Forgetting all that an owner has, with a failure in the middle.

use brain_core::{
    chat::Message,
    ids::{AppendId, Owner, SessionId, SessionKey},
    memory::{Append, Draft, EntryBody, Expect, ListOptions, MemoryErrorKind, MemoryStore},
    time::Timestamp,
};
use brain_testkit::Operation;
use serde_json::json;

use crate::server::Server;

const SESSIONS: usize = 250;
const ENTRIES: usize = 100;

async fn fill(store: &dyn MemoryStore, owner: &Owner) {
    let body = EntryBody::complete(Message::user("canary"), Timestamp::from_millis(0));
    let draft = Draft::new(body).unwrap();
    for session in 0..SESSIONS {
        let id = SessionId::new(format!("session {session}")).unwrap();
        let append = Append {
            parent: None,
            expect: Expect::Absent,
            append_id: AppendId::new("fill").unwrap(),
            fence: None,
            drafts: vec![draft.clone(); ENTRIES],
        };
        store.append(&SessionKey::new(owner.clone(), id), append).await.unwrap();
    }
}

async fn count(store: &dyn MemoryStore, owner: &Owner) -> usize {
    store.list(owner, ListOptions { before: None, limit: 9_999 }).await.unwrap().len()
}

#[tokio::test]
async fn forgetting_everything_goes_on_after_a_failure_and_touches_nobody_else() {
    let server = Server::echo().await;
    let (store, local) = (server.store.clone(), Owner::local());
    let other = Owner::new("localhost").unwrap();
    fill(&*store, &local).await;
    fill(&*store, &other).await;
    store.fail(Operation::Forget, 101, MemoryErrorKind::Unavailable);
    server.delete("/memory").await.problem(503, "memory_unavailable");
    assert_eq!(count(&*store, &local).await, SESSIONS - 100);
    let rest = server.delete("/memory").await.json();
    let erased = (SESSIONS - 100) * ENTRIES;
    assert_eq!(rest, json!({"erased": erased, "pending": 0, "sessions": SESSIONS - 100}));
    assert_eq!((count(&*store, &local).await, count(&*store, &other).await), (0, SESSIONS));
}
