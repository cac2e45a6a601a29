//! Eviction: which evictable objects a collection lets go of, and what becomes of them.
//!
//! The marker visits an evictable reference's cell, but not its target. When everything that roots reach is
//! marked, the collector has a list of the cells that it came by. Those whose target is marked are held by
//! something else: they count, and stay. Of the others an [`EvictionPolicy`] chooses *victims*; the rest is kept,
//! which is to say marked, with all that it reaches. That may show cells that nobody saw before, so it goes in
//! waves:
//!
//! ```text
//! strong mark ─> cells ─> policy ─> mark the kept ─> new cells? ─ no ─> the victims' callback wants them whole:
//!                  ▲                                    │               mark them too
//!                  └── of the new and the kept alike ───┘ yes
//! ```
//!
//! A kept one that a later wave chooses after all has lost its reference, though its object, marked by then, stays
//! until the next collection; and so does a victim that a kept object refers to. After [`WAVES`] waves, what is
//! still to be found is found all together and chosen from once, so that the cost is linear in the number of
//! cells however they are nested.
//!
//! Readers go on meanwhile: `protocol/fate.rs` is how they learn of a choice and take it back.
//!
//! Victims that a callback wants stay, with all that they reach, until they were delivered. What only they reach
//! counts for nothing, as it would if they were gone; the next cycle, which a delivery asks for, frees it. Who delivers:
//! the collecting thread when its cycle is over; what it could not, as it did not get the lock, the space's driver
//! tries again, and where there is none whoever comes to a safepoint does it.
//!
//! - **E1 (held).** When a finish condemns, the target of every marked cell whose fate is 0 is marked.
//! - **E2 (let go).** The target of a cell whose fate is that of a cycle that condemned is not read again, but by
//!   the delivery of that cycle's victims, which holds them as roots.
//! - **E3 (own).** A cell in a space's list of victims to deliver is marked, with its target, by every cycle of
//!   that space, or is taken out because it was rescued.

use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};
use std::collections::hash_map::Entry as MapEntry;
use std::collections::HashMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::access::Exclusive;
use crate::any::GcAny;
use crate::batch::{panic_message, Batch};
use crate::chunk::{is_marked, mark_address};
use crate::collector::{LockWait, WeakCollectorHandle, SLICE_MAX};
use crate::ephemeron::{Address, AddressMap};
use crate::event::Event;
use crate::evictable::EvictCell;
use crate::gc::Gc;
use crate::held;
use crate::list::{has_room, has_room_in_map};
use crate::protocol::Verdicts;
use crate::space::lock::{Hold, Service};
use crate::space::{drop_guarded, Space, SpaceInner, Wait};
use crate::stamp::Floor;
use crate::visitor::{prefetch, Visitor};

/// How often victims are chosen in one collection at most.
pub(crate) const WAVES: usize = 8;
/// How far ahead in the list of cells memory is asked for.
const AHEAD: usize = 16;
/// Victims whose callback is called in one access.
const DELIVERED_MAX: usize = 64;
/// How many cycles in a row a delivery asks for, each to free what the one before delivered. A callback that makes
/// everything evictable again would have them go on for ever.
const FOLLOW_UPS_MAX: usize = 2;

/// A number of evictable references, and the bytes that they stand for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// How many there are.
    pub count: usize,
    /// Their sizes together, in bytes; `usize::MAX` if it is more than that.
    pub bytes: usize,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Tally) -> Tally {
        Tally {
            count: self.count.saturating_add(other.count),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// The evictable references that a collection has found so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Residents {
    /// Those whose object is held by something else too: they count, but cannot be let go of.
    pub strong: Tally,
    /// Those whose object only they hold: the candidates.
    pub candidates: Tally,
    /// Those that this collection let go of.
    pub evicted: Tally,
    /// Bytes of the largest allocation that failed at the heap's limit since the last collection.
    pub lacking: usize,
}

impl Residents {
    /// What is resident: strong ones and candidates.
    pub fn resident(&self) -> Tally {
        self.strong.plus(self.candidates)
    }
}

/// An evictable reference that a collection may let go of. Ordered by touches, the least recent first.
///
/// A policy reorders those that it is given. It cannot make one, and what it returns is checked.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Candidate {
    stamp: u64,
    /// In which order the collection came by it, and where in its list it is.
    index: usize,
    size_bytes: usize,
}

