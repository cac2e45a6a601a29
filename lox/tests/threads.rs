//! Do collector threads, and programs side by side, change nothing that a program can see?

mod support;

use std::fs;

use support::{run, scratch, Ran};

const PROGRAM: &str = "
class Node { init(next, value) { this.next = next; this.value = value; } }
fun build(n) { var list = nil; for (var i = 0; i < n; i = i + 1) list = Node(list, i); return list; }
fun sum(list) { var total = 0; while (list != nil) { total = total + list.value; list = list.next; } return total; }
var kept = build(1000);
var text = \"\";
for (var round = 0; round < 200; round = round + 1) {
  if (sum(build(500)) != 124750) print \"lost\";
  text = text + \"x\";
}
print sum(kept);
print text == text + \"\";
";
const PRINTED: &str = "499500\ntrue\n";

fn file() -> String {
    let path = scratch("threads.lox");
    // Written anew by each test, with the same content.
    fs::write(&path, PROGRAM).expect("a scratch file");
    path.to_str().expect("a path of text").into()
}

fn printed(times: usize) -> Ran {
    Ran { code: 0, out: PRINTED.repeat(times), err: String::new() }
}

#[test]
fn a_collector_thread_with_any_period_changes_nothing() {
    for period in ["1", "0", "-1", "1000000"] {
        assert_eq!(run(["--gc-period", period, "-e", PROGRAM]), printed(1), "{period}");
    }
    assert_eq!(run(["--gc-threads", "2", "-e", PROGRAM]), printed(1));
    assert_eq!(run(["--gc-threads", "0", "-e", PROGRAM]), printed(1));
}

#[test]
fn programs_side_by_side_print_one_after_the_other() {
    let file = file();
    assert_eq!(run(["--threads", "4", &file]), printed(4));
    assert_eq!(
        run(["--threads", "4", "--gc-period", "-1", "--gc-threads", "2", &file]),
        printed(4)
    );
    assert_eq!(run(["--threads", "3", "--gc-threads", "0", &file]), printed(3));
}

#[test]
fn interpreters_that_share_a_heap_take_turns() {
    let file = file();
    assert_eq!(run(["--threads", "4", "--shared", &file]), printed(4));
    assert_eq!(run(["--threads", "3", "--shared", "--gc-period", "-1", &file]), printed(3));
    assert_eq!(run(["--threads", "2", "--shared", "--gc-threads", "0", &file]), printed(2));
}

#[test]
fn stress_with_a_collector_thread_changes_nothing() {
    let short =
        "var s = \"\"; for (var i = 0; i < 50; i = i + 1) s = s + \"ab\"; print s == s + \"\";";
    let stressed = run(["--gc-stress", "--gc-period", "-1", "-e", short]);
    assert_eq!(stressed, Ran { code: 0, out: "true\n".into(), err: String::new() });
    let stressed = run(["--gc-stress", "--threads", "3", "--shared", "-e", short]);
    assert_eq!(stressed, Ran { code: 0, out: "true\n".repeat(3), err: String::new() });
}

#[test]
fn a_program_that_fails_says_which() {
    let ran = run(["--threads", "2", "-e", "print 1; print nil + 1;"]);
    assert_eq!((ran.code, ran.out.as_str()), (70, "1\n1\n"));
    assert!(ran.err.contains("program 1: Operands must be"), "{}", ran.err);
    assert!(ran.err.contains("program 2: Operands must be"), "{}", ran.err);
    let ran = run([
        "--threads",
        "2",
        "--heap-limit",
        "2M",
        "-e",
        "var s = \"ab\"; while (true) s = s + s;",
    ]);
    assert_eq!(ran.code, 70, "{}", ran.err);
    assert!(ran.err.contains("program 2: Out of memory."), "{}", ran.err);
}

#[test]
fn wrong_numbers_are_refused() {
    for arguments in [
        &["--threads", "0", "-e", "1;"][..],
        &["--threads", "100000", "-e", "1;"],
        &["--threads", "2"],
        &["--shared", "-e", "1;"],
        &["--gc-period", "often", "-e", "1;"],
        &["--gc-threads", "-1", "-e", "1;"],
        &["--gc-threads", "0", "--gc-period", "5", "-e", "1;"],
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("error:"), "{arguments:?}: {}", ran.err);
    }
}
