//! Roots: handles that keep objects alive between accesses, on any thread.
//!
//! A space's root table is a list of segments of entries whose addresses never change. Making a root takes the
//! table's mutex for a moment; cloning a handle, using it and dropping it take nothing. The collector copies the
//! segment list and reads the entries without the mutex: an entry that is released or used again meanwhile is read
//! as either, and both name objects that are alive until this cycle's finish.
//!
//! A handle is an entry and nothing else. The entry names the home of its object by number (`home.rs`), so a merge
//! moves the table and is done. A segment belongs to its table and to the handles in it, and goes with the last of
//! them; a table lets go of segments that have no handles in a cycle. The first segments are small, so that a space
//! that was merged leaves no more than its roots need.
//!
//! - **R1 (entry).** A live entry's `object` is an object of the space that its home number leads to (H1, M1).
//! - **R2 (late).** A root made while a cycle marks is also in `late`, which the finish drains, so
//!   that no root is missed.
//! - **R3 (free).** An entry without handles is used again by its table only. It is in `free` exactly if `object` is
//!   null, which the table's mutex guards as long as there is no handle.

use core::alloc::Layout;
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
use crate::home;
use crate::list::{try_collect, try_push};
use crate::object::{IObject, Rootable};
use crate::pile::Pile;
use crate::protocol::HandleCount;
use crate::space::SpaceInner;
use crate::sync::AtomicU64;
use crate::visitor::prefetch;

/// Entries of a table's first segment: a request has one root, mostly.
const SEGMENT_FIRST: usize = 1;
/// Entries of its second one, and how many times more each further one has, up to the most.
const SEGMENT_SECOND: usize = 7;
const SEGMENT_GROWTH: usize = 4;
const SEGMENT_MAX: usize = 64;
/// Once so many times as many roots were made as there are entries, entries without handles are looked for.
const SEARCH_AFTER: usize = 2;
/// A table lets go of segments without handles if they are one in so many.
const EMPTY_SHARE: usize = 4;

pub(crate) struct RootEntry {
    /// By the maker (under the table's mutex), before `count` says live. Null while the entry is free (R3).
    object: AtomicPtr<u8>,
    /// The number of the object's home, as far as it is known. By the maker, by whoever uses the handle, and by the
    /// collector.
    home: AtomicU64,
    count: HandleCount,
    segment: NonNull<Segment>,
}

/// The head of a segment. Its entries follow it in the same allocation.
struct Segment {
    /// The table, as long as it has the segment, and each entry that has handles.
    users: HandleCount,
    len: usize,
    /// Of the space that made it: told when an entry has no handles any more, if the entry's object is still that space's.
    changes: Arc<Changes>,
}

/// A segment by its head. Who has it is a user of it.
#[derive(Clone, Copy)]
struct SegmentRef(NonNull<Segment>);

impl SegmentRef {
    fn layout(len: usize) -> (Layout, usize) {
        let entries = Layout::array::<RootEntry>(len).expect("a segment is small");
        let (layout, at) = Layout::new::<Segment>().extend(entries).expect("a segment is small");
        (layout.pad_to_align(), at)
    }

    /// A segment of free entries, whose user is the caller.
    fn new(len: usize, changes: &Arc<Changes>) -> SegmentRef {
        let (layout, at) = SegmentRef::layout(len);
        // SAFETY: the layout is that of a head and some entries, so not empty; all of it is written before it is used.
        unsafe {
            let Some(memory) = NonNull::new(std::alloc::alloc(layout)) else {
                std::alloc::handle_alloc_error(layout)
            };
            let head = memory.cast::<Segment>();
            let users = HandleCount::new();
            users.begin();
            head.write(Segment { users, len, changes: Arc::clone(changes) });
            let entries = memory.add(at).cast::<RootEntry>();
            for i in 0..len {
                entries.add(i).write(RootEntry {
                    object: AtomicPtr::new(core::ptr::null_mut()),
                    home: AtomicU64::new(0),
                    count: HandleCount::new(),
                    segment: head,
                });
            }
            SegmentRef(head)
        }
    }

    /// # Safety
    ///
    /// The caller is a user of the segment, for as long as the reference is used.
    unsafe fn head<'a>(self) -> &'a Segment {
        // SAFETY: a segment is there as long as it has a user.
        unsafe { self.0.as_ref() }
    }

