//! The builder: one function's instructions while they are made.
//!
//! The limits on jumps are stated in bytes of the classic encoding, in which an operation takes one
//! byte, an operand one more, and a jump's distance two. So the builder is asked for classic
//! operations, counts their bytes on the side, and emits words of its own: as it goes it looks back
//! at the last word and combines what it can.
//!
//! - **B1 (targets).** No jump leads past `floor` as long as words at or above it may still be
//!   combined: whoever makes the end of the code a target raises the floor to it.
//! - **B2 (size).** Every word stands for at least one byte of the classic encoding, so a distance
//!   that is allowed in bytes fits in words.

use crate::bytecode::{op, operand_a, operand_b, operation, wide_word, word, Word};
use crate::proto::{Constant, Proto, UpvalueSource};

/// The most constants that a function may have.
const CONSTANTS_MAX: usize = 256;

/// The instructions of one function.
pub(super) struct Builder {
    pub(super) proto: Proto,
    /// The size of the code so far in the classic encoding.
    pub(super) bytes: usize,
    /// See B1.
    floor: usize,
    /// How many stack slots are taken at this point.
    height: u32,
    constant_count: usize,
}

impl Builder {
    pub(super) fn new(name: Option<&str>, is_initializer: bool) -> Self {
        Builder {
            proto: Proto {
                name: name.map(Box::from),
                arity: 0,
                is_initializer,
                code: Vec::new(),
                lines: Vec::new(),
                constants: Vec::new(),
                globals: Vec::new(),
                sites: Vec::new(),
                upvalues: Vec::new(),
                stack_size: 1,
            },
            bytes: 0,
            floor: 0,
            height: 1,
            constant_count: 0,
        }
    }

    pub(super) fn finish(self) -> Proto {
        self.proto
    }

    /// Counts one more parameter, which is on the stack from the start.
    pub(super) fn add_parameter(&mut self) {
        self.proto.arity = self.proto.arity.wrapping_add(1);
        self.grow();
    }

    /// Makes sure of an upvalue for this variable; gives its index.
    pub(super) fn upvalue(&mut self, source: UpvalueSource) -> usize {
        let upvalues = &mut self.proto.upvalues;
        if let Some(index) = upvalues.iter().position(|&known| known == source) {
            return index;
        }
        upvalues.push(source);
        upvalues.len() - 1
    }

    pub(super) fn upvalue_count(&self) -> usize {
        self.proto.upvalues.len()
    }

    /// Counts a constant; false if there are too many.
    #[must_use]
    pub(super) fn count_constant(&mut self) -> bool {
        self.constant_count += 1;
        self.constant_count <= CONSTANTS_MAX
    }

    /// Adds a constant; gives its index.
    pub(super) fn add_constant(&mut self, constant: Constant) -> u16 {
        self.proto.constants.push(constant);
        (self.proto.constants.len() - 1) as u16
    }

    /// Adds a place where a property is used; gives its index.
    pub(super) fn add_site(&mut self, name: &str) -> u16 {
        self.proto.sites.push(name.into());
        (self.proto.sites.len() - 1) as u16
    }

    fn global(&mut self, name: &str) -> usize {
        let globals = &mut self.proto.globals;
        if let Some(index) = globals.iter().position(|known| **known == *name) {
            return index;
        }
        globals.push(name.into());
        globals.len() - 1
    }

    // What follows emits one classic operation each.

    pub(super) fn constant(&mut self, index: u16, line: u32) {
        self.bytes += 2;
        self.grow();
        match self.last() {
            Some((op::GET_LOCAL, a, _)) => self.replace(word(op::GET_LOCAL_CONSTANT, a, index)),
            _ => self.emit(word(op::CONSTANT, 0, index), line),
        }
    }

    /// `NIL`, `TRUE` or `FALSE`.
    pub(super) fn literal(&mut self, operation: u8, line: u32) {
        self.bytes += 1;
        self.grow();
        self.emit(word(operation, 0, 0), line);
    }

    pub(super) fn pop(&mut self, line: u32) {
        self.bytes += 1;
        self.shrink(1);
        match self.last() {
            Some((op::SET_LOCAL, a, _)) => self.store_local(a),
            Some((op::SET_GLOBAL, ..)) => self.replace_operation(op::STORE_GLOBAL),
            Some((op::SET_PROPERTY, ..)) => self.replace_operation(op::STORE_PROPERTY),
            Some((op::POP, ..)) => self.replace(word(op::POP_MANY, 2, 0)),
            Some((op::POP_MANY, n @ ..=254, _)) => self.replace(word(op::POP_MANY, n + 1, 0)),
            _ => self.emit(word(op::POP, 0, 0), line),
        }
    }

    /// Makes the `SET_LOCAL` at the end pop as well, and an increment of what came before it if it
    /// is one.
    fn store_local(&mut self, local: u8) {
        self.replace(word(op::STORE_LOCAL, local, 0));
        let end = self.proto.code.len();
        if end < self.floor + 2 {
            return;
        }
        let before = self.proto.code[end - 2];
        let fused = match operation(before) {
            op::ADD_LOCAL_CONSTANT => op::INCREMENT_LOCAL,
            op::SUBTRACT_LOCAL_CONSTANT => op::DECREMENT_LOCAL,
            _ => return,
        };
        if operand_a(before) == usize::from(local) {
            self.remove_last();
            self.replace_operation(fused);
        }
    }