impl Candidate {
    /// When it was touched: later is larger.
    #[inline]
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    /// How many bytes it stands for.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

/// Chooses which evictable objects collections let go of.
///
/// Implemented by `cspace-evict`; given to the space by
/// [`Builder::eviction_policy`](crate::Builder::eviction_policy). Without one everything is kept.
///
/// `is_over` and `choose` are called on the collecting thread while it holds the space, so they must be quick and
/// must not wait for anything. If one panics, nothing more is let go of in that wave, and an
/// [event](Event::EvictionPanicked) tells. A count that is too large, or an order that makes no sense, does no
/// harm but to the choice.
pub trait EvictionPolicy: Send + Sync {
    /// Whether something is to be let go of. Asked in every collection once at least; `choose` is not called, and
    /// its candidates not listed, if not.
    fn is_over(&self, residents: &Residents) -> bool;

    /// Moves the candidates to let go of to the front; returns how many these are.
    fn choose(&self, residents: &Residents, candidates: &mut [Candidate]) -> usize;

    /// A collection has condemned. Called when the lock is released, before the objects are reclaimed; to collect
    /// here is an error, as it is in a drop.
    fn note(&self, residents: &Residents) {
        let _ = residents;
    }

    /// Whether [`on_evict`](EvictionPolicy::on_evict) wants to see victims. They stay until it has, then, and go in a
    /// collection that comes of that.
    fn wants_victims(&self) -> bool {
        false
    }

    /// A space was built that asks this policy. `notice` tells it when what the policy goes by has changed.
    fn attach(&self, notice: EvictionNotice) {
        let _ = notice;
    }

    /// A victim, whole, in an ordinary access, after the collection that cleared its references. Where a thread runs
    /// the space's collections, on that thread, but for explicit ones.
    fn on_evict<'gc>(&self, cx: &mut Exclusive<'gc>, object: GcAny<'gc>) {
        let _ = (cx, object);
    }
}

/// Tells a space that its policy would choose otherwise now: that a threshold was lowered, say. Given to
/// [`EvictionPolicy::attach`]. It does not keep the space alive.
#[derive(Clone)]
pub struct EvictionNotice(WeakCollectorHandle);

impl EvictionNotice {
    pub(crate) fn new(space: WeakCollectorHandle) -> EvictionNotice {
        EvictionNotice(space)
    }

    /// Whether the space is gone.
    pub fn is_stale(&self) -> bool {
        !self.0.is_there()
    }

    /// Tells the space, on any thread, inside of accesses too.
    pub fn tell(&self) {
        // As where a charge tells: this handle may be the last one, and the caller may have locks that drops want.
        let _sweeping = held::Sweeping::begin();
        if let Some(space) = self.0.upgrade_now() {
            space.inner.note_eviction_change();
        }
    }
}

impl core::fmt::Debug for EvictionNotice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("EvictionNotice")
    }
}

/// A cell in a list of the space, by its address as an object: one goes from it to the chunk's header (H1), which a
/// pointer that was made from a `&EvictCell` does not lead to. Whoever has one may look at the cell: what keeps it
/// there, and for how long, is a matter of the list that it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellRef(NonNull<EvictCell>);

// SAFETY: a cell is made of atomics; who may look at it is a matter of the list that it is in.
unsafe impl Send for CellRef {}

impl CellRef {
    pub(crate) fn new(cell: Gc<'_, EvictCell>) -> CellRef {
        // SAFETY: an object's address; its access is going on.
        unsafe { CellRef::from_address(cell.address()) }
    }

    /// # Safety
    ///
    /// `address` is that of a cell (H1), which stays for as long as the result and its copies are used.
    #[inline(always)]
    pub(crate) unsafe fn from_address(address: *const u8) -> CellRef {
        // SAFETY: an object's address is not null.
        CellRef(unsafe { NonNull::new_unchecked(address.cast_mut().cast()) })
    }

    #[inline(always)]
    fn address(self) -> *const u8 {
        self.0.as_ptr().cast_const().cast()
    }
}

impl Deref for CellRef {
    type Target = EvictCell;
    #[inline(always)]
    fn deref(&self) -> &EvictCell {
        // SAFETY: the promise given to `from_address`.
        unsafe { self.0.as_ref() }
    }
}

/// Victims of one cycle whose callback was not called yet.
struct Evicted {
    number: u64,
    policy: Arc<dyn EvictionPolicy>,
    cells: Vec<CellRef>,
}

