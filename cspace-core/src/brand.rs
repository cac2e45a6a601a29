//! The brand: an invariant lifetime that names one access to one space.

use core::marker::PhantomData;

/// Makes a type invariant in `'gc` and nothing else: two accesses never unify.
pub(crate) type Brand<'gc> = PhantomData<fn(&'gc ()) -> &'gc ()>;

/// Makes a handle invariant in its family (a covariant one could be turned into a handle of another
/// type through two mutually subtyped families).
pub(crate) type Family<R> = PhantomData<fn(R) -> R>;
