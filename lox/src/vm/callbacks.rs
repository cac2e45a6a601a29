//! Functions that are called when objects have died.
//!
//! No Lox code can run when the collector finds an object dead: the machine is in the middle of something, and the
//! collector may be another thread. So what it runs then only writes a number down. Between two slices the machine
//! takes the functions with these numbers as a *batch*, and begins a call of the *caller* on top of whatever is
//! active: a function of its own that calls those of the batch one after the other and ends without leaving a
//! result.
//!
//! - **N1 (once).** A function leaves the batch before it is called, and only its number's coming up put it there.
//! - **N2 (one at a time).** The caller is active once at most, so callbacks do not interrupt each other.
//! - **N3 (progress).** A batch is what was due when it was begun, and none is begun before an instruction that
//!   runs again. So a program gets on even if each of its callbacks makes another one due.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use cspace::{Alloc, Gc, GcAny, HeapFull, IObject, Static, WeakCSpace};

use crate::bytecode::{op, wide_word, word, Word};
use crate::object::{Closure, ClosureHeader, Function, LoxString};
use crate::value::Value;

/// What the caller does, over and over. Its lines are 0, which no line of a program is.
const CALLER: [Word; 4] = [
    word(op::NEXT_CALLBACK, 0, 0),
    word(op::CALL, 0, 0),
    word(op::POP, 0, 0),
    wide_word(op::LOOP, 4),
];
/// Itself, and the function that it calls.
const CALLER_STACK_SIZE: u32 = 2;

/// What a machine knows of functions to be called.
#[derive(IObject)]
pub(crate) struct Callbacks<'gc> {
    /// Those whose objects have not died, as far as the machine knows.
    waiting: HashMap<u64, Gc<'gc, Callback<'gc>>>,
    /// The number of the next one.
    next_number: u64,
    due: Static<Arc<DueQueue>>,
    /// Those to be called, the next one first.
    batch: VecDeque<Value<'gc>>,
    caller: Gc<'gc, Closure<'gc>>,
    /// Whether it is active.
    is_calling: bool,
}

/// A function to be called. An object, so that the heap's limit says how many there can be.
#[derive(IObject)]
struct Callback<'gc> {
    function: Value<'gc>,
}

/// The numbers of functions whose objects have died. The collector's threads write them, the machine takes them.
struct DueQueue {
    numbers: Mutex<Vec<u64>>,
    space: WeakCSpace,
}

impl DueQueue {
    fn push(&self, number: u64) {
        self.numbers().push(number);
        if let Some(space) = self.space.upgrade() {
            space.request_yield();
        }
    }

    /// Takes all, in the order in which they were given out.
    fn take(&self) -> Vec<u64> {
        let mut numbers = std::mem::take(&mut *self.numbers());
        numbers.sort_unstable();
        numbers
    }

    fn numbers(&self) -> MutexGuard<'_, Vec<u64>> {
        self.numbers.lock().expect("nobody panics while holding it")
    }
}

impl<'gc> Callbacks<'gc> {
    /// None yet, in the space of the access; errors call the caller by this name.
    pub(super) fn new(
        cx: &Alloc<'gc>,
        space: WeakCSpace,
        name: Gc<'gc, LoxString>,
    ) -> Result<Self, HeapFull> {
        let function = Function {
            name: Some(name),
            arity: 0,
            stack_size: CALLER_STACK_SIZE,
            code: cx.try_alloc_tail_copy((), &CALLER).map_err(|error| error.cause)?,
            constants: cx.try_alloc_tail_copy((), &[]).map_err(|error| error.cause)?,
            sites: cx.try_alloc_tail((), 0, |_| unreachable!()).map_err(|error| error.cause)?,
            lines: cx.try_alloc_tail_copy((), &[0; CALLER.len()]).map_err(|error| error.cause)?,
            upvalues: cx.try_alloc_tail((), 0, |_| unreachable!()).map_err(|error| error.cause)?,
        };
        let header =
            ClosureHeader { function: cx.try_alloc(function).map_err(|error| error.cause)? };
        Ok(Callbacks {
            waiting: HashMap::new(),
            next_number: 0,
            due: Static(Arc::new(DueQueue { numbers: Mutex::default(), space })),
            batch: VecDeque::new(),
            caller: cx.try_alloc_tail_copy(header, &[]).map_err(|error| error.cause)?,
            is_calling: false,
        })
    }

    /// Has `function`, which takes no arguments, called when `object` has died.
    pub(crate) fn register(
        &mut self,
        cx: &Alloc<'gc>,
        object: GcAny<'gc>,
        function: Value<'gc>,
    ) -> Result<(), HeapFull> {
        let callback = cx.try_alloc(Callback { function }).map_err(|error| error.cause)?;
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.insert(number, callback);
        let due = Arc::clone(&self.due.0);
        cx.register_cleaner(object, move || due.push(number));
        Ok(())
    }

    /// The caller, to be called now, if there is anything to call and it is not active (N2).
    pub(super) fn begin(&mut self) -> Option<Gc<'gc, Closure<'gc>>> {
        if self.is_calling {
            return None;
        }
        for number in self.due.0.take() {
            let callback = self.waiting.remove(&number).expect("each number comes up once");
            self.batch.push_back(callback.function);
        }
        self.is_calling = !self.batch.is_empty();
        self.is_calling.then_some(self.caller)
    }

    /// The next function of the batch (N1). If there is none, the caller ends.
    pub(super) fn next(&mut self) -> Option<Value<'gc>> {
        let next = self.batch.pop_front();
        self.is_calling = next.is_some();
        next
    }

    /// The caller is given up if it is active. What it did not get to stays for the next one.
    pub(super) fn abandon(&mut self) {
        self.is_calling = false;
    }
}
