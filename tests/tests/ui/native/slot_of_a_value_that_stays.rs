//! Slots hold what may move to another thread with the context.

use cspace::native::ConfigBuilder;
use cspace::Ledger;

fn main() {
    let mut builder = ConfigBuilder::new(&Ledger::default()).unwrap();
    builder.reserve::<u32>().unwrap();
    builder.reserve::<std::rc::Rc<u32>>().unwrap(); // refused
}