/// What a space knows of its evictable objects between collections.
pub struct Eviction {
    pub(crate) floor: Floor,
    pub(crate) verdicts: Verdicts<CellRef>,
    /// By the collector, and by the holder of the exclusive lock.
    evicted: Mutex<Vec<Evicted>>,
    /// Whether there are any; written under the mutex.
    has_evicted: AtomicBool,
    /// Whether some were delivered that no cycle had the chance to free. Set by whoever delivers, with the lock held
    /// exclusively; taken by the collector, which holds it too.
    has_delivered: AtomicBool,
    /// Whether a delivery asked for a cycle that has not begun.
    is_follow_up_due: AtomicBool,
    /// How many cycles in a row deliveries asked for. The collector's.
    follow_up_count: AtomicUsize,
    /// Whether anything that choices go by has changed since the last one. Whoever changes it writes first and raises
    /// this then; a cycle lowers it and looks then. Each by a swap, so that of two the second sees what the first did.
    has_changed: AtomicBool,
    /// What the policy's panics said, until it is told.
    panics: Mutex<Vec<String>>,
}

impl Default for Eviction {
    fn default() -> Self {
        Eviction {
            floor: Floor::default(),
            verdicts: Verdicts::new(),
            evicted: Mutex::default(),
            has_evicted: AtomicBool::new(false),
            has_delivered: AtomicBool::new(false),
            is_follow_up_due: AtomicBool::new(false),
            follow_up_count: AtomicUsize::new(0),
            has_changed: AtomicBool::new(false),
            panics: Mutex::default(),
        }
    }
}

impl Eviction {
    /// Whether there are victims to deliver.
    pub(crate) fn has_evicted(&self) -> bool {
        self.has_evicted.load(Relaxed)
    }

    /// Whether anything that choices go by has changed since the last one.
    #[inline(always)]
    pub(crate) fn has_changed(&self) -> bool {
        self.has_changed.load(Relaxed)
    }

    /// Whether there are objects that were delivered and not freed since.
    pub(crate) fn has_delivered(&self) -> bool {
        self.has_delivered.load(Relaxed)
    }

    /// Whether the next cycle must find out what is reachable, by a full mark at once: for its choice, or to free old
    /// objects that nothing but their delivery kept.
    pub(crate) fn wants_full_mark(&self) -> bool {
        self.has_changed() || self.has_delivered()
    }

    /// Something has: a size, a setting of the policy, which references there are.
    pub(crate) fn note_change(&self) {
        self.has_changed.swap(true, AcqRel);
    }

    /// A choice begins, which sees all that was changed until now; whether anything was.
    fn take_change(&self) -> bool {
        self.has_changed.swap(false, AcqRel)
    }

    /// Makes room for what another space has to deliver, to take it over.
    pub(crate) fn prepare(&self, other: &Eviction) {
        let count = other.evicted.lock().len();
        self.evicted.lock().reserve(count);
    }

    /// Takes over what another space has to deliver. The caller holds both exclusively.
    pub(crate) fn absorb(&self, other: &Eviction) {
        self.note_change();
        self.floor.raise_to(&other.floor);
        let delivered = other.has_delivered.swap(false, Relaxed);
        self.has_delivered.fetch_or(delivered, Relaxed);
        let mut moving = core::mem::take(&mut *other.evicted.lock());
        other.has_evicted.store(false, Relaxed);
        let mut evicted = self.evicted.lock();
        evicted.append(&mut moving);
        self.note_evicted(&evicted);
    }

    /// The list has changed, which the caller has locked.
    fn note_evicted(&self, evicted: &[Evicted]) {
        let any = evicted.iter().any(|of_cycle| !of_cycle.cells.is_empty());
        self.has_evicted.store(any, Relaxed);
    }

    /// Shows a marker the victims that are to be delivered (E3).
    ///
    /// # Safety
    ///
    /// By the collector of the space, in its mark.
    pub(crate) unsafe fn mark_evicted(&self, visitor: &mut Visitor<'_>) {
        let mut evicted = self.evicted.lock();
        for of_cycle in evicted.iter_mut() {
            of_cycle.cells.retain(|cell| {
                // One that was rescued is no victim; it is reached as others are, or garbage. All are there (E3):
                // marked by the last cycle, or made a part of the list by it.
                let is_victim = cell.fate.chosen_by() == of_cycle.number;
                if is_victim {
                    visitor.edge_any(cell.address());
                    visitor.edge_any(cell.target());
                }
                is_victim
            });
        }
        self.note_evicted(&evicted);
    }

