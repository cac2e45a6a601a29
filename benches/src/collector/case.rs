//! A case: one question about the collector, and the table of its answers.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::options::{Part, Sizes};
use crate::summary::Summary;
use crate::table::significant;

/// One question about the collector.
#[derive(Debug)]
pub struct Case {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The part that it belongs to.
    pub part: Part,
    /// What it asks, and how.
    pub question: &'static str,
    /// Runs it once.
    pub run: fn(&Sizes) -> Result<Vec<Figure>, String>,
}

/// What one run of a case says. All runs say the same figures in the same order.
pub type Outcome = Vec<Figure>;

/// A number with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: String,
    /// How much.
    pub value: f64,
    /// What it should be at most.
    pub target: Option<f64>,
}

impl Figure {
    /// A figure without a target.
    pub fn new(name: impl Into<String>, value: f64) -> Figure {
        Figure { name: name.into(), value, target: None }
    }

    /// Says what the figure should be at most.
    #[must_use]
    pub fn at_most(self, target: f64) -> Figure {
        Figure { target: Some(target), ..self }
    }
}

impl Case {
    /// The table of some runs: at least one.
    pub fn table(&self, outcomes: &[Outcome]) -> String {
        let mut table = format!("### {}\n\n{}\n\n", self.name, self.question);
        table.push_str("| | median | min–max | target | |\n|---|--:|--:|--:|---|\n");
        for (index, Figure { name, target, .. }) in outcomes[0].iter().enumerate() {
            let values = outcomes.iter().filter_map(|figures| Some(figures.get(index)?.value));
            let Some(Summary { median, min, max }) = Summary::of(values) else { continue };
            let (limit, verdict) = match target {
                None => (String::new(), ""),
                Some(target) if median <= *target => (format!("≤ {}", significant(*target)), "met"),
                Some(target) => (format!("≤ {}", significant(*target)), "**missed**"),
            };
            let [median, min, max] = [median, min, max].map(significant);
            writeln!(table, "| {name} | {median} | {min}–{max} | {limit} | {verdict} |")
                .expect("writing to a string does not fail");
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, Figure};
    use crate::collector::options::Part;

    #[test]
    fn the_median_is_held_against_the_target() {
        let case = Case { name: "c", part: Part::Idle, question: "Why?", run: |_| Ok(Vec::new()) };
        let outcome = |a, b| vec![Figure::new("a", a), Figure::new("b, µs", b).at_most(50.0)];
        let table = case.table(&[outcome(1.0, 40.0), outcome(3.0, 60.0), outcome(2.0, 30.0)]);
        let expected = "\
### c

Why?

| | median | min–max | target | |
|---|--:|--:|--:|---|
| a | 2.00 | 1.00–3.00 |  |  |
| b, µs | 40.0 | 30.0–60.0 | ≤ 50.0 | met |
";
        assert_eq!(table, expected);
        let missed = case.table(&[outcome(1.0, 51.0)]);
        assert!(missed.contains("**missed**"), "{missed}");
    }
}
