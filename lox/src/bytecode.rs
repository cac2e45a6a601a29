//! The instruction set.
//!
//! An instruction is a word of 32 bits:
//!
//! | bits  | 0–7       | 8–15        | 16–31       |
//! |-------|-----------|-------------|-------------|
//! | plain | operation | operand `a` | operand `b` |
//! | wide  | operation | operand `w` over all 24 bits ||
//!
//! Locals, upvalues, constants, property sites and argument counts are below 256 by the limits of
//! the language. Jumps and globals take the wide operand. A jump's distance is counted from the
//! word after it.
//!
//! The operations are those of a small stack machine, and combinations of them that programs use
//! all the time. The compiler makes the combinations while it emits (see `compiler/builder.rs`);
//! what they stand for is what limits on the size of code are counted in.

/// An instruction, or its encoding.
pub(crate) type Word = u32;

/// The highest wide operand.
pub(crate) const WIDE_MAX: usize = (1 << 24) - 1;

/// Encodes an instruction with two operands.
pub(crate) const fn word(operation: u8, a: u8, b: u16) -> Word {
    operation as u32 | (a as u32) << 8 | (b as u32) << 16
}

/// Encodes an instruction with a wide operand.
pub(crate) const fn wide_word(operation: u8, w: usize) -> Word {
    debug_assert!(w <= WIDE_MAX);
    operation as u32 | (w as u32) << 8
}

/// The operation of an instruction.
#[inline(always)]
pub(crate) const fn operation(word: Word) -> u8 {
    word as u8
}

/// The operand `a`.
#[inline(always)]
pub(crate) const fn operand_a(word: Word) -> usize {
    (word >> 8 & 0xff) as usize
}

/// The operand `b`.
#[inline(always)]
pub(crate) const fn operand_b(word: Word) -> usize {
    (word >> 16) as usize
}

