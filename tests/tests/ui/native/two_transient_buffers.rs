//! A context has one transient buffer at a time.

use cspace::native::{ConfigBuilder, Context};
use cspace::Ledger;

fn main() {
    let config = ConfigBuilder::new(&Ledger::default()).unwrap().freeze();
    let mut context = Context::new(&config).unwrap();
    let mut buffer = context.transient_buffer(10).unwrap();
    let _other = context.transient_buffer(10); // refused
    buffer[0] = 1;
}
