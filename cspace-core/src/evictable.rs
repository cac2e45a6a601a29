//! Evictable references: weak to the marker, kept by the space while it can afford to.
//!
//! An evictable reference is a handle on an *evict cell*, a small object that knows its target, how many bytes it
//! stands for, when it was touched last, and what was decided about it. Which ones a collection lets go of is in
//! `eviction.rs`.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::access::Access;
use crate::brand::Family;
use crate::error::WrongSpace;
use crate::eviction::CellRef;
use crate::gc::Gc;
use crate::heap::object_bytes;
use crate::object::{IObject, Rootable};
use crate::protocol::{Fate, Standing};
use crate::root::GcRoot;
use crate::space::SpaceInner;
use crate::visitor::Visitor;

/// The object behind an evictable reference.
pub(crate) struct EvictCell {
    /// Never changed. Not read once the fate is that of a cycle that condemned (E2).
    target: AtomicPtr<u8>,
    /// When it was touched last. Written by whoever touches, read by the collector.
    pub(crate) stamp: AtomicU64,
    pub(crate) fate: Fate,
    /// How many bytes it stands for. Written in any access, read by the collector.
    pub(crate) size: AtomicUsize,
}

const _: () = assert!(size_of::<EvictCell>() == 32);

impl Rootable for EvictCell {
    type At<'gc> = EvictCell;
}
// SAFETY: the target is deliberately not visited; before it is condemned, the cell's fate says so (E2).
unsafe impl<'gc> IObject<'gc> for EvictCell {
    type R = EvictCell;
    const NAME: &'static str = "evict cell";

    fn visit_objects(&self, _: &mut Visitor<'_>) {
        unreachable!("a cell exists only behind a `Gc`, and is visited by its address");
    }

    #[inline]
    unsafe fn visit_at(object: *const u8, visitor: &mut Visitor<'_>) {
        // SAFETY: the caller's promise: the address of a cell, which is an object.
        let cell = unsafe { CellRef::from_address(object) };
        if cell.fate.chosen_by() == 0 {
            visitor.note_evict_cell(cell);
        }
    }
}

impl EvictCell {
    fn new(target: *const u8, stamp: u64, size: usize) -> EvictCell {
        EvictCell {
            target: AtomicPtr::new(target.cast_mut()),
            stamp: AtomicU64::new(stamp),
            fate: Fate::new(),
            size: AtomicUsize::new(size),
        }
    }

    /// The address of the target, to be used as E1 and E2 allow.
    #[inline(always)]
    pub(crate) fn target(&self) -> *const u8 {
        self.target.load(Relaxed).cast_const()
    }

    /// Touches, and takes back what a collection that is under way decided; false if the target is gone.
    #[inline]
    fn touch<'gc>(cell: Gc<'gc, EvictCell>, cx: &impl Access<'gc>) -> bool {
        if cell.fate.chosen_by() != 0 && !EvictCell::rescue(cell, cx) {
            return false;
        }
        cell.stamp.store(cx.stamp(), Relaxed);
        true
    }

    #[cold]
    #[inline(never)]
    fn rescue<'gc>(cell: Gc<'gc, EvictCell>, cx: &impl Access<'gc>) -> bool {
        cx.eviction().verdicts.rescue(&cell.fate, CellRef::new(cell))
    }
}

/// What an object takes and what its type reports, in bytes.
///
/// # Safety
///
/// Nobody changes the object meanwhile.
pub(crate) unsafe fn measure<'gc, T: IObject<'gc>>(object: Gc<'gc, T>) -> usize {
    let address = object.address();
    // SAFETY: an object of type `T`; the caller keeps it from being changed.
    let own = object_bytes(unsafe { T::bytes_at(address) }, T::TAIL.is_some());
    if !T::NEEDS_VISIT {
        return own;
    }
    let mut visitor = Visitor::measuring();
    // SAFETY: as above.
    unsafe { T::visit_at(address, &mut visitor) };
    own.saturating_add(visitor.external_bytes())
}

/// A reference to an object that the space keeps while it can afford to: for what can be made again.
///
/// Made by `cx.evictable(gc)`. `Copy`; lives in objects and owned roots. A space lets go of the least recently
/// *touched* ones in a collection if all that are resident are more than its threshold; an object that something
/// else holds counts, and is not let go of. What the reference gives is safe for the access that it was got in,
/// whatever a collection decides meanwhile.
///
/// The references to an object, however many were made for it, are one entry, as large as the largest of them says and
/// touched when the last of them was; a collection lets go of all of them or none.
///
/// ```
/// use cspace_core::Space;
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let page = cx.alloc("from the disk".to_string());
///     let cached = cx.evictable(page);
///     assert_eq!(cached.get(cx).unwrap().as_str(), "from the disk");
///     cached.set_size_bytes(cx, 4096);
///     assert_eq!(cached.size_bytes(cx), 4096);
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
pub struct Evictable<'gc, T> {
    cell: Gc<'gc, EvictCell>,
    target: PhantomData<Gc<'gc, T>>,
}

