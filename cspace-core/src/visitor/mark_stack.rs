//! The mark stack: objects that were reached and are to be traced.
//!
//! It grows while there is memory, up to [`OBJECTS_MAX`]. What is reached when it is full *waits* where it is: a bit in
//! the header of its chunk says so, and its block is put into a list that goes through the blocks themselves, so that
//! nothing has to be allocated; of a block that several spaces share, its page or share. When the stack is empty, what waits is put onto it, as much as there is room for.
//!
//! - **V3 (waiting).** A bit of the waiting ones is set in a block, page or share only while that is in the list of one mark
//!   stack, that of the marker of its space. What is reached is a marked object (V1), and where a bit is for two
//!   cells, the other one may have been traced already: to trace it again does no harm, as bits of 32 bytes have one
//!   object, whatever is to be found only once is in an object of that size, or told apart.

use crate::chunk::{
    block_base, block_of, info_of, is_marked, set_untraced, span_at, untraced_bits, Bits, Block,
    SpanKind, SpanRef, GRANULE,
};
use crate::list::has_room;
use crate::type_info::TypeInfo;

/// The most objects on a mark stack: 8 MiB. What is reached beyond that waits, which costs little.
const OBJECTS_MAX: usize = 1 << 20;
/// The same under stress.
const STRESS_OBJECTS_MAX: usize = 64;
/// Objects to begin with.
const OBJECTS_MIN: usize = 1024;
/// Room for what is in the marker's ring of objects, which is put back when it stops.
pub(super) const SPARE: usize = 48;

/// See the module.
pub(crate) struct MarkStack {
    objects: Vec<*const u8>,
    /// How many objects there may be before one more is a question. At least `SPARE` less than the capacity, or 0.
    room: usize,
    objects_max: usize,
    /// Whether it is worth asking for memory: it was not refused since what waits was looked at.
    may_grow: bool,
    /// The first block in which something waits; null if there is none.
    waiting: *mut Block,
    /// The first page of a block that spaces share, or share, in which something does.
    waiting_spans: Option<SpanRef>,
    /// How often something had to wait that would not have, had there been memory.
    refused: usize,
    /// How often something had to wait.
    waited: usize,
}

impl MarkStack {
    /// An empty one, without memory: nothing is pushed before [`begin`](MarkStack::begin).
    pub(super) fn new() -> MarkStack {
        MarkStack {
            objects: Vec::new(),
            room: 0,
            objects_max: OBJECTS_MAX,
            may_grow: true,
            waiting: core::ptr::null_mut(),
            waiting_spans: None,
            refused: 0,
            waited: 0,
        }
    }

    /// Gets memory to begin with; false if there is none. Under stress there is little, to find what is lost when objects
    /// wait.
    pub(super) fn begin(&mut self, stress: bool) -> bool {
        if stress {
            self.objects_max = STRESS_OBJECTS_MAX;
        }
        self.grow()
    }

    /// How many objects had to wait.
    pub(super) fn waited(&self) -> usize {
        self.waited
    }

    /// How many of them because there was no memory.
    pub(super) fn refused(&self) -> usize {
        self.refused
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<*const u8> {
        self.objects.pop()
    }

    /// Puts an object onto the stack, or lets it wait.
    ///
    /// # Safety
    ///
    /// An object (H1), marked, of the space whose marker this is.
    #[inline(always)]
    pub(super) unsafe fn push(&mut self, object: *const u8) {
        let len = self.objects.len();
        if len < self.room {
            // SAFETY: `room` is below the capacity.
            unsafe {
                self.objects.as_mut_ptr().add(len).write(object);
                self.objects.set_len(len + 1);
            }
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.push_slow(object) };
        }
    }

    /// Puts back what was taken off and not traced; at most `SPARE` at a time.
    pub(super) fn put_back(&mut self, object: *const u8) {
        debug_assert!(self.objects.len() < self.objects.capacity(), "there is spare room");
        self.objects.push(object);
    }

    /// # Safety
    ///
    /// As [`push`](MarkStack::push).
    #[cold]
    #[inline(never)]
    unsafe fn push_slow(&mut self, object: *const u8) {
        if self.grow() {
            return self.objects.push(object);
        }
        // SAFETY: the caller's promise.
        unsafe { self.wait(object) };
    }

    /// Makes room, if there may be more objects and there is memory.
    fn grow(&mut self) -> bool {
        let len = self.objects.len();
        if len >= self.objects_max || !self.may_grow {
            return false;
        }
        let more = len.clamp(OBJECTS_MIN, self.objects_max.max(OBJECTS_MIN));
        // A little, if not as much as there is.
        self.may_grow = has_room(&mut self.objects, more + SPARE)
            || has_room(&mut self.objects, OBJECTS_MIN + SPARE);
        if self.may_grow {
            self.room = (self.objects.capacity() - SPARE).min(self.objects_max);
        }
        self.may_grow
    }

    /// # Safety
    ///
    /// As [`push`](MarkStack::push).
    unsafe fn wait(&mut self, object: *const u8) {
        self.refused += usize::from(!self.may_grow);
        self.waited += 1;
        // SAFETY: the caller's promise; the block's list and bits are this marker's (V3).
        unsafe {
            set_untraced(object);
            let span = span_at(object);
            if matches!(span.kind(), SpanKind::Page | SpanKind::Share) {
                if span.link_untraced(self.waiting_spans) {
                    self.waiting_spans = Some(span);
                }
                return;
            }
            let block = block_of(object);
            if !(*block).has_untraced {
                (*block).has_untraced = true;
                (*block).next_untraced = self.waiting;
                self.waiting = block;
            }
        }
    }

