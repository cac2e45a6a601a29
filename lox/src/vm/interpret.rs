//! The loop that runs instructions.
//!
//! What it works on sits in locals: the instruction pointer, the top of the stack, the current
//! call. `frames` has the calls that wait for this one; the current one joins them when the loop is
//! left (M1).
//!
//! - **R1 (retry).** An instruction that finds the heap full has changed nothing yet, so it can
//!   run again.
//! - **R2 (one word).** Every instruction is one word, so the one before `ip` is the one that runs.

use std::io;

use cspace::{Exclusive, Gc};

use super::native;
use super::property::{bind, find_callee, get_property, set_property, super_method, Callee};
use super::upvalue::{capture_all, close_from};
use super::{Frame, Vm, FRAMES_MAX, STACK_SIZE};
use crate::bytecode::{op, operand_a, operand_b, operand_w, operation, Word};
use crate::globals::Globals;
use crate::object::{
    new_instance, BoundMethod, Class, Closure, ClosureHeader, Function, Instance, LoxString,
};
use crate::output::Output;
use crate::value::{equal, is_falsey, Value};

/// Why the loop was left.
pub(super) enum Exit {
    Done,
    Yield,
    HeapFull,
    Failed(String),
    OutputFailed(io::Error),
}

#[cold]
#[inline(never)]
pub(super) fn failed(message: &str) -> Exit {
    Exit::Failed(message.into())
}

#[cold]
#[inline(never)]
fn not_numbers() -> Exit {
    failed("Operands must be numbers.")
}

#[cold]
#[inline(never)]
fn not_addable() -> Exit {
    failed("Operands must be two numbers or two strings.")
}

#[cold]
#[inline(never)]
pub(super) fn wrong_arity(expected: u32, got: usize) -> Exit {
    Exit::Failed(format!("Expected {expected} arguments but got {got}."))
}

#[cold]
#[inline(never)]
fn undefined_variable(name: Gc<'_, LoxString>) -> Exit {
    let name = String::from_utf8_lossy(name.elems());
    Exit::Failed(format!("Undefined variable '{name}'."))
}