impl<T> Clone for Evictable<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Evictable<'_, T> {}

impl<T> Evictable<'_, T> {
    /// The object for a new reference, to be allocated.
    pub(crate) fn cell<'gc>(target: Gc<'gc, T>, stamp: u64, size: usize) -> EvictCell {
        EvictCell::new(target.address(), stamp, size)
    }
}

impl<'gc, T: IObject<'gc>> Evictable<'gc, T> {
    /// The cell was made for an object of type `T`.
    pub(crate) fn new(cell: Gc<'gc, EvictCell>) -> Evictable<'gc, T> {
        Evictable { cell, target: PhantomData }
    }

    /// The object, unless it was let go of. Touches it. Under shared access no lock is taken and nothing is
    /// written that another thread reads.
    #[inline]
    pub fn get(self, cx: &impl Access<'gc>) -> Option<Gc<'gc, T>> {
        // SAFETY: the cell was made for an object of type `T`. It is kept, or was a moment ago (P14): the finish
        // that would condemn the object waits for the end of this access, which the token stands for.
        EvictCell::touch(self.cell, cx)
            .then(|| unsafe { Gc::from_address(self.cell.target().cast_mut()) })
    }

    /// The object, unless it was let go of. Does not touch it, and does not keep a collection that is under way
    /// from letting go of it when this access has ended.
    #[inline]
    pub fn peek(self, cx: &impl Access<'gc>) -> Option<Gc<'gc, T>> {
        // SAFETY: as in `get`.
        (!self.is_evicted(cx)).then(|| unsafe { Gc::from_address(self.cell.target().cast_mut()) })
    }

    /// Touches the object (ceda's `SetTouched`); false if it was let go of.
    #[inline]
    pub fn set_touched(self, cx: &impl Access<'gc>) -> bool {
        EvictCell::touch(self.cell, cx)
    }

    /// Whether the object was let go of.
    #[inline]
    pub fn is_evicted(self, cx: &impl Access<'gc>) -> bool {
        self.cell.fate.chosen_by() != 0
            && cx.eviction().verdicts.standing(&self.cell.fate) == Standing::Gone
    }

    /// When the object was touched last: a number to compare with those of other references, larger for later.
    /// Does not touch it.
    #[inline]
    pub fn last_touch(self, _: &impl Access<'gc>) -> u64 {
        self.cell.stamp.load(Relaxed)
    }

    /// How many bytes the reference stands for: what it was made with, or set to.
    pub fn size_bytes(self, _: &impl Access<'gc>) -> usize {
        self.cell.size.load(Relaxed)
    }

    /// Sets how many bytes the reference stands for, from the next collection on.
    pub fn set_size_bytes(self, cx: &impl Access<'gc>, bytes: usize) {
        self.cell.size.store(bytes, Relaxed);
        cx.note_eviction_change();
    }

    /// As [`set_size_bytes`](Evictable::set_size_bytes), under the name that ceda has for it.
    pub fn set_evictable_object_size_in_bytes(self, cx: &impl Access<'gc>, bytes: usize) {
        self.set_size_bytes(cx, bytes);
    }

    /// Touches the object and keeps it until the pin is dropped, unless it was let go of: it counts, and no
    /// collection lets go of it.
    pub fn pin(self, cx: &impl Access<'gc>) -> Option<EvictionPin<T::R>> {
        Some(EvictionPin { root: cx.root_of(self.get(cx)?) })
    }

    /// Whether two references are copies of one.
    pub fn ptr_eq(a: Evictable<'gc, T>, b: Evictable<'gc, T>) -> bool {
        Gc::ptr_eq(a.cell, b.cell)
    }
}

impl<T> core::fmt::Debug for Evictable<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Evictable({:#x})", self.cell.addr())
    }
}

#[doc(hidden)]
pub struct EvictableFamily<R>(PhantomData<fn(R) -> R>);
impl<R: Rootable> Rootable for EvictableFamily<R> {
    type At<'gc> = Evictable<'gc, R::At<'gc>>;
}
// SAFETY: the cell is visited; the target is not meant to be.
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for Evictable<'gc, T> {
    type R = EvictableFamily<T::R>;
    #[inline]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        visitor.edge(self.cell);
    }
}

/// An evictable reference from outside of the heap.
///
/// Made by `cx.evictable_root(gc)`; `Send`, `Sync` and `Clone`, like a [`GcRoot`]: for caches on other threads. It
/// keeps 32 bytes of the heap, which go with its last copy, and the object as an [`Evictable`] does.
///
/// ```
/// use cspace_core::Space;
///
/// let space = Space::builder().build()?;
/// let page = space.exclusive(|cx| cx.evictable_root(cx.alloc(5u64)));
/// let value = std::thread::scope(|threads| {
///     threads.spawn(|| space.shared(|cx| page.get(cx).map(|page| *page))).join().unwrap()
/// });
/// assert_eq!(value, Some(5));
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
pub struct EvictableRoot<R: Rootable> {
    cell: GcRoot<EvictCell>,
    family: Family<R>,
}

