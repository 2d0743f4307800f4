//! A forgotten session stays forgotten.

use std::time::Duration;

use super::subject::{CacheSubject, chain, key, next};

/// What was buried is gone.
pub async fn burying_erases(it: CacheSubject) {
    let key = key("canary");
    it.filled(&key, chain(1..=3)).await;
    assert_eq!(it.cache.bury(&key).await.unwrap().pending, 0);
    assert_eq!(it.newest(&key, 0).await, None);
    assert_eq!(it.from(&key, 1, 1).await, None);
}

/// Burying nothing succeeds, as often as one likes.
pub async fn burying_what_is_not_there_succeeds(it: CacheSubject) {
    for _ in 0..2 {
        assert_eq!(it.cache.bury(&key("never")).await.unwrap().pending, 0);
    }
}

/// A late copy of a buried session is not let in, and no late state brings it back.
pub async fn the_buried_do_not_come_back(it: CacheSubject) {
    let key = key("late");
    let copy = it.filled(&key, chain(1..=2)).await;
    it.clock.advance(Duration::from_secs(1));
    it.cache.bury(&key).await.unwrap();
    let session = next(&copy.session, Some(3), 3);
    for hours in [0, 1, 22] {
        it.clock.advance(Duration::from_secs(hours * 60 * 60));
        it.cache.fill(&key, &copy).await.unwrap();
        it.cache.advance(&key, copy.session.token, &session, &chain(3..=3)).await.unwrap();
        assert_eq!(it.newest(&key, 0).await, None, "{hours} hours later");
    }
}

/// A session that is made after the burial is another one.
pub async fn a_new_session_of_the_name_is_welcome(it: CacheSubject) {
    let key = key("again");
    let old = it.filled(&key, chain(1..=2)).await;
    it.cache.bury(&key).await.unwrap();
    it.clock.advance(Duration::from_secs(1));
    let new = it.filled(&key, chain(1..=1)).await;
    it.cache.fill(&key, &old).await.unwrap();
    assert_eq!(it.newest(&key, 9).await, Some(new));
}

/// Other sessions keep their copies.
pub async fn a_burial_is_of_one_session(it: CacheSubject) {
    let kept = it.filled(&key("kept"), chain(1..=2)).await;
    it.filled(&key("gone"), chain(1..=2)).await;
    it.cache.bury(&key("gone")).await.unwrap();
    assert_eq!(it.newest(&key("kept"), 9).await, Some(kept));
}
