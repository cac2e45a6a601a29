//! Each fixed bug, one file, named after what went wrong. Those that must not compile are in `ui`.

#[allow(dead_code)]
#[path = "../semantics/probe.rs"]
mod probe;
#[allow(dead_code)]
#[path = "../semantics/watchdog.rs"]
mod watchdog;

mod alloc_panic_excuses_a_later_one;
mod batch_left_for_a_driver_moves_to_another_space;
mod batch_lost_when_a_deferred_drop_leaks_a_guard;
mod budget_grows_with_every_cycle;
mod budget_of_an_empty_space;
mod busy_cycles_count_as_panics;
mod byte_counts_that_overflow_lose_a_finish;
mod charge_ends_a_space_with_its_callers_locks_held;
mod cleaners_of_one_object_out_of_order_after_a_merge;
mod collections_of_each_other_hang;
mod collector_is_told_of_an_allocation_in_the_middle_of_it;
mod collector_keeps_a_space_whose_guard_was_forgotten;
mod collector_that_panics_keeps_the_lock;
mod collectors_that_stop_each_other_hang;
mod counts_of_each_other_hang;
mod deferred_batch_outlives_space;
mod denied_charge_collects_where_only_explicit_calls_do;
mod destroy_that_fails_starts_a_thread;
mod driver_that_holds_a_space_waits_for_a_cycle;
mod elements_without_size_hang_the_mark;
mod evict_cell_without_its_header;
mod finish_hangs_on_a_leaked_reader;
mod finish_without_a_mark;
mod guard_dropped_by_a_thread_local_counts_as_leaked;
mod guard_forgotten_by_a_late_thread_local_is_not_noticed;
mod ledger_counts_cells_that_no_object_is_in;
mod limits_go_by_a_guess_while_a_sweep_runs;
mod listener_of_insistence_that_collects_hangs;
mod listener_that_collects_hangs;
mod listener_that_waits_for_a_collection_hangs;
mod listener_value_that_panics_ends_a_pools_thread;
mod memory_that_never_came_is_the_most_there_was;
mod merge_does_not_wake_the_collector;
mod merged_books_say_less_than_is_charged;
mod merged_spaces_leave_pages_and_records;
mod panic_is_excused_by_another_threads;
mod refused_memory_leaves_a_trace;
mod request_lost_with_its_cycle;
mod requests_that_never_fit_evict_all_caches;
mod safepoint_of_one_of_several_locks_loses_it;
mod space_destroyed_while_its_batch_is_deferred;
mod space_that_a_charge_ends_is_never_dropped;
mod thread_local_of_a_worker_that_starts_the_collector_hangs;
mod too_many_spaces_is_called_inside_access;
mod verify_beside_a_drop_that_runs;
mod verify_does_left_work_with_its_claim;
mod verify_reports_roots_dropped_meanwhile;
mod waiting_for_a_mark_counts_as_holding;
mod waiting_thread_does_unrelated_work;
mod want_of_a_collection_read_beside_a_writer;
mod weak_handle_in_a_callback_keeps_it;

/// Runs a program that must end in time.
fn within(seconds: u64, program: impl FnOnce() + Send + 'static) {
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        program();
        let _ = done.send(());
    });
    wait.recv_timeout(std::time::Duration::from_secs(seconds)).expect("hangs, or panicked");
}
