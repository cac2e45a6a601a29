//! The command line.

use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use clap::{ArgGroup, Parser};
use cspace::{BuildError, CSpace, GcMode, GcPool};

use crate::crew::{self, Crew};
use crate::output::Output;
use crate::session::{Failure, Session};
use crate::source::Source;
use crate::{gc_log, interrupt, repl};

const EXIT_USAGE: i32 = 64;
const EXIT_COMPILE: i32 = 65;
const EXIT_RUNTIME: i32 = 70;
pub(crate) const EXIT_IO: i32 = 74;
const EXIT_OS: i32 = 71;
/// More threads than that are a mistake.
const THREADS_MAX: usize = 1024;

/// Run programs in Lox, the language of the book "Crafting Interpreters".
#[derive(Parser, Debug)]
#[command(
    name = "lox",
    version,
    group = ArgGroup::new("program").args(["file", "execute"]),
    after_help = "Without FILE and CODE, lines are read and run one after the other.\n\n\
        Exit codes: 64 wrong command line, 65 compile error, 70 runtime error,\n\
        71 no thread to be had, 74 file or output error, 130 interrupted.\n\
        With --threads, the exit code is that of the first program that failed.\n\n\
        Beside what the book has, programs find in their globals:\n  \
        WeakRef(object)              a reference that does not keep the object; get() gives it, or nil\n  \
        onCollect(object, function)  has the function called when the object is gone\n\
        See lox/README.md and lox/examples/weak.lox."
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

    /// Collect on a thread beside the program, so many milliseconds after the end of the last
    /// collection if enough was allocated since; 0 or negative: one after the other, without a pause
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    gc_period: Option<i32>,

    /// How many threads run the collections. With 0 programs collect at their safepoints, which is the
    /// default without --gc-period and --threads; with them it is 1
    #[arg(long, value_name = "COUNT", value_parser = parse_count_or_zero)]
    gc_threads: Option<usize>,

    /// Run so many copies of the program side by side, each in a heap of its own. What each printed comes
    /// when all have ended, in order
    #[arg(long, value_name = "COUNT", value_parser = parse_count, requires = "program")]
    threads: Option<usize>,

    /// With --threads: let them all live in one heap
    #[arg(long, requires = "threads")]
    shared: bool,

    /// How large the heap may become (each, with --threads): bytes, or with a suffix K, M or G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    heap_limit: Option<usize>,

    /// How much memory there may be of all kinds together: objects, buffers and mapped files (each, with
    /// --threads): bytes, or with a suffix K, M or G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_limit: Option<usize>,

    /// How much of what is only in caches stays when the heap is collected: bytes, or with a suffix K, M or
    /// G; 0 for nothing. Without it, all does
    #[arg(long, value_name = "SIZE", value_parser = parse_size_or_zero)]
    eviction_threshold: Option<usize>,
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

    if arguments.gc_period.is_some() && arguments.gc_threads == Some(0) {
        eprintln!("error: --gc-period needs a thread that collects; leave --gc-threads 0 away");
        return EXIT_USAGE;
    }

    let spaces = match new_spaces(&arguments) {
        Ok(spaces) => spaces,
        Err(message) => {
            eprintln!("Cannot start: {message}.");
            return EXIT_OS;
        }
    };
    interrupt::install(&spaces);
    let code = match (source, arguments.threads) {
        (Some(source), Some(threads)) => {
            let crew = Crew { spaces: &spaces, threads, stress: arguments.gc_stress };
            crew::run(crew, &source)
        }
        (source, _) => run_one(&spaces[0], arguments.gc_stress, source),
    };
    if arguments.gc_stats {
        for space in &spaces {
            eprintln!("{}", gc_log::summary(space));
        }
    }
    // The process ends at once: giving back a heap object by object would only take time.
    exit(code)
}

/// Runs one program, or lines one after the other.
fn run_one(space: &CSpace, stress: bool, source: Option<Source>) -> i32 {
    let mut session = match Session::new(space.clone(), stress, Output::new()) {
        Ok(session) => session,
        Err(failure) => return report(&failure),
    };
    match source {
        Some(source) => match session.run(&source) {
            Ok(()) => 0,
            Err(failure) => report(&failure),
        },
        None => repl::run(&mut session),
    }
}

/// One space, or one for each of the programs.
fn new_spaces(arguments: &Arguments) -> Result<Vec<CSpace>, String> {
    let count = if arguments.shared { 1 } else { arguments.threads.unwrap_or(1) };
    let is_driven = arguments.gc_period.is_some() || arguments.threads.is_some();
    let pool = match arguments.gc_threads.unwrap_or(usize::from(is_driven)) {
        0 => None,
        threads => Some(GcPool::new(threads).map_err(|error| error.to_string())?),
    };
    (0..count)
        .map(|i| new_space(arguments, pool.as_ref(), i).map_err(|error| error.to_string()))
        .collect()
}

fn new_space(
    arguments: &Arguments,
    pool: Option<&GcPool>,
    number: usize,
) -> Result<CSpace, BuildError> {
    let name = if number == 0 { "lox".to_string() } else { format!("lox {number}") };
    // Programs are small: what a collection of a small heap costs is less than what its memory would.
    let mut builder = CSpace::builder()
        .name(name)
        .gc_budget_floor(640 << 10)
        .gc_budget_factor(0.42)
        .stress(arguments.gc_stress)
        .poison_freed(arguments.gc_stress);
    builder = match pool {
        Some(pool) => builder.gc_pool(pool),
        None => builder.gc(GcMode::Safepoints),
    };
    if let Some(millis) = arguments.gc_period {
        builder = builder.gc_period(Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
    }
    if let Some(bytes) = arguments.heap_limit {
        builder = builder.max_heap_bytes(bytes);
    }
    if let Some(bytes) = arguments.memory_limit {
        builder = builder.memory_limit(bytes);
    }
    if let Some(bytes) = arguments.eviction_threshold {
        builder = builder.eviction_threshold(bytes);
    }
    if arguments.gc_log {
        builder = builder.on_event(gc_log::log);
    }
    builder.build()
}

/// Says on standard error why a program failed; gives the exit code for that.
pub(crate) fn report(failure: &Failure) -> i32 {
    let is_closed_pipe = matches!(failure, Failure::Output(error)
        if error.kind() == std::io::ErrorKind::BrokenPipe);
    if !is_closed_pipe {
        eprintln!("{failure}");
    }
    exit_code(failure)
}

/// The exit code that tells of a failure.
pub(crate) fn exit_code(failure: &Failure) -> i32 {
    match failure {
        Failure::Compile(_) => EXIT_COMPILE,
        Failure::Runtime(_) | Failure::OutOfMemory => EXIT_RUNTIME,
        Failure::Interrupted => interrupt::EXIT_CODE,
        Failure::Output(_) => EXIT_IO,
    }
}

/// Reads how many threads there should be.
fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=THREADS_MAX).contains(&count) => Ok(count),
        _ => Err(format!("a number of threads is from 1 to {THREADS_MAX}")),
    }
}

fn parse_count_or_zero(text: &str) -> Result<usize, String> {
    if text == "0" {
        return Ok(0);
    }
    parse_count(text)
}

/// Reads a size like `64M`.
fn parse_size_or_zero(text: &str) -> Result<usize, String> {
    match text {
        "0" => Ok(0),
        _ => parse_size(text),
    }
}

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
