//! Objects that end in a run of elements: a header and `len` elements in one allocation.
//!
//! ```text
//! base            len: usize | header: H | elements: E, E, …
//! ```
//!
//! A handle is the address of the base, also when there are no elements; data is reached from there,
//! with the handle's provenance. The elements begin where a `Tail` ends, its padding included: a `&Tail`
//! covers none of them.
//!
//! - **T1 (prefix).** The first `len` elements are initialised at every moment; `len` changes only
//!   while the object is made.

use core::marker::PhantomData;
use core::ops::Deref;

use crate::brand::Family;
use crate::gc::Gc;
use crate::hooks::Hooks;
use crate::nesting::{drop_value, drop_values};
use crate::object::{IObject, Rootable};
use crate::type_info::TypesSeen;
use crate::visitor::Visitor;

/// An object with a header `H` and a run of elements `E` behind it, in one allocation.
///
/// An instance with its fields, a string with its hash, a closure with its upvalues. Made by
/// `cx.alloc_tail(header, len, |i| element)`; dereferences to the header; the elements come from
/// [`elems`](Gc::elems). One word to refer to, whatever the length.
///
/// ```
/// use cspace_core::{NanBox, Slot, Space};
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let instance = cx.alloc_tail(7u32, 3, |i| Slot::new(NanBox::from_f64(i as f64)));
///     instance.elems()[1].set(cx, NanBox::TRUE);
///     assert_eq!(**instance, 7);
///     assert_eq!(instance.elems().len(), 3);
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[repr(C)]
pub struct Tail<H, E> {
    len: usize,
    header: H,
    elems: [E; 0],
}

/// A run of elements with no header: `Gc<'gc, Slice<E>>` is a thin slice.
pub type Slice<E> = Tail<(), E>;

impl<H, E> Tail<H, E> {
    /// Bytes of an object with `len` elements; `None` if that overflows.
    pub(crate) fn bytes(len: usize) -> Option<usize> {
        let bytes = size_of::<E>().checked_mul(len)?.checked_add(size_of::<Self>())?;
        (bytes <= isize::MAX as usize).then_some(bytes)
    }

    /// # Safety
    ///
    /// `base` has room for the header, is aligned for `Self`, and is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn write_header(base: *mut Self, header: H, len: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            (&raw mut (*base).len).write(len);
            (&raw mut (*base).header).write(header);
        }
    }

    /// # Safety
    ///
    /// `base` is that of a `Self` being made, by the caller, with at least `len` elements (T1).
    #[inline(always)]
    pub(crate) unsafe fn set_len(base: *mut Self, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { (&raw mut (*base).len).write(len) };
    }

    #[inline(always)]
    pub(crate) fn elements(base: *mut Self) -> *mut E {
        base.cast::<u8>().wrapping_add(size_of::<Self>()).cast()
    }

    /// How many elements there are.
    #[inline(always)]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl<H, E> Deref for Tail<H, E> {
    type Target = H;
    #[inline(always)]
    fn deref(&self) -> &H {
        &self.header
    }
}

impl<'gc, H, E> Gc<'gc, Tail<H, E>> {
    /// The elements.
    #[inline(always)]
    pub fn elems(self) -> &'gc [E] {
        let base = self.address().cast_mut().cast::<Tail<H, E>>();
        // SAFETY: by T1 the first `len` elements are initialised; they live as long as the object,
        // and the handle's provenance is the chunk's.
        unsafe { core::slice::from_raw_parts(Tail::elements(base), (*base).len) }
    }

    /// The header.
    #[inline(always)]
    pub fn header(self) -> &'gc H {
        &self.as_ref().header
    }
}

