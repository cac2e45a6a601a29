//! What the compiler says and what it makes.

use super::{compile, NESTING_MAX};
use crate::bytecode::disassemble;
use crate::proto::{Constant, Proto, UpvalueSource};

fn errors(source: &str) -> Vec<String> {
    match compile(source) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn assert_error(source: &str, error: &str) {
    let shown: String = source.chars().take(80).collect();
    assert_eq!(errors(source), [error], "in: {shown}");
}

#[track_caller]
fn assert_compiles(source: &str) {
    assert_eq!(errors(source), [""; 0]);
}

fn functions(source: &str) -> Vec<Proto> {
    compile(source).expect("no errors").functions
}

/// The instructions of the first function in `source`.
fn code(source: &str) -> Vec<String> {
    disassemble(&functions(source)[0].code)
}

/// The instructions of a function with this body, without the return at the end.
fn body(body: &str) -> Vec<String> {
    let mut code = code(&format!("fun f(a, b, c) {{ {body} }}"));
    assert_eq!(code.pop().as_deref(), Some("return_nil"));
    code
}

#[test]
fn each_message_is_said_at_its_token() {
    for (source, error) in [
        ("|", "[line 1] Error: Unexpected character."),
        ("\"a\nb", "[line 2] Error: Unterminated string."),
        ("print ;", "[line 1] Error at ';': Expect expression."),
        ("print", "[line 1] Error at end: Expect expression."),
        ("1 = 2;", "[line 1] Error at '=': Invalid assignment target."),
        ("var a; var b; a + b = 1;", "[line 1] Error at '=': Invalid assignment target."),
        ("1", "[line 1] Error at end: Expect ';' after expression."),
        ("print 1", "[line 1] Error at end: Expect ';' after value."),
        ("var a = 1 2;", "[line 1] Error at '2': Expect ';' after variable declaration."),
        ("fun f() { return 1 2; }", "[line 1] Error at '2': Expect ';' after return value."),
        ("for (;1) 2;", "[line 1] Error at ')': Expect ';' after loop condition."),
        ("(1;", "[line 1] Error at ';': Expect ')' after expression."),
        ("f(1;", "[line 1] Error at ';': Expect ')' after arguments."),
        ("fun f(a {}", "[line 1] Error at '{': Expect ')' after parameters."),
        ("if (1 2;", "[line 1] Error at '2': Expect ')' after condition."),
        ("while (1 2;", "[line 1] Error at '2': Expect ')' after condition."),
        ("for (;;1 2;", "[line 1] Error at '2': Expect ')' after for clauses."),
        ("if 1;", "[line 1] Error at '1': Expect '(' after 'if'."),
        ("while 1;", "[line 1] Error at '1': Expect '(' after 'while'."),
        ("for 1;", "[line 1] Error at '1': Expect '(' after 'for'."),
        ("fun f {", "[line 1] Error at '{': Expect '(' after function name."),
        ("class A { m {", "[line 1] Error at '{': Expect '(' after function name."),
        ("fun f() 1;", "[line 1] Error at '1': Expect '{' before function body."),
        ("class A 1;", "[line 1] Error at '1': Expect '{' before class body."),
        ("{ 1;", "[line 1] Error at end: Expect '}' after block."),
        ("fun f() { 1;", "[line 1] Error at end: Expect '}' after block."),
        ("class A { m() {}", "[line 1] Error at end: Expect '}' after class body."),
        ("var 1;", "[line 1] Error at '1': Expect variable name."),
        ("fun 1() {}", "[line 1] Error at '1': Expect function name."),
        ("fun f(1) {}", "[line 1] Error at '1': Expect parameter name."),
        ("class 1 {}", "[line 1] Error at '1': Expect class name."),
        ("class A < 1 {}", "[line 1] Error at '1': Expect superclass name."),
        ("class A { 1() {} }", "[line 1] Error at '1': Expect method name."),
        ("a.1;", "[line 1] Error at '1': Expect property name after '.'."),
        (
            "class A {} class B < A { m() { super; } }",
            "[line 1] Error at ';': Expect '.' after 'super'.",
        ),
        (
            "class A {} class B < A { m() { super.1; } }",
            "[line 1] Error at '1': Expect superclass method name.",
        ),
        (
            "{ var a; var a; }",
            "[line 1] Error at 'a': Already a variable with this name in this scope.",
        ),
        (
            "fun f(a, a) {}",
            "[line 1] Error at 'a': Already a variable with this name in this scope.",
        ),
        (
            "fun f(a) { var a; }",
            "[line 1] Error at 'a': Already a variable with this name in this scope.",
        ),
        (
            "{ var a = a; }",
            "[line 1] Error at 'a': Can't read local variable in its own initializer.",
        ),
        ("return;", "[line 1] Error at 'return': Can't return from top-level code."),
        (
            "class A { init() { return 1; } }",
            "[line 1] Error at 'return': Can't return a value from an initializer.",
        ),
        ("this;", "[line 1] Error at 'this': Can't use 'this' outside of a class."),
        ("super.a;", "[line 1] Error at 'super': Can't use 'super' outside of a class."),
        (
            "class A { m() { super.m(); } }",
            "[line 1] Error at 'super': Can't use 'super' in a class with no superclass.",
        ),
        ("class A < A {}", "[line 1] Error at 'A': A class can't inherit from itself."),
    ] {
        assert_eq!(errors(source)[0], error, "in: {source}");
    }
}

#[test]
fn what_looks_like_those_mistakes_but_is_none_compiles() {
    assert_compiles("var a; var a; fun a() {} class a {}");
    assert_compiles("{ var a; { var a; } }");
    assert_compiles("var a = a;");
    assert_compiles("class A { init() { return; } m() { return 1; } }");
    assert_compiles("class A { m() { fun f() { return this; } } }");
    assert_compiles("class A {} class B < A { m() { fun f() { return super.m; } } }");
    assert_compiles("fun f() { return f; }");
    assert_compiles("");
    assert_compiles("// only a comment");
}

#[test]
fn after_an_error_it_goes_on_at_the_next_statement() {
    assert_eq!(
        errors("var = 1; print;\n{ 1 2; var; }\nfoo = ; if"),
        [
            "[line 1] Error at '=': Expect variable name.",
            "[line 1] Error at ';': Expect expression.",
            "[line 2] Error at '2': Expect ';' after expression.",
            "[line 2] Error at ';': Expect variable name.",
            "[line 3] Error at ';': Expect expression.",
            "[line 3] Error at end: Expect '(' after 'if'.",
        ]
    );
    assert_eq!(
        errors("1 + | 2; print é 3; print 1"),
        [
            "[line 1] Error: Unexpected character.",
            "[line 1] Error: Unexpected character.",
            "[line 1] Error at end: Expect ';' after value.",
        ],
        "the scanner's errors are within statements too"
    );
    assert_eq!(
        errors("class A { 1; } print 2"),
        [
            "[line 1] Error at '1': Expect method name.",
            "[line 1] Error at 'print': Expect method name.",
            "[line 1] Error at end: Expect '}' after block.",
        ]
    );
}

fn list(count: usize, item: impl Fn(usize) -> String, separator: &str) -> String {
    let items: Vec<String> = (0..count).map(item).collect();
    items.join(separator)
}

#[test]
fn at_most_255_parameters_and_arguments() {
    let parameters = |count| format!("fun f({}) {{}}", list(count, |i| format!("p{i}"), ", "));
    assert_compiles(&parameters(255));
    assert_error(
        &parameters(256),
        "[line 1] Error at 'p255': Can't have more than 255 parameters.",
    );
    let arguments = |count| format!("f({});", list(count, |_| "nil".into(), ", "));
    assert_compiles(&arguments(255));
    assert_error(&arguments(256), "[line 1] Error at 'nil': Can't have more than 255 arguments.");
}

#[test]
fn at_most_256_locals_of_which_one_is_taken() {
    let locals = |count| format!("fun f() {{ {} }}", list(count, |i| format!("var v{i};"), " "));
    assert_compiles(&locals(255));
    assert_error(&locals(256), "[line 1] Error at 'v255': Too many local variables in function.");
    let blocks = list(3, |_| format!("{{ {} }}", list(250, |i| format!("var v{i};"), "")), "");
    assert_compiles(&format!("fun f() {{ {blocks} }}"));
}

#[test]
fn at_most_256_upvalues() {
    let source = |count: usize| {
        let half = count / 2;
        format!(
            "fun f() {{ {} fun g() {{ {} fun h() {{ {} {} }} }} }}",
            list(half, |i| format!("var a{i};"), " "),
            list(count - half, |i| format!("var b{i};"), " "),
            list(half, |i| format!("a{i};"), " "),
            list(count - half, |i| format!("b{i};"), " "),
        )
    };
    assert_compiles(&source(256));
    assert_error(&source(257), "[line 1] Error at 'b128': Too many closure variables in function.");
}

#[test]
fn at_most_256_constants_and_equal_ones_are_not_shared() {
    let message = "Too many constants in one chunk.";
    let literals = |count| format!("fun f() {{ {} }}", list(count, |_| "1;".into(), " "));
    assert_compiles(&literals(256));
    assert_error(&literals(257), &format!("[line 1] Error at '1': {message}"));
    let globals = |count| format!("fun f() {{ {} }}", list(count, |_| "g;".into(), " "));
    assert_compiles(&globals(256));
    assert_error(&globals(257), &format!("[line 1] Error at 'g': {message}"));
    // A property and the global before it, 128 times.
    let properties = |more| {
        let properties = list(128, |_| "g.p;".into(), " ");
        format!("fun f() {{ {properties} {more} }}")
    };
    assert_compiles(&properties(""));
    assert_error(&properties("nil.q;"), &format!("[line 1] Error at 'q': {message}"));
    // A global function takes its name and itself, and so does a method; a class its name each
    // time that it is mentioned.
    let rest = |count| list(count, |_| "1;".into(), " ");
    assert_compiles(&format!("fun f() {{}} {}", rest(254)));
    assert_eq!(errors(&format!("fun f() {{}} {}", rest(255))).len(), 1);
    assert_compiles(&format!("class A {{ m() {{}} }} {}", rest(252)));
    assert_eq!(errors(&format!("class A {{ m() {{}} }} {}", rest(253))).len(), 1);
    assert_eq!(errors(&literals(259)).len(), 3, "each one more is an error");
}

#[test]
fn jumps_and_loops_are_limited_in_bytes_of_the_classic_encoding() {
    // Two bytes each.
    let nils = |count| "nil; ".repeat(count);
    let loop_message = "[line 1] Error at '}': Loop body too large.";
    let jump_message = "[line 1] Error at '}': Too much code to jump over.";

    // false (1), jump (3), pop (1), body, loop (3): at most 65535.
    let source = |count, more: &str| format!("while (false) {{ {}{more} }}", nils(count));
    assert_compiles(&source(32763, ""));
    // The exit jump gets there as well: pop (1), body, loop (3).
    assert_eq!(errors(&source(32764, ""))[0], loop_message);
    assert_eq!(errors(&source(32768, ""))[0], loop_message);

    // pop (1), body, jump (3): at most 65535.
    let source = |count, more: &str| format!("if (false) {{ {}{more} }}", nils(count));
    assert_compiles(&source(32765, ""));
    assert_compiles(&source(32765, "!nil;").replacen("nil; ", "", 1));
    assert_error(&source(32765, "!nil;"), jump_message);
    assert_error(&source(32766, ""), jump_message);

    // body alone
    let source = |count| format!("if (false) {{}} else {{ {} }}", nils(count));
    // pop (1), body
    assert_compiles(&source(32767));
    assert_error(&source(32768), jump_message);

    // The increment and the body of a `for`.
    let source = |count| format!("for (;;nil) {{ {} }}", nils(count));
    // nil pop (2), loop (3), body, loop (3)
    assert_compiles(&source(32763));
    assert_error(&source(32764), loop_message);
}

#[test]
fn nesting_is_limited_but_generously() {
    let nested = |open: &str, middle: &str, close: &str, count: usize| {
        format!("{}{middle}{}", open.repeat(count), close.repeat(count))
    };
    let statement = |expression: String| format!("print {expression};");
    let enough = NESTING_MAX as usize / 2;
    for count in [200, enough] {
        assert_compiles(&statement(nested("(", "1", ")", count)));
        assert_compiles(&statement(nested("-", "1", "", count)));
        assert_compiles(&format!("{{ var f; {}; }}", nested("f(", "nil", ")", count)));
        assert_compiles(&statement(nested("nil and ", "nil", "", count)));
        assert_compiles(&nested("{", "", "}", count));
        assert_compiles(&nested("if (true) ", "nil;", "", count));
        assert_compiles(&nested("if (true) {} else ", "nil;", "", count));
        assert_compiles(&nested("while (true) ", "nil;", "", count));
        assert_compiles(&nested("fun f() {", "", "}", count));
        assert_compiles(&nested("class A { m() {", "", "}}", count / 2));
    }
    for open in [
        "(",
        "-",
        "!",
        "nil(",
        "nil or ",
        "{",
        "{ print nil; ",
        "if (true) ",
        "if (true) {} else ",
        "for (;;) ",
        "while (nil) ",
        "fun f() {",
        "class A { m() {",
    ] {
        let errors = errors(&open.repeat(100_000));
        assert_eq!(errors.len(), 1, "{open}: {}", errors[0]);
        assert!(errors[0].ends_with(": Too much nesting."), "{}", errors[0]);
    }
}

#[test]
fn functions_come_before_the_ones_around_them() {
    let functions = functions("fun f(a, b) { fun g() { return a; } } class A { init() {} }");
    let names: Vec<_> = functions.iter().map(|f| f.name.as_deref()).collect();
    assert_eq!(names, [Some("g"), Some("f"), Some("init"), None]);
    let arities: Vec<_> = functions.iter().map(|f| f.arity).collect();
    assert_eq!(arities, [0, 2, 0, 0]);
    assert!(functions[2].is_initializer && !functions[1].is_initializer);
    assert_eq!(functions[0].upvalues, [UpvalueSource::Local(1)]);
    assert_eq!(functions[1].constants, [Constant::Function(0)]);
}

#[test]
fn a_class_knows_how_many_fields_its_initializer_sets() {
    let source = "class A { init(a) { this.x = a; this.x = 1; this.y.z = a; this.w = this.v = 2; }
                  m() { this.u = 1; } }";
    let code = disassemble(&functions(source)[2].code);
    assert_eq!(code[0], "class 3 0");
}

