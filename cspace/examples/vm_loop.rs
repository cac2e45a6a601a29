//! The loop of a small interpreter: values of one word, a stack that is a root, and safepoints.
//!
//! The thread holds the lock and works in scopes. Nothing is collected inside a scope, so plain references are good
//! there. When somebody wants the space (`should_yield`, one load) the machine leaves the scope for a safepoint, where
//! the space's own thread collects. The machine is an `OwnedRoot`: it stays as it is meanwhile.

use std::error::Error;

use cspace::{Alloc, CSpace, IObject, NanBox, OwnedRoot, RootStack, Rootable, Static};

#[derive(IObject)]
struct Pair<'gc>(NanBox<'gc>, NanBox<'gc>);

/// The instructions. Local variables are the lowest places of the stack.
#[derive(Clone, Copy)]
enum Op {
    Load(usize),
    Store(usize),
    Pair,
    Increment(usize),
    JumpIfBelow(usize, f64, usize),
    Halt,
}

#[derive(IObject)]
struct Machine<'gc> {
    stack: RootStack<NanBox<'gc>>,
    next: usize,
    code: Static<Vec<Op>>, // no references into the space
}

/// Runs until the program halts (true) or somebody wants the space (false).
fn run<'gc>(cx: &Alloc<'gc>, machine: &mut Machine<'gc>) -> Result<bool, &'static str> {
    let Machine { stack, next, code } = machine;
    let pop = |stack: &mut RootStack<NanBox<'gc>>| stack.pop().ok_or("the stack is empty");
    let number = |value: NanBox<'gc>| value.as_f64().ok_or("not a number");
    loop {
        let op = code[*next];
        *next += 1;
        match op {
            Op::Load(local) => stack.push(stack[local]),
            Op::Store(local) => stack[local] = pop(stack)?,
            Op::Pair => {
                let (tail, head) = (pop(stack)?, pop(stack)?);
                stack.push(cx.alloc(Pair(head, tail)).into());
            }
            Op::Increment(local) => stack[local] = (number(stack[local])? + 1.0).into(),
            Op::JumpIfBelow(local, limit, target) if number(stack[local])? < limit => {
                *next = target;
                if cx.should_yield() {
                    return Ok(false);
                }
            }
            Op::JumpIfBelow(..) => {}
            Op::Halt => return Ok(true),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Local 0 counts to ten million, local 1 has the last pair that was made.
    let turn = [Op::Load(0), Op::Load(0), Op::Pair, Op::Store(1), Op::Increment(0)];
    let code = [&turn[..], &[Op::JumpIfBelow(0, 1e7, 0), Op::Halt]].concat();
    let space = CSpace::new();
    let mut lock = space.lock();
    let mut machine: OwnedRoot<Rootable![Machine<'_>]> = lock.scope(|cx| {
        let mut stack = RootStack::new(256, NanBox::NIL);
        stack.set_len(2); // the local variables, nil
        stack[0] = 0.0.into();
        cx.own_root(Machine { stack, next: 0, code: Static(code) })
    });
    while !lock.scope_mut(&mut machine, |cx, machine| run(cx, machine))? {
        lock.safepoint(); // nobody has references now: the collector may have the space
    }
    println!("ten million pairs were made, {} are left", lock.scope(|cx| cx.num_objects()));
    println!("{} collections came in between", space.stats().cycles);
    Ok(())
}
