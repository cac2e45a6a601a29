//! A small heap with every kind of handle, part of it unreachable.

use std::sync::Arc;

use cspace::{
    Alloc, CSpace, Exclusive, Gc, GcAny, GcRoot, GcWeak, IObject, NanBox, OwnedRoot, RootStack,
    Rootable, Slot, Static, Tail, WeakSet,
};

use crate::tracker::{DropLog, Tracker};
use crate::trap::{DropTrap, Trap, VisitTrap};

#[derive(IObject)]
pub struct Node<'gc> {
    before: VisitTrap,
    tracker: Static<Tracker>,
    drop_trap: Static<DropTrap>,
    pub next: Slot<'gc, Option<GcAny<'gc>>>,
    late_tracker: Static<Tracker>,
    after: VisitTrap,
}

#[derive(IObject)]
pub struct Part<'gc> {
    trap: VisitTrap,
    tracker: Static<Tracker>,
    drop_trap: Static<DropTrap>,
    pub slot: Slot<'gc, Option<GcAny<'gc>>>,
}

/// Larger than the largest cell.
#[derive(IObject)]
pub struct Large<'gc> {
    part: Part<'gc>,
    bytes: [u64; 2000],
}

pub type Row<'gc> = Tail<Part<'gc>, Part<'gc>>;

#[derive(IObject)]
pub struct Machine<'gc> {
    pub part: Part<'gc>,
    pub things: Vec<GcAny<'gc>>,
    pub stack: RootStack<NanBox<'gc>>,
    pub names: WeakSet<'gc, Node<'gc>>,
    pub weaks: Vec<GcWeak<'gc, Node<'gc>>>,
    pub end: Part<'gc>,
}

/// Makes objects that count their drops and have places for faults.
#[derive(Clone)]
pub struct Maker {
    pub log: Arc<DropLog>,
    pub visit: Trap,
    pub drop: Trap,
}

impl Maker {
    pub fn new() -> Maker {
        Maker { log: DropLog::new(256), visit: Trap::default(), drop: Trap::default() }
    }

    pub fn node<'gc>(&self, next: Option<GcAny<'gc>>) -> Node<'gc> {
        Node {
            before: VisitTrap(self.visit.clone()),
            tracker: Static(self.log.tracker()),
            drop_trap: Static(DropTrap(self.drop.clone())),
            next: Slot::new(next),
            late_tracker: Static(self.log.tracker()),
            after: VisitTrap(self.visit.clone()),
        }
    }

    pub fn part<'gc>(&self, target: Option<GcAny<'gc>>) -> Part<'gc> {
        Part {
            trap: VisitTrap(self.visit.clone()),
            tracker: Static(self.log.tracker()),
            drop_trap: Static(DropTrap(self.drop.clone())),
            slot: Slot::new(target),
        }
    }

    pub fn large<'gc>(&self, target: Option<GcAny<'gc>>) -> Large<'gc> {
        Large { part: self.part(target), bytes: [7; 2000] }
    }

    /// A chain of a node, a row, a large object, a vector, a node.
    pub fn chain<'gc>(&self, cx: &Alloc<'gc>) -> Gc<'gc, Node<'gc>> {
        let last = cx.alloc(self.node(None));
        let list = cx.alloc(vec![GcAny::new(last)]);
        let large = cx.alloc(self.large(Some(list.into())));
        let row =
            cx.alloc_tail(self.part(None), 3, |i| self.part((i == 2).then_some(large.into())));
        cx.alloc(self.node(Some(row.into())))
    }
}

/// Objects of a chain.
pub const CHAIN: usize = 5;

pub struct Graph {
    pub space: CSpace,
    pub maker: Maker,
    pub root: Option<GcRoot<Rootable![Node<'_>]>>,
    pub machine: Option<OwnedRoot<Rootable![Machine<'_>]>>,
    /// Trackers of what is reachable; those made after are of what is not.
    pub reachable: u32,
}

pub const HASH: u64 = 7;

impl Graph {
    pub fn new(maker: &Maker) -> Graph {
        let space = CSpace::builder()
            .gc(cspace::GcMode::Manual)
            .poison_freed(true)
            .build()
            .expect("the settings are valid");
        let (root, machine, reachable) = space.exclusive(|cx| Graph::fill(cx, maker));
        let (root, machine) = (Some(root), Some(machine));
        Graph { space, maker: maker.clone(), root, machine, reachable }
    }

    fn fill(
        cx: &mut Exclusive<'_>,
        maker: &Maker,
    ) -> (GcRoot<Rootable![Node<'_>]>, OwnedRoot<Rootable![Machine<'_>]>, u32) {
        let root = cx.root(maker.chain(cx));
        cx.add_gc_root(maker.chain(cx)).expect("a new object is not in the set");
        let kept = maker.chain(cx);
        let mut machine = Machine {
            part: maker.part(Some(kept.into())),
            things: vec![maker.chain(cx).into()],
            stack: RootStack::new(4, NanBox::NIL),
            names: WeakSet::new(),
            weaks: vec![cx.downgrade(kept)],
            end: maker.part(None),
        };
        machine.stack.push(NanBox::from_gc(maker.chain(cx)));
        machine.names.insert(cx, HASH, kept);
        let reachable = maker.log.made();
        // What a weak set, a weak reference and the rest of a stack know, and nobody else.
        for _ in 0..2 {
            let lost = maker.chain(cx);
            machine.names.insert(cx, HASH, lost);
            machine.weaks.push(cx.downgrade(lost));
            machine.stack.as_mut_full()[2] = NanBox::from_gc(lost);
        }
        (root, cx.own_root(machine), reachable)
    }

    /// How many entries the weak set shows, and how many weak references have a target.
    pub fn weak_counts(&self) -> (usize, usize) {
        let machine = self.machine.as_ref().expect("not dropped yet");
        self.space.shared(|cx| {
            let machine = machine.get(cx);
            let mut shown = 0;
            machine.names.find(HASH, |_| {
                shown += 1;
                false
            });
            (shown, machine.weaks.iter().filter(|weak| weak.upgrade(cx).is_some()).count())
        })
    }

    pub fn assert_clean(&self) {
        let report = self.space.verify().expect("nobody is inside");
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.objects, self.space.num_objects());
    }

    pub fn assert_nothing_dropped(&self) {
        let dropped = (0..self.maker.log.made()).find(|i| self.maker.log.drops_of(*i) != 0);
        assert_eq!(dropped, None);
    }

    /// Collects and compares with what is known to be reachable.
    pub fn assert_collects(&self) {
        let report = self.space.synchronous_gc().expect("no fault is left");
        assert_eq!(report.drop_panics, 0);
        self.assert_collected();
    }

    pub fn assert_collected(&self) {
        self.assert_clean();
        // Four chains, and the weak cells of three weak references.
        assert_eq!(self.space.num_objects(), 5 * CHAIN + 3);
        assert_eq!(self.weak_counts(), (1, 1));
        let log = &self.maker.log;
        for tracker in 0..log.made() {
            let expected = u8::from(tracker >= self.reachable);
            assert_eq!(log.drops_of(tracker), expected, "tracker {tracker}");
        }
    }
}
