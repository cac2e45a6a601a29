//! The objects: a node with one of each holder, and tickets that notice when they are used twice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

use cspace::native::DirectBuffer;
use cspace::{
    EphemeronMap, Evictable, EvictableMap, Gc, GcCell, GcRoot, GcWeak, HeapFull, IObject, NanBox,
    Rootable, Slot, Static, WeakSet, WeakValueMap,
};

use super::Counts;

pub(super) type NodeFamily = Rootable![Node<'_>];
pub(super) type NodeRoot = GcRoot<NodeFamily>;
type Edge<'gc> = Option<Gc<'gc, Node<'gc>>>;

/// What is to happen once: a drop, or a cleaner.
struct Ticket {
    is_used: AtomicBool,
    counts: Arc<Counts>,
}

impl Ticket {
    fn take(&self, count: &AtomicUsize) {
        if self.is_used.swap(true, Relaxed) {
            self.counts.twice.fetch_add(1, Relaxed);
        }
        count.fetch_add(1, Relaxed);
    }
}

/// Counts the drop of an object.
pub(super) struct Dropped(Ticket);

impl Dropped {
    fn new(counts: &Arc<Counts>) -> Dropped {
        counts.objects_made.fetch_add(1, Relaxed);
        Dropped(Ticket { is_used: AtomicBool::new(false), counts: Arc::clone(counts) })
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.take(&self.0.counts.objects_dropped);
    }
}

/// A cleaner's action.
pub(super) fn cleaning(counts: &Arc<Counts>) -> impl FnOnce() + Send + 'static {
    counts.cleaners_made.fetch_add(1, Relaxed);
    let ticket = Ticket { is_used: AtomicBool::new(false), counts: Arc::clone(counts) };
    move || ticket.take(&ticket.counts.cleaners_run)
}

#[derive(IObject)]
pub(super) struct Node<'gc> {
    pub(super) id: u64,
    /// Again, to be seen damaged.
    pub(super) id_inverted: u64,
    pub(super) generation: u64,
    dropped: Static<Dropped>,
    pub(super) slot: Slot<'gc, Edge<'gc>>,
    pub(super) bits: Slot<'gc, NanBox<'gc>>,
    pub(super) weak: Slot<'gc, Option<GcWeak<'gc, Node<'gc>>>>,
    pub(super) soft: Slot<'gc, Option<Evictable<'gc, Node<'gc>>>>,
    pub(super) buffer: Slot<'gc, Option<DirectBuffer<'gc>>>,
    pub(super) bag: GcCell<'gc, Vec<Gc<'gc, Node<'gc>>>>,
    pub(super) map: GcCell<'gc, EphemeronMap<'gc, Gc<'gc, Node<'gc>>, Gc<'gc, Node<'gc>>>>,
    pub(super) names: GcCell<'gc, WeakSet<'gc, Node<'gc>>>,
    pub(super) values: GcCell<'gc, WeakValueMap<'gc, u8, Node<'gc>>>,
    pub(super) kept: GcCell<'gc, EvictableMap<'gc, Static<u8>, Node<'gc>>>,
}

impl<'gc> Node<'gc> {
    pub(super) fn new(id: u64, generation: u64, counts: &Arc<Counts>) -> Node<'gc> {
        Node {
            id,
            id_inverted: !id,
            generation,
            dropped: Static(Dropped::new(counts)),
            slot: Slot::new(None),
            bits: Slot::new(NanBox::from_f64(0.0)),
            weak: Slot::new(None),
            soft: Slot::new(None),
            buffer: Slot::new(None),
            bag: GcCell::new(Vec::new()),
            map: GcCell::new(EphemeronMap::new()),
            names: GcCell::new(WeakSet::new()),
            values: GcCell::new(WeakValueMap::new()),
            kept: GcCell::new(EvictableMap::new()),
        }
    }

    /// Panics if this is no whole node.
    pub(super) fn check(&self) {
        assert_eq!(self.id, !self.id_inverted, "an object is damaged");
        assert!(!self.dropped.0 .0.is_used.load(Relaxed), "object {} was dropped", self.id);
    }
}

pub(super) fn make<'gc>(
    cx: &cspace::Alloc<'gc>,
    id: u64,
    generation: u64,
    counts: &Arc<Counts>,
) -> Result<Gc<'gc, Node<'gc>>, HeapFull> {
    cx.try_alloc(Node::new(id, generation, counts)).map_err(|error| error.cause)
}
