//! Do random programs of operations agree with a naive model heap?
//!
//! A program is a list of steps: exclusive accesses with operations in them, collections of several
//! sorts, handles dropped and cloned in between, and an end. It runs on a space and on [`heap`], which
//! keeps its objects in a `Vec` and finds out what is alive by walking it. After every collection the
//! two must agree: the same objects reachable with the same contents, everything else dropped exactly
//! once, weak references and weak sets showing exactly the living, the same number of objects, and a
//! clean `verify()`.
//!
//! A failing program is made smaller before it is shown. The programs are the same in every run; to
//! try others:
//!
//! - `CSPACE_MODEL_SEED`: the first program's seed.
//! - `CSPACE_MODEL_PROGRAMS`: how many programs.
//! - `CSPACE_MODEL_TRACE`: print the seed of each program, to find one that crashes.

mod ephemerons;
mod evict;
mod evictable_map;
mod heap;
mod objects;
mod program;
mod rng;
mod run;
mod tracker;

use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

use program::{Family, Program};
use rng::Rng;

/// Programs of an ordinary run, of all families together.
const PROGRAMS: u64 = 10_000;

fn run_programs(family: Family, share: u64, verify_each_step: bool) {
    let seed = rng::from_env("CSPACE_MODEL_SEED").unwrap_or(1);
    let count = rng::from_env("CSPACE_MODEL_PROGRAMS").unwrap_or(PROGRAMS) / share;
    // Past the test harness, which shows what it captured only if the process lives.
    let _ = writeln!(std::io::stderr(), "model: {count} programs from CSPACE_MODEL_SEED={seed}");
    for seed in seed..seed + count {
        let program = Program::random(Rng::new(seed), family);
        if let Err(error) = run::run(&program, verify_each_step) {
            let small = program.shrink(|program| run::run(program, verify_each_step).is_err());
            let smaller = run::run(&small, verify_each_step);
            panic!(
                "program with CSPACE_MODEL_SEED={seed} failed: {error}\n\
                 smaller program: {small:#?}\nfails with: {smaller:?}"
            );
        }
    }
}

#[test]
fn programs_that_collect_when_they_say_agree_with_the_model() {
    run_programs(Family::Explicit, 2, false);
}

#[test]
fn programs_that_collect_at_safepoints_agree_with_the_model() {
    run_programs(Family::Automatic, 2, false);
    let in_part = run::CYCLES_IN_PART.each_ref().map(|count| count.load(Relaxed));
    assert!(in_part.iter().all(|&count| count > 0), "minor, incremental: {in_part:?}");
}

#[test]
fn programs_agree_with_the_model_after_every_step() {
    run_programs(Family::Automatic, 20, true);
    run_programs(Family::Explicit, 20, true);
}
