//! The collector cannot look into a trait object.
use cspace::*;

#[derive(IObject)]
struct Callbacks {
    on_open: Box<dyn Fn(u32) + Send + Sync>,
    on_close: Static<Box<dyn FnOnce()>>,
}

fn main() {}
