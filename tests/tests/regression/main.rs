//! Each fixed bug, one file, named after what went wrong.

#[allow(dead_code)]
#[path = "../semantics/probe.rs"]
mod probe;
#[allow(dead_code)]
#[path = "../semantics/watchdog.rs"]
mod watchdog;

mod deferred_batch_outlives_space;