    /// The next victim to deliver.
    ///
    /// # Safety
    ///
    /// The caller holds the space exclusively, and uses the object in that access only.
    unsafe fn next_evicted(&self) -> Option<(Arc<dyn EvictionPolicy>, *const u8)> {
        let mut evicted = self.evicted.lock();
        let next = evicted.iter_mut().rev().find_map(|of_cycle| loop {
            let cell = of_cycle.cells.pop()?;
            // The cells of the list are there (E3), and with them, if they were not rescued, their targets.
            if cell.fate.chosen_by() == of_cycle.number {
                break Some((Arc::clone(&of_cycle.policy), cell.target()));
            }
        });
        if next.is_some() {
            // Before the list says that nothing is left.
            self.has_delivered.store(true, Relaxed);
        }
        self.note_evicted(&evicted);
        next
    }

    /// Takes out what was delivered, to be dropped with nothing locked: the policy may be that of a space that is gone,
    /// and what its callback captured is the user's.
    fn take_empty(&self) -> Vec<Evicted> {
        let mut evicted = self.evicted.lock();
        let (empty, left) =
            core::mem::take(&mut *evicted).into_iter().partition(|of| of.cells.is_empty());
        *evicted = left;
        empty
    }

    fn note_panic(&self, message: String) {
        self.panics.lock().push(message);
    }

    /// What panics said since the last call.
    pub(crate) fn take_panics(&self) -> Vec<String> {
        core::mem::take(&mut *self.panics.lock())
    }
}

/// The next cycle's number that chooses.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// A tally that does not overflow.
#[derive(Default, Clone, Copy)]
struct Sum {
    count: usize,
    bytes: u128,
}

impl Sum {
    fn add(&mut self, size: usize) {
        self.count += 1;
        self.bytes += size as u128;
    }

    fn remove(&mut self, size: usize) {
        self.count -= 1;
        self.bytes -= size as u128;
    }

    /// One of those that were added is larger by so much.
    fn grow(&mut self, size: usize) {
        self.bytes += size as u128;
    }

    fn tally(self) -> Tally {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        Tally { count: self.count, bytes }
    }
}

/// How an object stands that nothing but evictable references holds, as far as was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    Chosen,
    /// Chosen, and then a reference was found to it that something else holds too: it counts as held.
    ChosenHeld,
}

/// Such an object, and what it counts for.
struct Entry {
    /// The reference that was found first.
    cell: CellRef,
    /// The largest size of those that were found before it was chosen.
    size: usize,
    state: State,
}

/// The references to one object.
#[derive(Default)]
struct Group {
    /// The first included.
    cells: Vec<CellRef>,
    /// What was counted for it as held, if it counts so.
    held_size: usize,
}

/// In `Choice::seen`: set if the object is held by something else, and the other bits are the size that was counted;
/// else they are the index of its entry.
const HELD: usize = 1 << (usize::BITS - 1);

/// The choice of one cycle.
#[derive(Default)]
pub(crate) struct Choice {
    entries: Vec<Entry>,
    /// How many of them are marked, if they were kept: those that an earlier wave saw.
    kept: usize,
    /// All objects that references were found to: each counts once, however many there are.
    seen: AddressMap<usize>,
    /// By the index of their entry, the references of those that have several.
    groups: HashMap<usize, Group>,
    /// The first references of the entries that were chosen, and of some that were rescued since.
    victims: Vec<CellRef>,
    /// The cycle's; 0 as long as there is no victim.
    number: u64,
    /// Whether the victims are marked, to be delivered.
    deliver: bool,
    strong: Sum,
    weak: Sum,
    evicted: Sum,
    /// What only victims reach that are to be delivered: it counts for nothing, unless one of them is rescued.
    carried: Sum,
    /// Readers took some back.
    has_rescued: bool,
    lacking: usize,
    /// Whether anything had changed since the choice before.
    had_changed: bool,
    /// Whether there were objects that had been delivered.
    had_delivered: bool,
}

impl Choice {
    pub(crate) fn has_rescued(&self) -> bool {
        self.has_rescued
    }

