//! What the collector did, in words.

use std::time::Duration;

use cspace::{CSpace, CollectReport, Event};

/// Writes an event of the space to standard error, on a line.
pub(crate) fn log(event: &Event) {
    match event {
        Event::Collected(report) => eprintln!("{}", describe(report)),
        other => eprintln!("gc: {other:?}"),
    }
}

fn describe(report: &CollectReport) -> String {
    format!(
        "gc {}: {} objects, {} live, {} reclaimed; pause {}, sweep {}",
        report.cycle,
        report.objects_live,
        bytes(report.bytes_live + report.bytes_external),
        report.objects_reclaimed,
        milliseconds(report.pause),
        milliseconds(report.sweep),
    )
}

/// A summary of what the space's collector did so far.
pub(crate) fn summary(space: &CSpace) -> String {
    let stats = space.stats();
    let memory = space.memory();
    format!(
        "gc: {} collections, {} objects reclaimed\n\
         gc: pauses {} in total, half below {}, 99 % below {}, {} at most; sweeping {}\n\
         gc: {} objects, {} live at the last collection, {} allocated, {} committed",
        stats.cycles,
        stats.objects_reclaimed,
        milliseconds(stats.pause_total),
        milliseconds(stats.pauses.percentile(50.0)),
        milliseconds(stats.pauses.percentile(99.0)),
        milliseconds(stats.pause_max),
        milliseconds(stats.sweep_total),
        space.num_objects(),
        bytes(memory.live),
        bytes(memory.allocated),
        bytes(memory.committed),
    )
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

fn bytes(count: usize) -> String {
    match count {
        ..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_units_that_fit() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(32 << 20), "32.0 MiB");
    }
}
