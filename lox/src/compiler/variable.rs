//! Variables: which of locals, upvalues and globals a name refers to.

use super::builder::Builder;
use super::{Compiler, FunctionKind};
use crate::proto::UpvalueSource;
use crate::token::TokenKind;

/// The most locals of a function at a time.
const LOCALS_MAX: usize = 256;
/// The most variables that a function may capture.
const UPVALUES_MAX: usize = 256;

/// A function that is being compiled.
pub(super) struct FunctionScope<'s> {
    pub(super) builder: Builder,
    pub(super) kind: FunctionKind,
    /// The variables on its part of the stack, by slot.
    locals: Vec<Local<'s>>,
    /// How many blocks there are around the current position.
    pub(super) block_depth: u32,
}

/// A local variable.
struct Local<'s> {
    name: &'s str,
    /// The depth of its block; `None` until its initializer is done.
    depth: Option<u32>,
    is_captured: bool,
}

/// What a name refers to.
#[derive(Clone, Copy)]
pub(super) enum Variable<'s> {
    Local(u8),
    Upvalue(u8),
    Global(&'s str),
}

impl<'s> FunctionScope<'s> {
    pub(super) fn new(kind: FunctionKind, name: Option<&'s str>) -> Self {
        let is_method = matches!(kind, FunctionKind::Method | FunctionKind::Initializer);
        FunctionScope {
            builder: Builder::new(name, kind == FunctionKind::Initializer),
            kind,
            // The first slot holds the function, or the receiver of a method.
            locals: vec![Local {
                name: if is_method { "this" } else { "" },
                depth: Some(0),
                is_captured: false,
            }],
            block_depth: 0,
        }
    }

    fn find_local(&self, name: &str) -> Option<usize> {
        self.locals.iter().rposition(|local| local.name == name)
    }

    /// Ends the declaration of the newest local: from here on its name refers to it.
    pub(super) fn mark_initialized(&mut self) {
        if self.block_depth > 0 {
            let depth = self.block_depth;
            self.locals.last_mut().expect("a declared local").depth = Some(depth);
        }
    }

    /// Leaves a block and drops its locals.
    pub(super) fn end_block(&mut self, line: u32) {
        self.block_depth -= 1;
        while let Some(local) = self.locals.last() {
            if local.depth <= Some(self.block_depth) {
                return;
            }
            if local.is_captured {
                self.builder.close_upvalue(line);
            } else {
                self.builder.pop(line);
            }
            self.locals.pop();
        }
    }
}

impl<'s> Compiler<'s> {
    /// Parses the name of a variable and declares it if it is local.
    pub(super) fn variable_name(&mut self, message: &'static str) -> &'s str {
        self.consume(TokenKind::Identifier, message);
        self.declare_variable();
        if self.function().block_depth == 0 {
            self.count_constant();
        }
        self.previous.lexeme
    }

    /// Declares the variable that the previous token names, if it is local.
    pub(super) fn declare_variable(&mut self) {
        let name = self.previous.lexeme;
        let function = self.function();
        let depth = function.block_depth;
        if depth == 0 {
            return;
        }
        let mut of_this_block =
            function.locals.iter().rev().take_while(|local| local.depth.is_none_or(|d| d >= depth));
        if of_this_block.any(|local| local.name == name) {
            self.error("Already a variable with this name in this scope.");
        }
        self.add_local(name);
    }

    pub(super) fn add_local(&mut self, name: &'s str) {
        if self.function().locals.len() == LOCALS_MAX {
            self.error("Too many local variables in function.");
            return;
        }
        self.function().locals.push(Local { name, depth: None, is_captured: false });
    }

    /// Gives a variable that was declared its value, which is on top of the stack.
    pub(super) fn define_variable(&mut self, name: &str) {
        if self.function().block_depth > 0 {
            // A local stays where its value is.
            self.function().mark_initialized();
        } else {
            let (builder, line) = self.emit();
            builder.define_global(name, line);
        }
    }

    /// Emits a read of the variable `name`, or a write if an assignment may follow and does.
    pub(super) fn named_variable(&mut self, name: &'s str, can_assign: bool) {
        let variable = self.resolve(name);
        if let Variable::Global(_) = variable {
            self.count_constant();
        }
        let assigns = can_assign && self.matches(TokenKind::Equal);
        if assigns {
            self.expression();
        }
        let (builder, line) = self.emit();
        match (variable, assigns) {
            (Variable::Local(slot), false) => builder.get_local(slot, line),
            (Variable::Local(slot), true) => builder.set_local(slot, line),
            (Variable::Upvalue(index), false) => builder.get_upvalue(index, line),
            (Variable::Upvalue(index), true) => builder.set_upvalue(index, line),
            (Variable::Global(name), false) => builder.get_global(name, line),
            (Variable::Global(name), true) => builder.set_global(name, line),
        }
    }

    fn resolve(&mut self, name: &'s str) -> Variable<'s> {
        let innermost = self.functions.len() - 1;
        if let Some(slot) = self.resolve_local(innermost, name) {
            return Variable::Local(slot);
        }
        match self.resolve_upvalue(innermost, name) {
            Some(index) => Variable::Upvalue(index),
            None => Variable::Global(name),
        }
    }

    fn resolve_local(&mut self, function: usize, name: &str) -> Option<u8> {
        let scope = &self.functions[function];
        let slot = scope.find_local(name)?;
        if scope.locals[slot].depth.is_none() {
            self.error("Can't read local variable in its own initializer.");
        }
        Some(slot as u8)
    }

    /// Looks for a local `name` in the functions around `innermost`, and has it handed down by each
    /// function between.
    fn resolve_upvalue(&mut self, innermost: usize, name: &str) -> Option<u8> {
        let owner = (0..innermost)
            .rev()
            .find(|&function| self.functions[function].find_local(name).is_some())?;
        let slot = self.resolve_local(owner, name)?;
        self.functions[owner].locals[usize::from(slot)].is_captured = true;
        let mut index = self.add_upvalue(owner + 1, UpvalueSource::Local(slot));
        for function in owner + 2..=innermost {
            index = self.add_upvalue(function, UpvalueSource::Upvalue(index));
        }
        Some(index)
    }

    fn add_upvalue(&mut self, function: usize, source: UpvalueSource) -> u8 {
        let builder = &mut self.functions[function].builder;
        let index = builder.upvalue(source);
        if index >= UPVALUES_MAX {
            self.error("Too many closure variables in function.");
            return 0;
        }
        index as u8
    }
}
