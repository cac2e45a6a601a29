//! Does the interpreter keep to its heap limit, and say so when it cannot?

mod support;

use support::{run, Ran};

fn in_heap(limit: &str, source: &str) -> Ran {
    let ran = run(["--heap-limit", limit, "-e", source]);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    ran
}

#[test]
fn what_does_not_fit_is_a_runtime_error() {
    does_not_fit("4M", &[
        // Strings, instances, fields, closures, bound methods, classes, upvalues.
        "var s = \"0123456789\";\nwhile (true) s = s + s;",
        "class A { init(n) { this.n = n; } } var l; \nwhile (true) l = A(l);",
        "class A {} var l; \nwhile (true) { var a = A(); a.a=1; a.b=2; a.c=3; a.d=4; a.e=5; a.f=6; a.g=7; a.h=8; a.i=9; a.l = l; l = a; }",
        "fun f(n) { fun g() { return n; } return g; } var l;\nwhile (true) l = f(l);",
        "class A { init(n) { this.n = n; } m() {} } var l;\nwhile (true) l = A(l).m;",
        "fun f(n) { class A { m() { return n; } } return A; } var l;\nwhile (true) l = f(l);",
    ]);
}

#[test]
fn what_natives_make_does_not_fit_either() {
    does_not_fit("512K", &[
        "class A { init(n) { this.n = n; this.w = WeakRef(this); } } var l;\nwhile (true) l = A(l);",
        "class A { init(n) { this.n = n; this.g = WeakRef(n).get; } } var l = clock;\nwhile (true) l = A(l);",
        "fun f() {} \nwhile (true) onCollect(f, f);",
    ]);
}

fn does_not_fit(limit: &str, sources: &[&str]) {
    for source in sources {
        let ran = in_heap(limit, source);
        assert_eq!((ran.code, ran.out.as_str()), (70, ""), "{source}: {}", ran.err);
        let mut lines = ran.err.lines();
        assert_eq!(lines.next(), Some("Out of memory."), "{source}");
        assert!(ran.err.trim_end().ends_with("[line 2] in script"), "{source}: {}", ran.err);
    }
}

#[test]
fn a_function_that_is_called_after_a_collection_may_find_the_heap_full() {
    let source = "
        class A {} var s = \"0123456789\";
        fun hog() { while (true) s = s + s; }
        fun watch() { onCollect(A(), hog); } watch();
        while (true) A();";
    let ran = in_heap("4M", source);
    assert_eq!((ran.code, ran.out.as_str()), (70, ""));
    let err = "Out of memory.\n[line 3] in hog()\n[after a collection] in onCollect()\n[line 5] in script\n";
    assert_eq!(ran.err, err);
}

/// What is called after each collection must not keep the machine from finding out that it did not help.
#[test]
fn a_full_heap_is_an_error_whatever_is_called_after_collections() {
    let source = "
        class A {} fun again() { onCollect(A(), again); } again();
        var s = \"0123456789\"; while (true) s = s + s;";
    let ran = in_heap("4M", source);
    assert_eq!((ran.code, ran.out.as_str()), (70, ""));
    assert_eq!(ran.err, "Out of memory.\n[line 3] in script\n");
}

#[test]
fn garbage_does_not_count() {
    let source = "
        class Node { init(next) { this.next = next; } }
        fun ring() { var a = Node(nil); a.next = Node(Node(a)); return \"s\" + \"t\"; }
        for (var i = 0; i < 200000; i = i + 1) ring();
        var s = \"\";
        for (var i = 0; i < 5000; i = i + 1) s = s + \"longer\";
        print \"done\";";
    let ran = in_heap("4M", source);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "done\n", ""));
}

#[test]
fn classes_are_garbage_too() {
    let source = "
        fun make(n) {
          class Local { init() { this.a = n; this.b = n; } get() { return this.a + this.b; } }
          return Local().get();
        }
        var sum = 0;
        for (var i = 0; i < 60000; i = i + 1) sum = sum + make(1);
        print sum;";
    let ran = in_heap("4M", source);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "120000\n", ""));
}

#[test]
fn a_heap_that_is_too_small_to_begin_with_is_no_crash() {
    for limit in ["1", "1K", "10K"] {
        let ran = in_heap(limit, "print 1;");
        assert!(
            ran.code == 0 || ran.code == 70 && ran.err.starts_with("Out of memory."),
            "{limit}: {ran:?}"
        );
    }
}

#[test]
fn a_string_of_gigabytes_is_no_crash() {
    // 10 bytes, doubled 40 times.
    let source = "var s = \"0123456789\"; for (var i = 0; i < 40; i = i + 1) s = s + s;";
    let ran = in_heap("64M", source);
    assert_eq!(ran.code, 70);
    assert!(ran.err.starts_with("Out of memory.\n"), "{}", ran.err);
}

#[test]
fn buffers_and_objects_keep_to_one_limit() {
    let garbage = "for (var i = 0; i < 1000; i = i + 1) Buffer(100000); print memory().most() <= 4194304; print memory().limit() == 4194304;";
    let ran = run(["--memory-limit", "4M", "-e", garbage]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "true\ntrue\n"), "{}", ran.err);
    let hoards = [
        "class A { init(n) { this.n = n; this.b = Buffer(100000); } } var l;\nwhile (true) l = A(l);",
        "class A { init(n) { this.n = n; } } var b = Buffer(3000000); var l;\nwhile (true) l = A(l);",
        "\nBuffer(5000000);",
    ];
    for source in hoards {
        let ran = run(["--memory-limit", "4M", "-e", source]);
        assert_eq!((ran.code, ran.out.as_str()), (70, ""), "{source}: {}", ran.err);
        assert_eq!(ran.err.lines().next(), Some("Out of memory."), "{source}");
        assert!(ran.err.trim_end().ends_with("[line 2] in script"), "{source}: {}", ran.err);
    }
    let huge = run(["-e", "Buffer(9007199254740992);"]);
    assert_eq!(huge.code, 70);
    assert!(
        huge.err.starts_with("There can be no buffer of 9007199254740992 bytes: "),
        "{}",
        huge.err
    );
}

#[test]
fn files_are_mapped_read_and_freed() {
    let path = std::env::temp_dir().join(format!("lox-map-{}", std::process::id()));
    std::fs::write(&path, "first\nsecond\n").unwrap();
    let source = format!(
        "var file = mapFile(\"{}\"); print file; print file.length(); print file.get(0);
         print file.find(10, 0); print file.find(10, 6); print file.find(1, 0); print file.find(10, 100);
         print memory().maps() > 0; file.free(); print memory().maps(); file.get(0);",
        path.display()
    );
    for options in [&[][..], &["--gc-stress"]] {
        let arguments: Vec<&str> = options.iter().copied().chain(["-e", &source]).collect();
        let ran = run(&arguments);
        let out = "MappedFile instance\n13\n102\n5\n12\n-1\n-1\ntrue\n0\n";
        assert_eq!((ran.code, ran.out.as_str()), (70, out), "{}", ran.err);
        assert!(ran.err.starts_with("The buffer was freed."), "{}", ran.err);
    }
    std::fs::remove_file(&path).unwrap();
}
