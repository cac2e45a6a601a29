//! A session: a space, a machine in it, and the programs that it runs one after the other.
//!
//! This is the outside of the machine. It holds the space's lock while a program runs, and between
//! two slices of the run does what can only be done outside of an access: it lets the collector in,
//! and looks whether the user wants the program to stop.

use std::fmt;
use std::io;

use cspace::{CSpace, ExclusiveGuard, HeapFull, OwnedRoot, Rootable};

use crate::compiler::{compile, CompileError};
use crate::interrupt;
use crate::load::load;
use crate::output::Output;
use crate::proto::Program;
use crate::source::Source;
use crate::vm::{RuntimeError, Step, Vm};

/// Programs that share their globals.
pub(crate) struct Session {
    space: CSpace,
    vm: OwnedRoot<Rootable![Vm<'_>]>,
    out: Output,
}

/// Why a program did not run to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It does not compile; nothing was run.
    Compile(Vec<CompileError>),
    /// It went wrong.
    Runtime(RuntimeError),
    /// There is not enough memory to begin with.
    OutOfMemory,
    /// The user stopped it.
    Interrupted,
    /// What it printed could not be written.
    Output(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Compile(errors) => {
                for (i, error) in errors.iter().enumerate() {
                    let separator = if i == 0 { "" } else { "\n" };
                    write!(f, "{separator}{error}")?;
                }
                Ok(())
            }
            Failure::Runtime(error) => error.fmt(f),
            Failure::OutOfMemory => f.write_str("Out of memory."),
            Failure::Interrupted => f.write_str("Interrupted."),
            Failure::Output(error) => write!(f, "Cannot write output: {error}."),
        }
    }
}

impl From<HeapFull> for Failure {
    fn from(_: HeapFull) -> Self {
        Failure::OutOfMemory
    }
}

impl Session {
    /// A session in a space, beside others if there are. Under `stress` every instruction that allocates
    /// comes after a collection.
    pub(crate) fn new(space: CSpace, stress: bool, out: Output) -> Result<Self, Failure> {
        let vm = space.exclusive(|cx| {
            let vm = Vm::new(cx, space.downgrade(), stress)?;
            Ok::<_, HeapFull>(cx.own_root(vm))
        })?;
        Ok(Session { space, vm, out })
    }

    /// Ends the session; gives what was printed, if that went to memory.
    pub(crate) fn into_printed(self) -> Vec<u8> {
        self.out.into_printed()
    }

    /// Runs a program. What it printed is written out when this returns.
    pub(crate) fn run(&mut self, source: &Source) -> Result<(), Failure> {
        let text = source.text().map_err(|error| Failure::Compile(vec![error]))?;
        let program = compile(text).map_err(Failure::Compile)?;
        let result = self.run_program(&program);
        let flushed = self.out.flush();
        result?;
        flushed.map_err(Failure::Output)
    }

    fn run_program(&mut self, program: &Program) -> Result<(), Failure> {
        let Session { space, vm, out } = self;
        let running = interrupt::Running::begin();
        let mut lock = space.lock();
        if let Err(failure) = start(&mut lock, vm, program) {
            let Failure::OutOfMemory = failure else {
                return Err(failure);
            };
            // As for an instruction: collect, and try once more.
            collect(&mut lock);
            start(&mut lock, vm, program)?;
        }
        loop {
            match lock.scope_mut(vm, |cx, vm| vm.run(cx, out)) {
                Step::Yield => lock.safepoint(),
                Step::HeapFull => {
                    collect(&mut lock);
                    space.request_yield();
                }
                Step::Done => return Ok(()),
                Step::Failed(error) => return Err(Failure::Runtime(error)),
                Step::OutputFailed(error) => return Err(Failure::Output(error)),
            }
            if running.is_interrupted() {
                lock.scope_mut(vm, |cx, vm| vm.reset(cx));
                return Err(Failure::Interrupted);
            }
        }
    }
}

/// Loads a program and has the machine begin with it.
fn start(
    lock: &mut ExclusiveGuard<'_>,
    vm: &mut OwnedRoot<Rootable![Vm<'_>]>,
    program: &Program,
) -> Result<(), Failure> {
    lock.scope_mut(vm, |cx, vm| {
        let script = load(cx, vm, program)?;
        vm.start(cx, script).map_err(Failure::Runtime)
    })
}

/// Makes room. If that fails there is none, which the next allocation finds out.
fn collect(lock: &mut ExclusiveGuard<'_>) {
    let _ = lock.collect();
}
