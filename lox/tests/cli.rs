//! Does the command line keep its promises?

mod support;

use std::fs;

use support::{lox, run, run_with_input, scratch, Ran};

fn file(name: &str, content: impl AsRef<[u8]>) -> String {
    let path = scratch(name);
    fs::write(&path, content).expect("a scratch file");
    path.to_str().expect("a path of text").into()
}

fn ran(code: i32, out: &str, err: &str) -> Ran {
    Ran { code, out: out.into(), err: err.into() }
}

#[test]
fn a_file_is_run_to_its_end() {
    let path = file("hello.lox", "print \"hello\";\nprint 1 + 2;");
    assert_eq!(run([&path]), ran(0, "hello\n3\n", ""));
    let empty = file("empty.lox", "");
    assert_eq!(run([&empty]), ran(0, "", ""));
}

#[test]
fn a_compile_error_is_65_and_nothing_is_run() {
    let path = file("compile.lox", "print 1;\nprint;");
    let err = "[line 2] Error at ';': Expect expression.\n";
    assert_eq!(run([&path]), ran(65, "", err));
}

#[test]
fn a_runtime_error_is_70_and_comes_after_the_output() {
    let path = file("runtime.lox", "print 1;\nprint nil + 1;");
    let err = "Operands must be two numbers or two strings.\n[line 2] in script\n";
    assert_eq!(run([&path]), ran(70, "1\n", err));
}

#[test]
fn a_file_that_cannot_be_read_is_74() {
    let missing = run(["no/such/file.lox"]);
    assert_eq!((missing.code, missing.out.as_str()), (74, ""));
    assert!(missing.err.starts_with("Cannot read \"no/such/file.lox\": "));
    assert_eq!(missing.err.lines().count(), 1);
    let folder = run([env!("CARGO_MANIFEST_DIR")]);
    assert_eq!(folder.code, 74);
}

