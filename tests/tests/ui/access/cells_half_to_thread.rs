//! The half that borrows cells would change objects beside the half that reads slots.
use cspace::*;
use std::thread;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let cell = cx.alloc(GcCell::new(1u64));
        let (_alloc, _cells) = cx.split();
        thread::scope(|threads| {
            threads.spawn(move || cell.addr());
            threads.spawn(move || *cell.borrow_mut(_cells) = 2); // refused
        });
    });
}
