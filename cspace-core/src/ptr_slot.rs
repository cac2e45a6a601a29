//! Slots of a space: values that a library hangs on a space, found again through a key.
//!
//! A key is a `static` that draws a process-wide number when it first sets a slot. A space has a table of
//! values by number. The table belongs to the holder of the lock, and values go with the space, in its
//! last batch.
//!
//! - **X1 (type).** A number belongs to one key for ever, and a key to one type: the value at a key's
//!   number is of the key's type. (Each key draws a number when it needs one, numbers are not given out
//!   again, and keys are invariant in the type.)
//! - **X2 (borrowed).** The table is changed through `&mut Exclusive` only, and whoever reads it borrows
//!   a token for as long as the reference lives, directly or through a part of it. So nobody reads while
//!   it is changed, and no borrowed value is replaced.
//!
//! Keys are taken as `&'static`: a `const` in place of the `static`, which would be a new key in each
//! place that names it, does not compile, and the tables stay small.

use core::any::Any;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::OnceLock;

use crate::access::{Alloc, Exclusive, Shared};

/// A value in a slot. Any thread may read it that has access, and any may drop it.
pub(crate) type SlotValue = Box<dyn Any + Send + Sync>;

/// A key for a value that hangs on a space, of type `T` (ceda's `GetPtrSlotArray`).
///
/// For libraries that keep something for each space: tables of interned names, settings, counters. The key
/// is a `static`; each space has its own value for it, or none. Values are read in any access with
/// [`ptr_slot`](Shared::ptr_slot), and changed in exclusive ones with
/// [`set_ptr_slot`](Exclusive::set_ptr_slot) and [`take_ptr_slot`](Exclusive::take_ptr_slot). What is
/// changed while others read it has a lock or atomics of its own.
///
/// ```
/// use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use cspace_core::{PtrSlot, Space};
///
/// /// How often a space's cache was hit.
/// static HITS: PtrSlot<AtomicU64> = PtrSlot::new();
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| cx.set_ptr_slot(&HITS, AtomicU64::new(0)));
/// space.shared(|cx| cx.ptr_slot(&HITS).unwrap().fetch_add(1, Relaxed));
/// let hits = space.exclusive(|cx| cx.take_ptr_slot(&HITS));
/// assert_eq!(hits.unwrap().into_inner(), 1);
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
///
/// Slots are the space's, not its objects': they stay with their space when its objects go to another.
/// A value is no object: it holds no [`Gc`](crate::Gc), but may hold a [`GcRoot`](crate::GcRoot) or an
/// [`OwnedRoot`](crate::OwnedRoot), which keeps what it leads to alive for as long as the value is there. A
/// handle of its own space in a slot keeps the space alive for ever; use
/// [`WeakSpace`](crate::WeakSpace).
///
/// When the space goes, its objects are dropped first and then the values of its slots, in no particular
/// order, once each, where and when objects are: if the thread holds a space or runs a sweep, when it no
/// longer does. A drop that panics does not stop the others.
pub struct PtrSlot<T> {
    /// The key's number (X1), from the first use that sets a slot.
    index: OnceLock<usize>,
    /// Invariant: as a key of a supertype it would find values of another type.
    type_: PhantomData<fn(T) -> T>,
}

/// The next key's number.
static NEXT_INDEX: AtomicUsize = AtomicUsize::new(0);

impl<T: Any + Send + Sync> PtrSlot<T> {
    /// A key, for a `static`.
    pub const fn new() -> PtrSlot<T> {
        PtrSlot { index: OnceLock::new(), type_: PhantomData }
    }

    fn index(&self) -> usize {
        // ORDERING: numbers have to differ, nothing else.
        *self.index.get_or_init(|| NEXT_INDEX.fetch_add(1, Relaxed))
    }
}

impl<T: Any + Send + Sync> Default for PtrSlot<T> {
    fn default() -> Self {
        PtrSlot::new()
    }
}

impl<T> fmt::Debug for PtrSlot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PtrSlot").finish_non_exhaustive()
    }
}

/// The values of a space's slots, by their keys' numbers.
#[derive(Default)]
pub(crate) struct PtrSlots(UnsafeCell<Vec<Option<SlotValue>>>);

impl PtrSlots {
    /// # Safety
    ///
    /// For as long as the reference is used, a token of the space is borrowed (X2).
    #[inline]
    unsafe fn get<T: Any + Send + Sync>(&self, key: &PtrSlot<T>) -> Option<&T> {
        let index = *key.index.get()?;
        // SAFETY: whoever would write borrows the exclusive token mutably, so not now (X2).
        let value = unsafe { &*self.0.get() }.get(index)?.as_ref()?;
        Some(value.downcast_ref().expect(OF_ITS_TYPE))
    }

