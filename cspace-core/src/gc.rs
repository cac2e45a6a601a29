//! [`Gc`]: a reference to an object, for one access.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::brand::Brand;
use crate::object::{IObject, Rootable};
use crate::visitor::Visitor;

/// A reference to an object of a space, valid for the access with brand `'gc`.
///
/// It is `Copy`, one word, and costs what a reference costs: the collector cannot finish a
/// collection while anybody has access, so no root and no count is needed for it. It cannot leave
/// its access; what must, becomes a [`GcRoot`](crate::GcRoot).
///
/// ```
/// use cspace_core::{Gc, Space};
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let text: Gc<'_, String> = cx.alloc("in the space".to_string());
///     assert_eq!(text.len(), 12);
///     assert!(Gc::ptr_eq(text, text));
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
///
/// `PartialEq` and `Hash` are by address: the identity of the object, not its content.
pub struct Gc<'gc, T> {
    object: NonNull<T>,
    brand: Brand<'gc>,
    reference: PhantomData<&'gc T>,
}

impl<T> Clone for Gc<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Gc<'_, T> {}

// SAFETY: a `Gc` gives `&T` and nothing else, so it is as shareable as `&T`.
unsafe impl<T: Sync> Send for Gc<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Gc<'_, T> {}

impl<'gc, T> Gc<'gc, T> {
    /// # Safety
    ///
    /// `address` is that of an object (H1) of type `T` that lives as long as the access `'gc`.
    #[inline(always)]
    pub(crate) unsafe fn from_address(address: *mut u8) -> Gc<'gc, T> {
        // SAFETY: an object's address is not null.
        let object = unsafe { NonNull::new_unchecked(address.cast()) };
        Gc { object, brand: PhantomData, reference: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn address(self) -> *const u8 {
        self.object.as_ptr().cast_const().cast()
    }

    /// The object, borrowed for the whole access rather than for this handle's lifetime.
    #[inline(always)]
    #[allow(clippy::should_implement_trait)]
    pub fn as_ref(self) -> &'gc T {
        // SAFETY: the object lives as long as the access (the collector condemns nothing while
        // anybody has access), and whatever changes in it sits in a slot or a cell.
        unsafe { self.object.as_ref() }
    }

    /// Whether two handles name one object.
    #[inline(always)]
    pub fn ptr_eq(a: Gc<'gc, T>, b: Gc<'gc, T>) -> bool {
        a.object == b.object
    }

    /// The address of the object, for hashing and for reports; it does not change while the object
    /// lives.
    #[inline(always)]
    pub fn addr(self) -> usize {
        self.object.as_ptr().addr()
    }
}

impl<T> Deref for Gc<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        self.as_ref()
    }
}

impl<T> PartialEq for Gc<'_, T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.object == other.object
    }
}
impl<T> Eq for Gc<'_, T> {}
impl<T> Hash for Gc<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.addr().hash(state);
    }
}

impl<T> fmt::Debug for Gc<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gc({:#x})", self.addr())
    }
}

#[doc(hidden)]
pub struct GcFamily<R>(PhantomData<fn(R) -> R>);
impl<R: Rootable> Rootable for GcFamily<R> {
    type At<'gc> = Gc<'gc, R::At<'gc>>;
}
// SAFETY: the one handle inside is visited.
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for Gc<'gc, T> {
    type R = GcFamily<T::R>;
    const MAY_CHANGE: bool = false;
    #[inline(always)]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        visitor.edge(*self);
    }
}

const _: () = assert!(size_of::<Option<Gc<'_, u64>>>() == size_of::<usize>());
