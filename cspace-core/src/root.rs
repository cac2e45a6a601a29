//! Roots: handles that keep objects alive between accesses, on any thread.
//!
//! A space's root table is a list of segments of entries whose addresses never change. Making a
//! root and releasing its last handle take the table's mutex for a moment; cloning a handle and
//! using it take nothing. The collector copies the segment list and reads the entries without the
//! mutex: an entry that is released or used again meanwhile is read as either, and both name
//! objects that are alive until this cycle's finish.
//!
//! - **R1 (entry).** A live entry's `object` is an object of the space that the entry's home belongs to (H1,
//!   M1).
//! - **R2 (late).** A root made while a cycle marks is also in `late`, which the finish drains, so
//!   that no root is missed.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use std::sync::Arc;

use crate::access::Access;
use crate::brand::Family;
use crate::changes::Changes;
use crate::error::WrongSpace;
use crate::gc::Gc;
use crate::home::Home;
use crate::object::{IObject, Rootable};
use crate::protocol::HandleCount;

const SEGMENT_ENTRIES: usize = 64;

pub(crate) struct RootEntry {
    /// By the maker (under the table's mutex), before `count` says live.
    object: AtomicPtr<u8>,
    count: HandleCount,
}

pub(crate) struct RootTable {
    segments: Vec<NonNull<[RootEntry; SEGMENT_ENTRIES]>>,
    free: Vec<NonNull<RootEntry>>,
    /// Whether a cycle is marking (R2).
    marking: bool,
    late: Vec<NonNull<RootEntry>>,
    live_count: usize,
    /// Of the space that the roots belong to: told, under the table's mutex, when an entry is released.
    changes: Arc<Changes>,
}

// SAFETY: entries are shared structures of atomics; the table owns their memory.
unsafe impl Send for RootTable {}

impl RootTable {
    pub(crate) fn new(changes: &Arc<Changes>) -> RootTable {
        RootTable {
            segments: Vec::new(),
            free: Vec::new(),
            marking: false,
            late: Vec::new(),
            live_count: 0,
            changes: Arc::clone(changes),
        }
    }

    /// The roots belong to another space from now on.
    pub(crate) fn set_changes(&mut self, changes: &Arc<Changes>) {
        self.changes = Arc::clone(changes);
    }

    /// The last handle of an entry is gone. Returns what is to be woken when the mutex is free.
    fn release(&mut self, entry: NonNull<RootEntry>) -> Option<Arc<Changes>> {
        self.free.push(entry);
        self.live_count -= 1;
        // The mark reads the counts after it has had the mutex (P23).
        self.changes.note().then(|| Arc::clone(&self.changes))
    }

    fn grow(&mut self) {
        let segment = Box::new(core::array::from_fn(|_| RootEntry {
            object: AtomicPtr::new(core::ptr::null_mut()),
            count: HandleCount::new(),
        }));
        let segment: NonNull<[RootEntry; SEGMENT_ENTRIES]> = NonNull::from(Box::leak(segment));
        self.segments.push(segment);
        let first = segment.cast::<RootEntry>();
        // SAFETY: the entries of the segment.
        self.free.extend((0..SEGMENT_ENTRIES).rev().map(|i| unsafe { first.add(i) }));
    }

    fn insert(&mut self, object: *mut u8) -> NonNull<RootEntry> {
        if self.free.is_empty() {
            self.grow();
        }
        let entry = self.free.pop().expect("the table grew");
        // SAFETY: entries live as long as the table.
        let at = unsafe { entry.as_ref() };
        at.object.store(object, Relaxed);
        at.count.begin();
        self.live_count += 1;
        if self.marking {
            self.late.push(entry);
        }
        entry
    }

    /// Starts noting late roots and copies the segment list (R2).
    pub(crate) fn begin_mark(&mut self) -> RootSnapshot {
        self.marking = true;
        self.late.clear();
        self.snapshot()
    }

    /// Copies the segment list.
    pub(crate) fn snapshot(&self) -> RootSnapshot {
        RootSnapshot(self.segments.clone())
    }

    /// The roots made since the last call; the caller holds the space exclusively, or calls again.
    pub(crate) fn take_late(&mut self) -> Vec<*const u8> {
        let late = core::mem::take(&mut self.late);
        // SAFETY: entries live as long as the table, which the caller has locked.
        late.iter().filter_map(|entry| unsafe { entry.as_ref() }.live_object()).collect()
    }

    /// Stops noting late roots.
    pub(crate) fn end_mark(&mut self) {
        self.marking = false;
        self.late = Vec::new();
    }

    /// Root handles' entries in use.
    pub(crate) fn live_count(&self) -> usize {
        self.live_count
    }
}

impl Drop for RootTable {
    fn drop(&mut self) {
        for segment in self.segments.drain(..) {
            // SAFETY: made from a box in `grow`; every handle holds the home that owns the table,
            // so none is left.
            drop(unsafe { Box::from_raw(segment.as_ptr()) });
        }
    }
}

