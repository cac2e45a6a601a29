//! The collector at work: how it and a program get along, what an idle space costs, how long a merge
//! takes.
//!
//! ```text
//! cargo run --release -p cspace-benches --bin collector -- fairness --runs 5
//! ```
//!
//! There is no peer to read these figures against; some have a target, which is printed beside them. Each
//! [case](case::Case) runs several times, each time in a process of its own and in turn with the others,
//! so that no case inherits another's heap and a noisy minute hurts all alike. A table has the median and
//! the range of what the runs said; where a run says its worst, the end of the range is the worst of all.
//!
//! # When is a figure not about the collector?
//!
//! When more threads want to run than there are processors: then the worst of anything is how long the
//! system leaves a thread waiting. The cases that measure a reader say it twice, the second time without
//! the time that the thread could run and did not, and run a while without a collector.

use std::process::{Command, Stdio};

pub mod case;
mod fairness;
mod graph;
mod idle;
mod merge;
pub mod options;
mod run_delay;
mod waits;

use case::{Case, Figure, Outcome};
use options::{Options, Part};

/// Every case, in the order of the tables.
static CASES: &[&[Case]] = &[fairness::CASES, idle::CASES, merge::CASES];

/// The main function of the command.
///
/// # Errors
///
/// Says what went wrong, for the user.
pub fn main(options: &Options) -> Result<(), String> {
    if let Some(name) = &options.child {
        return run_here(name, options);
    }
    let chosen = choose(options)?;
    if options.list {
        for case in chosen {
            println!("{}: {}", case.name, case.question);
        }
        return Ok(());
    }
    let mut runs: Vec<Vec<Outcome>> = vec![Vec::new(); chosen.len()];
    for run in 1..=options.runs {
        for (case, outcomes) in chosen.iter().zip(&mut runs) {
            eprintln!("{} {run}/{}", case.name, options.runs);
            outcomes.push(run_child(case, options)?);
        }
    }
    for (case, outcomes) in chosen.iter().zip(&runs) {
        println!("{}", case.table(outcomes));
    }
    Ok(())
}

fn choose(options: &Options) -> Result<Vec<&'static Case>, String> {
    let is_wanted = |case: &&Case| {
        (options.part == Part::All || options.part == case.part)
            && (options.only.is_empty() || options.only.iter().any(|name| name == case.name))
    };
    let chosen: Vec<_> = CASES.iter().copied().flatten().filter(is_wanted).collect();
    match options.only.iter().find(|&name| !chosen.iter().any(|case| case.name == name)) {
        Some(name) => Err(format!("no case `{name}` there; --list shows them")),
        None => Ok(chosen),
    }
}

/// Runs a case once in this process and prints its figures, for the parent.
fn run_here(name: &str, options: &Options) -> Result<(), String> {
    let case = CASES.iter().copied().flatten().find(|case| case.name == name);
    let case = case.ok_or_else(|| format!("no case `{name}`"))?;
    let figures: Vec<Figure> = (case.run)(&options.sizes)?;
    println!("{}", serde_json::to_string(&figures).map_err(|error| error.to_string())?);
    Ok(())
}

/// Runs a case once in a process of its own.
fn run_child(case: &Case, options: &Options) -> Result<Outcome, String> {
    let context = |what: String| format!("{}: {what}", case.name);
    let this = std::env::current_exe().map_err(|error| format!("which binary am I: {error}"))?;
    let output = Command::new(this)
        .args(["--child", case.name])
        .args(options.sizes.to_arguments())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| context(error.to_string()))?;
    if !output.status.success() {
        return Err(context(output.status.to_string()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| context(error.to_string()))
}