    /// Takes what waits onto the stack, as much as there is room for; whether anything is on it. It is empty before.
    #[inline]
    pub(super) fn refill(&mut self) -> bool {
        self.first().is_some() && self.refill_slow()
    }

    /// The first place in which something waits.
    #[inline(always)]
    fn first(&self) -> Option<Place> {
        if !self.waiting.is_null() {
            return Some(Place::Block(self.waiting));
        }
        self.waiting_spans.map(Place::Span)
    }

    /// All such places.
    fn places(&self) -> impl Iterator<Item = Place> {
        let mut block = self.waiting;
        let blocks = core::iter::from_fn(move || {
            let this = (!block.is_null()).then_some(block)?;
            // SAFETY: V3.
            block = unsafe { (*this).next_untraced };
            Some(Place::Block(this))
        });
        let mut span = self.waiting_spans;
        let spans = core::iter::from_fn(move || {
            let this = span?;
            // SAFETY: V3.
            span = unsafe { this.next_untraced() };
            Some(Place::Span(this))
        });
        blocks.chain(spans)
    }

    #[cold]
    fn refill_slow(&mut self) -> bool {
        // Memory may have become free.
        self.may_grow = true;
        while let Some(place) = self.first() {
            // SAFETY: V3: the place is in this stack's list, and so its space's marker's.
            unsafe {
                let waiting = place.bits();
                for (at, mut bits) in waiting.iter().enumerate() {
                    while bits != 0 {
                        // A bit may stand for two objects.
                        if self.objects.len() + 2 > self.room {
                            waiting.store(at, bits);
                            return true;
                        }
                        let bit = at * 64 + bits.trailing_zeros() as usize;
                        bits &= bits - 1;
                        self.objects.extend(waiting_at(place.base(), bit));
                    }
                    waiting.store(at, 0);
                }
                self.unlink();
            }
        }
        !self.objects.is_empty()
    }

    /// Takes the first place out of the list of those in which something waits; nothing does in it any more.
    ///
    /// # Safety
    ///
    /// There is one.
    unsafe fn unlink(&mut self) {
        let block = self.waiting;
        // SAFETY: the caller's promise, V3.
        unsafe {
            if block.is_null() {
                self.waiting_spans = self.waiting_spans.and_then(|page| page.unlink_untraced());
                return;
            }
            self.waiting = core::mem::replace(&mut (*block).next_untraced, core::ptr::null_mut());
            (*block).has_untraced = false;
        }
    }

    /// Whether anything is on it or waits.
    pub(super) fn has_any(&self) -> bool {
        !self.objects.is_empty() || self.first().is_some()
    }

    /// Forgets the objects of some types, those that wait too.
    pub(super) fn forget(&mut self, of: impl Fn(&TypeInfo) -> bool) {
        // SAFETY: what is on the stack are objects.
        self.objects.retain(|object| !of(unsafe { info_of(*object) }));
        for place in self.places() {
            // SAFETY: V3; where a bit is set there is an object on the page.
            unsafe {
                let waiting = place.bits();
                for (at, bits) in waiting.iter().enumerate() {
                    // A word is of one page, and a page of one type.
                    if bits != 0 && of(info_of(place.base().wrapping_add(at * 64 * 2 * GRANULE))) {
                        waiting.store(at, 0);
                    }
                }
            }
        }
    }

    /// Every object that is on it or waits, and perhaps some that were traced.
    pub(super) fn each(&self) -> impl Iterator<Item = *const u8> + '_ {
        let waiting = self.places().flat_map(|place| {
            // SAFETY: V3.
            let words = unsafe { place.bits() }.iter().enumerate();
            words.flat_map(move |(at, bits)| {
                let set = (0..64).filter(move |bit| bits >> bit & 1 != 0);
                // SAFETY: V3.
                set.flat_map(move |bit| unsafe { waiting_at(place.base(), at * 64 + bit) })
            })
        });
        self.objects.iter().copied().chain(waiting)
    }

    /// Nothing is gray any more.
    pub(super) fn clear(&mut self) {
        self.objects.clear();
        while let Some(place) = self.first() {
            // SAFETY: V3.
            unsafe {
                place.bits().clear();
                self.unlink();
            }
        }
    }
}

impl Drop for MarkStack {
    /// Whoever drops one in which something waits holds its space: the marks are given up.
    fn drop(&mut self) {
        self.clear();
    }
}

/// Where something waits.
#[derive(Clone, Copy)]
enum Place {
    /// A block of one space.
    Block(*mut Block),
    /// A page of a block that several spaces share, or a share.
    Span(SpanRef),
}

impl Place {
    /// The bits that say what waits in it.
    ///
    /// # Safety
    ///
    /// It is in the list of a mark stack of the caller's (V3).
    unsafe fn bits<'a>(self) -> Bits<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Place::Block(block) => untraced_bits(block),
                Place::Span(span) => span.untraced_bits(),
            }
        }
    }

    /// Its first byte.
    ///
    /// # Safety
    ///
    /// As [`bits`](Place::bits).
    unsafe fn base(self) -> *mut u8 {
        match self {
            // SAFETY: the caller's promise.
            Place::Block(block) => unsafe { block_base(block) },
            Place::Span(span) => span.base(),
        }
    }
}

/// The marked objects that begin where a bit stands for, in the place that begins at `base`.
///
/// # Safety
///
/// The place is in the list of a mark stack of the caller's (V3).
unsafe fn waiting_at(base: *mut u8, bit: usize) -> impl Iterator<Item = *const u8> {
    let first = base.wrapping_add(bit * 2 * GRANULE);
    let both = [first, first.wrapping_add(GRANULE)].map(<*mut u8>::cast_const);
    // SAFETY: the granules are in a block of the space; only where objects begin are mark bits set.
    both.into_iter().filter(|object| unsafe { is_marked(*object) })
}