    fn residents(&self) -> Residents {
        Residents {
            strong: self.strong.tally(),
            candidates: self.weak.tally(),
            evicted: self.evicted.tally(),
            lacking: self.lacking,
        }
    }

    /// Chooses victims, and marks the kept.
    ///
    /// # Safety
    ///
    /// By the collector of the space, which has marked what roots reach; the graph is frozen.
    pub(crate) unsafe fn run(&mut self, visitor: &mut Visitor<'_>, inner: &SpaceInner) {
        let (eviction, policy) = (inner.eviction(), inner.eviction_policy());
        self.lacking = inner.requests().take_lacking();
        self.had_changed = eviction.take_change();
        self.had_delivered = eviction.has_delivered.swap(false, Relaxed);
        let follows = eviction.is_follow_up_due.swap(false, Relaxed) && self.lacking == 0;
        let count = if follows { eviction.follow_up_count.load(Relaxed) + 1 } else { 0 };
        eviction.follow_up_count.store(count, Relaxed);
        // SAFETY: the caller's promise, for all of them.
        unsafe {
            for wave in 1..=WAVES {
                let any = self.sort(visitor, eviction);
                if !any && wave > 1 {
                    break;
                }
                if wave == WAVES {
                    loop {
                        self.mark_kept(visitor);
                        visitor.drain();
                        if !self.sort(visitor, eviction) {
                            break;
                        }
                    }
                }
                if let Some(policy) = policy {
                    self.let_go(policy.as_ref(), eviction);
                }
                self.mark_kept(visitor);
                visitor.drain();
            }
            if let Some(policy) = policy.filter(|_| !self.victims.is_empty()) {
                // To be asked for memory in the finish would be too late.
                self.deliver = guarded(eviction, || policy.wants_victims()).unwrap_or(false)
                    && has_room(&mut eviction.evicted.lock(), 1);
            }
            if self.deliver {
                self.mark_victims(visitor);
                self.keep_late(visitor, eviction);
            }
        }
    }

    /// Sorts the cells that were found since the last call; whether there were any.
    ///
    /// # Safety
    ///
    /// The marker's work is done, and the cells were found in this cycle.
    unsafe fn sort(&mut self, visitor: &mut Visitor<'_>, eviction: &Eviction) -> bool {
        let found = core::mem::take(&mut visitor.evict_cells);
        // At once, where there is as much memory; else little by little, as far as it goes.
        let _ = has_room_in_map(&mut self.seen, found.len());
        let mut newest = 0;
        for (at, cell) in found.iter().enumerate() {
            if let Some(next) = found.get(at + AHEAD) {
                prefetch(next.address());
            }
            if let Some(next) = found.get(at + AHEAD / 2) {
                prefetch(mark_address(next.target()));
            }
            let (target, size) = (cell.target(), cell.size.load(Relaxed));
            // SAFETY: a cell that was found has a target that no finish condemned (E1).
            let is_strong = unsafe { is_marked(target) };
            newest = newest.max(cell.stamp.load(Relaxed));
            // What there is no memory to list is kept, and no candidate.
            if !has_room(&mut self.entries, 1) || !has_room_in_map(&mut self.seen, 1) {
                visitor.edge_any(target);
                continue;
            }
            match self.seen.entry(Address(target)) {
                MapEntry::Occupied(seen) => {
                    let seen = *seen.get();
                    if !self.add_to(seen, *cell, is_strong, eviction) {
                        visitor.edge_any(target);
                    }
                }
                MapEntry::Vacant(new) if is_strong => {
                    new.insert(HELD | size);
                    self.strong.add(size);
                }
                MapEntry::Vacant(new) => {
                    new.insert(self.entries.len());
                    self.weak.add(size);
                    self.entries.push(Entry { cell: *cell, size, state: State::Kept });
                }
            }
        }
        eviction.floor.raise(newest);
        !found.is_empty()
    }

