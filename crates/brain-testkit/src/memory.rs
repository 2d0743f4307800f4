//! What every [`MemoryStore`] must do.
//!
//! [`memory_store_suite!`](crate::memory_store_suite) declares one test a case; a case gets a
//! fresh store on a clock of its own.

pub mod branches;
pub mod catalog;
pub mod close;
pub mod export;
pub mod forget;
pub mod lease;
pub mod log;
pub mod moves;
pub mod one_entry;
pub mod open;
pub mod portable;
pub mod recall;
mod subject;
pub mod summaries;
pub mod upkeep;
pub mod writers;

use std::{any::Any, fmt, sync::Arc, time::Duration};

use brain_core::{
    ids::{Seq, SessionKey},
    memory::MemoryStore,
};
use futures_util::future::BoxFuture;

pub use self::subject::Subject;
use crate::ManualClock;

/// Longest that a case may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// An empty store, what must live as long as it does, and what the suite may do behind its back.
///
/// Any store turns into one; [`Fresh::keeping`] adds a temporary folder or a server. A store whose
/// data outlives it, or that others may share, has bytes to look at and to damage, and a second
/// store on them: then all three hooks are due, and a case that misses one fails.
pub struct Fresh {
    store: Arc<dyn MemoryStore>,
    hooks: Hooks,
    keep: Vec<Box<dyn Any + Send>>,
}

/// Spoils a stored entry.
type Damage = Box<dyn Fn(SessionKey, Seq) -> BoxFuture<'static, ()> + Send + Sync>;
/// Looks for a text in the stored bytes.
type Look = Box<dyn Fn(String) -> BoxFuture<'static, bool> + Send + Sync>;

#[derive(Default)]
struct Hooks {
    second: Option<Arc<dyn MemoryStore>>,
    damage: Option<Damage>,
    look: Option<Look>,
}

impl Fresh {
    /// This store.
    pub fn new(store: Arc<dyn MemoryStore>) -> Self {
        Self { store, hooks: Hooks::default(), keep: Vec::new() }
    }

    /// The same, dropping `guard` after the store.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send) -> Self {
        self.keep.push(Box::new(guard));
        self
    }

    /// With another store on the same data and clock, as a second daemon would have it.
    #[must_use]
    pub fn with_second(mut self, store: Arc<dyn MemoryStore>) -> Self {
        self.hooks.second = Some(store);
        self
    }

    /// With a way to spoil the bytes of an entry, so that they no longer decode.
    #[must_use]
    pub fn with_damage(
        mut self,
        damage: impl Fn(SessionKey, Seq) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.damage = Some(Box::new(damage));
        self
    }

    /// With a way to tell whether a text stands anywhere in the stored bytes, in any encoding that
    /// the store uses, once what it erases in the background is erased.
    #[must_use]
    pub fn with_look(
        mut self,
        look: impl Fn(String) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.look = Some(Box::new(look));
        self
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("second", &self.second).finish_non_exhaustive()
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl<S: MemoryStore> From<S> for Fresh {
    fn from(store: S) -> Self {
        Self::new(Arc::new(store))
    }
}

/// Runs one case on a fresh store; on several threads, so that its tasks meet.
pub fn run<Made, Case>(
    factory: impl FnOnce(Arc<ManualClock>) -> Made,
    case: impl FnOnce(Subject) -> Case,
) where
    Made: Future<Output: Into<Fresh>>,
    Case: Future<Output = ()>,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(ManualClock::new());
        let Fresh { store, hooks, keep } = factory(Arc::clone(&clock)).await.into();
        let subject = Subject::new(store, clock, hooks);
        let done = tokio::time::timeout(PATIENCE, case(subject)).await;
        assert!(done.is_ok(), "the case did not end");
        drop(keep);
    });
}

#[doc(hidden)]
#[macro_export]
macro_rules! __memory_cases {
    ($factory:expr; $($module:ident { $($case:ident),+ $(,)? })+) => {
        $($(
            #[test]
            fn $case() {
                $crate::memory::run($factory, $crate::memory::$module::$case);
            }
        )+)+
    };
}