    /// # Safety
    ///
    /// The exclusive token of the space is borrowed mutably (X2).
    unsafe fn set<T: Any + Send + Sync>(&self, key: &PtrSlot<T>, value: T) -> Option<T> {
        let index = key.index();
        // SAFETY: whoever reads borrows a token, so not now (X2), and no user code runs below.
        let values = unsafe { &mut *self.0.get() };
        if values.len() <= index {
            values.resize_with(index + 1, || None);
        }
        values[index].replace(Box::new(value)).map(unboxed)
    }

    /// # Safety
    ///
    /// The exclusive token of the space is borrowed mutably (X2).
    unsafe fn take<T: Any + Send + Sync>(&self, key: &PtrSlot<T>) -> Option<T> {
        let index = *key.index.get()?;
        // SAFETY: as in `set`.
        let values = unsafe { &mut *self.0.get() };
        values.get_mut(index)?.take().map(unboxed)
    }

    /// Takes all values out: the space is gone.
    pub(crate) fn take_all(&mut self) -> Vec<SlotValue> {
        core::mem::take(self.0.get_mut()).into_iter().flatten().collect()
    }
}

/// What X1 promises.
const OF_ITS_TYPE: &str = "the value of a slot is of its key's type (X1)";

fn unboxed<T: Any>(value: SlotValue) -> T {
    *value.downcast().expect(OF_ITS_TYPE)
}

impl<'gc> Alloc<'gc> {
    /// The value that the space has for a key, if any (ceda's `GetPtrSlotArray`); see [`PtrSlot`].
    #[inline]
    pub fn ptr_slot<T: Any + Send + Sync>(&self, key: &'static PtrSlot<T>) -> Option<&T> {
        // SAFETY: the reference borrows this token.
        unsafe { self.inner().ptr_slots.get(key) }
    }
}

impl<'gc> Shared<'gc> {
    /// The value that the space has for a key, if any (ceda's `GetPtrSlotArray`); see [`PtrSlot`].
    #[inline]
    pub fn ptr_slot<T: Any + Send + Sync>(&self, key: &'static PtrSlot<T>) -> Option<&T> {
        // SAFETY: the reference borrows this token.
        unsafe { self.inner().ptr_slots.get(key) }
    }
}

impl<'gc> Exclusive<'gc> {
    /// Gives the space a value for a key, and returns the one before; see [`PtrSlot`].
    ///
    /// Takes the whole access, as nobody may be borrowing the value before. That one is the caller's now: if
    /// its drop wants the space, keep it until the access has ended.
    pub fn set_ptr_slot<T: Any + Send + Sync>(
        &mut self,
        key: &'static PtrSlot<T>,
        value: T,
    ) -> Option<T> {
        // SAFETY: the token is borrowed mutably.
        unsafe { self.inner().ptr_slots.set(key, value) }
    }

    /// Takes the value for a key away from the space, if there is one; see [`PtrSlot`].
    pub fn take_ptr_slot<T: Any + Send + Sync>(&mut self, key: &'static PtrSlot<T>) -> Option<T> {
        // SAFETY: the token is borrowed mutably.
        unsafe { self.inner().ptr_slots.take(key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Space;

    #[test]
    fn keys_have_numbers_of_their_own_also_when_threads_race_for_them() {
        static KEYS: [PtrSlot<u32>; 8] = [const { PtrSlot::new() }; 8];
        let seen: Vec<Vec<usize>> = std::thread::scope(|threads| {
            let all = || KEYS.iter().map(PtrSlot::index).collect();
            let running: Vec<_> = (0..4).map(|_| threads.spawn(all)).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(seen.iter().all(|indices| *indices == seen[0]), "{seen:?}");
        let mut indices = seen[0].clone();
        indices.sort_unstable();
        indices.dedup();
        assert_eq!(indices.len(), KEYS.len());
    }

    #[test]
    fn a_key_gets_its_number_when_it_sets_a_slot() {
        static READ: PtrSlot<u32> = PtrSlot::new();
        static SET: PtrSlot<u32> = PtrSlot::new();
        let space = Space::builder().build().unwrap();
        space.exclusive(|cx| {
            assert_eq!(cx.ptr_slot(&READ), None);
            assert_eq!(cx.take_ptr_slot(&READ), None);
            assert_eq!(READ.index.get(), None, "it needs no number yet");
            assert_eq!(cx.set_ptr_slot(&SET, 1), None);
        });
        let (mut table, mut other) = (PtrSlots::default(), PtrSlots::default());
        // SAFETY: nobody else knows the tables.
        unsafe {
            assert_eq!(table.set(&SET, 2), None);
            assert_eq!(table.get(&SET), Some(&2));
            assert_eq!(other.get(&SET), None);
        }
        assert_eq!((table.take_all().len(), other.take_all().len()), (1, 0));
        assert_eq!(space.shared(|cx| cx.ptr_slot(&SET).copied()), Some(1));
    }
}
