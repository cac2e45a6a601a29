//! The command line.

use std::path::PathBuf;
use std::process::exit;

use clap::Parser;
use cspace::{CSpace, GcMode};

use crate::session::{Failure, Session};
use crate::source::Source;
use crate::{gc_log, interrupt, repl};

const EXIT_USAGE: i32 = 64;
const EXIT_COMPILE: i32 = 65;
const EXIT_RUNTIME: i32 = 70;
pub(crate) const EXIT_IO: i32 = 74;

/// Run programs in Lox, the language of the book "Crafting Interpreters".
#[derive(Parser, Debug)]
#[command(
    name = "lox",
    version,
    after_help = "Without FILE and CODE, lines are read and run one after the other.\n\n\
        Exit codes: 64 wrong command line, 65 compile error, 70 runtime error,\n\
        74 file or output error, 130 interrupted."
)]
struct Arguments {
    /// The program to run
    file: Option<PathBuf>,

    /// Run this code instead of a file
    #[arg(short, value_name = "CODE", conflicts_with = "file", allow_hyphen_values = true)]
    execute: Option<String>,

    /// Write a line for each collection to standard error
    #[arg(long)]
    gc_log: bool,

    /// Write a summary of the collector's work to standard error at the end
    #[arg(long)]
    gc_stats: bool,

    /// Collect at every safepoint and before every allocation, and overwrite what is freed
    #[arg(long)]
    gc_stress: bool,

    /// How large the heap may become: bytes, or with a suffix K, M or G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    heap_limit: Option<usize>,
}

/// Does what the command line says; gives the exit code.
pub(crate) fn main() -> i32 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE } else { 0 };
        }
    };
    let source = match (&arguments.execute, &arguments.file) {
        (Some(code), _) => Some(Source::from_text(code)),
        (None, Some(path)) => match Source::read(path) {
            Ok(source) => Some(source),
            Err(error) => {
                eprintln!("Cannot read \"{}\": {error}.", path.display());
                return EXIT_IO;
            }
        },
        (None, None) => None,
    };

    let space = new_space(&arguments);
    interrupt::install(&space);
    let mut session = match Session::new(space.clone(), arguments.gc_stress) {
        Ok(session) => session,
        Err(failure) => return report(&failure),
    };
    let code = match source {
        Some(source) => match session.run(&source) {
            Ok(()) => 0,
            Err(failure) => report(&failure),
        },
        None => repl::run(&mut session),
    };
    if arguments.gc_stats {
        eprintln!("{}", gc_log::summary(&space));
    }
    // The process ends at once: giving back a heap object by object would only take time.
    exit(code)
}

fn new_space(arguments: &Arguments) -> CSpace {
    let mut builder = CSpace::builder()
        .name("lox")
        .gc(GcMode::Safepoints)
        .stress(arguments.gc_stress)
        .poison_freed(arguments.gc_stress);
    if let Some(bytes) = arguments.heap_limit {
        builder = builder.max_heap_bytes(bytes);
    }
    if arguments.gc_log {
        builder = builder.on_event(gc_log::log);
    }
    builder.build().expect("these settings are valid")
}

/// Says on standard error why a program failed; gives the exit code for that.
pub(crate) fn report(failure: &Failure) -> i32 {
    let is_closed_pipe = matches!(failure, Failure::Output(error)
        if error.kind() == std::io::ErrorKind::BrokenPipe);
    if !is_closed_pipe {
        eprintln!("{failure}");
    }
    match failure {
        Failure::Compile(_) => EXIT_COMPILE,
        Failure::Runtime(_) | Failure::OutOfMemory => EXIT_RUNTIME,
        Failure::Interrupted => interrupt::EXIT_CODE,
        Failure::Output(_) => EXIT_IO,
    }
}

/// Reads a size like `64M`.
fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.trim_end_matches(['B', 'b']) {
        text if text.ends_with(['K', 'k']) => (&text[..text.len() - 1], 10),
        text if text.ends_with(['M', 'm']) => (&text[..text.len() - 1], 20),
        text if text.ends_with(['G', 'g']) => (&text[..text.len() - 1], 30),
        text => (text, 0),
    };
    let count: usize = digits
        .parse()
        .map_err(|_| "a size is a number of bytes, or a number with K, M or G".to_string())?;
    count
        .checked_shl(shift)
        .filter(|bytes| bytes >> shift == count && *bytes > 0)
        .ok_or_else(|| "a size must be above 0 and fit into memory".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_suffixes() {
        assert_eq!(parse_size("123"), Ok(123));
        assert_eq!(parse_size("64K"), Ok(64 << 10));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("1g"), Ok(1 << 30));
        assert_eq!(parse_size("2MB"), Ok(2 << 20));
        for wrong in ["", "M", "0", "-1", "1.5M", "1T", "18446744073709551615K", "lots"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
