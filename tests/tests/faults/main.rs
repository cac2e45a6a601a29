//! What if this allocation fails, or this callback panics, at the nth time?
//!
//! Each test runs a small program with the fault at the first place where it can happen, then at the
//! second, and so on until the program gets to its end without it. Afterwards the heap is clean, the
//! space works, and everything is dropped exactly once.

mod callbacks;
mod drops;
mod graph;
mod limits;
mod tails;
#[allow(dead_code, reason = "shared with the model test, which uses all of it")]
#[path = "../model/tracker.rs"]
mod tracker;
mod trap;
mod visits;
