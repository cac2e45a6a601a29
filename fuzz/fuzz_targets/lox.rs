//! Does every source text end, with a result or an error, under a collection before each allocation?
//!
//! The first byte is for the settings. A program that runs for too long is interrupted, and one that needs too much
//! memory gets an error. What there is of Lox between its command line and the heap is included here.
#![no_main]
#![allow(dead_code, reason = "what only the command line needs")]

#[path = "../../lox/src"]
mod interpreter {
    pub(crate) mod bytecode;
    pub(crate) mod compiler;
    pub(crate) mod globals;
    pub(crate) mod load;
    pub(crate) mod natives;
    pub(crate) mod number;
    pub(crate) mod object;
    pub(crate) mod output;
    pub(crate) mod proto;
    pub(crate) mod scanner;
    pub(crate) mod session;
    pub(crate) mod shape;
    pub(crate) mod source;
    pub(crate) mod token;
    pub(crate) mod value;
    pub(crate) mod vm;
}
#[path = "lox/interrupt.rs"]
mod interrupt;

// Its modules name each other from the root of their crate.
use interpreter::{
    bytecode, compiler, globals, load, natives, number, object, output, proto, scanner, session,
    shape, source, token, value, vm,
};

use cspace::{CSpace, GcMode};
use libfuzzer_sys::fuzz_target;
use output::Output;
use session::{Failure, Session};
use source::Source;

fuzz_target!(|bytes: &[u8]| {
    let Some((&setting, text)) = bytes.split_first() else { return };
    natives::start_clock();
    // Its files are not for a fuzzer.
    if text.windows(7).any(|word| word == b"mapFile") {
        return;
    }
    let stress = setting % 2 == 0;
    let space = CSpace::builder()
        .gc(GcMode::Safepoints)
        .max_heap_bytes(8 << 20)
        .memory_limit(16 << 20)
        .gc_budget_floor(64 << 10)
        .stress(stress)
        .poison_freed(setting % 4 < 2)
        .build()
        .unwrap();
    let _ticking = interrupt::tick(&space);
    let mut session = Session::new(space.clone(), stress, Output::in_memory()).ok().unwrap();
    // Twice: the second time there are globals, and what was left of the first.
    for _ in 0..2 {
        match session.run(&Source::from_bytes(text.to_vec())) {
            Err(failure @ (Failure::Compile(_) | Failure::Runtime(_))) => {
                assert!(!failure.to_string().is_empty());
            }
            Err(Failure::Output(error)) => panic!("memory cannot be written to: {error}"),
            _ => {}
        }
    }
    space.collect().unwrap();
    assert!(space.verify().unwrap().is_clean());
    drop(session);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0, "something outlives its session");
});
