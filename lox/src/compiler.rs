//! The compiler: from source text to bytecode in a single pass, without a syntax tree.
//!
//! It reads tokens one by one, with one of lookahead, and emits instructions as it goes. Statements
//! are parsed by recursive descent and expressions by operator precedence. After an error it says
//! nothing more until it has found its feet at the next statement.
//!
//! What a program may nest is limited, so that no source overflows the stack of this parser.

mod builder;
mod expression;
mod jump;
mod statement;
#[cfg(test)]
mod tests;
mod variable;

use std::fmt;
use std::thread;

use self::builder::Builder;
use self::jump::{Jump, Label};
use self::variable::FunctionScope;
use crate::proto::{Constant, Program};
use crate::scanner::Scanner;
use crate::token::{Token, TokenKind};

/// How deep statements, expressions and functions may nest, all together.
const NESTING_MAX: u32 = 2000;
/// Stack for that: a level takes half a KiB if optimised, a few KiB if not. Touched only if used.
const STACK_BYTES: usize = 16 << 20;

/// An error in a program's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompileError {
    line: u32,
    place: Place,
    message: &'static str,
}

/// What a compile error points at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Lexeme(Box<str>),
    End,
    /// Not at a token: the scanner found none.
    Source,
}

impl CompileError {
    /// An error in what should be source text.
    pub(crate) fn in_source(line: u32, message: &'static str) -> Self {
        CompileError { line, place: Place::Source, message }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CompileError { line, message, .. } = self;
        match &self.place {
            Place::Lexeme(lexeme) => write!(f, "[line {line}] Error at '{lexeme}': {message}"),
            Place::End => write!(f, "[line {line}] Error at end: {message}"),
            Place::Source => write!(f, "[line {line}] Error: {message}"),
        }
    }
}

/// Compiles a program, or says all that is wrong with it.
pub(crate) fn compile(source: &str) -> Result<Program, Vec<CompileError>> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("compiler".into()).stack_size(STACK_BYTES);
        let compiling = worker
            .spawn_scoped(scope, || Compiler::new(source).compile())
            .expect("the system refused a thread to compile on");
        match compiling.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The state of a compilation.
struct Compiler<'s> {
    scanner: Scanner<'s>,
    previous: Token<'s>,
    current: Token<'s>,
    errors: Vec<CompileError>,
    /// Whether there was an error in this statement: it would only cause others.
    panicking: bool,
    /// Whether the rest of the source is passed over.
    gave_up: bool,
    nesting: u32,
    /// The functions around the current position, the program itself first.
    functions: Vec<FunctionScope<'s>>,
    /// The classes around it.
    classes: Vec<ClassScope<'s>>,
    /// The functions that are done.
    program: Program,
}

/// A class whose body is being compiled.
struct ClassScope<'s> {
    has_superclass: bool,
    /// The fields that its initializer sets.
    fields: Vec<&'s str>,
}

/// What kind of function is being compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FunctionKind {
    Script,
    Function,
    Method,
    Initializer,
}

impl<'s> Compiler<'s> {
    fn new(source: &'s str) -> Self {
        let nothing = Token { kind: TokenKind::EndOfFile, lexeme: "", line: 1 };
        Compiler {
            scanner: Scanner::new(source),
            previous: nothing,
            current: nothing,
            errors: Vec::new(),
            panicking: false,
            gave_up: false,
            nesting: 0,
            functions: vec![FunctionScope::new(FunctionKind::Script, None)],
            classes: Vec::new(),
            program: Program { functions: Vec::new() },
        }
    }

    fn compile(mut self) -> Result<Program, Vec<CompileError>> {
        self.advance();
        while !self.check(TokenKind::EndOfFile) {
            self.declaration();
        }
        self.finish_function();
        if self.errors.is_empty() {
            Ok(self.program)
        } else {
            Err(self.errors)
        }
    }

