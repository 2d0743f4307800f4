//! Settings on the table `configuration`: the suite, and what it cannot see.

use std::sync::Arc;

use brain_core::{
    json::RawJson,
    settings::{Assumed, Settings},
};
use brain_testkit::{ManualClock, settings::FreshSettings};
use memory_sqlite::{SqliteConfig, SqliteStore};

brain_testkit::settings_suite!(async |clock| {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("memory.db"));
    FreshSettings::from(SqliteStore::open(&config, clock).unwrap()).keeping(folder)
});

#[tokio::test]
async fn settings_outlive_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("memory.db"));
    let open = || SqliteStore::open(&config, Arc::new(ManualClock::new())).unwrap();
    let store = open();
    let value = RawJson::parse("\"a/model\"").unwrap();
    let set = store.set("model", value, Assumed::Unset).await.unwrap();
    store.set("other", RawJson::parse("1").unwrap(), Assumed::Unset).await.unwrap();
    store.unset("other", Assumed::Anything).await.unwrap();
    drop(store);
    assert!(open().is_lasting());
    assert_eq!(open().list().await.unwrap(), [set]);
}
