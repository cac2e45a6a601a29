//! What may live in a space: [`IObject`], and the family that names a type without its brand.

mod std_impls;

use crate::hooks::Hooks;
use crate::nesting::{drop_value, Depth, Drops};
use crate::type_info::TypesSeen;
use crate::visitor::Visitor;

/// A type whose values may live in a space (ceda's `IObject`).
///
/// Implement it with `#[derive(IObject)]`, which is safe: it visits every field, forbids `Drop`,
/// and takes care of the family. Wrap data that has nothing to do with the space as
/// [`Static`](crate::Static).
///
/// ```
/// use cspace_core::{IObject, Gc, GcCell, Slot};
///
/// #[derive(IObject)]
/// #[cspace(crate = cspace_core)]
/// struct Node<'gc> {
///     key: u64,
///     next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
///     tags: GcCell<'gc, Vec<String>>,
/// }
/// ```
///
/// There is no implementation for types that could change the graph behind the collector's back or
/// run code of yours next to dead objects: `Cell`, `RefCell`, `OnceLock`, `Mutex`, `Rc`, `Arc`,
/// `Cow`, function pointers, `Box<dyn Trait>`. Where such a thing is wholly `'static`, `Send` and
/// `Sync`, [`Static`](crate::Static) takes it.
///
/// # How deep may a value be?
///
/// A value may own others that own others in turn: a list of boxes, vectors in vectors. Wherever the collector walks
/// such a value there is no limit to its depth, and no stack that might overflow.
///
/// - *Visits* go by calls for a few levels, and leave what is deeper for later. So do measures of
///   [evictable](crate::Evictable) objects and [`verify`](crate::Space::verify). An implementation by hand of a type
///   that owns its content through a pointer of its own calls [`Visitor::visit_owned`] for the same.
/// - *Hooks* (`on_collect`) are called in the same way.
/// - *Drops* of dead objects and of [`OwnedRoot`](crate::OwnedRoot)s take values that are deep apart, where the types
///   between are derived or the standard library's. What is opaque to the space is dropped as everywhere else in
///   Rust, by calls to its full depth on the thread that drops it: what is in a [`Static`](crate::Static), in a skipped
///   field, in a type that implements this trait by hand, or in a [`PtrSlot`](crate::PtrSlot). The stack of the
///   collector's threads is that of a usual main thread, and a setting.
///
/// Should there be no memory left to note what was left for later, a visit gives the collection up with
/// [`CollectError::NoMemory`](crate::CollectError::NoMemory), and a drop leaks the rest and reports that as a panic.
///
/// # Safety
///
/// - `visit_objects` visits, with the visitor that it is given, every [`Gc`](crate::Gc) and every
///   other handle of the space that the value owns, each time it is called, until the value is
///   changed through a slot, a cell or a `&mut`.
/// - What it visits stays where it is until the collection ends: parts of the value, or what those own;
///   no value made for the visit.
/// - Dropping the value touches no object of the space.
/// - `R` is the value's own family: `R::At<'gc>` is `Self` for the brand `'gc`, and no other
///   lifetime is left out.
/// - `NEEDS_VISIT` is false only if `visit_objects` does nothing.
/// - `MAY_CHANGE` is false only if `visit_objects` shows the same handles each time for as long as the value is
///   in the space, and does nothing else: it reports no bytes, and visits no part that may change.
/// - `CHANGES_UNSEEN` is false only if the same is true of the value but for what its [`Slot`](crate::Slot)s hold.
/// - The hidden items are left alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a part of an object of a space",
    label = "not an `IObject<'gc>` for the brand of this type",
    note = "derive it with `#[derive(IObject)]`, wrap data that holds no `Gc` as `Static<…>`, \
            or mark the field `#[cspace(skip)]` if its type is `'static`",
    note = "for data that changes, use `Slot<'gc, T>` (Copy) or `GcCell<'gc, T>` instead of `Cell`, `RefCell`, `Mutex` or `OnceLock`"
)]
pub unsafe trait IObject<'gc>: Send + Sync + Sized {
    /// The type with its brand taken out; its `TypeId` is the identity of the object type.
    type R: Rootable<At<'gc> = Self>;

    /// Whether the collector has to look into values of this type. False only for leaves: no handle
    /// of the space inside, and no memory outside of the heap worth measuring.
    const NEEDS_VISIT: bool = true;

    /// Whether the handles that a value owns may change while it is in the space: through a slot, a cell, or
    /// otherwise. A minor collection looks again at old objects of types that may, and takes the others' word
    /// of the last time.
    const MAY_CHANGE: bool = true;

    /// Whether the handles that a value owns may change otherwise than through a [`Slot`](crate::Slot), which
    /// tells a collector that is at work. An incremental mark looks at objects of such types twice.
    const CHANGES_UNSEEN: bool = Self::MAY_CHANGE;

    /// The name shown in reports; empty means the one that the compiler gives.
    const NAME: &'static str = "";

    /// The names of the fields, in order of visit, for reports.
    const FIELDS: &'static [&'static str] = &[];

    /// Shows the visitor every handle that the value owns (ceda's `VisitObjects`).
    fn visit_objects(&self, visitor: &mut Visitor<'_>);

    #[doc(hidden)]
    const NEEDS_DROP: bool = core::mem::needs_drop::<Self>();

    /// Whether a value may have `on_collect` hooks, in itself or in its parts (`hooks.rs`).
    #[doc(hidden)]
    const HAS_HOOKS: bool = false;

    /// Calls the hooks of the value and of its parts.
    #[doc(hidden)]
    #[inline(always)]
    fn on_condemned(&mut self, hooks: &mut Hooks<'_>) {
        let _ = hooks;
    }

    /// Whether the drop of a value, or its hooks, may run code of the embedder's. False only if all that is dropped is known:
    /// handles, and what the standard library owns. Objects of which it is false are dropped by the sweep itself, on any
    /// thread; the others by whoever runs what remains of a batch.
    #[doc(hidden)]
    fn may_run_user_code(types: &mut TypesSeen) -> bool {
        let _ = types;
        Self::NEEDS_DROP || Self::HAS_HOOKS
    }

    /// Whether a value may own values that own values, to any depth (`nesting.rs`).
    #[doc(hidden)]
    const MAY_NEST: bool = false;

    /// Whether a value is more than so many owners deep.
    #[doc(hidden)]
    #[inline(always)]
    fn is_deeper_than(&self, depth: Depth) -> bool {
        let _ = depth;
        false
    }

    /// Drops the value part by part, so that its depth does not matter.
    ///
    /// # Safety
    ///
    /// As for [`drop_in_place`](core::ptr::drop_in_place).
    #[doc(hidden)]
    #[inline]
    unsafe fn drop_parts(this: *mut Self, drops: &mut Drops<'_>) {
        // SAFETY: the caller's promise.
        unsafe { drops.drop_part(this) };
    }

    /// Bytes of an element if the type has a tail of elements, else `None`.
    #[doc(hidden)]
    const TAIL: Option<usize> = None;

    /// Bytes of the value, elements of a tail included.
    ///
    /// # Safety
    ///
    /// `object` is the address of an initialised value of this type.
    #[doc(hidden)]
    unsafe fn bytes_at(object: *const u8) -> usize {
        let _ = object;
        size_of::<Self>()
    }

    /// # Safety
    ///
    /// `object` is the address of an initialised value of this type that nobody changes meanwhile.
    #[doc(hidden)]
    unsafe fn visit_at(object: *const u8, visitor: &mut Visitor<'_>) {
        // SAFETY: the caller's promise.
        unsafe { &*object.cast::<Self>() }.visit_objects(visitor);
    }

    /// # Safety
    ///
    /// `object` is the address of an initialised value of this type that nobody uses but to drop it.
    #[doc(hidden)]
    unsafe fn hooks_at(object: *mut u8, hooks: &mut Hooks<'_>) {
        // SAFETY: the caller's promise.
        unsafe { &mut *object.cast::<Self>() }.on_condemned(hooks);
    }

    /// # Safety
    ///
    /// `object` is the address of an initialised value of this type that nobody uses again.
    #[doc(hidden)]
    unsafe fn drop_at(object: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { drop_value(object.cast::<Self>()) };
    }
}

/// The family of an object type: the type constructor that a brand is given to.
///
/// Handles that outlive an access ([`GcRoot`](crate::GcRoot), [`OwnedRoot`](crate::OwnedRoot)) name
/// their type through it. `#[derive(IObject)]` makes the family; [`Rootable!`](macro@crate::Rootable)
/// names it: `GcRoot<Rootable![Node<'_>]>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the family of an object type",
    note = "name the family of an object type by `Rootable![…]`: `GcRoot<Rootable![Node<'_>]>`"
)]
pub trait Rootable: 'static {
    /// The type for one brand.
    type At<'gc>: IObject<'gc, R = Self> + 'gc;
}
