//! A workload: one question, asked of several implementations.

use crate::measure::Measured;

/// A program that every implementation runs alike.
#[derive(Debug)]
pub struct Workload {
    /// What it is called on the command line; a family shares a prefix up to a hyphen.
    pub name: &'static str,
    /// What the size counts.
    pub size_unit: &'static str,
    /// The sizes that are run when none are asked for.
    pub sizes: &'static [u64],
    /// The largest size that makes sense: above it the machine's memory or a stack would not do.
    pub size_max: u64,
    /// A size small enough for a test, large enough to be a real run.
    pub size_tiny: u64,
    /// What one operation is, for the column of nanoseconds per operation.
    pub operation: &'static str,
    /// The label that ratios refer to, unless another is asked for.
    pub base: &'static str,
    /// The checksum of a correct run, computed without any of the heaps.
    pub expected: fn(size: u64) -> u64,
    /// Who runs it.
    pub implementations: &'static [Implementation],
}

/// One heap's version of a workload.
#[derive(Debug)]
pub struct Implementation {
    /// The name in the tables; unique within a workload.
    pub label: &'static str,
    /// The child that it runs in.
    pub allocator: Allocator,
    /// Runs the workload once.
    pub run: fn(size: u64) -> Measured,
}

/// The global allocator of a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocator {
    /// What Rust uses by default.
    System,
    /// mimalloc, needs the feature `peers`.
    Mimalloc,
}

impl Workload {
    /// Whether `pattern` names this workload or the family it belongs to.
    pub fn is_named(&self, pattern: &str) -> bool {
        is_of_family(self.name, pattern)
    }

    /// Returns the implementation with this label.
    pub fn implementation(&self, label: &str) -> Option<&'static Implementation> {
        self.implementations.iter().find(|implementation| implementation.label == label)
    }
}

/// Whether `name` is `pattern`, or begins with it and a hyphen.
pub fn is_of_family(name: &str, pattern: &str) -> bool {
    name.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl Implementation {
    /// An implementation on the system's allocator.
    pub const fn on_system(label: &'static str, run: fn(u64) -> Measured) -> Self {
        Self { label, allocator: Allocator::System, run }
    }

    /// An implementation on mimalloc.
    #[cfg(feature = "peers")]
    pub const fn on_mimalloc(label: &'static str, run: fn(u64) -> Measured) -> Self {
        Self { label, allocator: Allocator::Mimalloc, run }
    }
}

/// Writes out the implementations of a workload.
///
/// Those of `once` carry their label as it is and run on the system's allocator. Each of the others
/// runs on both allocators, as `-sys` and `-mi`; those of `peers` exist with the feature only.
macro_rules! implementations {
    (
        once: { $($once:literal: $run_once:expr),* $(,)? }
        each: { $($each:literal: $run_each:expr),* $(,)? }
        peers: { $($peer:literal: $run_peer:expr),* $(,)? }
    ) => {
        &[
            $($crate::workload::Implementation::on_system($once, $run_once),)*
            $(
                $crate::workload::Implementation::on_system(concat!($each, "-sys"), $run_each),
                #[cfg(feature = "peers")]
                $crate::workload::Implementation::on_mimalloc(concat!($each, "-mi"), $run_each),
            )*
            $(
                #[cfg(feature = "peers")]
                $crate::workload::Implementation::on_system(concat!($peer, "-sys"), $run_peer),
                #[cfg(feature = "peers")]
                $crate::workload::Implementation::on_mimalloc(concat!($peer, "-mi"), $run_peer),
            )*
        ]
    };
}

pub(crate) use implementations;

#[cfg(test)]
mod tests {
    use crate::workloads;

    #[test]
    fn pattern_names_a_workload_or_its_family() {
        let named = |pattern: &str| {
            workloads::ALL
                .iter()
                .filter(|workload| workload.is_named(pattern))
                .map(|workload| workload.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(named("alloc"), ["alloc-16", "alloc-32"]);
        assert_eq!(named("alloc-16"), ["alloc-16"]);
        assert_eq!(named("all"), [""; 0]);
    }

    #[test]
    fn labels_are_unique_within_a_workload() {
        for workload in workloads::ALL {
            for implementation in workload.implementations {
                let first = workload.implementation(implementation.label).unwrap();
                assert!(std::ptr::eq(first, implementation), "{}", implementation.label);
            }
        }
    }
}
