//! What every [`Settings`] must do.
//!
//! [`settings_suite!`](crate::settings_suite) declares one test a case; a case gets fresh settings
//! on a clock of its own.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use brain_core::{
    ids::Token,
    json::RawJson,
    memory::{MemoryError, MemoryErrorKind},
    settings::{Assumed, Setting, Settings},
    time::Clock,
};
use futures_util::future;

use crate::ManualClock;

/// Longest that a case may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings of which none is set, and what must live as long as they do.
pub struct FreshSettings {
    settings: Arc<dyn Settings>,
    keep: Vec<Box<dyn Any + Send>>,
}

impl FreshSettings {
    /// These.
    pub fn new(settings: Arc<dyn Settings>) -> Self {
        Self { settings, keep: Vec::new() }
    }

    /// The same, dropping `guard` after the settings.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send) -> Self {
        self.keep.push(Box::new(guard));
        self
    }
}

impl fmt::Debug for FreshSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl<S: Settings> From<S> for FreshSettings {
    fn from(settings: S) -> Self {
        Self::new(Arc::new(settings))
    }
}

/// The settings under test and the clock that they go by.
#[derive(Clone, Debug)]
pub struct SettingsSubject {
    settings: Arc<dyn Settings>,
    clock: Arc<ManualClock>,
}

impl SettingsSubject {
    async fn set(&self, name: &str, value: &str, assumed: Assumed) -> Result<Setting, MemoryError> {
        self.settings.set(name, RawJson::parse(value).unwrap(), assumed).await
    }

    async fn value(&self, name: &str) -> Option<String> {
        let found = self.settings.get(name).await.unwrap();
        found.map(|it| it.value.as_str().to_owned())
    }
}

fn is_conflict<T: fmt::Debug>(result: Result<T, MemoryError>) -> bool {
    result.unwrap_err().kind() == MemoryErrorKind::Conflict
}

/// What is not set is not there.
pub async fn what_is_not_set_is_not_there(it: SettingsSubject) {
    assert_eq!(it.settings.get("a").await.unwrap(), None);
    assert_eq!(it.settings.list().await.unwrap(), []);
    assert!(!it.settings.unset("a", Assumed::Anything).await.unwrap());
}

