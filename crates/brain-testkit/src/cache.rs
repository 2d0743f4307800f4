//! What every [`SessionCache`] must do.
//!
//! [`session_cache_suite!`](crate::session_cache_suite) declares one test a case; a case gets a
//! fresh cache on a clock of its own. A copy may be missing at any time, but for these cases a
//! cache has room for all that they put into it.

pub mod burials;
pub mod copies;
pub mod states;
mod subject;

use std::{any::Any, fmt, sync::Arc, time::Duration};

use brain_core::memory::SessionCache;

pub use self::subject::CacheSubject;
use crate::ManualClock;

/// Longest that a case may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// An empty cache, and what must live as long as it does.
///
/// Any cache turns into one; [`FreshCache::keeping`] adds a server.
pub struct FreshCache {
    cache: Arc<dyn SessionCache>,
    keep: Vec<Box<dyn Any + Send>>,
}

impl FreshCache {
    /// This cache.
    pub fn new(cache: Arc<dyn SessionCache>) -> Self {
        Self { cache, keep: Vec::new() }
    }

    /// The same, dropping `guard` after the cache.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send) -> Self {
        self.keep.push(Box::new(guard));
        self
    }
}

impl fmt::Debug for FreshCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cache.fmt(f)
    }
}

impl<C: SessionCache> From<C> for FreshCache {
    fn from(cache: C) -> Self {
        Self::new(Arc::new(cache))
    }
}

/// Runs one case on a fresh cache; on several threads, so that its tasks meet.
pub fn run<Made, Case>(
    factory: impl FnOnce(Arc<ManualClock>) -> Made,
    case: impl FnOnce(CacheSubject) -> Case,
) where
    Made: Future<Output: Into<FreshCache>>,
    Case: Future<Output = ()>,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(ManualClock::new());
        let FreshCache { cache, keep } = factory(Arc::clone(&clock)).await.into();
        let done = tokio::time::timeout(PATIENCE, case(CacheSubject::new(cache, clock))).await;
        assert!(done.is_ok(), "the case did not end");
        drop(keep);
    });
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cache_cases {
    ($factory:expr; $($module:ident { $($case:ident),+ $(,)? })+) => {
        $($(
            #[test]
            fn $case() {
                $crate::cache::run($factory, $crate::cache::$module::$case);
            }
        )+)+
    };
}

/// Runs the whole suite against the caches that `$factory` makes.
///
/// `$factory` takes the clock that the cache's burials must go by, and returns a future of a
/// fresh, empty cache or of a [`cache::FreshCache`](crate::cache::FreshCache):
///
/// ```
/// # use std::sync::Arc; use brain_core::memory::LocalCache; use brain_testkit::ManualClock;
/// brain_testkit::session_cache_suite!(async |clock: Arc<ManualClock>| {
///     LocalCache::new(clock, 64 << 20)
/// });
/// ```
#[macro_export]
macro_rules! session_cache_suite {
    ($factory:expr) => {
        $crate::__cache_cases! {
            $factory;
            copies {
                what_was_not_filled_is_not_here,
                a_copy_is_as_it_was_filled,
                a_filled_copy_stays,
                a_copy_answers_what_it_reaches,
                a_copy_of_all_answers_any_limit,
                an_empty_session_has_a_copy,
                a_copy_is_read_from_any_entry_it_holds,
                a_summary_goes_with_its_entry,
                what_is_no_copy_is_not_kept,
                every_content_comes_back,
                a_long_copy_comes_back,
                an_evicted_copy_is_gone,
                names_of_any_characters_are_different_sessions,
            }
            states {
                a_copy_goes_on_with_its_session,
                a_copy_of_another_state_is_dropped,
                nothing_advances_to_nothing,
                a_sibling_changes_the_state_alone,
                a_branch_takes_the_place_of_another,
                a_branch_from_before_the_copy_is_not_guessed,
                a_head_may_move_back,
                copies_are_states_that_were,
                copies_are_states_that_were_when_many_write,
            }
            burials {
                burying_erases,
                burying_what_is_not_there_succeeds,
                the_buried_do_not_come_back,
                a_new_session_of_the_name_is_welcome,
                a_burial_is_of_one_session,
            }
        }
    };
}
