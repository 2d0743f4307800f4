//! Whatever is done in whatever order, the store answers as the reference store does.

mod side;
mod steps;

use std::{sync::Arc, time::Duration};

use brain_core::memory::InMemoryStore;
use brain_testkit::ManualClock;
use memory_sqlite::SqliteStore;
use proptest::{collection, prelude::*};
use tokio::runtime::Runtime;

use self::{
    side::{Names, Side},
    steps::{Step, step},
};
use crate::config;

async fn check(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let store = SqliteStore::open(&config(folder.path()), clock.clone()).unwrap();
    let mut ours = Side::new(store);
    let mut reference = Side::new(InMemoryStore::new(clock.clone()));
    let names = Names::new(steps.len());
    for step in steps {
        if let Step::Wait(seconds) = step {
            clock.advance(Duration::from_secs(seconds));
        }
        let expected = reference.step(&step, &names).await;
        prop_assert_eq!(ours.step(&step, &names).await, expected, "{:?}", step);
    }
    prop_assert_eq!(ours.all(&names).await, reference.all(&names).await);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_as_the_reference_does(steps in collection::vec(step(), 1..60)) {
        Runtime::new().unwrap().block_on(check(steps))?;
    }
}