/// Runs the whole suite against the stores that `$factory` makes.
///
/// `$factory` takes the clock that the store must go by, and returns a future of a fresh, empty
/// store or of a [`memory::Fresh`](crate::memory::Fresh):
///
/// ```
/// # use std::sync::Arc; use brain_core::memory::InMemoryStore; use brain_testkit::ManualClock;
/// brain_testkit::memory_store_suite!(async |clock: Arc<ManualClock>| InMemoryStore::new(clock));
/// ```
#[macro_export]
macro_rules! memory_store_suite {
    ($factory:expr) => {
        $crate::__memory_cases! {
            $factory;
            log {
                an_unknown_session_is_none,
                appending_makes_the_session,
                entries_are_numbered_from_one,
                a_batch_keeps_its_order_and_its_newest,
                a_thousand_appends_keep_their_order,
                long_and_many_messages_keep_their_order,
                a_clock_set_back_changes_no_order,
                a_limit_gives_the_newest,
                twelve_thousand_messages_are_all_there,
                a_scan_goes_by_position,
                a_branch_reads_from_any_entry,
                a_known_append_answers_as_before,
                append_ids_are_scoped_to_the_session,
                a_failed_append_keeps_no_id,
                a_stale_token_conflicts,
                absent_means_without_entries,
                a_missing_session_is_not_made_by_mistake,
                an_unknown_parent_is_refused,
                every_append_has_a_new_token,
                created_stays_and_updated_moves,
                every_kind_of_content_comes_back,
                a_mebibyte_of_text_comes_back,
                ids_of_any_characters_are_different_sessions,
                owner_and_id_are_never_run_together,
                a_dropped_append_is_all_or_nothing,
                what_was_read_stays_as_it_was,
                a_tool_round_is_one_batch,
                a_corrupt_entry_is_left_out,
                an_unverified_read_is_checked_by_its_token,
            }
            branches {
                an_edit_makes_a_branch,
                regenerating_keeps_siblings,
                a_branch_may_begin_at_the_root,
                attaching_moves_the_head_only_from_its_parent,
                the_head_moves_anywhere,
                before_the_first_entry_the_branch_is_empty,
                a_head_move_needs_token_and_entry,
                a_head_move_outdates_appends,
                positions_are_never_reused,
                the_head_stays_out_of_tool_rounds,
                half_a_tool_round_is_refused,
            }
            catalog {
                a_made_session_is_as_it_was_made,
                a_session_is_made_once,
                the_class_is_kept,
                sessions_are_listed_in_pages,
                a_page_key_outlives_its_session,
                a_patch_changes_what_it_names,
                a_chosen_title_stays,
                patching_makes_no_session,
                owners_share_nothing,
                owners_are_compared_whole,
            }
            recall {
                what_was_written_is_found_at_once,
                any_word_may_match,
                the_answer_beside_the_words_is_found,
                case_does_not_matter_in_any_script,
                of_equals_the_newest_is_first,
                what_changed_is_found_both_ways,
                no_word_finds_nothing,
                no_query_is_malformed,
                all_that_is_said_is_searched,
                the_forgotten_is_not_found,
                owners_find_only_their_own,
                the_restored_is_found,
                what_is_not_embedded_is_named,
                vectors_of_the_gone_are_dropped,
                meaning_and_words_are_fused,
                embedding_comes_to_an_end,
            }
            open {
                a_turn_opens_with_its_input,
                a_turn_may_answer_an_earlier_entry,
                opening_makes_the_session_if_told,
                opening_leaves_a_made_session_as_it_is,
                a_refused_input_opens_nothing,
                a_second_turn_finds_the_session_busy,
                a_lost_reply_is_asked_for_again,
                a_known_key_finds_its_turn,
                a_key_is_not_used_for_another_request,
                keys_are_scoped_to_the_owner,
                a_key_lives_for_a_day,
                a_known_input_is_not_stored_twice,
                an_open_turn_shuts_others_out,
                a_cancel_reaches_the_holder,
                a_cancel_after_the_end_changes_nothing,
                unfinished_turns_are_found,
                a_turns_input_is_known_by_its_append_id,
                a_dropped_opening_is_asked_for_again,
            }
            lease {
                the_holder_appends,
                others_are_shut_out,
                a_fence_holds_for_its_session_only,
                a_known_append_needs_no_fence,
                a_checkpoint_is_kept,
                an_append_empties_the_checkpoint,
                a_renewal_moves_the_lease,
                a_lease_is_taken_only_when_it_has_lapsed,
                the_superseded_are_shut_out,
                a_holder_takes_its_own_turn,
                a_waiting_turn_is_held_by_nobody,
                a_turn_that_is_over_is_not_taken,
                lapsed_turns_are_found,
            }
            close {
                closing_appends_the_answer,
                closing_again_answers_as_before,
                a_turn_may_end_without_an_answer,
                a_finished_answer_is_never_refused,
                a_refused_answer_ends_nothing,
                an_open_state_is_no_end,
                another_holder_ends_nothing,
                a_lapsed_turn_is_ended_by_whoever_finds_it,
                a_waiting_turn_does_not_lapse,
                exclusive_authority_ends_any_open_turn,
                the_fence_of_an_answer_is_ignored,
                a_dropped_end_is_asked_for_again,
            }
            forget {
                forgetting_erases_everything,
                forgetting_nothing_succeeds,
                forgetting_spares_other_sessions,
                old_tokens_write_nothing,
                a_forgotten_name_is_free,
                forgetting_ends_an_open_turn,
                forgetting_meets_appends,
            }
            one_entry {
                a_forgotten_entry_keeps_its_place,
                a_default_title_goes_with_any_entry,
                a_default_title_from_before_forgetting_is_not_taken,
                forgetting_an_entry_outdates_tokens,
                a_forgotten_entry_is_not_found,
                a_forgotten_tool_round_stays_whole,
                summaries_of_a_forgotten_entry_go,
                an_open_turn_keeps_its_entries,
                a_forgotten_input_takes_its_turn_along,
                forgetting_no_entry_succeeds,
                a_forgotten_entry_does_not_come_back,
                no_byte_of_the_forgotten_is_left,
            }
            summaries {
                a_summary_is_read_with_its_branch,
                the_newest_summary_of_a_branch_counts,
                a_summary_counts_on_its_branch_only,
                a_summary_at_the_same_entry_is_replaced,
                a_summary_needs_its_entry,
                a_late_summary_loses_nothing,
                a_summary_of_what_was_forgotten_is_refused,
                a_summary_of_an_earlier_session_is_refused,
                summaries_meet_appends,
                summaries_are_told_by_position,
                summaries_are_exported_and_restored,
                summaries_are_forgotten_with_their_session,
            }
            writers {
                eight_writers_lose_nothing,
                writers_by_token_take_turns,
                the_same_append_at_once_happens_once,
                one_of_many_first_writers_wins,
                many_sessions_begin_at_once,
                owners_write_at_once,
                readers_see_whole_batches,
                one_of_many_turns_starts,
                one_request_at_once_is_one_turn,
                one_of_many_takers_holds,
            }
            portable {
                a_restored_session_is_as_it_was,
                restoring_again_changes_nothing,
                a_prefix_is_extended,
                another_content_conflicts,
                an_empty_session_is_a_content_too,
                an_open_turn_is_not_restored_over,
                a_session_with_an_open_turn_is_no_conflict,
                what_is_no_tree_is_refused,
                a_round_trip_keeps_every_byte,
                an_export_is_in_order,
                importing_twice_doubles_nothing,
                an_import_reports_what_it_refuses,
                a_long_id_is_shortened_to_rename,
                a_long_chain_is_restored,
            }
            moves {
                the_turns_of_a_session_are_told,
                a_moved_session_brings_its_turns,
                moving_again_changes_nothing,
                turns_that_are_missing_are_added,
                an_open_turn_is_not_moved,
                a_refused_session_brings_no_turns,
                a_restored_session_has_no_turns,
                a_key_belongs_to_the_later_turn,
                moved_turns_are_forgotten,
                a_moved_key_lives_no_longer,
                many_turns_are_moved,
                a_dropped_move_is_all_or_nothing,
            }
            export {
                an_export_is_what_list_and_scan_say,
                an_export_is_of_one_owner,
                an_export_never_tears,
                a_slow_reader_holds_nothing,
                an_export_may_be_left,
            }
            upkeep {
                idle_sessions_are_found_oldest_first,
                a_change_makes_a_session_fresh,
                a_session_with_an_open_turn_is_not_idle,
                what_is_used_is_not_forgotten_by_age,
                forgetting_by_age_loses_nothing_that_was_acknowledged,
                ended_turns_are_pruned_by_age,
                an_open_turn_is_never_pruned,
                the_forgotten_is_unsettled_until_it_is_settled,
                asking_what_is_pending_changes_nothing,
                a_working_store_is_healthy,
            }
        }
    };
}