    /// The entries, one by one.
    ///
    /// # Safety
    ///
    /// As [`head`](SegmentRef::head), for as long as the iterator and the entries are used.
    unsafe fn entries(self) -> impl Iterator<Item = NonNull<RootEntry>> {
        // SAFETY: the caller's promise.
        let len = unsafe { self.head() }.len;
        let (_, at) = SegmentRef::layout(len);
        // SAFETY: the entries lie behind the head, in the same allocation.
        (0..len).map(move |i| unsafe { self.0.byte_add(at).cast::<RootEntry>().add(i) })
    }

    /// Whether no entry has handles.
    ///
    /// # Safety
    ///
    /// The caller is the table, or reads for it while it has the segment.
    unsafe fn is_empty(self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.head() }.users.is_last()
    }

    /// One user less; the last one frees the segment.
    ///
    /// # Safety
    ///
    /// The caller is a user, and is none afterwards.
    unsafe fn release(self) {
        // SAFETY: the caller's promise. Whoever is last comes after all others (P2), and frees what `new` allocated.
        unsafe {
            if self.head().users.release() {
                let (layout, _) = SegmentRef::layout(self.head().len);
                drop(core::ptr::read(&raw const (*self.0.as_ptr()).changes));
                std::alloc::dealloc(self.0.as_ptr().cast(), layout);
            }
        }
    }
}

pub(crate) struct RootTable {
    segments: Pile<SegmentRef>,
    free: Pile<NonNull<RootEntry>>,
    entry_count: usize,
    /// Roots made since entries without handles were looked for.
    made: usize,
    /// Whether a cycle is marking (R2).
    marking: bool,
    late: Vec<NonNull<RootEntry>>,
    /// Whether there was no memory to note a late one.
    has_unlisted_late: bool,
    /// Of the space that the table was made for: what its segments are made with.
    changes: Arc<Changes>,
}

// SAFETY: entries are shared structures of atomics; the table is a user of their memory.
unsafe impl Send for RootTable {}

impl RootTable {
    pub(crate) fn new(changes: &Arc<Changes>) -> RootTable {
        RootTable {
            segments: Pile::default(),
            free: Pile::default(),
            entry_count: 0,
            made: 0,
            marking: false,
            late: Vec::new(),
            has_unlisted_late: false,
            changes: Arc::clone(changes),
        }
    }

    /// A free entry; taken out of the list.
    fn take_free(&mut self) -> NonNull<RootEntry> {
        loop {
            if let Some(entry) = self.free.pop() {
                return entry;
            }
            let is_worth_it = self.made * SEARCH_AFTER >= self.entry_count;
            if is_worth_it && self.entry_count > SEGMENT_FIRST {
                self.search();
            }
            if self.free.is_empty() {
                self.grow();
            }
        }
    }

    fn grow(&mut self) {
        let len = match self.entry_count {
            0 => SEGMENT_FIRST,
            count => (count * (SEGMENT_GROWTH - 1)).clamp(SEGMENT_SECOND, SEGMENT_MAX),
        };
        let segment = SegmentRef::new(len, &self.changes);
        self.segments.push(segment);
        self.entry_count += len;
        // SAFETY: the table is a user of its segments.
        let mut entries: Vec<_> = unsafe { segment.entries() }.collect();
        entries.reverse();
        self.free.push_bundle(entries);
    }

    /// Looks for entries without handles.
    fn search(&mut self) {
        self.made = 0;
        for segment in self.segments.iter() {
            // SAFETY: the table is a user of its segments.
            for entry in unsafe { segment.entries() } {
                // SAFETY: as above.
                let at = unsafe { entry.as_ref() };
                if !at.count.is_live() && !at.object.load(Relaxed).is_null() {
                    at.object.store(core::ptr::null_mut(), Relaxed);
                    self.free.push(entry);
                }
            }
        }
    }

    fn insert(&mut self, object: *mut u8, home: u64) -> NonNull<RootEntry> {
        let entry = self.take_free();
        self.made += 1;
        // SAFETY: the table is a user of its segments.
        let at = unsafe { entry.as_ref() };
        at.object.store(object, Relaxed);
        at.home.store(home, Relaxed);
        // SAFETY: as above; the entry's handles are one user more.
        unsafe { at.segment.as_ref() }.users.acquire();
        at.count.begin();
        if self.marking && !try_push(&mut self.late, entry) {
            self.has_unlisted_late = true;
        }
        entry
    }