impl<R: Rootable> EvictableRoot<R> {
    /// # Safety
    ///
    /// As [`GcRoot::new`].
    pub(crate) unsafe fn new<'gc, T: IObject<'gc, R = R>>(
        space: &SpaceInner,
        evictable: Evictable<'gc, T>,
    ) -> EvictableRoot<R> {
        // SAFETY: the caller's promise.
        EvictableRoot { cell: unsafe { GcRoot::new(space, evictable.cell) }, family: PhantomData }
    }

    /// The reference in the form in which objects hold one; what one does with it is there.
    ///
    /// # Panics
    ///
    /// If the reference belongs to another space; [`try_evictable`](EvictableRoot::try_evictable) returns that as
    /// an error.
    #[inline]
    #[track_caller]
    pub fn evictable<'gc>(&self, cx: &impl Access<'gc>) -> Evictable<'gc, R::At<'gc>> {
        match self.try_evictable(cx) {
            Ok(evictable) => evictable,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`evictable`](EvictableRoot::evictable), or an error if the reference belongs to another space.
    #[inline]
    pub fn try_evictable<'gc>(
        &self,
        cx: &impl Access<'gc>,
    ) -> Result<Evictable<'gc, R::At<'gc>>, WrongSpace> {
        // The cell was made for an object of the family, in which the handle is invariant.
        Ok(Evictable::new(self.cell.try_get(cx)?))
    }

    /// As [`Evictable::get`].
    ///
    /// # Panics
    ///
    /// If the reference belongs to another space.
    #[inline]
    #[track_caller]
    pub fn get<'gc>(&self, cx: &impl Access<'gc>) -> Option<Gc<'gc, R::At<'gc>>> {
        self.evictable(cx).get(cx)
    }

    /// As [`Evictable::peek`].
    ///
    /// # Panics
    ///
    /// If the reference belongs to another space.
    #[inline]
    #[track_caller]
    pub fn peek<'gc>(&self, cx: &impl Access<'gc>) -> Option<Gc<'gc, R::At<'gc>>> {
        self.evictable(cx).peek(cx)
    }

    /// As [`Evictable::set_touched`].
    ///
    /// # Panics
    ///
    /// If the reference belongs to another space.
    #[track_caller]
    pub fn set_touched<'gc>(&self, cx: &impl Access<'gc>) -> bool {
        self.evictable(cx).set_touched(cx)
    }

    /// As [`Evictable::is_evicted`].
    ///
    /// # Panics
    ///
    /// If the reference belongs to another space.
    #[track_caller]
    pub fn is_evicted<'gc>(&self, cx: &impl Access<'gc>) -> bool {
        self.evictable(cx).is_evicted(cx)
    }

    /// As [`Evictable::pin`].
    ///
    /// # Panics
    ///
    /// If the reference belongs to another space.
    #[track_caller]
    pub fn pin<'gc>(&self, cx: &impl Access<'gc>) -> Option<EvictionPin<R>> {
        Some(EvictionPin { root: cx.root_of(self.get(cx)?) })
    }
}

impl<R: Rootable> Clone for EvictableRoot<R> {
    fn clone(&self) -> Self {
        EvictableRoot { cell: self.cell.clone(), family: PhantomData }
    }
}

impl<R: Rootable> core::fmt::Debug for EvictableRoot<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EvictableRoot").finish_non_exhaustive()
    }
}

/// Keeps an evictable object from being let go of until it is dropped. From [`Evictable::pin`].
///
/// `Send`, `Sync` and `Clone`; outlives the access.
///
/// ```
/// use cspace_core::Space;
///
/// let space = Space::builder().build()?;
/// let pin = space.exclusive(|cx| cx.evictable(cx.alloc(5u64)).pin(cx).unwrap());
/// assert_eq!(space.shared(|cx| *pin.get(cx)), 5);
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[must_use = "dropping it unpins"]
pub struct EvictionPin<R: Rootable> {
    root: GcRoot<R>,
}

impl<R: Rootable> EvictionPin<R> {
    /// The object. Does not touch it.
    ///
    /// # Panics
    ///
    /// If the pin belongs to another space.
    #[inline]
    #[track_caller]
    pub fn get<'gc>(&self, cx: &impl Access<'gc>) -> Gc<'gc, R::At<'gc>> {
        self.root.get(cx)
    }
}

impl<R: Rootable> Clone for EvictionPin<R> {
    fn clone(&self) -> Self {
        EvictionPin { root: self.root.clone() }
    }
}

impl<R: Rootable> core::fmt::Debug for EvictionPin<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EvictionPin").finish_non_exhaustive()
    }
}
