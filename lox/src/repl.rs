//! Reading lines and running them, one after the other.
//!
//! A line that leaves a brace open goes on with the next; an empty line ends it all the same.

use std::io::{self, BufRead, IsTerminal};

use rustyline::error::ReadlineError;
use rustyline::DefaultEditor;

use crate::cli::report;
use crate::scanner::Scanner;
use crate::session::{Failure, Session};
use crate::source::Source;
use crate::token::TokenKind;

const PROMPT: &str = "> ";
const PROMPT_MORE: &str = "... ";

/// Runs the lines of standard input; gives the exit code.
pub(crate) fn run(session: &mut Session) -> i32 {
    if io::stdin().is_terminal() {
        if let Ok(editor) = DefaultEditor::new() {
            return run_edited(session, editor);
        }
    }
    run_plain(session)
}

/// With editing and history, on a terminal.
fn run_edited(session: &mut Session, mut editor: DefaultEditor) -> i32 {
    let mut entry = String::new();
    loop {
        let prompt = if entry.is_empty() { PROMPT } else { PROMPT_MORE };
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                entry.clear();
                continue;
            }
            Err(ReadlineError::Eof) => return 0,
            Err(error) => {
                return report(&Failure::Output(io::Error::other(error)));
            }
        };
        let is_empty = line.is_empty();
        entry.push_str(&line);
        if !is_empty && is_open(&entry) {
            entry.push('\n');
            continue;
        }
        let entry = std::mem::take(&mut entry);
        let _ = editor.add_history_entry(entry.as_str());
        if let Some(code) = run_entry(session, Source::from_text(entry)) {
            return code;
        }
    }
}

/// Without, from a file or a pipe.
fn run_plain(session: &mut Session) -> i32 {
    let mut input = io::stdin().lock();
    let mut entry = Vec::new();
    loop {
        let start = entry.len();
        let length = match input.read_until(b'\n', &mut entry) {
            Ok(length) => length,
            Err(error) => {
                eprintln!("Cannot read standard input: {error}.");
                return crate::cli::EXIT_IO;
            }
        };
        let at_end = length == 0;
        if at_end && entry.is_empty() {
            return 0;
        }
        let is_empty = entry[start..].trim_ascii().is_empty();
        let is_open = std::str::from_utf8(&entry).is_ok_and(is_open);
        if !is_empty && is_open {
            continue;
        }
        let source = Source::from_bytes(std::mem::take(&mut entry));
        if let Some(code) = run_entry(session, source) {
            return code;
        }
    }
}

/// Runs an entry. Its errors are reported; only if nobody can be told any more, that is the end.
fn run_entry(session: &mut Session, source: Source) -> Option<i32> {
    match session.run(&source) {
        Ok(()) => None,
        Err(failure) => {
            let code = report(&failure);
            matches!(failure, Failure::Output(_)).then_some(code)
        }
    }
}

/// Whether there is an opening brace without its closing one.
fn is_open(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    let mut depth = 0;
    loop {
        match scanner.next_token().kind {
            TokenKind::LeftBrace => depth += 1,
            TokenKind::RightBrace => depth -= 1,
            TokenKind::Error(_) => return false,
            TokenKind::EndOfFile => return depth > 0,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_open;

    #[test]
    fn an_entry_is_open_until_its_braces_are_closed() {
        assert!(is_open("fun f() {\n"));
        assert!(is_open("class A { m() { }"));
        assert!(!is_open("class A { m() { } }"));
        assert!(!is_open("print (1;"));
        assert!(!is_open("print \"{\"; // {"));
        assert!(!is_open("{ \"unterminated"));
        assert!(!is_open("}"));
    }
}
