//! [`GcAny`]: a reference to an object of any type, in one word.

use core::any::TypeId;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::brand::Brand;
use crate::chunk::info_of;
use crate::gc::Gc;
use crate::object::{IObject, Rootable};
use crate::type_info::{TypeIndex, TypeInfo};
use crate::visitor::Visitor;

/// A reference to an object of any type, for one access: one word, no header in the object.
///
/// [`downcast`](GcAny::downcast) is two loads and a comparison; [`type_index`](GcAny::type_index)
/// gives a small number to `match` on.
///
/// ```
/// use cspace_core::{GcAny, Space};
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let any = GcAny::new(cx.alloc(7u64));
///     assert!(any.downcast::<String>().is_none());
///     assert_eq!(*any.downcast::<u64>().unwrap(), 7);
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GcAny<'gc> {
    object: NonNull<u8>,
    brand: Brand<'gc>,
}

// SAFETY: objects are `Send` and `Sync`, and the handle gives `&` to them only.
unsafe impl Send for GcAny<'_> {}
// SAFETY: as above.
unsafe impl Sync for GcAny<'_> {}

impl<'gc> GcAny<'gc> {
    /// The same object, its type forgotten.
    #[inline(always)]
    pub fn new<T: IObject<'gc>>(object: Gc<'gc, T>) -> GcAny<'gc> {
        // SAFETY: an object's address is not null and lives as long as `'gc`.
        unsafe { GcAny::from_address(object.address()) }
    }

    /// # Safety
    ///
    /// `address` is that of an object (H1) that lives as long as the access `'gc`.
    #[inline(always)]
    pub(crate) unsafe fn from_address(address: *const u8) -> GcAny<'gc> {
        // SAFETY: an object's address is not null.
        GcAny { object: unsafe { NonNull::new_unchecked(address.cast_mut()) }, brand: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn address(self) -> *const u8 {
        self.object.as_ptr()
    }

    /// What is known about the object's type.
    #[inline(always)]
    pub fn type_info(self) -> &'static TypeInfo {
        // SAFETY: an object's address (H1).
        unsafe { info_of(self.address()) }
    }

    /// The number of the object's type.
    #[inline(always)]
    pub fn type_index(self) -> TypeIndex {
        self.type_info().index()
    }

    /// Whether the object is a `T`.
    #[inline(always)]
    pub fn is<T: IObject<'gc>>(self) -> bool {
        self.type_info().type_id == TypeId::of::<T::R>()
    }

    /// The object as a `T`, if it is one.
    #[inline(always)]
    pub fn downcast<T: IObject<'gc>>(self) -> Option<Gc<'gc, T>> {
        // SAFETY: the object's type has the family of `T`, and its brand is `'gc`, so it is a `T`.
        self.is::<T>().then(|| unsafe { Gc::from_address(self.object.as_ptr()) })
    }

    /// Whether two handles name one object.
    #[inline(always)]
    pub fn ptr_eq(a: GcAny<'gc>, b: GcAny<'gc>) -> bool {
        a.object == b.object
    }

    /// The address of the object; it does not change while the object lives.
    #[inline(always)]
    pub fn addr(self) -> usize {
        self.object.addr().get()
    }
}

impl<'gc, T: IObject<'gc>> From<Gc<'gc, T>> for GcAny<'gc> {
    #[inline(always)]
    fn from(object: Gc<'gc, T>) -> Self {
        GcAny::new(object)
    }
}

impl fmt::Debug for GcAny<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GcAny({} {:#x})", self.type_info().name(), self.addr())
    }
}

#[doc(hidden)]
pub struct GcAnyFamily(());
impl Rootable for GcAnyFamily {
    type At<'gc> = GcAny<'gc>;
}
// SAFETY: the one handle inside is visited.
unsafe impl<'gc> IObject<'gc> for GcAny<'gc> {
    type R = GcAnyFamily;
    const MAY_CHANGE: bool = false;
    #[inline(always)]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        visitor.edge_any(self.address());
    }
}

const _: () = assert!(size_of::<Option<GcAny<'_>>>() == size_of::<usize>());
