//! Do programs do what the comments in them say?
//!
//! - `// expect: TEXT`: the next line of standard output.
//! - `// expect error: TEXT`: the next line of standard error. With one of these the exit code is
//!   70, or 65 if it is that of a compile error.
//!
//! Standard output and standard error are what is expected and nothing else.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::{run, Ran};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs");

fn programs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder of programs") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            programs(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "lox") {
            found.push(path);
        }
    }
    found.sort();
}

fn expected(program: &str) -> Ran {
    let mut expected = Ran { code: 0, out: String::new(), err: String::new() };
    for line in program.lines() {
        if let Some((_, text)) = line.split_once("// expect: ") {
            expected.out += &format!("{text}\n");
        }
        if let Some((_, text)) = line.split_once("// expect error: ") {
            if expected.err.is_empty() {
                let is_compile_error = text.starts_with("[line");
                expected.code = if is_compile_error { 65 } else { 70 };
            }
            expected.err += &format!("{text}\n");
        }
    }
    expected
}

fn check(arguments: &[&str]) {
    let mut found = Vec::new();
    programs(Path::new(FOLDER), &mut found);
    assert!(found.len() > 20, "the programs are somewhere else");
    let mut failed = 0;
    for path in found {
        let program = fs::read_to_string(&path).expect("a program");
        let mut arguments = arguments.to_vec();
        arguments.push(path.to_str().expect("a path"));
        let (ran, expected) = (run(arguments), expected(&program));
        if ran != expected {
            failed += 1;
            eprintln!("{}\n  expected {expected:#?}\n  got {ran:#?}", path.display());
        }
    }
    assert_eq!(failed, 0, "programs that did something else");
}

#[test]
fn programs_do_what_their_comments_say() {
    check(&[]);
}

#[test]
fn programs_do_the_same_if_everything_is_collected_all_the_time() {
    check(&["--gc-stress"]);
}

#[test]
fn programs_do_the_same_in_a_small_heap() {
    check(&["--heap-limit", "8M"]);
}
