//! Compiled functions as plain data: what the compiler makes and the loader turns into objects.
//!
//! Nothing here refers to a heap, so compiling needs no access to one.

use crate::bytecode::Word;

/// A compiled program: its functions, each after those it contains. The last one is the program
/// itself.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) functions: Vec<Proto>,
}

/// A compiled function.
#[derive(Debug)]
pub(crate) struct Proto {
    /// `None` for the program itself.
    pub(crate) name: Option<Box<str>>,
    pub(crate) arity: u8,
    /// Whether this is a method named `init`.
    pub(crate) is_initializer: bool,
    pub(crate) code: Vec<Word>,
    /// The source line of each instruction.
    pub(crate) lines: Vec<u32>,
    pub(crate) constants: Vec<Constant>,
    /// The names of the globals that it mentions; the operands of its instructions count in here.
    pub(crate) globals: Vec<Box<str>>,
    /// The names of the properties that it mentions, one for each place.
    pub(crate) sites: Vec<Box<str>>,
    pub(crate) upvalues: Vec<UpvalueSource>,
    /// How many stack slots a call needs at most, from the callee's own upward.
    pub(crate) stack_size: u32,
}

/// A constant of a function.
#[derive(Debug, PartialEq)]
pub(crate) enum Constant {
    Number(f64),
    String(Box<str>),
    /// The index of a function in the program.
    Function(usize),
}

/// Where a closure finds a captured variable when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpvalueSource {
    /// A local of the function around it.
    Local(u8),
    /// An upvalue of the function around it.
    Upvalue(u8),
}
