//! Memory that is not objects: what arenas, contexts and operations cost.
//!
//! ```text
//! cargo run --release -p cspace-benches --features peers --bin native
//! cargo run --release -p cspace-benches --features peers --bin native_mi -- --no-java
//! ```
//!
//! *Confined* and *shared*: an arena is opened, so many segments of 64 bytes are allocated, and it is closed. To be read
//! beside as many `Vec`s of zeros from the global allocator, which is the system's or, with `native_mi`, mimalloc;
//! `bumpalo`, which neither zeroes nor counts; and the arenas of the JDK that is installed.
//!
//! *Context*: one is made, two of its slots are initialised, and it ends. Beside a boxed struct of the same size, zeroed.
//!
//! *Operation*: a handler and 100 bytes of state are put into memory, and the operation is completed: a call through all
//! of it. Beside the same with memory of the global allocator.
//!
//! All on one thread; medians of several rounds, in nanoseconds.

use std::collections::HashMap;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use allocator_api2::alloc::Global;
use clap::Parser;
use cspace::native::{
    ConfigBuilder, ConfinedArena, Context, Operation, Purpose, RecyclingAllocator, SharedArena,
};
use cspace::Ledger;

use crate::table::significant;
use crate::tool;

/// What to measure, and how often.
#[derive(Parser, Debug)]
#[command(about = "Measures arenas, contexts and the memory of operations")]
pub struct Options {
    /// How often each figure is measured; the table has the median.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// Operations in each run.
    #[arg(long, default_value_t = 200_000)]
    operations: usize,
    /// Leave the JDK out.
    #[arg(long)]
    no_java: bool,
}

const SEGMENTS: [usize; 3] = [1, 10, 100];

/// The main function of the command. `allocator` is the name of the global one.
pub fn main(options: &Options, allocator: &str) {
    let java = if options.no_java { HashMap::new() } else { java(options) };
    arenas(options, &java, allocator);
    others(options, allocator);
}

/// The median nanoseconds of `operation`, done so often in each run.
fn median_ns(options: &Options, operations: usize, mut operation: impl FnMut()) -> f64 {
    let mut runs: Vec<f64> = (0..options.runs.max(1))
        .map(|_| {
            let begun = Instant::now();
            (0..operations).for_each(|_| operation());
            begun.elapsed().as_nanos() as f64 / operations as f64
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

fn arenas(options: &Options, java: &HashMap<String, f64>, allocator: &str) {
    println!("### arenas: ns for opening, allocating segments of 64 bytes, and closing\n");
    println!("| | {} |", SEGMENTS.map(|count| format!("{count} segments")).join(" | "));
    println!("|---|--:|--:|--:|");
    let row = |name: &str, cost: &dyn Fn(usize) -> Option<f64>| {
        let cells = SEGMENTS.map(|count| cost(count).map_or("–".to_owned(), significant));
        println!("| {name} | {} |", cells.join(" | "));
    };
    let ledger = Ledger::default();
    let measured = |segments: usize, f: &mut dyn FnMut(usize)| {
        Some(median_ns(options, (options.operations / segments).max(1), || f(segments)))
    };
    row("cspace, confined", &|segments| {
        measured(segments, &mut |segments| {
            let arena = ConfinedArena::new(&ledger).expect("there is no limit");
            for _ in 0..segments {
                black_box(arena.allocate(64, 8).expect("there is no limit"));
            }
            arena.close().expect("there are no actions");
        })
    });
    row("cspace, shared", &|segments| {
        measured(segments, &mut |segments| {
            let arena = SharedArena::new(&ledger).expect("there is no limit");
            for _ in 0..segments {
                black_box(arena.allocate(64, 8).expect("there is no limit"));
            }
            arena.close().expect("nobody uses it").expect("there are no actions");
        })
    });
    row(&format!("`Vec`s of {allocator}"), &|segments| {
        measured(segments, &mut |segments| {
            let vecs: Vec<Vec<u8>> = (0..segments).map(|_| black_box(vec![0; 64])).collect();
            drop(vecs);
        })
    });
    #[cfg(feature = "peers")]
    row("bumpalo", &|segments| {
        measured(segments, &mut |segments| {
            let bump = bumpalo::Bump::new();
            for _ in 0..segments {
                black_box(bump.alloc([0u8; 64]));
            }
        })
    });
    for kind in ["confined", "shared"] {
        if java.keys().any(|name| name.starts_with(kind)) {
            row(&format!("JDK, {kind}"), &|segments| {
                java.get(&format!("{kind}-{segments}")).copied()
            });
        }
    }
    println!();
}

/// What the JDK's arenas cost, by case; nothing if there is none that has them.
fn java(options: &Options) -> HashMap<String, f64> {
    if !tool::exists("java") {
        return HashMap::new();
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/jdk/Arenas.java");
    let output = Command::new("java")
        .args(["--add-modules", "jdk.incubator.foreign", "--source", "17", source])
        .arg(options.operations.to_string())
        .output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        eprintln!("the JDK here has no module jdk.incubator.foreign: left out");
        return HashMap::new();
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let case = |line: &str| {
        let (name, ns) = line.split_once(' ')?;
        Some((name.to_owned(), ns.parse().ok()?))
    };
    text.lines().filter_map(case).collect()
}

fn others(options: &Options, allocator: &str) {
    println!("### contexts and operations: ns for each\n");
    println!("| | ns |\n|---|--:|");
    let row = |name: &str, ns: f64| println!("| {name} | {} |", significant(ns));
    let operations = options.operations;

    let mut builder = ConfigBuilder::new(&Ledger::default()).expect("there is no limit");
    let (count, text) = (
        builder.reserve::<u64>().expect("it is small"),
        builder.reserve::<[u64; 8]>().expect("it is small"),
    );
    let config = builder.freeze();
    let context = median_ns(options, operations, || {
        let mut context = Context::new(&config).expect("there is no limit");
        *context.slot_or_init(&count, |_| 1).expect("its own key") += 1;
        black_box(context.slot_or_init(&text, |_| [2; 8]).expect("its own key"));
    });
    row("cspace, context of 4 KiB from the pool", context);
    let boxed = median_ns(options, operations, || {
        let mut block = black_box(vec![0u8; config.context_bytes()]);
        block[0] = 1;
        black_box(&block);
    });
    row(&format!("the same bytes of zeros from {allocator}"), boxed);

    let handler = |byte: u8| _ = black_box(byte);
    let default = RecyclingAllocator::new(Purpose::Operation);
    let operation = median_ns(options, operations, || {
        let operation = Operation::start(handler, default, [0u8; 100]).expect("there is memory");
        black_box(&operation);
        operation.complete(7);
    });
    row("cspace, operation of 100 bytes", operation);
    let global = median_ns(options, operations, || {
        let operation = Operation::start(handler, Global, [0u8; 100]).expect("there is memory");
        black_box(&operation);
        operation.complete(7);
    });
    row(&format!("the same from {allocator}"), global);
    println!();
}
