//! Every implementation computes what the workload's analytic checksum says, at a tiny size.
//!
//! Which allocator is below does not matter to the result, so all of them run in this one process.

use cspace_benches::workload::Workload;
use cspace_benches::workloads::{
    access, alloc, binary_trees, churn, cycles, gcbench, list, mark, quads,
};

fn check(workload: &Workload) {
    let expected = (workload.expected)(workload.size_tiny);
    for implementation in workload.implementations {
        let measured = (implementation.run)(workload.size_tiny);
        let label = implementation.label;
        assert_eq!(measured.checksum, expected, "{} {label}", workload.name);
        assert!(measured.operation_count > 0, "{} {label} did nothing", workload.name);
    }
}

#[test]
fn binary_trees_have_the_analytic_number_of_nodes() {
    check(&binary_trees::WORKLOAD);
}

#[test]
fn gcbench_keeps_what_lives_long_and_builds_every_tree() {
    check(&gcbench::WORKLOAD);
}

#[test]
fn table_and_what_it_points_at_survive_the_churn() {
    check(&churn::WORKLOAD);
}

#[test]
fn every_ring_is_walked_before_it_is_dropped() {
    check(&cycles::WORKLOAD);
}

#[test]
fn live_tree_is_complete_after_each_round_of_garbage() {
    check(&quads::WORKLOAD);
}

#[test]
fn list_is_complete_before_it_is_dropped() {
    check(&list::WORKLOAD);
}

#[test]
fn graph_survives_its_collections() {
    check(&mark::WORKLOAD);
}

#[test]
fn garbage_was_written_before_it_was_dropped() {
    check(&alloc::WORKLOAD_16);
    check(&alloc::WORKLOAD_32);
}

#[test]
fn every_access_has_its_effect() {
    check(&access::EXCLUSIVE);
    check(&access::SHARED);
    check(&access::SCOPE);
    check(&access::ROOT_GET);
    check(&access::SLOT_GET);
    check(&access::SLOT_SET);
}
