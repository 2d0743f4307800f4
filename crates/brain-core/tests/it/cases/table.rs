//! Which tests hold which case.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        number: 1,
        what: "a batch is read back in order, and its newest are the newest",
        tests: &[(
            "crates/brain-testkit/src/memory/log.rs",
            &["a_batch_keeps_its_order_and_its_newest"],
        )],
    },
    Case {
        number: 2,
        what: "a thousand appends within a second keep their order",
        tests: &[(
            "crates/brain-testkit/src/memory/log.rs",
            &["a_thousand_appends_keep_their_order"],
        )],
    },
    Case {
        number: 3,
        what: "a clock set back changes no order",
        tests: &[(
            "crates/brain-testkit/src/memory/log.rs",
            &["a_clock_set_back_changes_no_order"],
        )],
    },
    Case {
        number: 4,
        what: "long messages and many keep their order",
        tests: &[(
            "crates/brain-testkit/src/memory/log.rs",
            &["long_and_many_messages_keep_their_order"],
        )],
    },
    Case {
        number: 5,
        what: "a limit gives the newest, and nothing is capped",
        tests: &[(
            "crates/brain-testkit/src/memory/log.rs",
            &["a_limit_gives_the_newest", "twelve_thousand_messages_are_all_there"],
        )],
    },
    Case {
        number: 6,
        what: "a key used twice is one message",
        tests: &[
            ("crates/brain-testkit/src/memory/log.rs", &["a_known_append_answers_as_before"]),
            (
                "crates/brain-testkit/src/memory/writers.rs",
                &["the_same_append_at_once_happens_once", "one_request_at_once_is_one_turn"],
            ),
            ("crates/http-api/tests/it/chat.rs", &["one_key_is_one_turn"]),
        ],
    },
    Case {
        number: 7,
        what: "a batch that cannot be stored leaves nothing, and no lock",
        tests: &[
            ("crates/brain-testkit/src/memory/branches.rs", &["half_a_tool_round_is_refused"]),
            ("crates/brain-testkit/src/memory/log.rs", &["a_failed_append_keeps_no_id"]),
            (
                "crates/memory-sqlite/src/writer/tests.rs",
                &["a_refused_job_leaves_its_neighbours_alone"],
            ),
        ],
    },
    Case {
        number: 8,
        what: "every kind of content comes back; lone surrogates are refused, or mended and reported",
        tests: &[
            (
                "crates/brain-testkit/src/memory/log.rs",
                &["every_kind_of_content_comes_back", "a_mebibyte_of_text_comes_back"],
            ),
            (
                "crates/http-api/tests/it/bad_input.rs",
                &["odd_but_whole_text_is_kept_as_it_is", "bad_chats_are_refused_by_name"],
            ),
            ("crates/brain-core/src/json.rs", &["lone_surrogates_and_deep_nesting_are_refused"]),
            ("crates/llm-http/src/surrogates.rs", &["only_lone_halves_are_replaced"]),
        ],
    },
    Case {
        number: 9,
        what: "a corrupt entry is left out, told and not counted",
        tests: &[("crates/brain-testkit/src/memory/log.rs", &["a_corrupt_entry_is_left_out"])],
    },
    Case {
        number: 10,
        what: "the time of making stays, that of change moves",
        tests: &[("crates/brain-testkit/src/memory/log.rs", &["created_stays_and_updated_moves"])],
    },
    Case {
        number: 11,
        what: "many first writers at once lose nothing",
        tests: &[
            (
                "crates/brain-testkit/src/memory/writers.rs",
                &["one_of_many_first_writers_wins", "many_sessions_begin_at_once"],
            ),
            (
                "crates/memory-sqlite/tests/it/crash.rs",
                &["a_database_whose_making_was_killed_is_made_at_the_next_start"],
            ),
        ],
    },
    Case {
        number: 12,
        what: "eight writers of 250 messages through every store on the data: 2,000, each in its order",
        tests: &[
            ("crates/brain-testkit/src/memory/writers.rs", &["eight_writers_lose_nothing"]),
            (
                "crates/memory-sqlite/tests/it/crash.rs",
                &["processes_that_read_and_append_lose_nothing"],
            ),
            (
                "bins/codexd/tests/it/tiers/daemons.rs",
                &[
                    "daemons_on_one_redis_lose_and_double_nothing",
                    "daemons_that_take_turns_on_one_database_are_shown_nothing_old",
                ],
            ),
        ],
    },
    Case {
        number: 13,
        what: "an append by an old token conflicts and writes nothing",
        tests: &[
            ("crates/brain-testkit/src/memory/log.rs", &["a_stale_token_conflicts"]),
            ("crates/brain-testkit/src/memory/writers.rs", &["writers_by_token_take_turns"]),
            (
                "crates/http-api/tests/it/sessions.rs",
                &["the_head_moves_for_whoever_has_seen_the_session"],
            ),
        ],
    },
    Case {
        number: 14,
        what: "whoever lost the lease cannot write",
        tests: &[
            ("crates/brain-testkit/src/memory/lease.rs", &["the_superseded_are_shut_out"]),
            (
                "crates/brain-core/tests/it/store_faults.rs",
                &["a_holder_that_cannot_renew_stops_before_its_lease_ends"],
            ),
            (
                "crates/brain-core/tests/it/recovery.rs",
                &["a_successor_keeps_what_was_checkpointed_and_supersedes_the_old_holder"],
            ),
        ],
    },
    Case {
        number: 15,
        what: "of two turns on a session at once one waits or is refused",
        tests: &[
            ("crates/brain-testkit/src/memory/writers.rs", &["one_of_many_turns_starts"]),
            ("crates/brain-core/tests/it/turns.rs", &["a_second_turn_waits_or_is_refused"]),
            ("crates/http-api/tests/it/chat.rs", &["a_second_turn_waits_for_the_first"]),
        ],
    },
    Case {
        number: 16,
        what: "owners who write at once find only their own",
        tests: &[
            ("crates/brain-testkit/src/memory/writers.rs", &["owners_write_at_once"]),
            ("crates/brain-testkit/src/memory/catalog.rs", &["owners_share_nothing"]),
        ],
    },
    Case {
        number: 17,
        what: "a caller who leaves at any moment leaves all or nothing",
        tests: &[
            ("crates/brain-testkit/src/memory/log.rs", &["a_dropped_append_is_all_or_nothing"]),
            ("crates/brain-testkit/src/memory/open.rs", &["a_dropped_opening_is_asked_for_again"]),
            ("crates/brain-testkit/src/memory/close.rs", &["a_dropped_end_is_asked_for_again"]),
            (
                "crates/memory-sqlite/tests/it/lasting.rs",
                &["an_append_whose_caller_leaves_is_done_or_not"],
            ),
            (
                "crates/memory-redis/tests/it/faults/outages.rs",
                &["a_dropped_call_leaves_the_pool_usable"],
            ),
        ],
    },
    Case {
        number: 18,
        what: "a summary that takes long while messages arrive loses none",
        tests: &[
            (
                "crates/brain-testkit/src/memory/summaries.rs",
                &["a_late_summary_loses_nothing", "summaries_meet_appends"],
            ),
            (
                "crates/brain-core/tests/it/background/summaries.rs",
                &["what_is_said_while_the_summary_is_made_stays"],
            ),
        ],
    },
    Case {
        number: 19,
        what: "a session forgotten during an append does not come back by half",
        tests: &[
            (
                "crates/brain-testkit/src/memory/forget.rs",
                &[
                    "forgetting_meets_appends",
                    "old_tokens_write_nothing",
                    "forgetting_ends_an_open_turn",
                ],
            ),
            (
                "crates/brain-core/tests/it/sessions.rs",
                &["forgetting_stops_the_turn_and_nothing_comes_back"],
            ),
        ],
    },
    Case {
        number: 20,
        what: "each append arms the TTL in the same call; nonsense is refused at the start",
        tests: &[
            (
                "crates/memory-redis/tests/it/lifetime.rs",
                &[
                    "each_change_gives_a_session_its_whole_time_again",
                    "without_a_ttl_a_session_stays",
                ],
            ),
            ("bins/codexd/tests/it/settings.rs", &["every_problem_is_named_at_once"]),
        ],
    },
    Case {
        number: 21,
        what: "a session that expires within a turn is not half made again",
        tests: &[(
            "crates/memory-redis/tests/it/lifetime.rs",
            &["an_expired_session_says_so_and_ends_whole"],
        )],
    },
    Case {
        number: 22,
        what: "a session expires as a whole",
        tests: &[(
            "crates/memory-redis/tests/it/lifetime.rs",
            &[
                "an_expired_session_says_so_and_ends_whole",
                "each_change_gives_a_session_its_whole_time_again",
            ],
        )],
    },
    Case {
        number: 23,
        what: "a crash between any two commands leaves no half",
        tests: &[
            (
                "crates/memory-redis/tests/it/lifetime.rs",
                &["a_crash_leaves_no_session_by_half", "a_session_is_made_with_its_time_to_live"],
            ),
            (
                "crates/memory-redis/tests/it/faults/cuts.rs",
                &["a_change_is_seen_as_a_whole_or_not_at_all"],
            ),
        ],
    },
    Case {
        number: 24,
        what: "a stopped Redis is an error in time, never an empty history, and heals by itself",
        tests: &[
            (
                "crates/memory-redis/tests/it/faults/outages.rs",
                &[
                    "a_stopped_server_is_no_empty_history",
                    "a_frozen_server_is_no_empty_history",
                    "a_slow_server_costs_the_limit",
                ],
            ),
            (
                "bins/codexd/tests/it/tiers.rs",
                &[
                    "chats_go_on_while_redis_is_stopped_and_it_heals_by_itself",
                    "chats_go_on_when_redis_comes_back_with_an_old_state",
                    "chats_go_on_while_redis_answers_nothing",
                    "chats_go_on_while_redis_takes_five_seconds_a_command",
                ],
            ),
        ],
    },
    Case {
        number: 25,
        what: "a Redis that is absent at first is found when it comes",
        tests: &[(
            "crates/memory-redis/tests/it/faults/outages.rs",
            &["a_server_that_is_absent_at_first_is_found_when_it_comes"],
        )],
    },
    Case {
        number: 26,
        what: "a lost reply is unknown, not repeated, and asking again is safe",
        tests: &[(
            "crates/memory-redis/tests/it/faults/outages.rs",
            &["a_lost_reply_is_resolved_by_asking_again"],
        )],
    },
    Case {
        number: 27,
        what: "WRONGTYPE, READONLY, OOM, NOSCRIPT, LOADING and MOVED are typed errors without a half write",
        tests: &[(
            "crates/memory-redis/tests/it/faults/refusals.rs",
            &[
                "scripts_that_are_flushed_come_back",
                "a_replica_takes_no_change",
                "a_full_redis_says_so_and_keeps_what_it_has",
                "a_redis_that_loads_is_waited_for",
                "a_key_of_another_type_is_corrupt_and_left_alone",
                "a_node_of_a_cluster_is_no_single_server",
            ],
        )],
    },
    Case {
        number: 28,
        what: "an evicted session has expired, and the durable tier has it still",
        tests: &[
            ("crates/memory-redis/tests/it/lifetime.rs", &["an_evicted_session_has_expired"]),
            (
                "crates/memory-redis/tests/it/faults/eviction.rs",
                &["an_evicted_session_is_gone_as_a_whole"],
            ),
            (
                "bins/codexd/tests/it/tiers.rs",
                &["chats_go_on_when_redis_is_flushed", "chats_go_on_while_redis_is_full"],
            ),
        ],
    },
    Case {
        number: 29,
        what: "names of any characters, and no two share a key",
        tests: &[
            ("crates/memory-redis/tests/it/indexes.rs", &["names_never_share_a_key"]),
            (
                "crates/memory-redis/src/keys.rs",
                &[
                    "names_of_any_characters_come_back_and_make_one_hash_tag",
                    "owner_and_id_are_never_run_together",
                ],
            ),
            (
                "crates/brain-testkit/src/memory/log.rs",
                &[
                    "ids_of_any_characters_are_different_sessions",
                    "owner_and_id_are_never_run_together",
                ],
            ),
        ],
    },
    Case {
        number: 30,
        what: "ten thousand sessions are listed by an index, without the expired",
        tests: &[
            (
                "crates/memory-redis/tests/it/indexes.rs",
                &["a_listing_shows_no_expired_session_and_walks_over_no_keys"],
            ),
            (
                "crates/brain-testkit/tests/it/tiered/ephemeral.rs",
                &["a_listing_passes_over_what_has_expired_and_stays_full"],
            ),
            (
                "bins/codexd/tests/it/tiers.rs",
                &["what_has_expired_is_not_listed_and_its_name_can_be_taken"],
            ),
        ],
    },
    Case {
        number: 31,
        what: "four processes that read and append meet no error",
        tests: &[(
            "crates/memory-sqlite/tests/it/crash.rs",
            &["processes_that_read_and_append_lose_nothing"],
        )],
    },
    Case {
        number: 32,
        what: "a long export holds up nobody, is one state, and leaves a small log",
        tests: &[(
            "crates/memory-sqlite/tests/it/export.rs",
            &[
                "writers_proceed_while_an_export_reads_one_state",
                "a_client_that_dawdles_holds_nothing",
            ],
        )],
    },
    Case {
        number: 33,
        what: "what was acknowledged survives kill -9",
        tests: &[
            ("crates/memory-sqlite/tests/it/crash.rs", &["what_was_acknowledged_survives_kill_9"]),
            ("bins/codexd/tests/it/crash.rs", &["what_was_said_outlives_the_process"]),
        ],
    },
    Case {
        number: 34,
        what: "full and read-only disks, other files and newer schemas are clear errors that destroy nothing",
        tests: &[
            (
                "crates/memory-sqlite/tests/it/refuse.rs",
                &[
                    "a_file_that_is_no_database",
                    "a_database_of_another_program",
                    "a_newer_schema",
                    "a_read_only_file_or_folder",
                ],
            ),
            (
                "crates/memory-sqlite/src/writer/tests.rs",
                &["a_full_disk_shows_in_the_probe_until_there_is_room"],
            ),
        ],
    },
    Case {
        number: 35,
        what: "an upgrade that was interrupted is done at the next start",
        tests: &[(
            "crates/memory-sqlite/tests/it/migrate.rs",
            &[
                "an_upgrade_that_is_killed_is_done_at_the_next_start",
                "version_1_is_brought_up_to_date",
            ],
        )],
    },
    Case {
        number: 36,
        what: "a failure within a transaction takes all of it back",
        tests: &[
            (
                "crates/memory-sqlite/src/writer/tests.rs",
                &[
                    "a_job_that_takes_the_transaction_along_is_left_out",
                    "a_panic_ends_the_thread_and_nobody_waits",
                ],
            ),
            (
                "crates/memory-sqlite/tests/it/lasting.rs",
                &["an_append_whose_caller_leaves_is_done_or_not"],
            ),
        ],
    },
    Case {
        number: 37,
        what: "ten thousand histories are valid at every budget",
        tests: &[(
            "crates/brain-core/tests/it/windows.rs",
            &["ten_thousand_histories_are_valid_at_every_budget"],
        )],
    },
    Case {
        number: 38,
        what: "a result without its call is not shown after the system prompt either",
        tests: &[("crates/brain-core/src/window/tests.rs", &["rounds_are_whole_or_absent"])],
    },
    Case {
        number: 39,
        what: "a turn that ends after its tool was called leaves a session that can be used",
        tests: &[
            (
                "crates/brain-core/tests/it/tools.rs",
                &[
                    "a_broken_tool_ends_the_turn_with_a_valid_history",
                    "a_round_whose_append_lost_its_reply_is_stored_once",
                ],
            ),
            (
                "crates/brain-core/tests/it/recovery.rs",
                &["a_successor_keeps_what_was_checkpointed_and_supersedes_the_old_holder"],
            ),
            (
                "crates/brain-core/tests/it/windows.rs",
                &["ten_thousand_histories_are_valid_at_every_budget"],
            ),
        ],
    },
    Case {
        number: 40,
        what: "a provider that fails loses no message, and the answer can be made again",
        tests: &[
            (
                "crates/brain-core/tests/it/faults.rs",
                &["a_model_that_cannot_be_asked_leaves_a_failed_answer"],
            ),
            (
                "crates/brain-core/tests/it/turns.rs",
                &["regenerating_makes_a_sibling_and_loses_nothing"],
            ),
            (
                "crates/http-api/tests/it/chat.rs",
                &["a_failure_of_the_provider_is_502_and_loses_nothing"],
            ),
        ],
    },
    Case {
        number: 41,
        what: "a message larger than the budget has a defined outcome",
        tests: &[(
            "crates/brain-core/src/window/tests.rs",
            &["a_message_larger_than_the_budget_is_refused_and_does_not_stay_in_the_way"],
        )],
    },
    Case {
        number: 42,
        what: "without a table tokens are estimated safely",
        tests: &[(
            "crates/brain-core/src/window/tests.rs",
            &["the_estimate_is_for_texts_that_no_counter_takes"],
        )],
    },
    Case {
        number: 43,
        what: "tools, summary and prompts count",
        tests: &[
            (
                "crates/brain-core/src/window/tests.rs",
                &[
                    "everything_that_fits_is_sent_in_order",
                    "a_summary_stands_for_what_does_not_fit_and_for_nothing_else",
                ],
            ),
            (
                "crates/brain-core/tests/it/windows.rs",
                &["ten_thousand_histories_are_valid_at_every_budget"],
            ),
        ],
    },
    Case {
        number: 44,
        what: "every message is in the summary or in the window, oldest first into the summary",
        tests: &[
            (
                "crates/brain-core/src/window/tests.rs",
                &[
                    "whole_turns_leave_until_half_of_the_room_is_free",
                    "a_summary_stands_for_what_does_not_fit_and_for_nothing_else",
                ],
            ),
            (
                "crates/brain-core/src/brain/background/summary/transcript.rs",
                &["turns_are_told_whole_and_in_order"],
            ),
            (
                "crates/brain-core/tests/it/background/summaries.rs",
                &[
                    "what_leaves_the_window_is_summarised_once_and_the_summary_is_used",
                    "a_long_history_is_caught_up_with_from_its_beginning",
                ],
            ),
        ],
    },
    Case {
        number: 45,
        what: "a crash around a summary loses nothing and doubles nothing",
        tests: &[
            (
                "crates/brain-testkit/src/memory/summaries.rs",
                &["a_summary_at_the_same_entry_is_replaced", "a_late_summary_loses_nothing"],
            ),
            (
                "crates/brain-core/tests/it/background/summaries.rs",
                &["a_restart_does_not_summarise_again"],
            ),
        ],
    },
    Case {
        number: 46,
        what: "a summary that fails or is empty changes nothing",
        tests: &[(
            "crates/brain-core/tests/it/background/summaries.rs",
            &["a_summary_that_fails_or_is_empty_changes_nothing_and_is_tried_again"],
        )],
    },
    Case {
        number: 47,
        what: "what was summarised can be read and exported still",
        tests: &[(
            "crates/brain-testkit/src/memory/summaries.rs",
            &["a_late_summary_loses_nothing", "summaries_are_exported_and_restored"],
        )],
    },
    Case {
        number: 48,
        what: "edits and other answers are branches; positions are never used again",
        tests: &[
            (
                "crates/brain-testkit/src/memory/branches.rs",
                &[
                    "an_edit_makes_a_branch",
                    "regenerating_keeps_siblings",
                    "positions_are_never_reused",
                ],
            ),
            ("crates/http-api/tests/it/branches.rs", &["a_fork_is_a_session_of_its_own"]),
        ],
    },
    Case {
        number: 49,
        what: "export, import and export again give the same bytes",
        tests: &[
            (
                "crates/brain-testkit/src/memory/portable.rs",
                &["a_round_trip_keeps_every_byte", "a_restored_session_is_as_it_was"],
            ),
            (
                "crates/brain-testkit/src/memory/summaries.rs",
                &["summaries_are_exported_and_restored"],
            ),
            (
                "crates/http-api/tests/it/portable.rs",
                &["what_is_exported_imports_and_exports_again_to_the_byte"],
            ),
        ],
    },
    Case {
        number: 50,
        what: "imports are repeatable, and hostile ones are refused whole within bounds",
        tests: &[
            (
                "crates/brain-testkit/src/memory/portable.rs",
                &[
                    "importing_twice_doubles_nothing",
                    "an_import_reports_what_it_refuses",
                    "what_is_no_tree_is_refused",
                    "a_long_chain_is_restored",
                ],
            ),
            (
                "crates/http-api/tests/it/portable.rs",
                &[
                    "an_import_that_cannot_be_read_changes_nothing",
                    "a_huge_import_is_told_the_limit_and_its_setting",
                    "a_tree_that_is_none_changes_nothing_of_all_the_file",
                ],
            ),
            (
                "crates/memory-sqlite/tests/it/export.rs",
                &["forty_thousand_entries_go_out_and_in_while_others_write"],
            ),
            (
                "crates/brain-core/src/memory/portable/reader/tests.rs",
                &["what_has_no_end_is_not_kept", "what_is_no_export_is_refused_with_its_place"],
            ),
            (
                "crates/brain-core/src/memory/portable/graph.rs",
                &["cycles_missing_parents_and_equal_ids_are_mended_and_noted"],
            ),
        ],
    },
    Case {
        number: 51,
        what: "no byte of what was forgotten is left",
        tests: &[
            ("crates/brain-testkit/src/memory/forget.rs", &["forgetting_erases_everything"]),
            (
                "crates/brain-testkit/src/memory/one_entry.rs",
                &["no_byte_of_the_forgotten_is_left", "a_forgotten_entry_is_not_found"],
            ),
            (
                "crates/memory-sqlite/tests/it/erase.rs",
                &["nothing_of_a_forgotten_session_stays_on_the_disk"],
            ),
            (
                "bins/codexd/tests/it/tiers.rs",
                &["what_is_forgotten_while_redis_is_away_is_buried_when_it_is_back"],
            ),
        ],
    },
    Case {
        number: 52,
        what: "forgetting an owner goes on after a failure and touches nobody else",
        tests: &[
            (
                "crates/http-api/tests/it/owners.rs",
                &["forgetting_everything_goes_on_after_a_failure_and_touches_nobody_else"],
            ),
            (
                "crates/memory-sqlite/tests/it/crash.rs",
                &["forgetting_an_owner_goes_on_after_it_was_killed"],
            ),
        ],
    },
    Case {
        number: 53,
        what: "owners are compared whole, and metadata names none",
        tests: &[
            (
                "crates/brain-testkit/src/memory/catalog.rs",
                &["owners_are_compared_whole", "a_made_session_is_as_it_was_made"],
            ),
            ("crates/brain-testkit/src/memory/export.rs", &["an_export_is_of_one_owner"]),
        ],
    },
    Case {
        number: 54,
        what: "no query is malformed",
        tests: &[("crates/brain-testkit/src/memory/recall.rs", &["no_query_is_malformed"])],
    },
    Case {
        number: 55,
        what: "what was recalled is marked and never stored again",
        tests: &[
            (
                "crates/brain-core/src/window/tests.rs",
                &["recalled_entries_are_marked_cited_and_newest_first"],
            ),
            (
                "crates/brain-core/tests/it/recall.rs",
                &["what_another_session_holds_is_shown_marked_cited_and_not_stored"],
            ),
        ],
    },
    Case {
        number: 56,
        what: "equal appends at once are one",
        tests: &[(
            "crates/brain-testkit/src/memory/writers.rs",
            &["the_same_append_at_once_happens_once"],
        )],
    },
    Case {
        number: 57,
        what: "of two facts that contradict each other both are found, the newest first",
        tests: &[
            ("crates/brain-core/src/recall/rank.rs", &["of_equal_entries_the_newest_is_first"]),
            (
                "crates/brain-testkit/src/memory/recall.rs",
                &["of_equals_the_newest_is_first", "what_changed_is_found_both_ways"],
            ),
        ],
    },
    Case {
        number: 58,
        what: "what was written is found at once",
        tests: &[(
            "crates/brain-testkit/src/memory/recall.rs",
            &["what_was_written_is_found_at_once"],
        )],
    },
];
