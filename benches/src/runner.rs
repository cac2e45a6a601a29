//! The runner: children in turn, their checksums checked, their figures printed.

use std::fs;
use std::path::Path;

use crate::children::Children;
use crate::options::Options;
use crate::report::{Report, Row};
use crate::size;
use crate::table::Table;
use crate::workload::{Implementation, Workload};
use crate::workloads;

/// Does what the command line asks for.
///
/// # Errors
///
/// If a name is unknown, a child fails or a checksum is wrong: a table with a wrong row is worse
/// than no table.
pub fn main(options: &Options) -> Result<(), String> {
    let chosen = choose(options)?;
    if options.list {
        chosen.iter().for_each(|workload| list(workload));
        return Ok(());
    }
    let children = Children::locate(options.pin.clone())?;
    let mut reports = Vec::new();
    for workload in chosen {
        let sizes = match options.sizes.as_slice() {
            [] => workload.sizes,
            sizes => sizes,
        };
        for &size in sizes {
            if size > workload.size_max {
                return Err(format!(
                    "{} of {} is above {}, the most that makes sense for {}; sizes are given to all \
                     workloads named, so name one",
                    workload.size_unit, size, workload.size_max, workload.name
                ));
            }
            let report = run(&children, workload, size, options)?;
            // `--only` may leave some of the workloads with nobody to run them.
            if !report.rows.is_empty() {
                println!("{}", Table(&report));
                reports.push(report);
            }
        }
    }
    if reports.is_empty() {
        return Err("no implementation has such a label; --list shows them".to_owned());
    }
    match &options.json {
        Some(path) => write(path, &reports),
        None => Ok(()),
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

fn list(workload: &Workload) {
    let labels: Vec<_> =
        workload.implementations.iter().map(|implementation| implementation.label).collect();
    let sizes: Vec<_> = workload.sizes.iter().copied().map(size::display).collect();
    println!(
        "{}, {} {}: {}",
        workload.name,
        workload.size_unit,
        sizes.join(", "),
        labels.join(", ")
    );
}

fn run(
    children: &Children,
    workload: &'static Workload,
    size: u64,
    options: &Options,
) -> Result<Report, String> {
    let wanted = |implementation: &&Implementation| {
        options.only.is_empty() || options.only.iter().any(|label| label == implementation.label)
    };
    let mut turns: Vec<(&Implementation, Row)> = workload
        .implementations
        .iter()
        .filter(wanted)
        .map(|implementation| {
            let row = Row { label: implementation.label, runs: Vec::new() };
            (implementation, row)
        })
        .collect();
    let expected = (workload.expected)(size);
    for _ in 0..options.runs {
        for (implementation, row) in &mut turns {
            let report = children.run(workload, implementation, size)?;
            let checksum = report.measured.checksum;
            if checksum != expected {
                return Err(format!(
                    "{} {}: checksum {checksum}, should be {expected}",
                    workload.name, row.label
                ));
            }
            row.runs.push(report);
        }
    }
    Ok(Report {
        workload: workload.name,
        size,
        size_unit: workload.size_unit,
        operation: workload.operation,
        base: options.base.clone().unwrap_or_else(|| workload.base.to_owned()),
        rows: turns.into_iter().map(|(_, row)| row).collect(),
    })
}

fn write(path: &Path, reports: &[Report]) -> Result<(), String> {
    let text = serde_json::to_string_pretty(reports).map_err(|error| error.to_string())?;
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
