//! Each fixed bug, one file, named after what went wrong.

mod deferred_batch_outlives_space;
