//! Are functions called after collections, whenever those come: in programs side by side, at a program's end,
//! and line by line?

mod support;

use support::{run, run_with_input, Ran};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/natives/");

fn printed(out: &str) -> Ran {
    Ran { code: 0, out: out.into(), err: String::new() }
}

#[test]
fn collector_threads_change_nothing() {
    for name in ["weak_ref", "on_collect", "on_collect_order", "on_collect_nesting"] {
        let file = format!("{FOLDER}{name}.lox");
        let plain = run([&file]);
        assert_eq!((plain.code, plain.err.as_str()), (0, ""));
        assert_ne!(plain.out, "");
        assert_eq!(run(["--gc-period", "-1", &file]), plain, "{name}");
        assert_eq!(run(["--gc-threads", "2", &file]), plain, "{name}");
        assert_eq!(run(["--gc-stress", "--gc-period", "-1", &file]), plain, "{name}");
    }
}

/// Nothing but what is due brings the machine out of the last loop.
#[test]
fn a_program_that_allocates_nothing_is_interrupted_too() {
    let source = "
        class Thing {} var ref; var called = false;
        fun f() { called = true; }
        fun watch() { var thing = Thing(); ref = WeakRef(thing); onCollect(thing, f); }
        watch();
        while (ref.get() != nil) Thing();
        while (!called) {}
        print called;";
    for flags in [&[][..], &["--gc-stress"], &["--gc-threads", "1"], &["--gc-period", "100000"]] {
        let ran = run([flags, &["-e", source]].concat());
        assert_eq!(ran, printed("true\n"), "{flags:?}");
    }
}

#[test]
fn each_program_gets_its_own_calls_only() {
    for name in ["on_collect", "on_collect_order", "on_collect_nesting"] {
        let file = format!("{FOLDER}{name}.lox");
        let thrice = printed(&run([&file]).out.repeat(3));
        assert_eq!(run(["--threads", "3", &file]), thrice, "{name}");
        assert_eq!(run(["--threads", "3", "--shared", &file]), thrice, "{name}");
        assert_eq!(
            run(["--threads", "3", "--shared", "--gc-threads", "0", &file]),
            thrice,
            "{name}"
        );
        assert_eq!(run(["--threads", "3", "--shared", "--gc-stress", &file]), thrice, "{name}");
    }
}

/// The last instruction comes after a collection; the call before it made the garbage.
fn at_the_end(callback: &str) -> Ran {
    let source = format!(
        "class Thing {{}} {callback}\nfun watch() {{ onCollect(Thing(), f); }}\nwatch(); Thing();"
    );
    run(["--gc-stress", "-e", &source])
}

#[test]
fn what_is_due_at_the_end_is_called() {
    assert_eq!(at_the_end("fun f() { print \"called\"; }"), printed("called\n"));
}

#[test]
fn what_gets_due_after_the_end_is_not_called() {
    let for_ever = "fun f() { print \"called\"; watch(); Thing(); }";
    assert_eq!(at_the_end(for_ever), printed("called\n"));
    let calls = "fun g() {} fun f() { print \"called\"; watch(); g(); g(); g(); }";
    assert_eq!(at_the_end(calls), printed("called\n"));
}

#[test]
fn an_error_after_the_end_is_the_programs() {
    let ran = at_the_end("fun f() { print \"called\"; nil(); }");
    assert_eq!((ran.code, ran.out.as_str()), (70, "called\n"));
    assert_eq!(
        ran.err,
        "Can only call functions and classes.\n[line 1] in f()\n[after a collection] in onCollect()\n"
    );
}

#[test]
fn lines_share_what_waits_to_be_called() {
    let input = "\
        class Thing {} var n = 0; fun good() { n = n + 1; print n; }\n\
        fun watch() { onCollect(Thing(), good); }\n\
        watch(); watch();\n\
        while (n < 2) Thing();\n\
        watch();\n\
        while (n < 3) Thing();\n";
    for flags in [&[][..], &["--gc-stress"], &["--gc-period", "-1"]] {
        assert_eq!(run_with_input(flags, input), printed("1\n2\n3\n"), "{flags:?}");
    }
}

#[test]
fn a_line_after_a_call_that_failed_goes_on_with_the_others() {
    let input = "\
        class Thing {} var n = 0; fun bad() { n = n + 1; nil(); } fun good() { n = n + 1; print \"good\"; }\n\
        fun watch() { var thing = Thing(); onCollect(thing, bad); onCollect(thing, good); }\n\
        watch();\n\
        while (n < 1) Thing();\n\
        print \"next\";\n\
        while (n < 2) Thing();\n\
        print n;\n";
    let err = "Can only call functions and classes.\n[line 1] in bad()\n\
               [after a collection] in onCollect()\n[line 1] in script\n";
    for flags in [&[][..], &["--gc-stress"]] {
        let ran = run_with_input(flags, input);
        let expected = Ran { code: 0, out: "good\nnext\n2\n".into(), err: err.into() };
        assert_eq!(ran, expected, "{flags:?}");
    }
}
