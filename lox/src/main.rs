//! A Lox interpreter whose whole heap is a cspace.
#![forbid(unsafe_code)]
#![allow(dead_code)]

mod bytecode;
mod compiler;
mod number;
mod proto;
mod scanner;
mod token;

fn main() {
    let source = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
    match compiler::compile(&source) {
        Ok(program) => println!("{program:#?}"),
        Err(errors) => {
            for error in errors {
                eprintln!("{error}");
            }
            std::process::exit(65);
        }
    }
}
