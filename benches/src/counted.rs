//! Counted instructions: what noise cannot touch.
//!
//! ```text
//! cargo run --release -p cspace-benches --bin counted                 # the table
//! cargo run --release -p cspace-benches --bin counted -- --check      # against the recorded figures
//! cargo run --release -p cspace-benches --bin counted -- --record     # after a deliberate change
//! ```
//!
//! Each operation is run so many times, and twice as many, in a process of its own under valgrind's callgrind; the
//! difference is what the operation costs, without what goes before and after. The figures are instructions, not time: a
//! cache miss counts as nothing. They depend on the compiler, so they are recorded with its version, and compared only
//! with that one; a figure more than [`TOLERANCE`] above the recorded one fails. What takes less than before is to be
//! recorded, so that it stays so.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use cspace::{CSpace, Category, EvictableRoot, Gc, GcMode, IObject, Rootable, Slot, Space};

use crate::tool;

/// How much more than recorded a figure may be.
pub const TOLERANCE: f64 = 0.03;

/// What to do.
#[derive(Parser, Debug)]
#[command(about = "Counts the instructions of single operations, with valgrind")]
pub struct Options {
    /// Fail if an operation takes over 3 % more instructions than recorded.
    #[arg(long, conflicts_with = "record")]
    check: bool,
    /// Record the figures in benches/counted.txt.
    #[arg(long)]
    record: bool,
    /// Run one operation so often, and nothing else: what valgrind runs.
    #[arg(long, hide = true, num_args = 2, value_names = ["CASE", "COUNT"])]
    run: Option<Vec<String>>,
}

/// An operation: its name, how often it is run, and how.
struct Case {
    name: &'static str,
    count: usize,
    run: fn(usize),
}

const CASES: &[Case] = &[
    Case { name: "allocate 16 bytes", count: 1_000_000, run: allocate::<2> },
    Case { name: "allocate 64 bytes", count: 500_000, run: allocate::<8> },
    Case { name: "mark and sweep a dead object", count: 1_000_000, run: collect_dead },
    Case { name: "mark a live object of a list", count: 1_000_000, run: mark },
    Case { name: "Slot::set", count: 1_000_000, run: slot_set },
    Case { name: "Slot::get", count: 1_000_000, run: slot_get },
    Case { name: "scope and safepoint", count: 1_000_000, run: scope },
    Case { name: "exclusive access", count: 500_000, run: exclusive },
    Case { name: "shared access", count: 500_000, run: shared },
    Case { name: "make and drop a root", count: 500_000, run: root },
    Case { name: "read a root", count: 1_000_000, run: root_get },
    Case { name: "touch an evictable object", count: 1_000_000, run: touch },
    Case { name: "charge and give back", count: 500_000, run: charge },
];

fn space() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).build().expect("the settings are valid")
}

#[derive(IObject)]
struct Node<'gc> {
    next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    _number: u64,
}

fn node<'gc>(cx: &cspace::Exclusive<'gc>, next: Option<Gc<'gc, Node<'gc>>>) -> Gc<'gc, Node<'gc>> {
    cx.alloc(Node { next: Slot::new(next), _number: 1 })
}

fn allocate<const WORDS: usize>(count: usize) {
    space().exclusive(|cx| {
        for i in 0..count {
            black_box(cx.alloc([i; WORDS]));
        }
    });
}

fn collect_dead(count: usize) {
    let space = space();
    // What both counts allocate costs as much: a quarter of this many objects, in so many rounds.
    for _ in 0..4 {
        space.exclusive(|cx| {
            for _ in 0..count / 4 {
                black_box(node(cx, None));
            }
        });
        space.collect().expect("nobody is inside");
    }
}

/// A list of a fixed length, marked so often that `count` objects are.
fn mark(count: usize) {
    const LEN: usize = 100_000;
    let space = space();
    let list: cspace::GcRoot<Rootable![Node<'_>]> = space.exclusive(|cx| {
        let mut list = None;
        for _ in 0..LEN {
            list = Some(node(cx, list));
        }
        cx.root(list.expect("it is not empty"))
    });
    for _ in 0..count / LEN {
        space.collect().expect("nobody is inside");
    }
    drop(list);
}

fn slot_set(count: usize) {
    space().exclusive(|cx| {
        let (a, b) = (node(cx, None), node(cx, None));
        for _ in 0..count {
            black_box(a).next.set(cx, Some(b));
        }
    });
}

fn slot_get(count: usize) {
    space().exclusive(|cx| {
        let a = node(cx, None);
        a.next.set(cx, Some(a));
        let mut at = a;
        for _ in 0..count {
            at = black_box(at.next.get(cx).expect("a circle"));
        }
    });
}

fn scope(count: usize) {
    let space = space();
    let mut lock = space.lock();
    for i in 0..count {
        lock.scope(|_| black_box(i));
        lock.safepoint();
    }
}

fn exclusive(count: usize) {
    let space = space();
    for i in 0..count {
        space.exclusive(|_| black_box(i));
    }
}

fn shared(count: usize) {
    let space = space();
    for i in 0..count {
        space.shared(|_| black_box(i));
    }
}

fn root(count: usize) {
    space().exclusive(|cx| {
        let object = cx.alloc(1u64);
        for _ in 0..count {
            drop(black_box(cx.root(object)));
        }
    });
}

fn root_get(count: usize) {
    space().exclusive(|cx| {
        let root = cx.root(cx.alloc(1u64));
        for _ in 0..count {
            black_box(*black_box(&root).get(cx));
        }
    });
}

fn touch(count: usize) {
    let space: Space = Space::builder().build().expect("the settings are valid");
    let root: EvictableRoot<u64> = space.exclusive(|cx| cx.evictable_root(cx.alloc(1u64)));
    space.shared(|cx| {
        let evictable = root.evictable(cx);
        for _ in 0..count {
            black_box(black_box(evictable).get(cx));
        }
    });
}

