//! Do programs that the fuzzer makes up agree with a naive model heap?
//!
//! The first byte says which model: one of the random ones of `tests/tests/model`, with the fuzzer's bytes in place of
//! their random numbers, or [`holders`], which has every way of holding an object at once, or [`parts`], whose objects are
//! never looked at without need. Its highest bit says whether more follows on the fuzzer's bytes.
#![no_main]
#![allow(dead_code, unused_imports, reason = "what the model tests need and this does not")]

#[path = "../../tests/tests/model/ephemerons.rs"]
mod ephemerons;
#[path = "../../tests/tests/model/evict.rs"]
mod evict;
#[path = "../../tests/tests/model/evictable_map.rs"]
mod evictable_map;
#[path = "../../tests/tests/model/heap.rs"]
mod heap;
#[path = "ops/holders.rs"]
mod holders;
#[path = "../../tests/tests/model/objects.rs"]
mod objects;
#[path = "ops/parts.rs"]
mod parts;
#[path = "../../tests/tests/model/program.rs"]
mod program;
#[path = "../../tests/tests/model/rng.rs"]
mod rng;
#[path = "../../tests/tests/model/run.rs"]
mod run;
#[path = "../../tests/tests/model/tracker.rs"]
mod tracker;

use libfuzzer_sys::fuzz_target;
use program::{Family, Program};
use rng::Rng;

/// Bytes that follow on those of the fuzzer.
const MORE: usize = 200;

/// The fuzzer's bytes, and behind them pseudo-random ones of which they are the seed. What the fuzzer makes up is short
/// for a long time; so every second program is long from the beginning.
fn extended(bytes: &[u8]) -> Vec<u8> {
    let fold = |seed: u64, byte: &u8| (seed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    let mut rng = Rng::new(bytes.iter().fold(0, fold));
    bytes.iter().copied().chain((0..MORE).map(|_| rng.next() as u8)).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&model, bytes)) = bytes.split_first() else { return };
    let longer;
    let bytes = if model < 128 {
        bytes
    } else {
        longer = extended(bytes);
        &longer
    };
    let rng = Rng::of_bytes(bytes);
    let outcome = match model % 8 {
        0 => run::run(&Program::random(rng, Family::Explicit), true),
        1 => run::run(&Program::random(rng, Family::Automatic), true),
        2 => ephemerons::run(rng),
        3 => Ok(evict::run(rng, "of these bytes")),
        4 => Ok(evictable_map::run(rng, "of these bytes")),
        5 | 6 => Ok(parts::run(bytes)),
        _ => Ok(holders::run(bytes)),
    };
    if let Err(error) = outcome {
        panic!("{error}");
    }
});