    /// Starts noting late roots (R2). Before the segment list is copied.
    pub(crate) fn begin_mark(&mut self) {
        self.marking = true;
        self.late.clear();
        self.has_unlisted_late = false;
    }

    /// Copies the segment list; none if there is no memory.
    pub(crate) fn snapshot(&self) -> Option<RootSnapshot> {
        try_collect(self.segments.iter().copied()).map(RootSnapshot)
    }

    /// The roots made since the last call; the caller holds the space exclusively, or calls again. None if there was
    /// no memory to note them: then any root may be one.
    pub(crate) fn take_late(&mut self) -> Option<LateRoots> {
        let late = core::mem::take(&mut self.late);
        (!core::mem::take(&mut self.has_unlisted_late)).then_some(LateRoots(late))
    }

    /// Stops noting late roots.
    pub(crate) fn end_mark(&mut self) {
        self.marking = false;
        self.late = Vec::new();
        self.has_unlisted_late = false;
    }

    /// How many entries have handles.
    pub(crate) fn live_count(&self) -> usize {
        // SAFETY: the table is a user of its segments.
        let entries = self.segments.iter().flat_map(|segment| unsafe { segment.entries() });
        // SAFETY: as above.
        entries.filter(|entry| unsafe { entry.as_ref() }.count.is_live()).count()
    }

    /// Whether there may be handles. Sure for a small table, where it does not cost much.
    pub(crate) fn may_have_handles(&self) -> bool {
        if self.entry_count > SEGMENT_MAX {
            return true;
        }
        // SAFETY: the table is a user of its segments.
        self.segments.iter().any(|segment| unsafe { !segment.is_empty() })
    }

    /// Lets go of segments without handles, all but one.
    ///
    /// The caller is the collector, or merges the space; nobody reads a snapshot.
    pub(crate) fn shrink(&mut self) {
        let mut kept = false;
        let mut gone = std::collections::HashSet::new();
        self.segments.retain(|segment| {
            // SAFETY: the table is a user of its segments. Only the table makes the first handle of an entry.
            if unsafe { !segment.is_empty() } || !core::mem::replace(&mut kept, true) {
                return true;
            }
            gone.insert(segment.0);
            // SAFETY: as above.
            self.entry_count -= unsafe { segment.head() }.len;
            false
        });
        // SAFETY: as above: the entries are there until the segments are let go of.
        let stays = |entry: &NonNull<RootEntry>| !gone.contains(&unsafe { entry.as_ref() }.segment);
        self.free.retain(stays);
        self.late.retain(stays);
        for segment in gone {
            // SAFETY: the table was a user, and has forgotten the segment and its entries.
            unsafe { SegmentRef(segment).release() };
        }
    }

    /// Makes room for what another table has, to take it over.
    pub(crate) fn prepare(&mut self, other: &mut RootTable) {
        self.segments.prepare(&mut other.segments);
        self.free.prepare(&mut other.free);
    }

    /// Takes over the entries of another space's table. No cycle of either marks.
    pub(crate) fn absorb(&mut self, other: &mut RootTable) {
        debug_assert!(!self.marking && !other.marking);
        self.segments.absorb(&mut other.segments);
        self.free.absorb(&mut other.free);
        self.entry_count += core::mem::take(&mut other.entry_count);
        self.made += core::mem::take(&mut other.made);
    }
}

impl Drop for RootTable {
    fn drop(&mut self) {
        for segment in self.segments.iter() {
            // SAFETY: the table is a user, and goes. Handles that are left keep their segment.
            unsafe { segment.release() };
        }
    }
}

impl RootEntry {
    fn live_object(&self) -> Option<*const u8> {
        self.count.is_live().then(|| self.object.load(Relaxed).cast_const())
    }
}

/// The segments of a root table, to be read without its mutex.
pub(crate) struct RootSnapshot(Vec<SegmentRef>);

impl RootSnapshot {
    /// Calls `f` for the object of every live entry.
    ///
    /// # Safety
    ///
    /// The table still has the segments.
    pub(crate) unsafe fn for_each(&self, mut f: impl FnMut(*const u8)) {
        // SAFETY: the caller's promise.
        unsafe { self.each_live(|_, object| f(object)) };
    }

