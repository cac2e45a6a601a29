//! The command `collector` runs, at tiny sizes.

use std::process::Command;

fn run(part: &str, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_collector"))
        .args([part, "--runs=1", "--objects=5k", "--objects-large=10k", "--roots=10"])
        .args(["--roots-many=1k", "--merges=3", "--spaces=50", "--millis=40"])
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{part}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_case_of_every_part_has_a_table() {
    for part in ["fairness", "idle", "merge"] {
        let cases = run(part, &["--list"]);
        let tables = run(part, &[]);
        assert_eq!(tables.matches("### ").count(), cases.lines().count(), "{tables}");
        for case in cases.lines() {
            let (name, _question) = case.split_once(": ").unwrap();
            assert!(tables.contains(&format!("### {name}\n")), "no {name} in:\n{tables}");
        }
    }
}

#[test]
fn a_case_that_is_not_there_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_collector"))
        .args(["idle", "--only=merge"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no case `merge`"));
}