/// What was set is read as it was set, until it is set again.
pub async fn what_was_set_is_read(it: SettingsSubject) {
    let first = it.set("a", r#"{"n":12345678901234567890123}"#, Assumed::Anything).await.unwrap();
    assert_eq!((first.name.as_str(), first.updated_at), ("a", it.clock.now()));
    assert_eq!(it.settings.get("a").await.unwrap(), Some(first.clone()));
    it.clock.advance(Duration::from_secs(7));
    let second = it.set("a", r#""\u0000 \ud83d\ude00""#, Assumed::Anything).await.unwrap();
    assert_ne!(second.token, first.token);
    assert_eq!(second.updated_at, it.clock.now());
    assert_eq!(it.settings.get("a").await.unwrap(), Some(second));
    let again = it.set("a", "null", Assumed::Anything).await.unwrap();
    let same = it.set("a", "null", Assumed::Anything).await.unwrap();
    assert_ne!(again.token, same.token);
    assert_eq!(it.value("a").await.as_deref(), Some("null"));
}

/// They are listed by name, whatever the order was.
pub async fn they_are_listed_by_name(it: SettingsSubject) {
    for name in ["b", "a b", "A", "ä", "a"] {
        it.set(name, "1", Assumed::Unset).await.unwrap();
    }
    let all = it.settings.list().await.unwrap();
    let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["A", "a", "a b", "b", "ä"]);
    for setting in &all {
        assert_eq!(it.settings.get(&setting.name).await.unwrap().as_ref(), Some(setting));
    }
}

/// What was unset is gone, and can be set again.
pub async fn what_was_unset_is_gone(it: SettingsSubject) {
    let first = it.set("a", "1", Assumed::Anything).await.unwrap();
    it.set("b", "2", Assumed::Anything).await.unwrap();
    assert!(it.settings.unset("a", Assumed::Anything).await.unwrap());
    assert!(!it.settings.unset("a", Assumed::Anything).await.unwrap());
    assert_eq!((it.value("a").await, it.value("b").await.as_deref()), (None, Some("2")));
    let again = it.set("a", "1", Assumed::Unset).await.unwrap();
    assert_ne!(again.token, first.token);
}

/// A change that assumes what is not so changes nothing.
pub async fn a_wrong_assumption_changes_nothing(it: SettingsSubject) {
    let other = Token::random();
    assert!(is_conflict(it.set("a", "1", Assumed::At(other)).await));
    assert!(is_conflict(it.settings.unset("a", Assumed::At(other)).await));
    let first = it.set("a", "1", Assumed::Unset).await.unwrap();
    assert!(is_conflict(it.set("a", "2", Assumed::Unset).await));
    assert!(is_conflict(it.settings.unset("a", Assumed::Unset).await));
    let second = it.set("a", "2", Assumed::At(first.token)).await.unwrap();
    assert!(is_conflict(it.set("a", "3", Assumed::At(first.token)).await));
    assert!(is_conflict(it.settings.unset("a", Assumed::At(first.token)).await));
    assert_eq!(it.settings.get("a").await.unwrap(), Some(second.clone()));
    assert!(it.settings.unset("a", Assumed::At(second.token)).await.unwrap());
    assert!(!it.settings.unset("a", Assumed::Unset).await.unwrap());
}

/// Of many who assume the same, one wins.
pub async fn one_of_many_wins(it: SettingsSubject) {
    for _ in 0..8 {
        let assumed = it.settings.get("a").await.unwrap();
        let assumed = assumed.map_or(Assumed::Unset, |it| Assumed::At(it.token));
        let tries = (0..16).map(async |n: u32| it.set("a", &n.to_string(), assumed).await);
        let done = future::join_all(tries).await;
        let won: Vec<Setting> = done.into_iter().filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1);
        assert_eq!(it.settings.get("a").await.unwrap().as_ref(), won.first());
    }
}

/// A prompt of the longest length that a client may give comes back.
pub async fn a_long_value_comes_back(it: SettingsSubject) {
    let value = format!("\"{}\"", "é".repeat(64 << 10));
    it.set("a", &value, Assumed::Anything).await.unwrap();
    assert_eq!(it.value("a").await, Some(value));
}

/// Runs one case on fresh settings.
pub fn run<Made, Case>(
    factory: impl FnOnce(Arc<ManualClock>) -> Made,
    case: impl FnOnce(SettingsSubject) -> Case,
) where
    Made: Future<Output: Into<FreshSettings>>,
    Case: Future<Output = ()>,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(ManualClock::new());
        let FreshSettings { settings, keep } = factory(Arc::clone(&clock)).await.into();
        let subject = SettingsSubject { settings, clock };
        let done = tokio::time::timeout(PATIENCE, case(subject)).await;
        assert!(done.is_ok(), "the case did not end");
        drop(keep);
    });
}

#[doc(hidden)]
#[macro_export]
macro_rules! __settings_cases {
    ($factory:expr; $($case:ident),+ $(,)?) => {
        $(
            #[test]
            fn $case() {
                $crate::settings::run($factory, $crate::settings::$case);
            }
        )+
    };
}

/// Runs the whole suite against the settings that `$factory` makes.
///
/// `$factory` takes the clock that the settings must go by, and returns a future of fresh settings
/// or of a [`settings::FreshSettings`](crate::settings::FreshSettings):
///
/// ```
/// # use std::sync::Arc; use brain_core::settings::InMemorySettings; use brain_testkit::ManualClock;
/// brain_testkit::settings_suite!(async |clock: Arc<ManualClock>| InMemorySettings::new(clock));
/// ```
#[macro_export]
macro_rules! settings_suite {
    ($factory:expr) => {
        $crate::__settings_cases! {
            $factory;
            what_is_not_set_is_not_there,
            what_was_set_is_read,
            they_are_listed_by_name,
            what_was_unset_is_gone,
            a_wrong_assumption_changes_nothing,
            one_of_many_wins,
            a_long_value_comes_back,
        }
    };
}
