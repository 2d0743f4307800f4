//! The clock that a test moves.

use std::{sync::Arc, time::Duration};

use brain_core::time::{Clock, Timestamp};
use brain_testkit::ManualClock;
use futures_util::poll;

#[tokio::test]
async fn a_sleeper_wakes_when_its_time_has_passed() {
    let clock = Arc::new(ManualClock::new());
    let sleeping = Arc::clone(&clock);
    let mut sleeper = Box::pin(async move { sleeping.sleep(Duration::from_secs(3)).await });
    assert!(poll!(&mut sleeper).is_pending());
    clock.sleepers(1).await;
    clock.advance(Duration::from_millis(2999));
    assert!(poll!(&mut sleeper).is_pending());
    clock.advance(Duration::from_millis(1));
    sleeper.await;
}

#[tokio::test]
async fn setting_the_hour_lets_no_time_pass() {
    let clock = ManualClock::new();
    let mut sleeper = clock.sleep(Duration::from_secs(1));
    assert!(poll!(&mut sleeper).is_pending());
    clock.set_hour(Timestamp::from_millis(0));
    assert!(poll!(&mut sleeper).is_pending());
    assert_eq!((clock.now(), clock.elapsed()), (Timestamp::from_millis(0), Duration::ZERO));
    clock.advance(Duration::from_secs(1));
    assert_eq!(clock.now(), Timestamp::from_millis(1000));
    sleeper.await;
}

#[tokio::test]
async fn no_time_is_no_wait() {
    ManualClock::new().sleep(Duration::ZERO).await;
}
