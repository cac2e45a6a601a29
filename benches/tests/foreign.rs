//! The programs in other languages compute what the workloads' analytic checksums say, at tiny sizes.
//!
//! A language whose compiler is not installed is skipped; the test says so on the standard error.

use std::path::PathBuf;

use cspace_benches::foreign::{peers_of, Programs};
use cspace_benches::pin::{Pin, PinOption};
use cspace_benches::workloads;

#[test]
fn foreign_peers_compute_the_same() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("foreign");
    let pin = Pin::new(Some(&PinOption::None)).unwrap();
    let mut programs = Programs::new(directory, pin);
    for workload in workloads::ALL {
        let expected = (workload.expected)(workload.size_tiny);
        for peer in peers_of(workload) {
            if programs.is_ready(peer) {
                let report = programs.run(peer, workload, workload.size_tiny);
                let measured = report.unwrap().measured;
                assert_eq!(measured.checksum, expected, "{} {}", workload.name, peer.label);
                assert!(measured.operation_count > 0, "{} {}", workload.name, peer.label);
            }
        }
    }
}
