//! Eviction policy of cspace: which of the objects that only evictable references hold are let go of; and tables of
//! such objects by key.
//!
//! The core finds the candidates in each collection, clears the references of those that are chosen and keeps the
//! others; what is sound is decided there. This crate chooses, by size and by the order of touches, and has no
//! unsafe code. It knows nothing of the collector: eviction stops retaining, only sweeping reclaims.

#![forbid(unsafe_code)]

mod cache;
mod error;
mod evictor;
mod flight;
mod map;
mod oldest;

pub use cache::EvictableCache;
pub use error::LoadError;
pub use evictor::{Evicted, EvictionStats, Evictor};
pub use map::{EvictableMap, MapLimit};
