//! The protocols between a space's mutators and whoever runs its collections, each one small structure.
//!
//! They take their locks from [`cspace_core::sync`], so `loom-tests` tries every interleaving of them.

mod alarm;
mod seat;
mod signal;
mod turn;

pub use alarm::{Alarm, Rang};
pub use seat::{Seat, Tenure};
pub use signal::{Seen, Signal};
pub use turn::Turn;