fn charge(count: usize) {
    let space = space();
    let ledger = space.ledger();
    for _ in 0..count {
        drop(black_box(ledger.try_charge(Category::External, 1)));
    }
}

/// The main function of the command.
pub fn main(options: &Options) -> ExitCode {
    if let Some(run) = &options.run {
        let case = CASES.iter().find(|case| case.name == run[0]);
        let count = run[1].parse().ok();
        let (Some(case), Some(count)) = (case, count) else {
            eprintln!("there is no such operation");
            return ExitCode::FAILURE;
        };
        (case.run)(count);
        return ExitCode::SUCCESS;
    }
    if !tool::exists("valgrind") {
        println!("skipped: valgrind is not installed, and counts the instructions");
        return ExitCode::SUCCESS;
    }
    // It does not know the processors that are newer than it.
    if let Err(error) = instructions(&CASES[0], 1) {
        println!("skipped: valgrind does not run here: {error}");
        return ExitCode::SUCCESS;
    }
    let recorded = match Recorded::read() {
        Ok(recorded) => recorded,
        Err(error) if options.check => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
        Err(_) => Recorded::default(),
    };
    let compiler = compiler();
    let is_comparable = recorded.compiler == compiler;
    if options.check && !is_comparable {
        println!("skipped: recorded with {}, this is {compiler}", recorded.compiler);
        return ExitCode::SUCCESS;
    }
    println!("| operation | instructions | recorded |\n|---|--:|--:|");
    let mut figures = BTreeMap::new();
    let mut worse = Vec::new();
    for case in CASES {
        let per_operation = match count(case) {
            Ok(per_operation) => per_operation,
            Err(error) => {
                eprintln!("error: {}: {error}", case.name);
                return ExitCode::FAILURE;
            }
        };
        let before = recorded.figures.get(case.name).copied().filter(|_| is_comparable);
        let shown = before.map_or("–".to_owned(), |before| format!("{before:.1}"));
        println!("| {} | {per_operation:.1} | {shown} |", case.name);
        match before {
            Some(before) if !is_within(per_operation, before) => worse.push(case.name),
            None if options.check => worse.push(case.name),
            _ => {}
        }
        figures.insert(case.name.to_owned(), per_operation);
    }
    if options.record {
        if let Err(error) = (Recorded { compiler, figures }).write() {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    if options.check && !worse.is_empty() {
        eprintln!(
            "error: more instructions than recorded, or none recorded: {}; if it is meant so, run with --record",
            worse.join(", ")
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Whether a figure is no worse than the recorded one.
fn is_within(figure: f64, recorded: f64) -> bool {
    // Figures of a few instructions are rounded.
    figure <= recorded * (1.0 + TOLERANCE) + 0.06
}

/// Instructions of one operation.
fn count(case: &Case) -> Result<f64, String> {
    let (once, twice) = (instructions(case, case.count)?, instructions(case, 2 * case.count)?);
    Ok(twice.saturating_sub(once) as f64 / case.count as f64)
}

/// Instructions of a process that runs an operation so often.
fn instructions(case: &Case, count: usize) -> Result<u64, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--run", case.name, &count.to_string()])
        // The system's allocator asks for huge pages by what it finds; the same everywhere.
        .env_clear()
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}: {errors}", output.status));
    }
    // "==123== Collected : 12345"
    let collected = errors.lines().find_map(|line| line.split_once("Collected : "));
    collected
        .and_then(|(_, number)| number.trim().parse().ok())
        .ok_or_else(|| format!("valgrind has not said how many instructions there were: {errors}"))
}

/// The compiler's version, as it says it.
fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "an unknown compiler".to_owned())
}

/// What was recorded: the compiler on the first line, then a line for each operation.
#[derive(Default)]
struct Recorded {
    compiler: String,
    figures: BTreeMap<String, f64>,
}

impl Recorded {
    fn path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("counted.txt")
    }

    fn read() -> Result<Recorded, String> {
        let path = Recorded::path();
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        Recorded::parse(&text).ok_or_else(|| format!("{}: not as it was recorded", path.display()))
    }

    fn parse(text: &str) -> Option<Recorded> {
        let mut lines = text.lines();
        let compiler = lines.next()?.to_owned();
        let figure = |line: &str| {
            let (name, figure) = line.rsplit_once(": ")?;
            Some((name.to_owned(), figure.parse().ok()?))
        };
        Some(Recorded { compiler, figures: lines.map(figure).collect::<Option<_>>()? })
    }

    fn write(&self) -> Result<(), String> {
        let mut text = format!("{}\n", self.compiler);
        for (name, figure) in &self.figures {
            text.push_str(&format!("{name}: {figure:.2}\n"));
        }
        let path = Recorded::path();
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_again() {
        let recorded = Recorded::parse("rustc 1.2.3 (x)\nSlot::set: 3.00\na b: 12.50\n").unwrap();
        assert_eq!(recorded.compiler, "rustc 1.2.3 (x)");
        assert_eq!((recorded.figures["Slot::set"], recorded.figures["a b"]), (3.0, 12.5));
        assert!(Recorded::parse("rustc\nSlot::set 3").is_none() && Recorded::parse("").is_none());
    }

    #[test]
    fn three_percent_more_is_too_much() {
        assert!(is_within(100.0, 100.0) && is_within(102.9, 100.0) && is_within(50.0, 100.0));
        assert!(!is_within(103.2, 100.0) && is_within(1.04, 1.0) && !is_within(2.0, 1.0));
    }

    #[test]
    fn each_operation_runs() {
        for case in CASES {
            (case.run)(100);
        }
        let names: std::collections::BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
    }
}
