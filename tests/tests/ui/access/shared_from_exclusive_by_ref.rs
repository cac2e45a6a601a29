//! A shared token comes from the exclusive one by `&mut` only: with `&`, slots could be set beside it.
use cspace::*;

fn lend<'a, 'gc>(cx: &'a Exclusive<'gc>) -> usize {
    let count = cx.num_objects();
    return cx.as_shared().num_objects(); // refused
    #[allow(unreachable_code)]
    count
}

fn main() {
    CSpace::new().exclusive(|cx| lend(cx));
}
