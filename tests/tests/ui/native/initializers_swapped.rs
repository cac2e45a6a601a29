//! What an initialiser gets of a context is not exchanged with another's.

use cspace::native::{ConfigBuilder, Context};
use cspace::Ledger;

fn main() {
    let mut builder = ConfigBuilder::new(&Ledger::default()).unwrap();
    let key = builder.reserve::<u32>().unwrap();
    let config = builder.freeze();
    let (mut a, mut b) = (Context::new(&config).unwrap(), Context::new(&config).unwrap());
    a.slot_or_init(&key, |in_a| {
        b.slot_or_init(&key, |in_b| {
            std::mem::swap(in_a, in_b); // refused
            let _ = (in_a.config(), in_b.config());
            1
        })
        .unwrap();
        2
    })
    .unwrap();
}
