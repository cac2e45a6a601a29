//! Does the interpreter run lines from standard input one by one?

mod support;

use support::{run_with_input, Ran};

fn repl(input: &str) -> Ran {
    let plain = run_with_input([""; 0], input);
    let stress = run_with_input(["--gc-stress"], input);
    assert_eq!(plain, stress);
    plain
}

#[test]
fn lines_share_their_globals() {
    let ran = repl("var a = 1;\nfun f(n) { return n + a; }\na = 10;\nprint f(5);\n");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "15\n", ""));
}

#[test]
fn a_line_that_fails_leaves_the_others_alone() {
    let ran = repl(
        "var a = 1;\n\
         print missing;\n\
         print a;\n\
         print (;\n\
         a = a + 1; nil(); a = 100;\n\
         print a;\n",
    );
    assert_eq!((ran.code, ran.out.as_str()), (0, "1\n2\n"));
    assert_eq!(
        ran.err,
        "Undefined variable 'missing'.\n[line 1] in script\n\
         [line 1] Error at ';': Expect expression.\n\
         Can only call functions and classes.\n[line 1] in script\n"
    );
}

#[test]
fn variables_survive_the_call_that_failed_around_them() {
    let ran = repl(
        "var get;\n\
         fun f() { var x = \"kept\" + \"!\"; fun g() { return x; } get = g; nil(); }\n\
         f();\n\
         fun other(a, b, c) { return a + b + c; }\n\
         print other(1, 2, 3);\n\
         print get();\n",
    );
    assert_eq!(ran.out, "6\nkept!\n");
    assert_eq!(
        ran.err,
        "Can only call functions and classes.\n[line 1] in f()\n[line 1] in script\n"
    );
}

#[test]
fn a_line_with_an_open_brace_goes_on() {
    let ran = repl(
        "fun f() {\n  return \"f\";\n}\nprint f();\nclass A {\n  m() {\n    return \"m\";\n  }\n\n",
    );
    assert_eq!(ran.out, "f\n");
    assert_eq!(
        ran.err, "[line 6] Error at end: Expect '}' after class body.\n",
        "an empty line ends it"
    );
    let ran = repl("{ print 1;");
    assert_eq!(ran.err, "[line 1] Error at end: Expect '}' after block.\n");
}

#[test]
fn a_last_line_needs_no_end() {
    assert_eq!(repl("print 1;\nprint 2;").out, "1\n2\n");
    assert_eq!(repl("").out, "");
    assert_eq!(repl("\n\n  \n").err, "");
}

#[test]
fn a_line_that_is_not_utf_8_is_an_error() {
    let ran = run_with_input([""; 0], b"print \"\xff\";\nprint \"next\";\n");
    assert_eq!((ran.code, ran.out.as_str()), (0, "next\n"));
    assert_eq!(ran.err, "[line 1] Error: Source is not UTF-8.\n");
}

#[test]
fn running_out_of_stack_and_of_memory_leaves_it_usable() {
    let input = "fun f() { f(); }\n\
                 f();\n\
                 var s = \"0123456789\"; while (true) s = s + s;\n\
                 s = nil;\n\
                 var t = \"again\"; print t + \"!\";\n";
    let ran = run_with_input(["--heap-limit", "4M"], input);
    assert_eq!((ran.code, ran.out.as_str()), (0, "again!\n"));
    assert!(ran.err.contains("Stack overflow.\n"));
    assert!(ran.err.ends_with("Out of memory.\n[line 1] in script\n"), "{}", ran.err);
}