#[test]
fn a_wrong_command_line_is_64() {
    for arguments in [
        &["--no-such-flag"][..],
        &["-e"],
        &["-e", "1;", "file.lox"],
        &["one.lox", "two.lox"],
        &["--heap-limit"],
        &["--heap-limit", "lots", "-e", "1;"],
        &["--heap-limit", "0", "-e", "1;"],
        &["--gc-log=yes", "-e", "1;"],
        &["--memory-limit", "-e", "1;"],
        &["--memory-limit", "0", "-e", "1;"],
        &["--memory-limit", "much", "-e", "1;"],
        &["--eviction-threshold", "-e", "1;"],
        &["--eviction-threshold", "-1", "-e", "1;"],
        &["--eviction-threshold", "some", "-e", "1;"],
        &["--eviction-threshold", "99999999999G", "-e", "1;"],
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{arguments:?}");
        assert!(ran.err.contains("error:"), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let help = run(["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for word in ["FILE", "--heap-limit", "--gc-stress", "--gc-log", "--gc-stats", "74", "onCollect"]
    {
        assert!(help.out.contains(word), "{word}");
    }
    let version = format!("lox {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(["--version"]), ran(0, &version, ""));
}

#[test]
fn code_can_be_given_on_the_command_line() {
    assert_eq!(run(["-e", "print 1 + 2;"]), ran(0, "3\n", ""));
    assert_eq!(run(["-e", "-1; print 2;"]), ran(0, "2\n", ""));
    assert_eq!(run(["-e", ""]), ran(0, "", ""));
    assert_eq!(run(["-e", "1"]).code, 65);
    assert_eq!(run(["-e", "nil();"]).code, 70);
}

#[test]
fn bytes_that_are_not_utf_8_are_a_compile_error() {
    let path = file("latin1.lox", b"print 1;\nprint \"na\xefve\";\n");
    let err = "[line 2] Error: Source is not UTF-8.\n";
    assert_eq!(run([&path]), ran(65, "", err));
    let path = file("binary.lox", [0, 159, 146, 150]);
    assert_eq!(run([&path]).code, 65);
    let path = file("nul.lox", "print 1; \0 print 2;");
    let err = "[line 1] Error: Unexpected character.\n";
    assert_eq!(run([&path]), ran(65, "", err));
}

#[test]
fn source_that_nests_too_deep_is_a_compile_error() {
    for part in ["(", "-", "{", "if (true) ", "fun f() {", "class A { m() {"] {
        let path = file("nested.lox", part.repeat(100_000));
        let ran = run([&path]);
        assert_eq!((ran.code, ran.out.as_str()), (65, ""), "{part}");
        assert!(ran.err.ends_with(": Too much nesting.\n"), "{part}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{part}");
    }
}

#[test]
fn unfinished_expressions_that_take_too_much_stack_are_a_stack_overflow() {
    let mut wide = "nil".to_string();
    for _ in 0..700 {
        wide = format!("f({}{wide})", "nil, ".repeat(60));
    }
    let source = format!("fun f() {{}}\nfun wide(f) {{ return {wide}; }}\nwide(f);");
    let err = "Stack overflow.\n[line 3] in script\n";
    assert_eq!(run([file("wide.lox", &source)]), ran(70, "", err));
    // The program itself may need as much.
    let source = format!("fun f() {{}}\n{{ var f; {wide}; }}");
    let err = "Stack overflow.\n[line 1] in script\n";
    assert_eq!(run([file("wide_script.lox", &source)]), ran(70, "", err));
}

#[test]
fn the_collector_reports_to_standard_error_if_asked() {
    let source =
        "var s = \"\"; for (var i = 0; i < 3000; i = i + 1) s = s + \"x\"; print \"done\";";
    let quiet = run(["-e", source]);
    assert_eq!(quiet, ran(0, "done\n", ""));

    let stats = run(["--gc-stats", "-e", source]);
    assert_eq!((stats.code, stats.out.as_str()), (0, "done\n"));
    assert!(stats.err.starts_with("gc: "), "{}", stats.err);
    assert!(stats.err.contains("collections"));

    let log = run(["--gc-log", "--heap-limit", "1M", "-e", source]);
    assert_eq!((log.code, log.out.as_str()), (0, "done\n"));
    let mut lines = log.err.lines();
    assert!(lines.next().expect("a collection").starts_with("gc 1: "));
    assert!(lines.next().expect("another one").starts_with("gc 2: "));

    let failed = run(["--gc-stats", "-e", "nil();"]);
    assert_eq!(failed.code, 70);
    assert!(failed.err.contains("\ngc: "), "at the end of a program that failed too");
}

#[test]
fn output_that_nobody_reads_ends_the_program() {
    use std::io::Read;
    use std::process::Stdio;
    let mut command = lox(["-e", "while (true) print \"again and again\";"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the interpreter starts");
    let mut some = [0; 100];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut some).expect("some output");
    drop(stdout);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(74));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_74() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let mut command = lox(["-e", "print 1;"]);
    command.stdout(full.expect("the device that is always full"));
    let ran = support::finish(command);
    assert_eq!(ran.code, 74);
    assert!(ran.err.starts_with("Cannot write output: "), "{}", ran.err);
}

#[test]
fn a_program_does_not_read_standard_input() {
    let ran = run_with_input(["-e", "print 1;"], "print 2;");
    assert_eq!(ran.out, "1\n");
}

#[test]
fn the_tour_runs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tour.lox");
    let plain = run([path]);
    assert_eq!((plain.code, plain.err.as_str()), (0, ""));
    assert!(plain.out.lines().count() > 20);
    assert_eq!(run(["--gc-stress", path]), plain);
}

#[test]
fn the_example_of_weak_references_runs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/weak.lox");
    let plain = run([path]);
    let out = "
== Weak references ==
a lake
nil

== A table that does not keep what is in it ==
painting a wood
true
painting a wood

== To be told that something is gone ==
the first window is gone
the second window is gone
all are closed
";
    assert_eq!(plain, ran(0, out, ""));
    assert_eq!(run(["--gc-stress", path]), plain);
}

#[test]
fn the_example_of_caches_runs_and_its_pages_give_way_with_a_threshold() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cache.lox");
    let plain = run([path]);
    assert_eq!((plain.code, plain.out.as_str()), (0, "each page was made once\n"), "{}", plain.err);
    let short = run(["--eviction-threshold", "64K", path]);
    assert_eq!((short.code, short.out.as_str()), (0, "some pages were made again\n"));
    let ample = run(["--eviction-threshold=1G", path]);
    assert_eq!(ample.out, plain.out);
}

#[test]
fn with_a_threshold_of_nothing_only_what_is_held_stays_in_a_cache() {
    let code = r#"
        var cache = Cache(10);
        class Thing {}
        cache.put(1, Thing());
        cache.put(2, Thing());
        var held = cache.get(2);
        for (var i = 0; i < 400000; i = i + 1) Thing();
        print cache.count();
        print held;
    "#;
    let kept = run(["-e", code]);
    assert_eq!(kept.out, "2\nThing instance\n", "{}", kept.err);
    // What gives way is the cache's own reference; the value lives on with who has it.
    let none = run(["--eviction-threshold", "0", "-e", code]);
    assert_eq!(none.out, "0\nThing instance\n", "{}", none.err);
}

#[test]
fn the_example_of_buffers_runs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/buffers.lox");
    let source = std::fs::read_to_string(path).unwrap();
    // Programs are found from the root of the repository; tests run in the package.
    let source = source.replace("lox/examples/buffers.lox\")", "examples/buffers.lox\")");
    for options in [&[][..], &["--memory-limit", "4M"], &["--gc-stress"]] {
        let arguments: Vec<&str> = options.iter().copied().chain(["-e", &source]).collect();
        let ran = run(&arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert_eq!(ran.out.lines().filter(|line| *line == "true").count(), 2, "{}", ran.out);
    }
}
