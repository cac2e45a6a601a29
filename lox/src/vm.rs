//! The virtual machine: its state, and how it is run a slice at a time.
//!
//! All state lives in one [`Vm`] value, an owned root of the space, so that it survives from one
//! access to the next. [`Vm::run`] runs inside of an access until there is a reason to leave it: a
//! collection may run only outside. Between two slices:
//!
//! - **M1 (frames).** `frames` has every active call, the innermost last; `ip` is the next
//!   instruction of each.
//! - **M2 (stack).** The stack's length is what is in use. Above it nothing is read before it is
//!   written.
//! - **M3 (open).** `open` has the captured variables that are on the stack, by location, the
//!   topmost last, each once.

mod callbacks;
mod error;
mod interpret;
mod native;
mod property;
mod upvalue;

use cspace::{Alloc, Exclusive, Gc, HeapFull, IObject, RootStack, WeakCSpace};

pub(crate) use self::callbacks::Callbacks;
pub(crate) use self::error::RuntimeError;
use self::interpret::Exit;
use crate::globals::Globals;
use crate::natives::{Native, NATIVES};
use crate::object::{Closure, LoxString, StringTable, Upvalue};
use crate::output::Output;
use crate::value::Value;

/// The most calls that may be active, the program's own included.
const FRAMES_MAX: usize = 64;
/// The most locals of a function.
const LOCALS_MAX: usize = 256;
/// Stack slots for all calls, as many as the book's machine has. Calls whose locals and unfinished expressions do not fit
/// overflow the stack.
const STACK_SIZE: usize = FRAMES_MAX * LOCALS_MAX;
/// How many calls there must be room for when functions are called after a collection: a program that is deep in
/// calls must not fail because of when its objects were collected.
const CALLBACK_FRAMES: usize = 16;
/// The same in stack slots: locals, and as much again for unfinished expressions.
const CALLBACK_STACK_SIZE: usize = CALLBACK_FRAMES * LOCALS_MAX * 2;

/// The state of the machine.
#[derive(IObject)]
pub(crate) struct Vm<'gc> {
    stack: RootStack<Value<'gc>>,
    frames: Vec<Frame<'gc>>,
    open: Vec<Gc<'gc, Upvalue<'gc>>>,
    /// The upvalues of a closure that is being made; empty in between.
    captured: Vec<Gc<'gc, Upvalue<'gc>>>,
    pub(crate) globals: Globals<'gc>,
    pub(crate) strings: StringTable<'gc>,
    initializer_name: Gc<'gc, LoxString>,
    callbacks: Callbacks<'gc>,
    /// Whether the program has ended, but for functions that were due then.
    is_ending: bool,
    /// Whether to leave before every instruction that allocates.
    stress: bool,
    /// Whether that was done for the next instruction.
    rested: bool,
    /// The instruction for which the heap was full, and was collected: frames and `ip`.
    retried: Option<(usize, u32)>,
}

/// A call that is active.
#[derive(Clone, Copy, IObject)]
struct Frame<'gc> {
    closure: Gc<'gc, Closure<'gc>>,
    ip: u32,
    /// Where on the stack its slots begin.
    base: u32,
}

/// Why a slice of the program's run ended.
pub(crate) enum Step {
    /// Somebody wants a safepoint. Then go on.
    Yield,
    /// The heap is full. Collect, then go on: the same instruction is tried once more. Ask for a
    /// safepoint soon, so that the machine forgets that it tried.
    HeapFull,
    /// The program ran to its end.
    Done,
    /// It failed. The machine is ready for another program.
    Failed(RuntimeError),
    /// Its output could not be written. The machine is ready for another program.
    OutputFailed(std::io::Error),
}

impl<'gc> Vm<'gc> {
    /// A machine that has the natives and nothing else, in the space that is accessed.
    pub(crate) fn new(cx: &Alloc<'gc>, space: WeakCSpace, stress: bool) -> Result<Self, HeapFull> {
        let mut strings = StringTable::new();
        let initializer_name = strings.intern(cx, b"init")?;
        let mut globals = Globals::new();
        for global in NATIVES {
            let name = strings.intern(cx, global.name().as_bytes())?;
            let native = Native { global: cspace::Static(*global) };
            let native = cx.try_alloc(native).map_err(|error| error.cause)?;
            let index = globals.index_of(name);
            globals.values[index] = Value::from_gc(native);
        }
        let callbacks = Callbacks::new(cx, space, strings.intern(cx, b"onCollect")?)?;
        Ok(Vm {
            stack: RootStack::new(STACK_SIZE, Value::NIL),
            frames: Vec::with_capacity(FRAMES_MAX),
            open: Vec::new(),
            captured: Vec::new(),
            globals,
            strings,
            initializer_name,
            callbacks,
            is_ending: false,
            stress,
            rested: false,
            retried: None,
        })
    }

