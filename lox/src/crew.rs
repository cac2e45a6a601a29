//! Programs that run side by side, each on a thread of its own.
//!
//! Each has a space of its own, whose collections a pool runs; or all live in one space and take turns with
//! its lock, as a program comes to a safepoint often. What they print is kept until all have ended, so that it
//! does not get mixed up.

use std::io::{self, Write};
use std::thread;

use cspace::CSpace;

use crate::cli::{exit_code, EXIT_IO};
use crate::output::Output;
use crate::session::{Failure, Session};
use crate::source::Source;

/// How programs are to run side by side.
#[derive(Clone, Copy)]
pub(crate) struct Crew<'a> {
    /// One for all, or one for each.
    pub(crate) spaces: &'a [CSpace],
    pub(crate) threads: usize,
    pub(crate) stress: bool,
}

/// How a program ended, and what it had printed by then.
struct Ended {
    printed: Vec<u8>,
    result: Result<(), Failure>,
}

/// Runs copies of a program side by side; gives the exit code.
pub(crate) fn run(crew: Crew<'_>, source: &Source) -> i32 {
    let ended: Vec<io::Result<Ended>> = thread::scope(|scope| {
        let running: Vec<_> = (0..crew.threads)
            .map(|i| {
                let space = &crew.spaces[i % crew.spaces.len()];
                thread::Builder::new()
                    .name(format!("lox {i}"))
                    .spawn_scoped(scope, move || run_one(space, crew.stress, source))
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Ended>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(|thread| thread.map(join)).collect()
    });
    let mut code = 0;
    for (i, ended) in ended.into_iter().enumerate() {
        let (printed, failed) = match ended {
            Ok(ended) => {
                (ended.printed, ended.result.err().map(|f| (f.to_string(), exit_code(&f))))
            }
            Err(error) => (Vec::new(), Some((format!("No thread: {error}."), EXIT_IO))),
        };
        let mut stdout = io::stdout().lock();
        if stdout.write_all(&printed).and_then(|()| stdout.flush()).is_err() {
            return EXIT_IO;
        }
        if let Some((message, failed_with)) = failed {
            eprintln!("program {}: {message}", i + 1);
            code = if code == 0 { failed_with } else { code };
        }
    }
    code
}

fn run_one(space: &CSpace, stress: bool, source: &Source) -> Ended {
    match Session::new(space.clone(), stress, Output::in_memory()) {
        Ok(mut session) => {
            let result = session.run(source);
            Ended { printed: session.into_printed(), result }
        }
        Err(failure) => Ended { printed: Vec::new(), result: Err(failure) },
    }
}
