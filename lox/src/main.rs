//! A Lox interpreter.
fn main() {}
