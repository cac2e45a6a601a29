//! A handle on a function for all lifetimes is none on a function for `'static`: by that, one could be put in its place
//! that keeps what it is given, and be called with what does not last.

use cspace::native::{ConfigBuilder, Context, ContextHandle};
use cspace::Ledger;

fn keep(_: &'static [u8]) {}
fn look(_: &[u8]) {}

fn main() {
    let config = ConfigBuilder::new(&Ledger::default()).unwrap().freeze();
    let mut context = Context::new(&config).unwrap();
    let for_all: ContextHandle<fn(&[u8])> = context.make(look as fn(&[u8])).unwrap();
    let _: fn(&'static [u8]) = keep;
    let _for_static: ContextHandle<fn(&'static [u8])> = for_all; // refused
}