    /// Adds a reference to an object that there was one to before: they are one entry, as large as the largest of them
    /// says. `seen` is what is noted of it. False if there is no memory: then the object is to be marked.
    #[cold]
    #[must_use]
    fn add_to(&mut self, seen: usize, cell: CellRef, is_strong: bool, eviction: &Eviction) -> bool {
        let size = cell.size.load(Relaxed);
        if seen & HELD != 0 {
            let (counted, size) = (seen & !HELD, size & !HELD);
            if size > counted {
                self.strong.grow(size - counted);
                self.seen.insert(Address(cell.target()), HELD | size);
            }
            return true;
        }
        if !has_room_in_map(&mut self.groups, 1) {
            return false;
        }
        let entry = &mut self.entries[seen];
        let group = self.groups.entry(seen).or_default();
        if !has_room(&mut group.cells, 2) {
            return false;
        }
        if group.cells.is_empty() {
            group.cells.push(entry.cell);
        }
        group.cells.push(cell);
        match entry.state {
            State::Kept => {
                self.weak.grow(size.saturating_sub(entry.size));
                entry.size = entry.size.max(size);
            }
            // With the others: nothing holds the object.
            State::Chosen if !is_strong => eviction.verdicts.choose(&cell.fate, self.number),
            State::Chosen => {
                entry.state = State::ChosenHeld;
                self.strong.add(size);
                group.held_size = size;
            }
            State::ChosenHeld => {
                self.strong.grow(size.saturating_sub(group.held_size));
                group.held_size = group.held_size.max(size);
            }
        }
        true
    }

    /// When an entry was touched last.
    fn stamp(&self, index: usize) -> u64 {
        let first = self.entries[index].cell.stamp.load(Relaxed);
        if self.groups.is_empty() {
            return first;
        }
        self.cells(index).fold(first, |newest, cell| newest.max(cell.stamp.load(Relaxed)))
    }

    /// The references of an entry that has several.
    fn cells(&self, index: usize) -> impl Iterator<Item = &CellRef> {
        self.groups.get(&index).into_iter().flat_map(|group| &group.cells)
    }

    /// Has the policy choose among the entries that are kept. If there is no memory to list them, all are.
    fn let_go(&mut self, policy: &dyn EvictionPolicy, eviction: &Eviction) {
        let residents = self.residents();
        if guarded(eviction, || policy.is_over(&residents)) != Some(true) {
            return;
        }
        let mut list = Vec::new();
        if !has_room(&mut list, self.weak.count) {
            return;
        }
        for (index, entry) in self.entries.iter().enumerate() {
            if let Some(next) = self.entries.get(index + AHEAD) {
                prefetch(next.cell.address());
            }
            if entry.state == State::Kept {
                list.push(Candidate { stamp: self.stamp(index), index, size_bytes: entry.size });
            }
        }
        let count = guarded(eviction, || policy.choose(&residents, &mut list)).unwrap_or(0);
        if count == 0 || !has_room(&mut self.victims, count.min(list.len())) {
            return;
        }
        if self.number == 0 {
            self.number = NEXT_NUMBER.fetch_add(1, Relaxed);
            eviction.verdicts.begin(self.number);
        }
        for victim in list.iter().take(count) {
            // The index is looked up with care: somebody may have swapped two lists.
            let Some(entry) = self.entries.get_mut(victim.index) else { continue };
            if entry.state != State::Kept {
                continue;
            }
            entry.state = State::Chosen;
            self.weak.remove(entry.size);
            self.evicted.add(entry.size);
            self.victims.push(entry.cell);
            eviction.verdicts.choose(&entry.cell.fate, self.number);
            for cell in self.cells(victim.index) {
                eviction.verdicts.choose(&cell.fate, self.number);
            }
        }
    }

    /// Shows the marker the targets of the entries that it has not been shown and that are kept.
    fn mark_kept(&mut self, visitor: &mut Visitor<'_>) {
        for (at, entry) in self.entries.iter().enumerate().skip(self.kept) {
            if let Some(next) = self.entries.get(at + AHEAD) {
                prefetch(next.cell.address());
            }
            if entry.state == State::Kept {
                // The target is there (E1).
                visitor.edge_any(entry.cell.target());
            }
        }
        self.kept = self.entries.len();
    }

    /// Shows the marker the victims, which are to be delivered, and all that they reach.
    ///
    /// # Safety
    ///
    /// By the collector of the space, in its mark, when it has chosen; the graph is frozen.
    unsafe fn mark_victims(&mut self, visitor: &mut Visitor<'_>) {
        for victim in &self.victims {
            visitor.edge_any(victim.target());
        }
        loop {
            // SAFETY: the caller's promise.
            unsafe { visitor.drain() };
            let found = core::mem::take(&mut visitor.evict_cells);
            if found.is_empty() {
                return;
            }
            for cell in found {
                self.carried.add(cell.size.load(Relaxed));
                visitor.edge_any(cell.target());
            }
        }
    }