impl RootEntry {
    fn live_object(&self) -> Option<*const u8> {
        self.count.is_live().then(|| self.object.load(Relaxed).cast_const())
    }
}

/// The segments of a root table, to be read without its mutex.
pub(crate) struct RootSnapshot(Vec<NonNull<[RootEntry; SEGMENT_ENTRIES]>>);

impl RootSnapshot {
    /// Calls `f` for the object of every live entry.
    ///
    /// # Safety
    ///
    /// The table still exists.
    pub(crate) unsafe fn for_each(&self, mut f: impl FnMut(*const u8)) {
        for segment in &self.0 {
            // SAFETY: segments live as long as the table; entries are atomics.
            for entry in unsafe { segment.as_ref() } {
                if let Some(object) = entry.live_object() {
                    f(object);
                }
            }
        }
    }
}

/// A handle that keeps an object, and all that it reaches, alive (ceda's `gcroot`).
///
/// Made by `cx.root(gc)` in an access; `Send`, `Sync` and `Clone`; dropped anywhere, without the
/// lock. To use the object, enter its space and [`get`](GcRoot::get) it.
///
/// ```
/// use cspace_core::{Space, GcRoot};
///
/// let space = Space::builder().build()?;
/// let root: GcRoot<u64> = space.exclusive(|cx| cx.root(cx.alloc(7u64)));
/// let copy = root.clone();
/// drop(root);
/// assert_eq!(space.shared(|cx| *copy.get(cx)), 7);
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
///
/// A root held inside an object of the same space (which takes a [`Static`](crate::Static)) keeps
/// its target alive for as long as the space lives.
pub struct GcRoot<R: Rootable> {
    entry: NonNull<RootEntry>,
    home: NonNull<Home>,
    family: Family<R>,
}

// SAFETY: the handle is an entry of atomics, kept alive by the counted home; the object is reached
// only with an access token, and objects are `Send` and `Sync`.
unsafe impl<R: Rootable> Send for GcRoot<R> {}
// SAFETY: as above.
unsafe impl<R: Rootable> Sync for GcRoot<R> {}

impl<R: Rootable> GcRoot<R> {
    /// Registers a root; the caller proves by its token that the object is alive now.
    pub(crate) fn new<'gc, T: IObject<'gc, R = R>>(
        home: &Arc<Home>,
        object: Gc<'gc, T>,
    ) -> GcRoot<R> {
        let entry = home.roots.lock().insert(object.address().cast_mut());
        // The handle's own count of the home, given back in `drop`.
        let home = Arc::into_raw(Arc::clone(home)).cast_mut();
        // SAFETY: a pointer from an `Arc` is not null.
        let home = unsafe { NonNull::new_unchecked(home) };
        GcRoot { entry, home, family: PhantomData }
    }

    /// The object, in an access to its space.
    ///
    /// # Panics
    ///
    /// If the root belongs to another space; [`try_get`](GcRoot::try_get) returns that as an error.
    #[inline]
    #[track_caller]
    pub fn get<'gc>(&self, cx: &impl Access<'gc>) -> Gc<'gc, R::At<'gc>> {
        match self.try_get(cx) {
            Ok(object) => object,
            Err(error) => panic!("{error}"),
        }
    }

    /// The object, or an error if the root belongs to another space.
    #[inline]
    pub fn try_get<'gc>(&self, cx: &impl Access<'gc>) -> Result<Gc<'gc, R::At<'gc>>, WrongSpace> {
        // SAFETY: the handle keeps its home alive.
        if unsafe { self.home.as_ref() }.space_id() != cx.space_id() {
            return Err(WrongSpace);
        }
        // SAFETY: the handle keeps its home, and so the entry, alive.
        let object = unsafe { self.entry.as_ref() }.object.load(Relaxed);
        // SAFETY: by R1 and M1 the object is one of this space, alive as the handle is (P1); its type is
        // that of the family, which the handle is invariant in.
        Ok(unsafe { Gc::from_address(object) })
    }
}

impl<R: Rootable> Clone for GcRoot<R> {
    fn clone(&self) -> Self {
        // SAFETY: the handle keeps the entry alive.
        unsafe { self.entry.as_ref() }.count.acquire();
        // SAFETY: the address came from `Arc::into_raw`, and this handle holds a count.
        unsafe { Arc::increment_strong_count(self.home.as_ptr()) };
        GcRoot { entry: self.entry, home: self.home, family: PhantomData }
    }
}

impl<R: Rootable> Drop for GcRoot<R> {
    fn drop(&mut self) {
        // SAFETY: the address came from `Arc::into_raw`; this takes the handle's count back.
        let home = unsafe { Arc::from_raw(self.home.as_ptr()) };
        // SAFETY: the table lives in the home, which is counted until the end of this function.
        if unsafe { self.entry.as_ref() }.count.release() {
            let asleep = home.roots.lock().release(self.entry);
            if let Some(changes) = asleep {
                changes.wake();
            }
        }
    }
}

impl<R: Rootable> fmt::Debug for GcRoot<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcRoot").finish_non_exhaustive()
    }
}
