//! A segment of a confined arena is not used after the close.

use cspace::native::ConfinedArena;
use cspace::Ledger;

fn main() {
    let arena = ConfinedArena::new(&Ledger::default()).unwrap();
    let mut segment = arena.allocate(10, 1).unwrap();
    segment[0] = 1;
    arena.close().unwrap();
    segment[0] = 2; // refused
}
