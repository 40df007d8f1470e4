//! The suite that holds every store to its promises: one function a behaviour, named after it, and a model that random
//! sequences are compared with.
//!
//! A store's tests implement [`Factory`] and call [`conformance!`](crate::conformance!), which expands to one test a
//! behaviour; so every store has the same tests under the same names.
//!
//! Nothing here sleeps or looks at a clock other than its own.

// A panic is the report, and the names of the behaviours say what a doc comment would repeat.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs)]

mod fixture;
mod random;

pub mod acknowledge;
pub mod append;
pub mod changes;
pub mod collapse;
pub mod concurrency;
pub mod devices;
pub mod edit;
pub mod expiry;
pub mod idempotency;
pub mod inbox;
pub mod lifecycle;
pub mod mark;
pub mod model;
pub mod nothing;
pub mod numbers;
pub mod recall;
pub mod retention;
pub mod sessions;
pub mod time;
pub mod transfer;

pub use fixture::{DAY, Factory, Fixture, ManualClock, RETENTION, Recorder, user};
pub use transfer::Movable;

/// Expands to one `#[tokio::test]` a behaviour. `$factory` is an expression that makes a fresh
/// [`Factory`](crate::conformance::Factory); the crate that calls it needs tokio with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! conformance {
    ($factory:expr) => {
        $crate::conformance_cases! { $factory;
            append: first_revision_is_one, takes_the_next_revisions_in_the_order_given, inboxes_count_for_themselves,
                keeps_what_it_was_given, many_users_in_one_call, nothing_is_a_legal_append,
                the_observer_hears_of_it_with_the_numbers_right_after;
            mark: read_implies_seen, unread_stays_seen, seen_is_not_read, archiving_changes_neither_read_nor_seen,
                unarchive_counts_again_as_it_was, delete_leaves_a_tombstone, twice_changes_nothing_and_takes_no_revision,
                up_to_reaches_what_is_not_archived, unarchive_up_to_reaches_what_is_archived, ids_reach_archived_ones_too,
                up_to_stops_at_its_bound, the_category_narrows_both_targets, unknown_foreign_and_doubled_ids_are_ignored,
                what_is_deleted_is_never_reached, one_mark_takes_one_revision, the_change_carries_exactly_what_changed,
                the_bound_in_the_change_is_at_most_the_head, a_thousand_ids_at_once, an_unknown_inbox_is_marked_in_vain,
                a_later_mark_keeps_the_first_time;
            edit: keeps_id_and_seq_and_takes_a_revision, leaves_what_it_does_not_set, clears_what_it_sets_to_nothing,
                changing_nothing_takes_no_revision, leaves_the_state_as_it_is, reaches_archived_ones,
                of_what_is_gone_is_none, moves_the_category, moves_the_expiry;
            recall: deletes_from_every_device, of_what_is_gone_is_false, reaches_archived_ones_and_keeps_the_counts;
            idempotency: the_same_key_gets_the_first_answer, a_first_answer_is_found_without_storing, another_fingerprint_is_refused_and_stores_nothing,
                a_day_later_the_key_is_free, of_many_at_once_exactly_one_stores, a_refused_call_leaves_the_key_free,
                the_note_and_many_receipts_come_back;
            collapse: replaces_what_is_unread_with_a_revision_of_its_own, spares_what_is_read_archived_or_deleted,
                keys_and_inboxes_do_not_mix, within_one_call_the_last_one_stays, without_a_match_takes_no_revision;
            expiry: is_exact_before_any_sweep, the_sweep_takes_one_revision_an_inbox, is_not_reached_by_anything,
                a_write_after_it_announces_exact_counts, what_is_due_at_birth_never_counts,
                archived_ones_vanish_without_a_count, the_moment_itself_is_past, changes_carry_its_end;
            retention: old_ones_are_deleted_then_removed, the_floor_rises_to_what_was_removed,
                a_cursor_below_the_floor_must_resync, archived_ones_go_too, slices_end_and_say_so,
                numbering_goes_on_after_everything_is_gone, an_edit_or_a_mark_does_not_make_young;
            changes: come_in_order_of_revision, what_changed_twice_comes_once, never_cut_a_revision, are_complete_page_by_page,
                refuse_a_cursor_above_the_head, of_nothing_are_empty, end_at_the_head, tombstones_are_among_them,
                behind_counts_up_to_its_cap, a_page_is_bounded_by_bytes,
                a_revision_larger_than_a_page_comes_in_pieces, what_moves_away_between_two_pieces_comes_later,
                a_place_within_what_does_not_exist_is_refused, what_moved_is_known_by_where_it_was_created,
                a_note_of_a_resume_stays_with_its_device, reach_back_is_the_smallest_cursor, huge_cursors_are_only_above_the_head;
            inbox: a_page_is_bounded_by_bytes, is_newest_first, pages_both_ways_without_loss, paging_is_steady_under_inserts, filters_by_status,
                filters_by_archived, filters_by_category, has_more_speaks_of_the_direction, carries_the_numbers,
                huge_bounds_are_only_bounds;
            numbers: follow_every_operation, of_a_category, reads_create_nothing, one_notification_by_its_id;
            acknowledge: delivers_what_lies_below, takes_no_revision, is_cumulative, never_invents_delivered,
                a_receipt_covers_only_what_was_written, above_the_head_is_refused, a_row_moved_by_a_later_mark_waits,
                without_a_device, makes_the_device_known, the_first_confirmation_keeps_its_time,
                a_gap_is_closed_by_the_clients_word, a_device_that_comes_between_hides_no_other;
            devices: start_where_they_attach, a_known_device_keeps_its_cursor, last_seen_first, are_at_most_a_thousand,
                unseen_ones_are_forgotten, a_connection_names_its_device, the_newest_registration_of_a_connection_counts,
                a_forgotten_connection_names_nobody, of_two_users_do_not_mix;
            sessions: an_end_is_kept_for_good, an_earlier_end_changes_nothing, an_end_that_lies_ahead_is_pulled_back;
            time: of_one_notification_never_runs_backwards, of_many_marked_at_once_never_runs_backwards,
                of_what_the_upkeep_deletes_never_runs_backwards, of_an_edit_is_the_one_that_is_announced;
            nothing: is_kept_of_an_inbox_that_has_nothing, who_attached_before_the_first_one_started_at_0,
                what_another_device_confirms_first_is_not_lost_to_it, a_connection_is_remembered_through_a_restart,
                a_connection_that_nobody_uses_is_forgotten, many_at_once_lose_no_device;
            concurrency: many_senders_leave_no_holes, readers_see_prefixes_only, resumes_are_whole_while_marks_go_on,
                the_observer_hears_in_order,
                marks_and_sends_keep_the_counts;
            lifecycle: everything_survives_reopening, a_closed_store_is_unavailable, is_ready,
                two_stores_have_two_epochs, ids_of_older_rules_are_read;
            model: agrees_with_the_store;
        }
    };
}

/// The same for moving everything from store to store; `$factory` makes a
/// [`Movable`](crate::conformance::Movable).
#[macro_export]
macro_rules! transfer_conformance {
    ($factory:expr) => {
        $crate::conformance_cases! { $factory;
            transfer: a_random_history_is_the_same_there, life_goes_on_the_same_there,
                what_is_exported_is_of_one_moment, an_empty_store_is_moved_too, a_store_that_is_not_empty_is_refused,
                what_is_unfinished_is_not_opened_and_begun_anew, a_file_that_is_wrong_leaves_nothing,
                what_a_whole_store_has_once_is_refused_twice;
        }
    };
}

/// The lists above, case by case.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($factory:expr; $($module:ident: $($case:ident),+;)+) => {
        $(mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::conformance::$module::$case(&$factory).await;
                }
            )+
        })+
    };
}
