//! A Lox interpreter whose whole heap is a cspace.
//!
//! How it is made: source text is compiled to bytecode without touching the heap ([`compiler`],
//! [`proto`]), loaded as objects of a space ([`load`], [`object`]), and run by a machine whose state
//! is one owned root of that space ([`vm`]). A session ([`session`]) holds the space's lock and lets
//! the collector in whenever the machine comes to a safepoint.

#![forbid(unsafe_code)]

mod bytecode;
mod cli;
mod compiler;
mod crew;
mod gc_log;
mod globals;
mod interrupt;
mod load;
mod natives;
mod number;
mod object;
mod output;
mod proto;
mod repl;
mod scanner;
mod session;
mod shape;
mod source;
mod token;
mod value;
mod vm;

fn main() {
    natives::start_clock();
    std::process::exit(cli::main());
}