    /// Ends the innermost function; gives its index in the program and how many variables it
    /// captures.
    fn finish_function(&mut self) -> (usize, usize) {
        let line = self.previous.line;
        let mut scope = self.functions.pop().expect("a function to end");
        scope.builder.return_nothing(line);
        let captured = scope.builder.upvalue_count();
        self.program.functions.push(scope.builder.finish());
        (self.program.functions.len() - 1, captured)
    }

    // Tokens.

    fn advance(&mut self) {
        self.previous = self.current;
        loop {
            self.current = self.scanner.next_token();
            let TokenKind::Error(message) = self.current.kind else {
                return;
            };
            self.error_at_current(message);
        }
    }

    fn check(&self, kind: TokenKind) -> bool {
        self.current.kind == kind
    }

    fn matches(&mut self, kind: TokenKind) -> bool {
        let found = self.check(kind);
        if found {
            self.advance();
        }
        found
    }

    fn consume(&mut self, kind: TokenKind, message: &'static str) {
        if !self.matches(kind) {
            self.error_at_current(message);
        }
    }

    // Errors.

    fn error(&mut self, message: &'static str) {
        self.error_at(self.previous, message);
    }

    fn error_at_current(&mut self, message: &'static str) {
        self.error_at(self.current, message);
    }

    fn error_at(&mut self, token: Token<'s>, message: &'static str) {
        if self.panicking || self.gave_up {
            return;
        }
        self.panicking = true;
        let place = match token.kind {
            TokenKind::EndOfFile => Place::End,
            TokenKind::Error(_) => Place::Source,
            _ => Place::Lexeme(token.lexeme.into()),
        };
        self.errors.push(CompileError { line: token.line, place, message });
    }

    /// Passes over tokens until a statement seems to begin.
    fn synchronize(&mut self) {
        self.panicking = false;
        while !self.check(TokenKind::EndOfFile) {
            if self.previous.kind == TokenKind::Semicolon {
                return;
            }
            match self.current.kind {
                TokenKind::Class
                | TokenKind::Fun
                | TokenKind::Var
                | TokenKind::For
                | TokenKind::If
                | TokenKind::While
                | TokenKind::Print
                | TokenKind::Return => return,
                _ => self.advance(),
            }
        }
    }

    /// Parses something one level deeper, or gives up if that is too deep.
    fn nested(&mut self, parse: impl FnOnce(&mut Self)) {
        if self.nesting == NESTING_MAX {
            self.error_at_current("Too much nesting.");
            // Whatever encloses this has no end that could be found, so no more is looked for.
            self.gave_up = true;
            self.scanner.finish();
            self.advance();
            return;
        }
        self.nesting += 1;
        parse(self);
        self.nesting -= 1;
    }

    // Emitting.

    fn function(&mut self) -> &mut FunctionScope<'s> {
        self.functions.last_mut().expect("the program is a function")
    }

    /// The instructions of the innermost function, and the line for the next one.
    fn emit(&mut self) -> (&mut Builder, u32) {
        let line = self.previous.line;
        (&mut self.function().builder, line)
    }

    fn count_constant(&mut self) {
        if !self.function().builder.count_constant() {
            self.error("Too many constants in one chunk.");
        }
    }

    fn constant(&mut self, constant: Constant) -> u16 {
        self.count_constant();
        self.function().builder.add_constant(constant)
    }

    fn string_constant(&mut self, text: &str) -> u16 {
        self.constant(Constant::String(text.into()))
    }

    fn site(&mut self, name: &str) -> u16 {
        self.count_constant();
        self.function().builder.add_site(name)
    }

    fn patch(&mut self, jump: Jump) {
        if !self.function().builder.patch(jump) {
            self.error("Too much code to jump over.");
        }
    }

    fn count_loop(&mut self, label: Label) {
        if !self.function().builder.count_loop(label) {
            self.error("Loop body too large.");
        }
    }
}
