//! The command `ephemeron` runs, at tiny sizes.

use std::process::Command;

#[test]
fn every_order_and_size_has_a_row() {
    let output = Command::new(env!("CARGO_BIN_EXE_ephemeron"))
        .args(["--sizes=100,400", "--runs=1"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}", output.status);
    let table = String::from_utf8(output.stdout).unwrap();
    for order in ["forward", "backward", "shuffled", "list"] {
        for size in ["100", "400"] {
            assert!(table.contains(&format!("| {order} | {size} |")), "{table}");
        }
    }
}