    pub(super) fn get_local(&mut self, slot: u8, line: u32) {
        self.bytes += 2;
        self.grow();
        match self.last() {
            Some((op::GET_LOCAL, a, _)) => self.replace(word(op::GET_TWO_LOCALS, a, slot.into())),
            _ => self.emit(word(op::GET_LOCAL, slot, 0), line),
        }
    }

    pub(super) fn set_local(&mut self, slot: u8, line: u32) {
        self.bytes += 2;
        self.emit(word(op::SET_LOCAL, slot, 0), line);
    }

    pub(super) fn get_upvalue(&mut self, index: u8, line: u32) {
        self.bytes += 2;
        self.grow();
        self.emit(word(op::GET_UPVALUE, index, 0), line);
    }

    pub(super) fn set_upvalue(&mut self, index: u8, line: u32) {
        self.bytes += 2;
        self.emit(word(op::SET_UPVALUE, index, 0), line);
    }

    pub(super) fn get_global(&mut self, name: &str, line: u32) {
        self.bytes += 2;
        self.grow();
        let index = self.global(name);
        self.emit(wide_word(op::GET_GLOBAL, index), line);
    }

    pub(super) fn set_global(&mut self, name: &str, line: u32) {
        self.bytes += 2;
        let index = self.global(name);
        self.emit(wide_word(op::SET_GLOBAL, index), line);
    }

    pub(super) fn define_global(&mut self, name: &str, line: u32) {
        self.bytes += 2;
        self.shrink(1);
        let index = self.global(name);
        self.emit(wide_word(op::DEFINE_GLOBAL, index), line);
    }

    pub(super) fn get_property(&mut self, site: u16, line: u32) {
        self.bytes += 2;
        match self.last() {
            Some((op::GET_LOCAL, a, _)) => self.replace(word(op::GET_LOCAL_PROPERTY, a, site)),
            Some((op::GET_TWO_LOCALS, a, b)) => {
                self.replace(word(op::GET_LOCAL, a, 0));
                self.emit(word(op::GET_LOCAL_PROPERTY, b as u8, site), line);
            }
            _ => return self.emit(word(op::GET_PROPERTY, 0, site), line),
        }
        self.set_line(line);
    }

    pub(super) fn set_property(&mut self, site: u16, line: u32) {
        self.bytes += 2;
        self.shrink(1);
        self.emit(word(op::SET_PROPERTY, 0, site), line);
    }

    pub(super) fn get_super(&mut self, site: u16, line: u32) {
        self.bytes += 2;
        self.shrink(1);
        self.emit(word(op::GET_SUPER, 0, site), line);
    }

    /// An operation on the two topmost values for which there is nothing to combine.
    pub(super) fn binary(&mut self, operation: u8, line: u32) {
        // The classic machine negates the opposite of these three.
        let negated = matches!(operation, op::NOT_EQUAL | op::GREATER_EQUAL | op::LESS_EQUAL);
        self.bytes += 1 + usize::from(negated);
        self.shrink(1);
        self.emit(word(operation, 0, 0), line);
    }

    /// `ADD`, `SUBTRACT` or `MULTIPLY`.
    pub(super) fn arithmetic(&mut self, operation: u8, line: u32) {
        let (with_constant, local_with_constant, two_locals) = match operation {
            op::ADD => (op::ADD_CONSTANT, Some(op::ADD_LOCAL_CONSTANT), Some(op::ADD_TWO_LOCALS)),
            op::SUBTRACT => (
                op::SUBTRACT_CONSTANT,
                Some(op::SUBTRACT_LOCAL_CONSTANT),
                Some(op::SUBTRACT_TWO_LOCALS),
            ),
            _ => (op::MULTIPLY_CONSTANT, None, None),
        };
        let fused = match self.last() {
            Some((op::CONSTANT, _, k)) if self.is_number(k) => Some(with_constant),
            Some((op::GET_LOCAL_CONSTANT, _, k)) if self.is_number(k) => local_with_constant,
            Some((op::GET_TWO_LOCALS, ..)) => two_locals,
            _ => None,
        };
        let Some(fused) = fused else {
            return self.binary(operation, line);
        };
        self.bytes += 1;
        self.shrink(1);
        self.replace_operation(fused);
        self.set_line(line);
    }

    pub(super) fn not(&mut self, line: u32) {
        self.bytes += 1;
        self.emit(word(op::NOT, 0, 0), line);
    }

    pub(super) fn negate(&mut self, line: u32) {
        self.bytes += 1;
        if let Some((op::CONSTANT | op::GET_LOCAL_CONSTANT, _, k)) = self.last() {
            // Each literal has a constant of its own, so this one may change.
            if let Constant::Number(number) = &mut self.proto.constants[usize::from(k)] {
                *number = -*number;
                return;
            }
        }
        self.emit(word(op::NEGATE, 0, 0), line);
    }

