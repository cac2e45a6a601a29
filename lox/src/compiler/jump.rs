//! Jumps: the part of the builder that knows where code leads.

use super::builder::Builder;
use crate::bytecode::{op, operation, wide_word, Word, WIDE_MAX};

/// The longest jump, in bytes of the classic encoding.
const JUMP_MAX: usize = 65535;

/// A jump forward whose target is not known yet.
#[must_use]
pub(super) struct Jump {
    /// Its index in the code.
    at: usize,
    /// Where distances are counted from, in bytes.
    bytes_after: usize,
    /// Whether the classic code has a `POP` at the target.
    pops_at_target: bool,
}

/// A place to jump back to.
#[derive(Clone, Copy)]
pub(super) struct Label {
    at: usize,
    bytes: usize,
}

/// A piece of code that was cut out to be put in further on.
pub(super) struct Snippet {
    code: Vec<Word>,
    lines: Vec<u32>,
}

impl Builder {
    /// A jump over what follows.
    pub(super) fn jump(&mut self, line: u32) -> Jump {
        self.bytes += 3;
        self.emit_jump(op::JUMP, line, false)
    }

    /// A jump if the value on top is false, which is popped in any case.
    pub(super) fn jump_if_false(&mut self, line: u32) -> Jump {
        self.bytes += 3;
        let operation = match self.last() {
            Some((op::NOT, ..)) => op::JUMP_IF_TRUE,
            Some((op::EQUAL, ..)) => op::JUMP_UNLESS_EQUAL,
            Some((op::NOT_EQUAL, ..)) => op::JUMP_IF_EQUAL,
            Some((op::GREATER, ..)) => op::JUMP_UNLESS_GREATER,
            Some((op::GREATER_EQUAL, ..)) => op::JUMP_UNLESS_GREATER_EQUAL,
            Some((op::LESS, ..)) => op::JUMP_UNLESS_LESS,
            Some((op::LESS_EQUAL, ..)) => op::JUMP_UNLESS_LESS_EQUAL,
            _ => op::JUMP_IF_FALSE,
        };
        // A comparison may fail, so the jump that it becomes keeps its line.
        let mut line_kept = line;
        if operation != op::JUMP_IF_FALSE {
            line_kept = self.remove_last();
        }
        let operation = match (operation, self.last()) {
            (op::JUMP_UNLESS_EQUAL, Some((op::NIL, ..))) => op::JUMP_UNLESS_NIL,
            (op::JUMP_IF_EQUAL, Some((op::NIL, ..))) => op::JUMP_IF_NIL,
            (operation, _) => operation,
        };
        if matches!(operation, op::JUMP_UNLESS_NIL | op::JUMP_IF_NIL) {
            self.remove_last();
        }
        let jump = self.emit_jump(operation, line_kept, true);
        self.bytes += 1;
        self.shrink(1);
        jump
    }

    /// `AND`: if the value on top is false a jump that keeps it, else it is popped.
    pub(super) fn and(&mut self, line: u32) -> Jump {
        self.bytes += 3;
        let jump = self.emit_jump(op::AND, line, false);
        self.bytes += 1;
        self.shrink(1);
        jump
    }

    /// `OR`: the same the other way round.
    pub(super) fn or(&mut self, line: u32) -> Jump {
        // Classically a jump over a jump.
        self.bytes += 6;
        let jump = self.emit_jump(op::OR, line, false);
        self.bytes += 1;
        self.shrink(1);
        jump
    }

    /// Ends an `if` that has no `else`: classically there is a jump over nothing. False as for
    /// [`Builder::patch`].
    #[must_use]
    pub(super) fn patch_without_else(&mut self, jump: Jump) -> bool {
        self.bytes += 3;
        self.patch(jump)
    }

    /// Makes this the target of a jump; false if that is too far.
    #[must_use]
    pub(super) fn patch(&mut self, jump: Jump) -> bool {
        let near_enough = self.bytes - jump.bytes_after <= JUMP_MAX;
        self.bytes += usize::from(jump.pops_at_target);
        let distance = self.proto.code.len() - jump.at - 1;
        let patched = &mut self.proto.code[jump.at];
        *patched = wide_word(operation(*patched), distance.min(WIDE_MAX));
        self.raise_floor();
        near_enough
    }

    /// A place to jump back to, here.
    pub(super) fn label(&mut self) -> Label {
        self.raise_floor();
        Label { at: self.proto.code.len(), bytes: self.bytes }
    }

    /// Whether a jump back to `label` is near enough here. Counts its bytes.
    #[must_use]
    pub(super) fn count_loop(&mut self, label: Label) -> bool {
        self.bytes += 3;
        self.bytes - label.bytes <= JUMP_MAX
    }

    /// Counts the bytes of a jump forward that is not emitted; gives where its distance is counted
    /// from.
    pub(super) fn count_jump(&mut self) -> usize {
        self.bytes += 3;
        self.bytes
    }

    /// Whether a counted jump would reach as far as here.
    #[must_use]
    pub(super) fn reaches(&self, counted: usize) -> bool {
        self.bytes - counted <= JUMP_MAX
    }

    /// Jumps back to `label`, without counting its bytes again.
    pub(super) fn emit_loop(&mut self, label: Label, line: u32) {
        let distance = self.proto.code.len() + 1 - label.at;
        self.emit(wide_word(op::LOOP, distance.min(WIDE_MAX)), line);
    }

    /// Cuts out the code from `label` on.
    pub(super) fn cut(&mut self, label: Label) -> Snippet {
        let snippet = Snippet {
            code: self.proto.code.split_off(label.at),
            lines: self.proto.lines.split_off(label.at),
        };
        self.raise_floor();
        snippet
    }

    /// Puts code that was cut out here. Jumps within it stay right, as they are relative.
    pub(super) fn paste(&mut self, snippet: Snippet) {
        self.proto.code.extend(snippet.code);
        self.proto.lines.extend(snippet.lines);
        self.raise_floor();
    }

    fn emit_jump(&mut self, operation: u8, line: u32, pops_at_target: bool) -> Jump {
        self.emit(wide_word(operation, 0), line);
        Jump { at: self.proto.code.len() - 1, bytes_after: self.bytes, pops_at_target }
    }
}
