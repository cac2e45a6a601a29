//! The second pacing that gc-arena runs with.

use gc_arena::metrics::Pacing;

/// Whole collections, each after the heap has grown to five times what survived the last one: past
/// that, time gets little better and memory a lot worse.
pub(super) const STOP_THE_WORLD: Pacing = Pacing { sleep_factor: 4.0, ..Pacing::STOP_THE_WORLD };
