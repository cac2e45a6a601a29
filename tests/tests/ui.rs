//! What must not compile, with the message that the user will read.
//!
//! Each program in `ui/` is refused by the compiler, and its `.stderr` file is the message. The messages are
//! those of rustc 1.95; with another version the programs must still be refused, but their messages differ in
//! wording, so the comparison is skipped, and says so. `CSPACE_UI=1` compares nevertheless; after a
//! deliberate change, `TRYBUILD=overwrite` writes the files anew.
//!
//! A program whose offending line ends in `// refused` is also compiled without that line: then it must be
//! accepted, so that it is refused for the reason that it names.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler whose messages the `.stderr` files hold.
const COMPILER: &str = "1.95.";

/// Ends the line for which a program is refused.
const REFUSED: &str = "// refused";

fn programs() -> Vec<PathBuf> {
    let mut programs = Vec::new();
    for folder in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension() == Some(OsStr::new("rs")) {
                programs.push(path);
            }
        }
    }
    programs.sort();
    programs
}

/// Whether this compiler's messages can be compared.
fn can_compare() -> bool {
    if std::env::var_os("CSPACE_UI").is_some() {
        return true;
    }
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .arg("--version")
        .output()
        .expect("rustc runs");
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let same = version.strip_prefix("rustc ").is_some_and(|version| version.starts_with(COMPILER));
    if !same {
        eprintln!(
            "SKIPPED: the messages in tests/ui are those of rustc {COMPILER}*, this is {}; set CSPACE_UI=1 to compare",
            version.trim()
        );
    }
    same
}

#[test]
fn what_is_unsound_or_mistaken_is_refused_with_its_message() {
    let programs = programs();
    assert!(programs.len() >= 30, "{} programs", programs.len());
    if !can_compare() {
        return;
    }
    let cases = trybuild::TestCases::new();
    for program in &programs {
        cases.compile_fail(program);
    }
    // A program that passes makes all of them be built, not only checked: some are refused when their
    // generic code is made.
    cases.pass("tests/ui/derive/pass/*.rs");
}

#[test]
fn each_program_is_accepted_without_its_refused_line() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ui_accepted");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    // One program for all of them, for the sake of time: each becomes a module.
    let mut all = String::from("#![allow(warnings)]\n");
    for program in programs() {
        let text = fs::read_to_string(&program).unwrap();
        let refused = text.lines().filter(|line| line.ends_with(REFUSED)).count();
        if refused == 0 {
            continue;
        }
        assert_eq!(refused, 1, "{}: one line is refused", program.display());
        let name = program.file_stem().unwrap().to_str().unwrap();
        let group = program.parent().unwrap().file_name().unwrap().to_str().unwrap();
        all.push_str(&format!("mod {group}_{name} {{\n"));
        for line in text.lines().filter(|line| !line.ends_with(REFUSED)) {
            if !line.starts_with("//!") {
                all.push_str(line);
                all.push('\n');
            }
        }
        all.push_str("}\n");
    }
    all.push_str("fn main() {}\n");
    let file = folder.join("all.rs");
    fs::write(&file, all).unwrap();
    trybuild::TestCases::new().pass(file);
}
