//! Memory that is not objects: what an interpreter needs outside of the heap, with the lifetimes and the limits of
//! a space.

mod source;

pub use source::SystemFull;
