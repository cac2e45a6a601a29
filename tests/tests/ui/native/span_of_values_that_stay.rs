//! Spans hold what may move to another thread with the context.

use cspace::native::ConfigBuilder;
use cspace::Ledger;

fn main() {
    let mut builder = ConfigBuilder::new(&Ledger::default()).unwrap();
    builder.reserve_span::<u32>(3).unwrap();
    builder.reserve_span::<std::rc::Rc<u32>>(3).unwrap(); // refused
}
