//! The command `native` runs, at tiny sizes.

use std::process::Command;

#[test]
fn each_case_has_its_row() {
    let output = Command::new(env!("CARGO_BIN_EXE_native"))
        .args(["--runs=1", "--operations=200", "--no-java"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").collect())
        .filter(|row: &Vec<&str>| row.len() > 1 && !row[0].is_empty() && row[0] != "|")
        .collect();
    let of = |name: &str| rows.iter().find(|row| row[0].starts_with(name)).expect(name);
    for name in
        ["cspace, confined", "cspace, shared", "`Vec`s", "cspace, context", "cspace, operation"]
    {
        for cell in &of(name)[1..] {
            assert!(cell.parse::<f64>().unwrap() > 0.0, "{text}");
        }
    }
}