    /// Marks what readers rescued, and keeps what is found from there on; returns how many were rescued.
    ///
    /// # Safety
    ///
    /// By the collector of the space, in its mark or finish; the graph is frozen.
    pub(crate) unsafe fn keep_late(
        &mut self,
        visitor: &mut Visitor<'_>,
        eviction: &Eviction,
    ) -> usize {
        // What was rescued is a victim of this cycle (P16), whose target no finish has condemned yet; the reader that
        // rescued it, or the mark of its cell, keeps the cell.
        let rescued = eviction.verdicts.take_rescued();
        self.has_rescued |= !rescued.is_empty();
        for cell in &rescued {
            visitor.edge_any(cell.target());
            self.take_back(*cell, eviction);
        }
        // SAFETY: the caller's promise.
        unsafe {
            visitor.drain();
            while self.sort(visitor, eviction) {
                self.mark_kept(visitor);
                visitor.drain();
            }
        }
        rescued.len()
    }

    /// An entry is no victim any more: a reader has rescued one of its references.
    fn take_back(&mut self, cell: CellRef, eviction: &Eviction) {
        let Some(&index) = self.seen.get(&Address(cell.target())) else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        match core::mem::replace(&mut entry.state, State::Kept) {
            // By another reference.
            State::Kept => return,
            State::Chosen => self.weak.add(entry.size),
            State::ChosenHeld => {}
        }
        self.evicted.remove(entry.size);
        for cell in self.cells(index) {
            eviction.verdicts.take_back(&cell.fate);
        }
        // Some of what only victims reach may be what this one does.
        let Sum { count, bytes } = core::mem::take(&mut self.carried);
        self.weak.count += count;
        self.weak.bytes += bytes;
    }

    /// The cycle condemns: its victims are gone, or are to be delivered. Returns what it came to.
    ///
    /// The lists stay: to free those of a large cache takes milliseconds, and everybody waits.
    ///
    /// # Safety
    ///
    /// In the finish of the space, after all marking.
    pub(crate) unsafe fn end(&mut self, inner: &SpaceInner) -> Residents {
        let (residents, eviction) = (self.residents(), inner.eviction());
        eviction.verdicts.end();
        if let (true, Some(policy)) = (self.deliver, inner.eviction_policy()) {
            let mut evicted = eviction.evicted.lock();
            let policy = Arc::clone(policy);
            // Those of a cycle whose victims were all rescued, say. Not the last handles on this space's policy.
            evicted.retain(|of| !of.cells.is_empty() || !Arc::ptr_eq(&of.policy, &policy));
            let cells = core::mem::take(&mut self.victims);
            evicted.push(Evicted { number: self.number, policy, cells });
            eviction.has_evicted.store(true, Relaxed);
        }
        residents
    }

    /// The cycle is given up: its victims are none.
    ///
    /// # Safety
    ///
    /// By the collector of the space, in its mark or finish.
    pub(crate) unsafe fn give_up(&mut self, inner: &SpaceInner) {
        inner.requests().note_lacking(self.lacking);
        if self.had_changed {
            inner.eviction().note_change();
        }
        inner.eviction().has_delivered.fetch_or(self.had_delivered, Relaxed);
        if self.number != 0 {
            // Victims were found in this cycle, which condemned nothing.
            let others = self.groups.values().flat_map(|group| &group.cells);
            let all = self.victims.iter().chain(others);
            inner.eviction().verdicts.give_up(all.map(|cell| &cell.fate));
        }
    }
}

/// Calls the policy; none if it panicked, which will be told.
fn guarded<R>(eviction: &Eviction, f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f))
        .map_err(|panic| eviction.note_panic(panic_message(panic)))
        .ok()
}

/// Tells the policy what a cycle came to. With the lock released, but not the claim: as in a sweep, to collect is an
/// error rather than a wait for oneself.
pub(crate) fn note(inner: &SpaceInner, residents: &Residents) {
    if let Some(policy) = inner.eviction_policy() {
        let _sweeping = held::Sweeping::begin();
        guarded(inner.eviction(), || policy.note(residents));
    }
}

