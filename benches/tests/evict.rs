//! The command `evict` runs, at tiny sizes.

use std::process::Command;

#[test]
fn each_case_has_its_tables_and_only_what_was_asked_for_is_measured() {
    let run = |cases: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_evict"))
            .args(["--runs=1", "--touches=160", "--entries=10", "--objects=10"])
            .args(["--lookups=4000", "--keys=200"])
            .args(cases)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    };
    let headings = |text: &str| -> Vec<String> {
        let headings = text.lines().filter_map(|line| line.strip_prefix("### "));
        headings.map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    let all = run(&[]);
    assert_eq!(
        headings(&all),
        ["touch", "choose among 10", "hits, Zipf", "hits, Zipf and scan"],
        "{all}"
    );
    let hits = run(&["hits"]);
    assert_eq!(headings(&hits), ["hits, Zipf", "hits, Zipf and scan"]);
    // Name, hit ratio, nanoseconds, residents.
    let rows: Vec<Vec<&str>> = hits
        .lines()
        .filter_map(|line| line.strip_prefix("| cspace"))
        .map(|row| row.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 6, "{hits}");
    for row in rows {
        let ratio: f64 = row[1].parse().unwrap();
        assert!(ratio > 10.0 && ratio < 90.0, "{hits}");
        let resident: f64 = row[3].parse().unwrap();
        // A value more, and a threshold that is let be passed.
        let max = if row[0].contains("100 %") { 130.0 } else { 125.0 };
        assert!(resident > 50.0 && resident < max, "{hits}");
    }
}