    /// As [`for_each`](RootSnapshot::for_each), and has every handle name the home `home`. Whether so many segments have
    /// no handles that the table should [`shrink`](RootTable::shrink).
    ///
    /// # Safety
    ///
    /// As [`for_each`](RootSnapshot::for_each); the caller is the collector of the space whose home that is.
    pub(crate) unsafe fn for_each_at_home(&self, home: u64, mut f: impl FnMut(*const u8)) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            self.each_live(|entry, object| {
                if entry.home.load(Relaxed) != home {
                    entry.home.store(home, Relaxed);
                }
                f(object);
            });
            // What was just looked at is in the cache.
            let empty = self.0.iter().filter(|segment| segment.is_empty()).count();
            empty > 1 && empty * EMPTY_SHARE >= self.0.len()
        }
    }

    /// # Safety
    ///
    /// As [`for_each`](RootSnapshot::for_each).
    unsafe fn each_live(&self, mut f: impl FnMut(&RootEntry, *const u8)) {
        for (i, segment) in self.0.iter().enumerate() {
            if let Some(next) = self.0.get(i + AHEAD) {
                prefetch(next.0.as_ptr().cast());
            }
            // SAFETY: segments live as long as the table has them; entries are atomics.
            for entry in unsafe { segment.entries() } {
                // SAFETY: as above.
                let entry = unsafe { entry.as_ref() };
                if let Some(object) = entry.live_object() {
                    f(entry, object);
                }
            }
        }
    }
}

/// Roots made while a cycle marks, to be read without the table's mutex.
pub(crate) struct LateRoots(Vec<NonNull<RootEntry>>);

impl LateRoots {
    /// Calls `f` for the object of each that is still one; returns how many there were.
    ///
    /// # Safety
    ///
    /// The table still exists.
    pub(crate) unsafe fn for_each(&self, f: impl FnMut(*const u8)) -> usize {
        // SAFETY: entries live as long as the table; they are atomics.
        let objects = self.0.iter().filter_map(|entry| unsafe { entry.as_ref() }.live_object());
        objects.map(f).count()
    }
}

/// How far ahead in the list of segments memory is asked for.
const AHEAD: usize = 8;

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
    family: Family<R>,
}

// SAFETY: the handle is an entry of atomics, kept alive by its segment's count of users; the object is reached
// only with an access token, and objects are `Send` and `Sync`.
unsafe impl<R: Rootable> Send for GcRoot<R> {}
// SAFETY: as above.
unsafe impl<R: Rootable> Sync for GcRoot<R> {}

impl<R: Rootable> GcRoot<R> {
    /// Registers a root; the caller proves by its token that the object is alive now.
    ///
    /// # Safety
    ///
    /// The space's lock is held, in whatever mode.
    pub(crate) unsafe fn new<'gc, T: IObject<'gc, R = R>>(
        space: &SpaceInner,
        object: Gc<'gc, T>,
    ) -> GcRoot<R> {
        // SAFETY: the caller's promise.
        let home = unsafe { space.home() }.id();
        let entry = space.handles().roots.lock().insert(object.address().cast_mut(), home);
        GcRoot { entry, family: PhantomData }
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
        // SAFETY: the handle keeps its segment, and so the entry.
        let entry = unsafe { self.entry.as_ref() };
        if !home::is_same(&entry.home, cx.home_id()) {
            return Err(WrongSpace);
        }
        let object = entry.object.load(Relaxed);
        // SAFETY: by R1 and M1 the object is one of this space, alive as the handle is (P1); its type is
        // that of the family, which the handle is invariant in.
        Ok(unsafe { Gc::from_address(object) })
    }
}

impl<R: Rootable> Clone for GcRoot<R> {
    fn clone(&self) -> Self {
        // SAFETY: the handle keeps its segment, and so the entry.
        unsafe { self.entry.as_ref() }.count.acquire();
        GcRoot { entry: self.entry, family: PhantomData }
    }
}

impl<R: Rootable> Drop for GcRoot<R> {
    fn drop(&mut self) {
        // SAFETY: the handle keeps its segment, and so the entry.
        let entry = unsafe { self.entry.as_ref() };
        let segment = SegmentRef(entry.segment);
        if entry.count.release() {
            // The table may use the entry again by now; for an object of the same space then.
            // SAFETY: the entry's handles, of which this was the last, were one user, and are until the release.
            unsafe {
                home::note_dropped(&segment.head().changes, &entry.home);
                segment.release();
            }
        }
    }
}

impl<R: Rootable> fmt::Debug for GcRoot<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcRoot").finish_non_exhaustive()
    }
}