/// The wide operand.
#[inline(always)]
pub(crate) const fn operand_w(word: Word) -> usize {
    (word >> 8) as usize
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// The operations, as numbers: a `match` over them is one jump through a table.
        pub(crate) mod op {
            #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
            enum Number { $($name),* }
            $($(#[$doc])* pub(crate) const $name: u8 = Number::$name as u8;)*
        }

        #[cfg(test)]
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

operations! {
    /// Push constant `b`.
    CONSTANT
    /// Push nil.
    NIL
    /// Push true.
    TRUE
    /// Push false.
    FALSE
    /// Drop the top.
    POP
    /// Drop the `a` topmost.
    POP_MANY
    /// Push local `a`.
    GET_LOCAL
    /// Push locals `a` and then `b`.
    GET_TWO_LOCALS
    /// Push local `a` and then constant `b`.
    GET_LOCAL_CONSTANT
    /// Copy the top to local `a`.
    SET_LOCAL
    /// Pop into local `a`.
    STORE_LOCAL
    /// Push global `w`.
    GET_GLOBAL
    /// Copy the top to global `w`.
    SET_GLOBAL
    /// Pop into global `w`, which must be declared.
    STORE_GLOBAL
    /// Pop into global `w`, which it declares.
    DEFINE_GLOBAL
    /// Push upvalue `a`.
    GET_UPVALUE
    /// Copy the top to upvalue `a`.
    SET_UPVALUE
    /// Replace the top by its property, site `b`.
    GET_PROPERTY
    /// Push the property of local `a`, site `b`.
    GET_LOCAL_PROPERTY
    /// Set the field of the value under the top to the top, site `b`; drop that value.
    SET_PROPERTY
    /// The same, and drop the top too.
    STORE_PROPERTY
    /// Pop a class; replace the receiver on top by its method bound to it, site `b`.
    GET_SUPER
    /// Compare the two topmost; push whether they are equal.
    EQUAL
    /// ... are not equal.
    NOT_EQUAL
    /// ... are in this order; numbers only, as in the next three.
    GREATER
    /// See `GREATER`.
    GREATER_EQUAL
    /// See `GREATER`.
    LESS
    /// See `GREATER`.
    LESS_EQUAL
    /// Add two numbers or concatenate two strings.
    ADD
    /// Subtract the top from the value below.
    SUBTRACT
    /// Multiply the two topmost.
    MULTIPLY
    /// Divide the value under the top by it.
    DIVIDE
    /// Add constant `b`, a number, to the top.
    ADD_CONSTANT
    /// Subtract constant `b`, a number, from the top.
    SUBTRACT_CONSTANT
    /// Multiply the top by constant `b`, a number.
    MULTIPLY_CONSTANT
    /// Push local `a` plus constant `b`, a number.
    ADD_LOCAL_CONSTANT
    /// Push local `a` minus constant `b`, a number.
    SUBTRACT_LOCAL_CONSTANT
    /// Add constant `b`, a number, to local `a`.
    INCREMENT_LOCAL
    /// Subtract constant `b`, a number, from local `a`.
    DECREMENT_LOCAL
    /// Push the sum of locals `a` and `b`.
    ADD_TWO_LOCALS
    /// Push local `a` minus local `b`.
    SUBTRACT_TWO_LOCALS
    /// Replace the top by whether it is false.
    NOT
    /// Negate the number on top.
    NEGATE
    /// Pop and print.
    PRINT
    /// Jump on by `w`.
    JUMP
    /// Pop; jump on by `w` if it was false.
    JUMP_IF_FALSE
    /// Pop; jump on by `w` if it was true.
    JUMP_IF_TRUE
    /// If the top is false jump on by `w`, else drop it.
    AND
    /// If the top is true jump on by `w`, else drop it.
    OR
    /// Pop two; jump on by `w` unless they are equal.
    JUMP_UNLESS_EQUAL
    /// ... if they are equal.
    JUMP_IF_EQUAL
    /// ... unless they are in this order; numbers only, as in the next three.
    JUMP_UNLESS_GREATER
    /// See `JUMP_UNLESS_GREATER`.
    JUMP_UNLESS_GREATER_EQUAL
    /// See `JUMP_UNLESS_GREATER`.
    JUMP_UNLESS_LESS
    /// See `JUMP_UNLESS_GREATER`.
    JUMP_UNLESS_LESS_EQUAL
    /// Pop; jump on by `w` unless it is nil.
    JUMP_UNLESS_NIL
    /// Pop; jump on by `w` if it is nil.
    JUMP_IF_NIL
    /// Jump back by `w`. A safepoint.
    LOOP
    /// Call the value under its `a` arguments. A safepoint, as are the next two.
    CALL
    /// Call the method of the value under its `a` arguments, site `b`.
    INVOKE
    /// Pop a class; call its method on the value under its `a` arguments, site `b`.
    INVOKE_SUPER
    /// Push a closure of function constant `b`.
    CLOSURE
    /// Pop the local on top, which a closure has captured.
    CLOSE_UPVALUE
    /// Return the top.
    RETURN
    /// Return nil.
    RETURN_NIL
    /// Return local `a`.
    RETURN_LOCAL
    /// Push a class with the name of string constant `b`, whose initializer sets `a` fields.
    CLASS
    /// Pop the class on top after it has inherited from the class below, which stays.
    INHERIT
    /// Pop a closure; it becomes the method of the class under it named by string constant `b`.
    METHOD
    /// Push the next function to be called because an object died; if there is none, end the call without a
    /// result. No program has it.
    NEXT_CALLBACK
}

/// Writes instructions one a line, for tests.
#[cfg(test)]
pub(crate) fn disassemble(code: &[Word]) -> Vec<String> {
    let describe = |&word: &Word| {
        let operation = operation(word);
        let name = NAMES[operation as usize].to_lowercase();
        let (a, b, w) = (operand_a(word), operand_b(word), operand_w(word));
        match operation {
            op::JUMP..=op::LOOP | op::GET_GLOBAL..=op::DEFINE_GLOBAL => format!("{name} {w}"),
            op::GET_LOCAL_PROPERTY | op::INVOKE | op::INVOKE_SUPER | op::CLASS => {
                format!("{name} {a} {b}")
            }
            op::GET_TWO_LOCALS
            | op::GET_LOCAL_CONSTANT
            | op::ADD_LOCAL_CONSTANT..=op::SUBTRACT_TWO_LOCALS => format!("{name} {a} {b}"),
            op::GET_LOCAL
            | op::SET_LOCAL
            | op::STORE_LOCAL
            | op::GET_UPVALUE
            | op::SET_UPVALUE
            | op::POP_MANY
            | op::CALL
            | op::RETURN_LOCAL => format!("{name} {a}"),
            op::CONSTANT
            | op::GET_PROPERTY
            | op::SET_PROPERTY
            | op::STORE_PROPERTY
            | op::GET_SUPER
            | op::ADD_CONSTANT..=op::MULTIPLY_CONSTANT
            | op::CLOSURE
            | op::METHOD => format!("{name} {b}"),
            _ => name,
        }
    };
    code.iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_come_back_as_they_were_encoded() {
        let plain = word(op::INVOKE, 255, 65535);
        assert_eq!(operation(plain), op::INVOKE);
        assert_eq!((operand_a(plain), operand_b(plain)), (255, 65535));
        let wide = wide_word(op::LOOP, WIDE_MAX);
        assert_eq!((operation(wide), operand_w(wide)), (op::LOOP, WIDE_MAX));
    }

    #[test]
    fn every_operation_has_a_number_of_its_own() {
        assert_eq!(op::CONSTANT, 0);
        assert_eq!(op::NEXT_CALLBACK as usize + 1, NAMES.len());
        assert_eq!(NAMES[op::LOOP as usize], "LOOP");
    }
}