impl Space {
    /// Calls [`EvictionPolicy::on_evict`] for each victim that was not delivered yet, in ordinary exclusive accesses; returns whether
    /// none is left. For collectors, when a cycle is over.
    ///
    /// A thread that holds a space, or runs a sweep, delivers nothing: it could not wait for the lock.
    ///
    /// What was delivered is garbage, if the callback did not link it back: when all is, a collection is asked for.
    pub fn deliver_evicted(&self, wait: LockWait<'_>) -> bool {
        let (inner, eviction) = (&self.inner, self.inner.eviction());
        let mut slice = wait.slice;
        let mut any = false;
        while eviction.has_evicted() {
            if !Batch::can_reclaim() {
                return false;
            }
            let Ok(hold) = Hold::<_, Service>::acquire(&**inner, Wait::For(slice)) else {
                slice = slice.saturating_mul(2).min(SLICE_MAX.max(wait.slice));
                if !(wait.go_on)() || inner.is_leaked() || self.is_poisoned() {
                    return false;
                }
                continue;
            };
            let (panics, policies) = self.deliver_some();
            any = true;
            drop(hold);
            policies.into_iter().for_each(drop_guarded);
            eviction.take_empty().into_iter().for_each(drop_guarded);
            self.tell_evict_panics(panics);
        }
        let follows = any && eviction.follow_up_count.load(Relaxed) < FOLLOW_UPS_MAX;
        if follows && eviction.has_delivered() && inner.requests().collector().is_some() {
            eviction.is_follow_up_due.store(true, Relaxed);
            self.request_gc();
        }
        true
    }

    /// Delivers some victims, with the lock held; returns what panics said, and handles on policies that may be the last
    /// ones, to be dropped when nothing is locked.
    fn deliver_some(&self) -> (Vec<String>, Vec<Arc<dyn EvictionPolicy>>) {
        let (inner, eviction) = (&self.inner, self.inner.eviction());
        let (mut panics, mut policies) = (Vec::new(), Vec::new());
        for _ in 0..DELIVERED_MAX {
            // SAFETY: the lock is held exclusively until this function returns; the token is the only one, and
            // its brand is that of this iteration's object alone.
            let delivered = unsafe {
                let Some((policy, object)) = eviction.next_evicted() else { break };
                policies.push(policy);
                let policy = &policies[policies.len() - 1];
                let mut token = Exclusive::new(inner);
                let object = GcAny::from_address(object);
                catch_unwind(AssertUnwindSafe(|| policy.on_evict(&mut token, object)))
            };
            // A panic that left the objects whole is caught as others are.
            inner.forget_harmless_panic();
            if let Err(panic) = delivered {
                panics.push(panic_message(panic));
            }
        }
        (panics, policies)
    }

    fn tell_evict_panics(&self, panics: Vec<String>) {
        self.inner.stats.lock().evict_panics += panics.len() as u64;
        for message in panics {
            self.inner.emit(&Event::EvictionPanicked { message });
        }
    }

    /// Tells the listeners of panics of the policy.
    pub(crate) fn tell_policy_panics(&self) {
        let panics = self.inner.eviction().take_panics();
        if !panics.is_empty() {
            self.tell_evict_panics(panics);
        }
    }

    /// Whether anything that evictions go by has changed since the last collection: the size of an evictable object, a
    /// threshold or another setting of the policy, or that there are new evictable objects, made or merged. For
    /// collectors: the next one may have something to let go of though nothing was allocated.
    ///
    /// ```
    /// use cspace_core::Space;
    ///
    /// let space = Space::builder().build()?;
    /// assert!(!space.has_changed());
    /// space.exclusive(|cx| {
    ///     cx.evictable(cx.alloc(5u64));
    /// });
    /// assert!(space.has_changed());
    /// # Ok::<(), cspace_core::SettingError>(())
    /// ```
    pub fn has_changed(&self) -> bool {
        self.inner.eviction().has_changed()
    }

    /// Whether there are objects that were delivered to [`EvictionPolicy::on_evict`] and that no collection has had
    /// the chance to free since. For collectors.
    pub fn has_delivered(&self) -> bool {
        self.inner.eviction().has_delivered()
    }

    /// Whether there are victims to deliver, and nothing but who holds the space keeps them from being: it is not
    /// poisoned, and its lock not leaked. For collectors.
    pub fn wants_delivery(&self) -> bool {
        self.has_evicted() && !self.is_poisoned() && !self.inner.is_leaked()
    }

    /// Whether this space has victims to deliver. For collectors.
    pub fn has_evicted(&self) -> bool {
        self.inner.eviction().has_evicted()
    }
}