impl<'gc> Vm<'gc> {
    /// Runs instructions until there is a reason to stop.
    pub(super) fn interpret(&mut self, cx: &mut Exclusive<'gc>, out: &mut Output) -> Exit {
        let Vm {
            stack: root_stack,
            frames,
            open,
            captured,
            globals: Globals { names: global_names, values: globals, .. },
            strings,
            initializer_name,
            callbacks,
            stress,
            rested,
            ..
        } = self;
        let (initializer_name, stress) = (*initializer_name, *stress);

        let mut sp = root_stack.len();
        let stack: &mut [Value<'gc>; STACK_SIZE] =
            root_stack.as_mut_full().try_into().expect("the stack was made with this size");
        let frame = frames.pop().expect("a program to run");
        let mut closure: Gc<'gc, Closure<'gc>> = frame.closure;
        let mut function: &'gc Function<'gc> = closure.header().function.as_ref();
        let mut code: &'gc [Word] = function.code.elems();
        let mut ip = frame.ip as usize;
        let mut base = frame.base as usize;

        let exit = 'run: loop {
            macro_rules! push {
                ($value:expr) => {{
                    let value = $value;
                    stack[sp] = value;
                    sp += 1;
                }};
            }

            // Leaves the access if somebody waits for that.
            macro_rules! poll {
                () => {
                    if cx.should_yield() {
                        break 'run Exit::Yield;
                    }
                };
            }

            // Comes before what allocates: under stress the access is left, and the instruction
            // runs again.
            macro_rules! allocation {
                () => {
                    if stress {
                        *rested = !*rested;
                        if *rested {
                            ip -= 1;
                            break 'run Exit::Yield;
                        }
                    }
                };
            }

            macro_rules! resume {
                ($frame:expr) => {{
                    let frame: Frame<'gc> = $frame;
                    closure = frame.closure;
                    function = closure.header().function.as_ref();
                    code = function.code.elems();
                    ip = frame.ip as usize;
                    base = frame.base as usize;
                }};
            }

            macro_rules! call_closure {
                ($callee:expr, $count:expr) => {{
                    let callee: Gc<'gc, Closure<'gc>> = $callee;
                    let count: usize = $count;
                    let called: &'gc Function<'gc> = callee.header().function.as_ref();
                    if called.arity as usize != count {
                        break 'run wrong_arity(called.arity, count);
                    }
                    let callee_base = sp - count - 1;
                    if frames.len() + 1 >= FRAMES_MAX
                        || callee_base + called.stack_size as usize > STACK_SIZE
                    {
                        break 'run failed("Stack overflow.");
                    }
                    frames.push(Frame { closure, ip: ip as u32, base: base as u32 });
                    closure = callee;
                    function = called;
                    code = function.code.elems();
                    ip = 0;
                    base = callee_base;
                    poll!();
                }};
            }

            macro_rules! call_value {
                ($callee:expr, $count:expr) => {{
                    let callee: Value<'gc> = $callee;
                    let count: usize = $count;
                    if let Some(callee) = callee.downcast::<Closure<'gc>>() {
                        call_closure!(callee, count)
                    } else if let Some(class) = callee.downcast::<Class<'gc>>() {
                        allocation!();
                        let Ok(instance) = new_instance(cx, &class) else {
                            break 'run Exit::HeapFull;
                        };
                        match class.initializer.get(cx) {
                            Some(initializer) => {
                                stack[sp - count - 1] = Value::from_gc(instance);
                                call_closure!(initializer, count)
                            }
                            None if count == 0 => stack[sp - 1] = Value::from_gc(instance),
                            None => break 'run wrong_arity(0, count),
                        }
                    } else if let Some(bound) = callee.downcast::<BoundMethod<'gc>>() {
                        stack[sp - count - 1] = bound.receiver;
                        call_closure!(bound.method, count)
                    } else {
                        allocation!();
                        match native::call(cx, callee, &stack[sp - count..sp], callbacks) {
                            Ok(value) => {
                                sp -= count;
                                stack[sp - 1] = value;
                            }
                            Err(exit) => break 'run exit,
                        }
                    }
                }};
            }

            macro_rules! return_value {
                ($value:expr) => {{
                    let value = $value;
                    close_from(cx, open, &stack[..], base);
                    stack[base] = value;
                    sp = base + 1;
                    match frames.pop() {
                        Some(frame) => resume!(frame),
                        None => break 'run Exit::Done,
                    }
                }};
            }

            // Two numbers, the second on top of the stack, or an error.
            macro_rules! two_numbers {
                () => {
                    match (stack[sp - 2].as_f64(), stack[sp - 1].as_f64()) {
                        (Some(x), Some(y)) => (x, y),
                        _ => break 'run not_numbers(),
                    }
                };
            }

            macro_rules! arithmetic {
                ($operator:tt) => {{
                    let (x, y) = two_numbers!();
                    sp -= 1;
                    stack[sp - 1] = Value::from_f64(x $operator y);
                }};
            }

            macro_rules! compare {
                ($operator:tt) => {{
                    let (x, y) = two_numbers!();
                    sp -= 1;
                    stack[sp - 1] = Value::from_bool(x $operator y);
                }};
            }

            macro_rules! jump_unless {
                ($operator:tt, $distance:expr) => {{
                    let (x, y) = two_numbers!();
                    sp -= 2;
                    // Not the opposite comparison: of a NaN neither holds.
                    let holds = x $operator y;
                    if !holds {
                        ip += $distance;
                    }
                }};
            }

            // A value and a constant that is a number.
            macro_rules! with_constant {
                ($value:expr, $operator:tt, $constant:expr, $error:ident) => {
                    match ($value.as_f64(), function.constants.elems()[$constant].as_f64()) {
                        (Some(x), Some(y)) => Value::from_f64(x $operator y),
                        _ => break 'run $error(),
                    }
                };
            }

            macro_rules! add {
                ($x:expr, $y:expr) => {{
                    let (x, y): (Value<'gc>, Value<'gc>) = ($x, $y);
                    if let (Some(x), Some(y)) = (x.as_f64(), y.as_f64()) {
                        Value::from_f64(x + y)
                    } else if let (Some(x), Some(y)) =
                        (x.downcast::<LoxString>(), y.downcast::<LoxString>())
                    {
                        allocation!();
                        match strings.concatenate(cx, x, y) {
                            Some(joined) => Value::from_gc(joined),
                            None => break 'run Exit::HeapFull,
                        }
                    } else {
                        break 'run not_addable();
                    }
                }};
            }

            macro_rules! property {
                ($receiver:expr, $site:expr) => {{
                    let receiver: Value<'gc> = $receiver;
                    let site = &function.sites.elems()[$site];
                    if let Some(instance) = receiver.downcast::<Instance<'gc>>() {
                        let slots = instance.elems();
                        match site.newest(cx, instance.shape.get(cx)) {
                            Some(entry) if entry.room(cx) as usize <= slots.len() => {
                                slots[entry.index(cx) as usize].get(cx)
                            }
                            _ => {
                                allocation!();
                                match get_property(cx, site, instance) {
                                    Ok(value) => value,
                                    Err(exit) => break 'run exit,
                                }
                            }
                        }
                    } else {
                        allocation!();
                        match native::property(cx, receiver, site.name) {
                            Ok(value) => value,
                            Err(exit) => break 'run exit,
                        }
                    }
                }};
            }

            macro_rules! set_property {
                ($site:expr) => {{
                    let value = stack[sp - 1];
                    let Some(instance) = stack[sp - 2].downcast::<Instance<'gc>>() else {
                        break 'run native::no_field(stack[sp - 2]);
                    };
                    let site = &function.sites.elems()[$site];
                    let slots = instance.elems();
                    match site.newest(cx, instance.shape.get(cx)) {
                        Some(entry) if entry.room(cx) as usize <= slots.len() => {
                            slots[entry.index(cx) as usize].set(cx, value);
                            if let Some(next) = entry.next(cx) {
                                instance.shape.set(cx, next);
                            }
                        }
                        _ => {
                            allocation!();
                            if let Err(exit) = set_property(cx, site, instance, value) {
                                break 'run exit;
                            }
                        }
                    }
                    value
                }};
            }

            let word = code[ip];
            ip += 1;
            let (a, b, w) = (operand_a(word), operand_b(word), operand_w(word));
            match operation(word) {
                op::CONSTANT => push!(function.constants.elems()[b]),
                op::NIL => push!(Value::NIL),
                op::TRUE => push!(Value::TRUE),
                op::FALSE => push!(Value::FALSE),
                op::POP => sp -= 1,
                op::POP_MANY => sp -= a,

                op::GET_LOCAL => push!(stack[base + a]),
                op::GET_TWO_LOCALS => {
                    // One after the other: the second may be the place that the first is put.
                    push!(stack[base + a]);
                    push!(stack[base + b]);
                }
                op::GET_LOCAL_CONSTANT => {
                    push!(stack[base + a]);
                    push!(function.constants.elems()[b]);
                }
                op::SET_LOCAL => stack[base + a] = stack[sp - 1],
                op::STORE_LOCAL => {
                    sp -= 1;
                    stack[base + a] = stack[sp];
                }

                op::GET_GLOBAL => {
                    let value = globals[w];
                    if value.is_undefined() {
                        break 'run undefined_variable(global_names[w]);
                    }
                    push!(value);
                }
                op::SET_GLOBAL => {
                    if globals[w].is_undefined() {
                        break 'run undefined_variable(global_names[w]);
                    }
                    globals[w] = stack[sp - 1];
                }
                op::STORE_GLOBAL => {
                    if globals[w].is_undefined() {
                        break 'run undefined_variable(global_names[w]);
                    }
                    sp -= 1;
                    globals[w] = stack[sp];
                }
                op::DEFINE_GLOBAL => {
                    sp -= 1;
                    globals[w] = stack[sp];
                }

                op::GET_UPVALUE => push!(closure.elems()[a].get(cx, &stack[..])),
                op::SET_UPVALUE => {
                    let value = stack[sp - 1];
                    closure.elems()[a].set(cx, &mut stack[..], value);
                }

                op::GET_PROPERTY => stack[sp - 1] = property!(stack[sp - 1], b),
                op::GET_LOCAL_PROPERTY => push!(property!(stack[base + a], b)),
                op::SET_PROPERTY => {
                    let value = set_property!(b);
                    sp -= 1;
                    stack[sp - 1] = value;
                }
                op::STORE_PROPERTY => {
                    set_property!(b);
                    sp -= 2;
                }
                op::GET_SUPER => {
                    allocation!();
                    let superclass = stack[sp - 1].downcast::<Class<'gc>>();
                    let superclass = superclass.expect("`super` is a class");
                    let site = &function.sites.elems()[b];
                    let bound = super_method(cx, site, superclass)
                        .and_then(|method| bind(cx, stack[sp - 2], method));
                    match bound {
                        Ok(bound) => {
                            sp -= 1;
                            stack[sp - 1] = bound;
                        }
                        Err(exit) => break 'run exit,
                    }
                }

                op::EQUAL => {
                    sp -= 1;
                    stack[sp - 1] = Value::from_bool(equal(stack[sp - 1], stack[sp]));
                }
                op::NOT_EQUAL => {
                    sp -= 1;
                    stack[sp - 1] = Value::from_bool(!equal(stack[sp - 1], stack[sp]));
                }
                op::GREATER => compare!(>),
                op::GREATER_EQUAL => compare!(>=),
                op::LESS => compare!(<),
                op::LESS_EQUAL => compare!(<=),

                op::ADD => {
                    let sum = add!(stack[sp - 2], stack[sp - 1]);
                    sp -= 1;
                    stack[sp - 1] = sum;
                }
                op::SUBTRACT => arithmetic!(-),
                op::MULTIPLY => arithmetic!(*),
                op::DIVIDE => arithmetic!(/),
                op::ADD_CONSTANT => {
                    stack[sp - 1] = with_constant!(stack[sp - 1], +, b, not_addable);
                }
                op::SUBTRACT_CONSTANT => {
                    stack[sp - 1] = with_constant!(stack[sp - 1], -, b, not_numbers);
                }
                op::MULTIPLY_CONSTANT => {
                    stack[sp - 1] = with_constant!(stack[sp - 1], *, b, not_numbers);
                }
                op::ADD_LOCAL_CONSTANT => {
                    push!(with_constant!(stack[base + a], +, b, not_addable));
                }
                op::SUBTRACT_LOCAL_CONSTANT => {
                    push!(with_constant!(stack[base + a], -, b, not_numbers));
                }
                op::INCREMENT_LOCAL => {
                    stack[base + a] = with_constant!(stack[base + a], +, b, not_addable);
                }
                op::DECREMENT_LOCAL => {
                    stack[base + a] = with_constant!(stack[base + a], -, b, not_numbers);
                }
                op::ADD_TWO_LOCALS => push!(add!(stack[base + a], stack[base + b])),
                op::SUBTRACT_TWO_LOCALS => {
                    match (stack[base + a].as_f64(), stack[base + b].as_f64()) {
                        (Some(x), Some(y)) => push!(Value::from_f64(x - y)),
                        _ => break 'run not_numbers(),
                    }
                }
                op::NOT => stack[sp - 1] = Value::from_bool(is_falsey(stack[sp - 1])),
                op::NEGATE => match stack[sp - 1].as_f64() {
                    Some(number) => stack[sp - 1] = Value::from_f64(-number),
                    None => break 'run failed("Operand must be a number."),
                },

                op::PRINT => {
                    sp -= 1;
                    if let Err(error) = out.print(cx, stack[sp]) {
                        break 'run Exit::OutputFailed(error);
                    }
                }

                op::JUMP => ip += w,
                op::JUMP_IF_FALSE => {
                    sp -= 1;
                    if is_falsey(stack[sp]) {
                        ip += w;
                    }
                }
                op::JUMP_IF_TRUE => {
                    sp -= 1;
                    if !is_falsey(stack[sp]) {
                        ip += w;
                    }
                }
                op::AND => {
                    if is_falsey(stack[sp - 1]) {
                        ip += w;
                    } else {
                        sp -= 1;
                    }
                }
                op::OR => {
                    if is_falsey(stack[sp - 1]) {
                        sp -= 1;
                    } else {
                        ip += w;
                    }
                }
                op::JUMP_UNLESS_EQUAL => {
                    sp -= 2;
                    if !equal(stack[sp], stack[sp + 1]) {
                        ip += w;
                    }
                }
                op::JUMP_IF_EQUAL => {
                    sp -= 2;
                    if equal(stack[sp], stack[sp + 1]) {
                        ip += w;
                    }
                }
                op::JUMP_UNLESS_GREATER => jump_unless!(>, w),
                op::JUMP_UNLESS_GREATER_EQUAL => jump_unless!(>=, w),
                op::JUMP_UNLESS_LESS => jump_unless!(<, w),
                op::JUMP_UNLESS_LESS_EQUAL => jump_unless!(<=, w),
                op::JUMP_UNLESS_NIL => {
                    sp -= 1;
                    if !stack[sp].is_nil() {
                        ip += w;
                    }
                }
                op::JUMP_IF_NIL => {
                    sp -= 1;
                    if stack[sp].is_nil() {
                        ip += w;
                    }
                }
                op::LOOP => {
                    ip -= w;
                    poll!();
                }

                op::CALL => call_value!(stack[sp - a - 1], a),
                op::INVOKE => {
                    let receiver = stack[sp - a - 1];
                    let site = &function.sites.elems()[b];
                    if let Some(instance) = receiver.downcast::<Instance<'gc>>() {
                        let known = site.newest(cx, instance.shape.get(cx));
                        match known.and_then(|entry| entry.method(cx)) {
                            Some(method) => call_closure!(method, a),
                            None => match find_callee(cx, site, instance) {
                                Ok(Callee::Method(method)) => call_closure!(method, a),
                                Ok(Callee::Value(value)) => call_value!(value, a),
                                Err(exit) => break 'run exit,
                            },
                        }
                    } else {
                        allocation!();
                        let arguments = &stack[sp - a..sp];
                        match native::invoke(cx, receiver, site.name, arguments, callbacks) {
                            Ok(value) => {
                                sp -= a;
                                stack[sp - 1] = value;
                            }
                            Err(exit) => break 'run exit,
                        }
                    }
                }
                op::INVOKE_SUPER => {
                    let superclass = stack[sp - 1].downcast::<Class<'gc>>();
                    let superclass = superclass.expect("`super` is a class");
                    let site = &function.sites.elems()[b];
                    match super_method(cx, site, superclass) {
                        Ok(method) => {
                            sp -= 1;
                            call_closure!(method, a)
                        }
                        Err(exit) => break 'run exit,
                    }
                }

                op::CLOSURE => {
                    allocation!();
                    let made = function.constants.elems()[b].downcast::<Function<'gc>>();
                    let made = made.expect("a function constant");
                    let sources = made.upvalues.elems();
                    if capture_all(cx, captured, sources, closure, base, open).is_err() {
                        break 'run Exit::HeapFull;
                    }
                    let header = ClosureHeader { function: made };
                    let made = cx.try_alloc_tail_copy(header, captured);
                    captured.clear();
                    match made {
                        Ok(made) => push!(Value::from_gc(made)),
                        Err(_) => break 'run Exit::HeapFull,
                    }
                }
                op::CLOSE_UPVALUE => {
                    sp -= 1;
                    close_from(cx, open, &stack[..], sp);
                }
                op::RETURN => return_value!(stack[sp - 1]),
                op::RETURN_NIL => return_value!(Value::NIL),
                op::RETURN_LOCAL => return_value!(stack[base + a]),

                op::CLASS => {
                    allocation!();
                    let name = function.constants.elems()[b].downcast::<LoxString>();
                    match Class::create(cx, name.expect("a string constant"), a as u32) {
                        Ok(class) => push!(Value::from_gc(class)),
                        Err(_) => break 'run Exit::HeapFull,
                    }
                }
                op::INHERIT => {
                    let Some(superclass) = stack[sp - 2].downcast::<Class<'gc>>() else {
                        break 'run failed("Superclass must be a class.");
                    };
                    let class = stack[sp - 1].downcast::<Class<'gc>>();
                    class.expect("a class").inherit(cx, superclass);
                    sp -= 1;
                }
                op::METHOD => {
                    let name = function.constants.elems()[b].downcast::<LoxString>();
                    let name = name.expect("a string constant");
                    let method = stack[sp - 1].downcast::<Closure<'gc>>();
                    let class = stack[sp - 2].downcast::<Class<'gc>>();
                    class.expect("a class").add_method(
                        cx,
                        name,
                        method.expect("a closure"),
                        Gc::ptr_eq(name, initializer_name),
                    );
                    sp -= 1;
                }

                op::NEXT_CALLBACK => match callbacks.next() {
                    Some(function) => push!(function),
                    None => {
                        sp = base;
                        match frames.pop() {
                            Some(frame) => resume!(frame),
                            None => break 'run Exit::Done,
                        }
                    }
                },

                operation => unreachable!("there is no operation {operation}"),
            }
        };

        frames.push(Frame { closure, ip: ip as u32, base: base as u32 });
        root_stack.set_len(sp);
        exit
    }
}