    /// Makes the machine ready to run a program, which [`run`](Vm::run) then does.
    pub(crate) fn start(
        &mut self,
        cx: &Alloc<'gc>,
        script: Gc<'gc, Closure<'gc>>,
    ) -> Result<(), RuntimeError> {
        debug_assert!(self.frames.is_empty());
        self.stack.set_len(0);
        self.stack.push(Value::from_gc(script));
        self.frames.push(Frame { closure: script, ip: 0, base: 0 });
        if script.function.stack_size as usize > STACK_SIZE {
            let error = self.runtime_error("Stack overflow.".into());
            self.reset(cx);
            return Err(error);
        }
        Ok(())
    }

    /// Runs the program until there is a reason to leave the access.
    pub(crate) fn run(&mut self, cx: &mut Exclusive<'gc>, out: &mut Output) -> Step {
        if self.has_room_for_callbacks() {
            self.begin_callbacks();
        }
        let step = match self.interpret(cx, out) {
            Exit::Done if self.begin_last_callbacks(cx) => Step::Yield,
            Exit::Done => Step::Done,
            Exit::Yield => Step::Yield,
            Exit::Failed(message) => Step::Failed(self.runtime_error(message)),
            Exit::HeapFull => match self.heap_full() {
                Some(step) => return step,
                None => Step::Failed(self.runtime_error("Out of memory.".into())),
            },
            Exit::OutputFailed(error) => Step::OutputFailed(error),
        };
        self.retried = None;
        if !matches!(step, Step::Yield) {
            self.reset(cx);
        }
        step
    }

    /// Gives the instruction for which the heap is full a second try; none if it had that.
    fn heap_full(&mut self) -> Option<Step> {
        let depth = self.frames.len();
        let frame = self.frames.last_mut()?;
        let failed = Some((depth, frame.ip));
        if self.retried == failed {
            return None;
        }
        // Nothing was changed yet: it can run again as it is.
        self.retried = failed;
        frame.ip -= 1;
        Some(Step::HeapFull)
    }

    /// Whether functions can be called on top of what is active.
    fn has_room_for_callbacks(&self) -> bool {
        // Not before an instruction that runs again (N3).
        !self.rested
            && self.retried.is_none()
            && self.frames.len() + CALLBACK_FRAMES <= FRAMES_MAX
            && self.stack.len() + CALLBACK_STACK_SIZE <= STACK_SIZE
    }

    /// Begins to call the functions that are due, on top of what is active; false if none is.
    fn begin_callbacks(&mut self) -> bool {
        let Some(caller) = self.callbacks.begin() else {
            return false;
        };
        let base = self.stack.len() as u32;
        self.stack.push(Value::from_gc(caller));
        self.frames.push(Frame { closure: caller, ip: 0, base });
        true
    }

    /// The same for a program that has run to its end, once.
    fn begin_last_callbacks(&mut self, cx: &Alloc<'gc>) -> bool {
        if self.is_ending {
            return false;
        }
        self.reset(cx);
        self.is_ending = true;
        self.begin_callbacks()
    }

    /// Gives up the program that is running, if one is.
    pub(crate) fn reset(&mut self, cx: &Alloc<'gc>) {
        // Closures that got away keep the values of what they captured.
        let stack = self.stack.as_mut_full();
        while let Some(upvalue) = self.open.pop() {
            upvalue.close(cx, stack);
        }
        self.frames.clear();
        self.captured.clear();
        self.callbacks.abandon();
        self.is_ending = false;
        self.stack.set_len(0);
        self.rested = false;
        self.retried = None;
    }

    /// An error at the current instruction.
    fn runtime_error(&self, message: String) -> RuntimeError {
        RuntimeError::new(message, &self.frames)
    }
}
