//! Does Ctrl-C stop a program?

#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use support::lox;

fn start(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the interpreter starts")
}

/// What Ctrl-C does to the process of a terminal's foreground.
fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status();
    assert!(killed.expect("there is `kill`").success());
}

#[test]
fn a_program_stops_with_130() {
    // The first line fills the buffer, so it is out when the loop runs.
    let source = "
        var s = \"x\"; for (var i = 0; i < 17; i = i + 1) s = s + s; print s;
        fun spin(n) { while (n > 0) { n = n + 1; } }
        spin(1);";
    stops(source);
}

#[test]
fn a_program_stops_in_what_is_called_after_a_collection() {
    let source = "
        var s = \"x\"; for (var i = 0; i < 17; i = i + 1) s = s + s;
        class Thing {}
        fun spin() { print s; while (true) { Thing(); } }
        fun watch() { onCollect(Thing(), spin); }
        watch();
        while (true) { Thing(); }";
    stops(source);
}

fn stops(source: &str) {
    for flags in [&[][..], &["--gc-stress"]] {
        let mut child = start(lox([flags, &["-e", source]].concat()));
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut some = [0; 1000];
        stdout.read_exact(&mut some).expect("output");
        let reader = std::thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = stdout.read_to_end(&mut rest);
        });
        interrupt(&child);
        let output = child.wait_with_output().expect("it ends");
        reader.join().expect("the output ends");
        assert_eq!(output.status.code(), Some(130));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "Interrupted.\n");
    }
}

#[test]
fn lines_go_on_after_one_that_was_stopped() {
    let mut child = start(lox([""; 0]));
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    writeln!(stdin, "var a = 1; print \"ready\";").expect("it reads");
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    writeln!(stdin, "while (true) {{ a = a + 1; }}").expect("it reads");
    // There is no output to tell that the loop runs: try until one gets through.
    std::thread::sleep(std::time::Duration::from_millis(300));
    interrupt(&child);
    writeln!(stdin, "print a > 1;").expect("it reads");
    line.clear();
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "true\n");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "Interrupted.\n");
}