    pub(super) fn print(&mut self, line: u32) {
        self.bytes += 1;
        self.shrink(1);
        self.emit(word(op::PRINT, 0, 0), line);
    }

    pub(super) fn call(&mut self, arguments: u8, line: u32) {
        self.bytes += 2;
        self.shrink(arguments.into());
        self.emit(word(op::CALL, arguments, 0), line);
    }

    pub(super) fn invoke(&mut self, site: u16, arguments: u8, line: u32) {
        self.bytes += 3;
        self.shrink(arguments.into());
        self.emit(word(op::INVOKE, arguments, site), line);
    }

    pub(super) fn invoke_super(&mut self, site: u16, arguments: u8, line: u32) {
        self.bytes += 3;
        self.shrink(u32::from(arguments) + 1);
        self.emit(word(op::INVOKE_SUPER, arguments, site), line);
    }

    /// `captured` is the number of upvalues of the new closure.
    pub(super) fn closure(&mut self, index: u16, captured: usize, line: u32) {
        self.bytes += 2 + 2 * captured;
        self.grow();
        self.emit(word(op::CLOSURE, 0, index), line);
    }

    pub(super) fn close_upvalue(&mut self, line: u32) {
        self.bytes += 1;
        self.shrink(1);
        self.emit(word(op::CLOSE_UPVALUE, 0, 0), line);
    }

    /// Gives the instruction's index in the code.
    pub(super) fn class(&mut self, name: u16, line: u32) -> usize {
        self.bytes += 2;
        self.grow();
        self.emit(word(op::CLASS, 0, name), line);
        self.proto.code.len() - 1
    }

    /// Tells the `CLASS` at this index how many fields to expect.
    pub(super) fn set_field_count(&mut self, class: usize, count: usize) {
        let instruction = &mut self.proto.code[class];
        let name = operand_b(*instruction) as u16;
        *instruction = word(op::CLASS, count.min(255) as u8, name);
    }

    /// Whether the last instruction pushes this local.
    pub(super) fn ends_with_local(&self, slot: u8) -> bool {
        match self.last() {
            Some((op::GET_LOCAL, a, _)) => a == slot,
            Some((op::GET_TWO_LOCALS, _, b)) => b == u16::from(slot),
            _ => false,
        }
    }

    pub(super) fn inherit(&mut self, line: u32) {
        self.bytes += 1;
        self.shrink(1);
        self.emit(word(op::INHERIT, 0, 0), line);
    }

    pub(super) fn method(&mut self, name: u16, line: u32) {
        self.bytes += 2;
        self.shrink(1);
        self.emit(word(op::METHOD, 0, name), line);
    }

    pub(super) fn return_top(&mut self, line: u32) {
        self.bytes += 1;
        self.shrink(1);
        match self.last() {
            Some((op::GET_LOCAL, a, _)) => self.replace(word(op::RETURN_LOCAL, a, 0)),
            _ => self.emit(word(op::RETURN, 0, 0), line),
        }
    }

    /// The return at a function's end or of a bare `return;`.
    pub(super) fn return_nothing(&mut self, line: u32) {
        self.grow();
        self.shrink(1);
        if self.proto.is_initializer {
            self.bytes += 3;
            self.emit(word(op::RETURN_LOCAL, 0, 0), line);
        } else {
            self.bytes += 2;
            self.emit(word(op::RETURN_NIL, 0, 0), line);
        }
    }

    // The parts that these are made of.

    pub(super) fn emit(&mut self, word: Word, line: u32) {
        self.proto.code.push(word);
        self.proto.lines.push(line);
    }

    /// The last instruction with its operands, if it may be combined with another.
    pub(super) fn last(&self) -> Option<(u8, u8, u16)> {
        let word = *self.proto.code[self.floor..].last()?;
        Some((operation(word), operand_a(word) as u8, operand_b(word) as u16))
    }

    pub(super) fn replace(&mut self, word: Word) {
        *self.proto.code.last_mut().expect("an instruction to replace") = word;
    }

    pub(super) fn replace_operation(&mut self, operation: u8) {
        let last = self.proto.code.last_mut();
        let last = last.expect("an instruction to replace");
        *last = *last & !0xff | Word::from(operation);
    }

    /// Removes the last instruction; gives its line.
    pub(super) fn remove_last(&mut self) -> u32 {
        self.proto.code.pop();
        self.proto.lines.pop().expect("an instruction to remove")
    }

    fn set_line(&mut self, line: u32) {
        *self.proto.lines.last_mut().expect("an instruction") = line;
    }

    pub(super) fn raise_floor(&mut self) {
        self.floor = self.proto.code.len();
    }

    fn is_number(&self, constant: u16) -> bool {
        let constant = &self.proto.constants[usize::from(constant)];
        matches!(constant, Constant::Number(_))
    }

    pub(super) fn grow(&mut self) {
        self.height += 1;
        self.proto.stack_size = self.proto.stack_size.max(self.height);
    }

    /// After a compile error the height may be off; then nothing is run.
    pub(super) fn shrink(&mut self, count: u32) {
        self.height = self.height.saturating_sub(count);
    }
}
