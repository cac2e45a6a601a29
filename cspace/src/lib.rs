//! A garbage-collected object space for interpreters.
mod space;
pub use cspace_core::*;
pub use space::{Builder, CSpace, WeakCSpace};