#[test]
fn upvalues_are_handed_down_and_shared() {
    let functions = functions("fun f(a) { fun g() { fun h() { return a + a; } } }");
    assert_eq!(functions[0].upvalues, [UpvalueSource::Upvalue(0)]);
    assert_eq!(functions[1].upvalues, [UpvalueSource::Local(1)]);
    assert_eq!(functions[2].upvalues, []);
}

#[test]
fn common_sequences_are_combined() {
    assert_eq!(body("a = a + 1;"), ["increment_local 1 0"]);
    assert_eq!(body("a = a - 1;"), ["decrement_local 1 0"]);
    assert_eq!(body("a = b - 1;"), ["subtract_local_constant 2 0", "store_local 1"]);
    assert_eq!(body("print a + b;"), ["add_two_locals 1 2", "print"]);
    assert_eq!(body("print a.x;"), ["get_local_property 1 0", "print"]);
    assert_eq!(body("print a + b.x;"), ["get_local 1", "get_local_property 2 0", "add", "print"]);
    assert_eq!(body("a.x = b;"), ["get_two_locals 1 2", "store_property 0"]);
    assert_eq!(body("print -1;"), ["constant 0", "print"]);
    assert_eq!(body("print a + -1;"), ["add_local_constant 1 0", "print"]);
    assert_eq!(body("{ var x; var y; var z; }"), ["nil", "nil", "nil", "pop_many 3"]);
    assert_eq!(
        body("if (a == nil) b; else c;"),
        ["get_local 1", "jump_unless_nil 3", "get_local 2", "pop", "jump 2", "get_local 3", "pop"]
    );
    assert_eq!(body("if (!a) b;")[1], "jump_if_true 2");
    assert_eq!(body("if (a >= b) c;")[1], "jump_unless_greater_equal 2");
    let code = code("fun f(a) { return a; }");
    assert_eq!(code, ["return_local 1", "return_nil"]);
}

