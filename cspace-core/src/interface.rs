//! [`GcDyn`]: a reference to an object through a trait.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::any::GcAny;
use crate::brand::Brand;
use crate::gc::Gc;
use crate::object::{IObject, Rootable};
use crate::visitor::Visitor;

/// The family of a trait object type: `dyn Trait + 'gc` for every brand. Made by
/// [`interface!`](crate::interface).
///
/// An interface is named by its family and never yields a trait object that outlives the brand: with
/// `dyn Trait + 'static` a downcast could launder the brand away.
pub trait Interface: 'static {
    /// The trait object type for one brand.
    type At<'gc>: ?Sized + 'gc;
}

/// A reference to an object through a trait (ceda's interface pointer): two words.
///
/// Made from a `Gc` by [`unsize!`](crate::unsize) and dereferences to `dyn Trait`.
///
/// ```
/// use cspace_core::{interface, unsize, GcDyn, IObject, Space};
///
/// trait Shape {
///     fn area(&self) -> f64;
/// }
/// interface! { struct DynShape = dyn Shape; }
///
/// #[derive(IObject)]
/// #[cspace(crate = cspace_core)]
/// struct Square(f64);
/// impl Shape for Square {
///     fn area(&self) -> f64 {
///         self.0 * self.0
///     }
/// }
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let square = cx.alloc(Square(3.0));
///     let shape: GcDyn<'_, DynShape> = unsize!(square => DynShape);
///     assert_eq!(shape.area(), 9.0);
///     assert!(shape.as_any().is::<Square>());
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
pub struct GcDyn<'gc, I: Interface> {
    object: NonNull<I::At<'gc>>,
    brand: Brand<'gc>,
}

impl<I: Interface> Clone for GcDyn<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<I: Interface> Copy for GcDyn<'_, I> {}

// SAFETY: the object behind is one of a space, `Send` and `Sync` by `IObject`; only `&` is given.
unsafe impl<I: Interface> Send for GcDyn<'_, I> {}
// SAFETY: as above.
unsafe impl<I: Interface> Sync for GcDyn<'_, I> {}

impl<'gc, I: Interface> GcDyn<'gc, I> {
    /// The object behind `object` as `upcast` shows it. Use [`unsize!`](crate::unsize).
    ///
    /// Pointers, not references, go through `upcast`: what it gives keeps the chunk's provenance (H1), and
    /// cannot be something borrowed from inside the object, which would be seen in later accesses.
    ///
    /// # Safety
    ///
    /// `upcast` returns its argument, unsized.
    #[doc(hidden)]
    #[inline]
    pub unsafe fn new_unchecked<T: IObject<'gc>>(
        object: Gc<'gc, T>,
        upcast: fn(*const T) -> *const I::At<'gc>,
    ) -> Self {
        let seen = upcast(object.address().cast());
        // SAFETY: an object's address is not null.
        GcDyn { object: unsafe { NonNull::new_unchecked(seen.cast_mut()) }, brand: PhantomData }
    }

    /// The object, its type and its trait forgotten.
    #[inline]
    pub fn as_any(self) -> GcAny<'gc> {
        let seen = self.object.as_ptr().cast_const().cast::<u8>();
        // SAFETY: the address is the object's, by the promise given to `new_unchecked`.
        unsafe { GcAny::from_address(seen) }
    }

    /// The object, borrowed for the whole access.
    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn as_ref(self) -> &'gc I::At<'gc> {
        // SAFETY: the object behind, which implements the trait for every brand, lives as long as the
        // access; `&` to it needs no token.
        unsafe { self.object.as_ref() }
    }
}

impl<'gc, I: Interface> Deref for GcDyn<'gc, I> {
    type Target = I::At<'gc>;
    #[inline]
    fn deref(&self) -> &I::At<'gc> {
        self.as_ref()
    }
}

impl<I: Interface> fmt::Debug for GcDyn<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GcDyn({:?})", self.as_any())
    }
}

#[doc(hidden)]
pub struct GcDynFamily<I>(PhantomData<fn(I) -> I>);
impl<I: Interface> Rootable for GcDynFamily<I> {
    type At<'gc> = GcDyn<'gc, I>;
}
// SAFETY: the one handle inside is visited, by its base address.
unsafe impl<'gc, I: Interface> IObject<'gc> for GcDyn<'gc, I> {
    type R = GcDynFamily<I>;
    const MAY_CHANGE: bool = false;
    #[inline]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        visitor.edge_any(self.as_any().address());
    }
}

/// Declares the family of a trait object type, for [`GcDyn`]:
/// `interface! { pub struct DynShape = dyn Shape; }`.
#[macro_export]
macro_rules! interface {
    ($(#[$attribute:meta])* $visibility:vis struct $name:ident = dyn $trait:path;) => {
        $(#[$attribute])*
        $visibility struct $name;
        impl $crate::Interface for $name {
            type At<'gc> = dyn $trait + 'gc;
        }
    };
}

/// Turns a `Gc<'gc, T>` into a [`GcDyn`] of an interface that `T` implements:
/// `unsize!(gc => DynShape)`.
#[macro_export]
macro_rules! unsize {
    ($object:expr => $interface:ty) => {
        // The expression is evaluated outside of the unsafe block: what is unsafe in it is the caller's to
        // vouch for.
        match $object {
            // SAFETY: the function does nothing but unsize.
            object => unsafe {
                $crate::GcDyn::<'_, $interface>::new_unchecked(object, |object| object)
            },
        }
    };
}
