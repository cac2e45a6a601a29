//! The runner: contenders in turn, their checksums checked, their figures printed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::contender::{Contender, Starter};
use crate::options::Options;
use crate::pin::Pin;
use crate::report::{Report, Row};
use crate::size;
use crate::table::Table;
use crate::workload::Workload;
use crate::workloads;

/// Does what the command line asks for.
///
/// # Errors
///
/// If a name is unknown or a size makes no sense, before anything runs. If a contender fails or its
/// checksum is wrong, after all others have run: a row that says nothing is better than a wrong one.
pub fn main(options: &Options) -> Result<(), String> {
    let chosen = choose(options)?;
    if options.list {
        chosen.iter().for_each(|workload| list(workload, options));
        return Ok(());
    }
    let plan = plan(&chosen, options)?;
    let pin = Pin::new(options.pin.as_ref())?;
    let mut starter = Starter::new(&pin)?;
    let times = if options.runs == 1 { "time" } else { "times" };
    let mut tables = format!("Each ran {} {times}, in turn, {}.\n", options.runs, pin.describe());
    println!("{tables}");
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for (workload, size) in plan {
        let report = run(&mut starter, workload, size, options, &mut failures);
        // `--only` may leave some of the workloads with nobody to run them.
        if !report.rows.is_empty() {
            let table = Table(&report);
            println!("{table}");
            let _ = write!(tables, "\n{table}");
            reports.push(report);
        }
    }
    if let Some(path) = &options.markdown {
        write_file(path, &tables)?;
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&reports).map_err(|error| error.to_string())?;
        write_file(path, &text)?;
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("failed and left out:\n  {}", failures.join("\n  ")))
    }
}

fn choose(options: &Options) -> Result<Vec<&'static Workload>, String> {
    if options.workloads.is_empty() {
        return Ok(workloads::ALL.to_vec());
    }
    let mut chosen = Vec::new();
    for pattern in &options.workloads {
        let before = chosen.len();
        chosen.extend(workloads::ALL.iter().filter(|workload| workload.is_named(pattern)));
        if chosen.len() == before {
            return Err(format!("no workload `{pattern}`; --list shows them"));
        }
    }
    Ok(chosen)
}

fn list(workload: &'static Workload, options: &Options) {
    let labels: Vec<_> =
        Contender::of(workload, options).into_iter().map(Contender::label).collect();
    let sizes: Vec<_> = workload.sizes.iter().copied().map(size::display).collect();
    println!(
        "{}, {} {}: {}",
        workload.name,
        workload.size_unit,
        sizes.join(", "),
        labels.join(", ")
    );
}

/// What runs, and at which sizes.
fn plan(
    chosen: &[&'static Workload],
    options: &Options,
) -> Result<Vec<(&'static Workload, u64)>, String> {
    let mut plan = Vec::new();
    for &workload in chosen {
        let sizes = match options.sizes.as_slice() {
            [] => workload.sizes,
            sizes => sizes,
        };
        for &size in sizes {
            if size == 0 {
                return Err(format!(
                    "with 0 as {}, {} does nothing",
                    workload.size_unit, workload.name
                ));
            }
            if size > workload.size_max {
                return Err(format!(
                    "{} of {} is above {}, the most that makes sense for {}; sizes are given to all \
                     workloads named, so name one",
                    workload.size_unit, size, workload.size_max, workload.name
                ));
            }
            plan.push((workload, size));
        }
    }
    if plan.iter().all(|(workload, _)| Contender::of(workload, options).is_empty()) {
        return Err("no implementation has such a label; --list shows them".to_owned());
    }
    Ok(plan)
}

/// Runs one workload at one size. Who fails once does not run again, and has no figures.
fn run(
    starter: &mut Starter,
    workload: &'static Workload,
    size: u64,
    options: &Options,
    failures: &mut Vec<String>,
) -> Report {
    let mut turns: Vec<(Contender, Row)> = Contender::of(workload, options)
        .into_iter()
        .filter(|&contender| starter.is_ready(contender))
        .map(|contender| (contender, Row { label: contender.label(), runs: Vec::new() }))
        .collect();
    let mut failed: Vec<&str> = Vec::new();
    let expected = (workload.expected)(size);
    for turn in 1..=options.runs {
        for (contender, row) in &mut turns {
            if failed.contains(&row.label) {
                continue;
            }
            let name = format!("{} {}: {}", workload.name, size::display(size), row.label);
            eprint!("run {turn} of {}, {name} ", options.runs);
            let result = starter.run(*contender, workload, size).and_then(|report| {
                let checksum = report.measured.checksum;
                if checksum == expected {
                    Ok(report)
                } else {
                    Err(format!("checksum {checksum}, should be {expected}"))
                }
            });
            match result {
                Ok(report) => {
                    eprintln!("{:.1} ms", report.measured.wall_ns as f64 / 1e6);
                    row.runs.push(report);
                }
                Err(message) => {
                    eprintln!("failed: {message}");
                    failures.push(format!("{name}: {message}"));
                    failed.push(row.label);
                    row.runs.clear();
                }
            }
        }
    }
    Report {
        workload: workload.name,
        size,
        size_unit: workload.size_unit,
        operation: workload.operation,
        base: options.base.clone().unwrap_or_else(|| workload.base.to_owned()),
        rows: turns.into_iter().map(|(_, row)| row).collect(),
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