#[test]
fn nothing_is_combined_over_a_jump_target() {
    assert_eq!(
        body("print (a or b) + 1;"),
        ["get_local 1", "or 1", "get_local 2", "add_constant 0", "print"]
    );
    assert_eq!(
        body("if (a and b < c) print 1;"),
        [
            "get_local 1",
            "and 2",
            "get_two_locals 2 3",
            "less",
            "jump_if_false 2",
            "constant 0",
            "print"
        ]
    );
    assert_eq!(
        body("print (a and nil) == b;"),
        ["get_local 1", "and 1", "nil", "get_local 2", "equal", "print"]
    );
}

#[test]
fn the_increment_of_a_loop_runs_behind_its_body() {
    assert_eq!(
        body("for (var i = 0; i < a; i = i + 1) print i;"),
        [
            "constant 0",
            "get_two_locals 4 1",
            "jump_unless_less 4",
            "get_local 4",
            "print",
            "increment_local 4 1",
            "loop 6",
            "pop"
        ]
    );
}

#[test]
fn a_combined_instruction_has_the_line_of_the_part_that_may_fail() {
    let lines = |source: &str| functions(source)[0].lines.clone();
    assert_eq!(lines("fun f(a) { return a\n.b\n.c; }"), [2, 3, 3, 3]);
    assert_eq!(lines("fun f(a, b) { if (a\n<\nb\n)\nreturn; }"), [1, 3, 5, 5]);
    assert_eq!(lines("fun f(a) { a\n=\na +\n1\n;\n}"), [4, 6]);
    assert_eq!(lines("fun f(a) { a.b\n=\n1\n;}"), [1, 3, 4]);
}

#[test]
fn the_stack_that_a_call_needs_is_known() {
    let size = |source: &str| functions(source)[0].stack_size;
    assert_eq!(size("fun f() {}"), 2);
    assert_eq!(size("fun f(a, b) { return a + b; }"), 5);
    assert_eq!(size("fun f() { var a; var b; { var c; } { var d; } }"), 4);
    assert_eq!(size("fun f() { f(1, 2, 3, f(4, 5)); }"), 8);
    assert_eq!(size("fun f() { 1 and 2 and 3 or 4; }"), 2);
}
