//! A confined arena stays with its thread.

use cspace::native::ConfinedArena;
use cspace::Ledger;

fn main() {
    let arena = ConfinedArena::new(&Ledger::default()).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| ());
        threads.spawn(|| arena.allocate(10, 1)); // refused
    });
}
