//! A report as a markdown table.

use std::fmt;

use crate::report::{Report, Row};
use crate::size;
use crate::summary::Summary;

/// Displays a report as a heading and a table.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { workload, size_unit, operation, base, rows, .. } = self.0;
        let size = size::display(self.0.size);
        writeln!(f, "### {workload}, {size_unit} {size}\n")?;
        writeln!(
            f,
            "| | wall ms | min–max | × {base} | CPU ms | system ms | ns per {operation} \
             | peak RSS MiB | pauses ms, p50 / p99 / max |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        let base_wall = rows.iter().find(|row| row.label == base).and_then(Row::wall_ms);
        for row in rows {
            let wall = row.wall_ms();
            let ratio = wall.zip(base_wall).map(|(own, base)| own.median / base.median);
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.label,
                cell(wall.map(|wall| wall.median)),
                wall.map_or("–".to_owned(), range),
                ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
                cell(row.cpu_ms().map(|cpu| cpu.median)),
                // Known in steps of 10 ms only.
                row.system_ms().map_or("–".to_owned(), |system| format!("{:.0}", system.median)),
                cell(row.operation_ns().map(|operation| operation.median)),
                cell(row.rss_mib_max().map(|rss| rss.median)),
                row.pauses_ms()
                    .map_or("–".to_owned(), |pauses| pauses.map(significant).join(" / ")),
            )?;
        }
        Ok(())
    }
}

fn range(summary: Summary) -> String {
    format!("{}–{}", significant(summary.min), significant(summary.max))
}

fn cell(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), significant)
}

/// Three digits are what these measurements can bear; whole numbers are not rounded.
pub(crate) fn significant(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::child::ChildReport;
    use crate::measure::Measured;
    use crate::pause::Pauses;
    use crate::report::{Report, Row};

    fn row(label: &'static str, milliseconds: &[u64], pauses: Option<Pauses>) -> Row {
        let run = |&wall: &u64| ChildReport {
            measured: Measured {
                checksum: 0,
                operation_count: 1_000_000,
                wall_ns: wall * 1_000_000,
                cpu_ns: 2 * wall * 1_000_000,
                system_ns: Some(wall * 1_000_000),
                pauses,
            },
            rss_bytes_max: Some(3 << 20),
        };
        Row { label, runs: milliseconds.iter().map(run).collect() }
    }

    #[test]
    fn ratios_refer_to_the_base_and_a_missing_figure_is_a_dash() {
        let pauses = Pauses { count: 3, p50_ns: 1_000_000, p99_ns: 12_000_000, max_ns: 12_000_000 };
        let report = Report {
            workload: "w",
            size: 2_000,
            size_unit: "objects",
            operation: "object",
            base: "slow".to_owned(),
            rows: vec![
                row("slow", &[20, 21, 40], None),
                row("fast", &[7], Some(pauses)),
                row("none", &[], None),
            ],
        };
        let expected = "\
### w, objects 2k

| | wall ms | min–max | × slow | CPU ms | system ms | ns per object | peak RSS MiB | pauses ms, p50 / p99 / max |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
| slow | 21.0 | 20.0–40.0 | 1.00 | 42.0 | 21 | 21.0 | 3.00 | – |
| fast | 7.00 | 7.00–7.00 | 0.33 | 14.0 | 7 | 7.00 | 3.00 | 1.00 / 12.0 / 12.0 |
| none | – | – | – | – | – | – | – | – |
";
        assert_eq!(Table(&report).to_string(), expected);
    }
}
