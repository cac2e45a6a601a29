//! The brand: an invariant lifetime that names one access to one space.

use core::marker::PhantomData;

/// Makes a type invariant in `'gc` and nothing else: two accesses never unify.
pub(crate) type Brand<'gc> = PhantomData<fn(&'gc ()) -> &'gc ()>;

/// Makes a handle invariant in its family (a covariant one could be turned into a handle of another
/// type through two mutually subtyped families).
pub(crate) type Family<R> = PhantomData<fn(R) -> R>;

/// Lives from [`make_guard!`](crate::make_guard) to the end of its block. All that it does is to be named in the compiler's
/// messages: when an access that was entered with the brand is still open at a safepoint, the compiler says that it may be
/// used when this is dropped.
#[doc(hidden)]
#[allow(non_camel_case_types)]
pub struct AccessEndsWithItsBlock_RootWhatIsKeptLonger<'gc>(Brand<'gc>);

impl<'gc> AccessEndsWithItsBlock_RootWhatIsKeptLonger<'gc> {
    /// For the brand of a guard.
    #[inline(always)]
    pub fn of(_: &generativity::Guard<'gc>) -> Self {
        Self(PhantomData)
    }
}

impl Drop for AccessEndsWithItsBlock_RootWhatIsKeptLonger<'_> {
    /// That there is one makes the compiler take the brand to be in use up to here.
    #[inline(always)]
    fn drop(&mut self) {}
}

/// Makes a brand for [`enter`](crate::ExclusiveGuard::enter), in the block that it stands in: `make_guard!(brand)` declares
/// the variable `brand`.
///
/// The access that is entered with the brand ends with that block, and so does every [`Gc`](crate::Gc) of it. So a
/// [`safepoint`](crate::ExclusiveGuard::safepoint) comes after the block, and what is to be kept longer is rooted:
///
/// ```
/// use cspace_core::{make_guard, Space};
///
/// let space = Space::builder().build()?;
/// let mut lock = space.lock();
/// let kept = {
///     make_guard!(brand);
///     let cx = lock.enter(brand);
///     cx.root(cx.alloc(1u64))
/// };
/// lock.safepoint();
/// make_guard!(brand);
/// let cx = lock.enter(brand);
/// assert_eq!(*kept.get(&*cx), 1);
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
///
/// The brand is one of the crate [`generativity`]'s.
#[macro_export]
macro_rules! make_guard {
    ($name:ident) => {
        $crate::__private::generativity::make_guard!($name);
        #[allow(unused)]
        let no_gc_is_kept_over_a_safepoint =
            $crate::__private::AccessEndsWithItsBlock_RootWhatIsKeptLonger::of(&$name);
    };
}