#[doc(hidden)]
pub struct TailFamily<R, S>(Family<R>, Family<S>);
impl<R: Rootable, S: Rootable> Rootable for TailFamily<R, S> {
    type At<'gc> = Tail<R::At<'gc>, S::At<'gc>>;
}
// SAFETY: `visit_at` visits the header and every element, `drop_at` drops them; a `Tail` exists only
// behind a `Gc`, so nothing else visits or drops one.
unsafe impl<'gc, H: IObject<'gc> + 'gc, E: IObject<'gc> + 'gc> IObject<'gc> for Tail<H, E> {
    type R = TailFamily<H::R, E::R>;
    const NEEDS_VISIT: bool = H::NEEDS_VISIT || E::NEEDS_VISIT;
    const MAY_CHANGE: bool = H::MAY_CHANGE || E::MAY_CHANGE;
    const CHANGES_UNSEEN: bool = H::CHANGES_UNSEEN || E::CHANGES_UNSEEN;
    const NAME: &'static str = H::NAME;
    const FIELDS: &'static [&'static str] = H::FIELDS;
    const NEEDS_DROP: bool = core::mem::needs_drop::<H>() || core::mem::needs_drop::<E>();
    const TAIL: Option<usize> = Some(size_of::<E>());

    fn may_run_user_code(types: &mut TypesSeen) -> bool {
        H::may_run_user_code(types) || E::may_run_user_code(types)
    }

    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        self.header.visit_objects(visitor);
    }

    unsafe fn bytes_at(object: *const u8) -> usize {
        // SAFETY: the caller's promise; the length does not change once the object is made.
        let len = unsafe { (*object.cast::<Self>()).len };
        Self::bytes(len).expect("checked when the object was made")
    }

    #[inline]
    unsafe fn visit_at(object: *const u8, visitor: &mut Visitor<'_>) {
        let base = object.cast_mut().cast::<Self>();
        // SAFETY: the caller's promise, T1 for the elements.
        unsafe {
            (*base).header.visit_objects(visitor);
            if E::NEEDS_VISIT {
                for element in core::slice::from_raw_parts(Tail::elements(base), (*base).len) {
                    element.visit_objects(visitor);
                    // Of those without size there may be any number, and none owns anything: one stands for all.
                    if size_of::<E>() == 0 {
                        break;
                    }
                }
            }
        }
    }

    const HAS_HOOKS: bool = H::HAS_HOOKS || E::HAS_HOOKS;

    unsafe fn hooks_at(object: *mut u8, hooks: &mut Hooks<'_>) {
        let base = object.cast::<Self>();
        // SAFETY: the caller's promise, T1 for the elements.
        unsafe {
            (*base).header.on_condemned(hooks);
            if E::HAS_HOOKS {
                let len = (*base).len;
                for element in core::slice::from_raw_parts_mut(Tail::elements(base), len) {
                    element.on_condemned(hooks);
                }
            }
        }
    }

    unsafe fn drop_at(object: *mut u8) {
        let base = object.cast::<Self>();
        // SAFETY: the caller's promise, T1 for the elements. The elements are dropped even if the
        // header's drop panics.
        unsafe {
            let elements = core::ptr::slice_from_raw_parts_mut(Tail::elements(base), (*base).len);
            struct DropElements<'gc, E: IObject<'gc>>(*mut [E], PhantomData<&'gc ()>);
            impl<'gc, E: IObject<'gc>> Drop for DropElements<'gc, E> {
                fn drop(&mut self) {
                    // SAFETY: the elements of the object that `drop_at` was given.
                    unsafe { drop_values(self.0) };
                }
            }
            let _elements = DropElements(elements, PhantomData);
            drop_value(&raw mut (*base).header);
        }
    }
}

/// The header of a [`Str`] object: nothing but the promise that the bytes are UTF-8.
pub struct Utf8(());

impl Rootable for Utf8 {
    type At<'gc> = Utf8;
}
// SAFETY: there is nothing inside.
unsafe impl<'gc> IObject<'gc> for Utf8 {
    type R = Utf8;
    const NEEDS_VISIT: bool = false;
    const MAY_CHANGE: bool = false;
    const NAME: &'static str = "str";
    #[inline(always)]
    fn visit_objects(&self, _: &mut Visitor<'_>) {}
}

impl Utf8 {
    pub(crate) const VALID: Utf8 = Utf8(());
}

/// Immutable text as an object: `Gc<'gc, Str>` is a thin `&str`. Made by `cx.alloc_str`.
///
/// ```
/// use cspace_core::Space;
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| assert_eq!(cx.alloc_str("naïve").as_str().len(), 6));
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
pub type Str = Tail<Utf8, u8>;

impl<'gc> Gc<'gc, Str> {
    /// The text.
    #[inline]
    pub fn as_str(self) -> &'gc str {
        // SAFETY: only `alloc_str` makes the header, with the bytes of a `str`.
        unsafe { core::str::from_utf8_unchecked(self.elems()) }
    }
}
