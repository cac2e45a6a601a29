//! Values of a context are borrowed from it: who has some of them to change has all of it.

use cspace::native::{ConfigBuilder, Context};
use cspace::Ledger;

fn main() {
    let mut builder = ConfigBuilder::new(&Ledger::default()).unwrap();
    let (a, b) = (builder.reserve_span::<u32>(3).unwrap(), builder.reserve_span::<u32>(3).unwrap());
    let mut context = Context::new(&builder.freeze()).unwrap();
    let values = context.span_or_zeroed(&a).unwrap();
    context.span_or_zeroed(&b).unwrap(); // refused
    values[0] = 1;
}
