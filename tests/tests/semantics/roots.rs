//! Roots: handles that keep objects alive, on any thread, beyond their space.

use std::sync::mpsc::channel;
use std::sync::Barrier;
use std::thread;

use cspace::*;

use crate::allocations::live_bytes;
use crate::probe::{manual, on_drop, Drops};
use crate::watchdog::{panic_of, within};

#[derive(IObject)]
struct Node<'gc> {
    probe: Static<crate::probe::Probe>,
    next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
}

fn node<'gc>(
    cx: &Exclusive<'gc>,
    drops: &Drops,
    next: Option<Gc<'gc, Node<'gc>>>,
) -> Gc<'gc, Node<'gc>> {
    cx.alloc(Node { probe: drops.probe(), next: Slot::new(next) })
}

#[test]
fn a_root_keeps_what_its_object_reaches() {
    let (space, drops) = (manual(), Drops::new());
    let root: GcRoot<Rootable![Node<'_>]> = space.exclusive(|cx| {
        let last = node(cx, &drops, None);
        let middle = node(cx, &drops, Some(last));
        let first = node(cx, &drops, Some(middle));
        last.next.set(cx, Some(first));
        cx.root(middle)
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    let length = space.shared(|cx| {
        let start = root.get(cx);
        let mut length = 1;
        let mut at = start.next.get(cx).unwrap();
        while !Gc::ptr_eq(at, start) {
            length += 1;
            at = at.next.get(cx).unwrap();
        }
        length
    });
    assert_eq!(length, 3);
    drop(root);
    space.collect().unwrap();
    assert_eq!((drops.count(), space.num_objects()), (3, 0));
}

#[test]
fn each_clone_keeps_the_object() {
    let (space, drops) = (manual(), Drops::new());
    let root = space.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
    let clones: Vec<_> = (0..5).map(|_| root.clone()).collect();
    assert_eq!(space.num_roots(), 1, "clones share an entry");
    drop(root);
    for clone in clones {
        space.collect().unwrap();
        assert_eq!(drops.count(), 0);
        drop(clone);
    }
    assert_eq!(space.num_roots(), 0);
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
}

#[test]
fn two_roots_of_one_object_are_independent() {
    let (space, drops) = (manual(), Drops::new());
    let (a, b) = space.exclusive(|cx| {
        let object = cx.alloc(drops.probe());
        (cx.root(object), cx.root(object))
    });
    assert_eq!(space.num_roots(), 2);
    drop(a);
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    drop(b);
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
}

/// Entries were freed by a collection only: without one, roots made and dropped in a loop took memory without end.
#[test]
#[cfg_attr(miri, ignore = "10,000 roots")]
fn entries_of_dropped_roots_are_used_again() {
    let space = CSpace::builder().gc(GcMode::Off).build().unwrap();
    let (before, object) = space.exclusive(|cx| (cx.root(cx.alloc(1u64)), cx.root(cx.alloc(2u64))));
    let owned = live_bytes();
    for _ in 0..10_000 {
        let root = space.shared(|cx| cx.root(object.get(cx)));
        assert_eq!((space.shared(|cx| *root.get(cx)), space.num_roots()), (2, 3));
    }
    assert!(live_bytes() - owned < 10_000, "{} bytes more", live_bytes() - owned);
    assert_eq!(space.shared(|cx| *before.get(cx)), 1);
}

#[test]
fn a_root_is_made_in_a_shared_access_as_well() {
    let (space, drops) = (manual(), Drops::new());
    let list = space.exclusive(|cx| {
        let next = node(cx, &drops, None);
        cx.root(node(cx, &drops, Some(next)))
    });
    let next = space.shared(|cx| cx.root(list.get(cx).next.get(cx).unwrap()));
    drop(list);
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
    space.shared(|cx| assert!(next.get(cx).next.get(cx).is_none()));
}

#[test]
fn a_root_of_another_space_is_an_error() {
    let (a, b) = (manual(), manual());
    let root = a.exclusive(|cx| cx.root(cx.alloc(1u64)));
    assert_eq!(b.exclusive(|cx| root.try_get(cx).err()), Some(WrongSpace));
    assert_eq!(b.shared(|cx| root.try_get(cx).err()), Some(WrongSpace));
    let message = panic_of(|| b.shared(|cx| *root.get(cx)));
    assert!(message.contains("another space"), "{message}");
    assert_eq!(a.shared(|cx| *root.get(cx)), 1);
}

#[test]
fn a_root_outlives_its_space_and_belongs_to_no_other() {
    let drops = Drops::new();
    let gone = manual();
    let root = gone.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
    assert!(gone.destroy().is_ok());
    assert_eq!(drops.count(), 1, "the space owned the object");
    let clone = root.clone();
    for _ in 0..10 {
        let space = manual();
        assert!(space.shared(|cx| root.try_get(cx).is_err() && clone.try_get(cx).is_err()));
    }
    drop(root);
    drop(clone);
}

#[test]
fn a_root_inside_an_object_of_its_own_space_lasts_as_long_as_the_space() {
    let (space, drops) = (manual(), Drops::new());
    space.exclusive(|cx| {
        let target = cx.root(cx.alloc(drops.probe()));
        let holder = cx.alloc(GcCell::new(Static(None)));
        holder.borrow_mut(cx).0 = Some(target);
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    // The holder is gone, and with it the root.
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_root_of_itself_inside_an_object_is_dropped_with_the_space() {
    let (space, drops) = (manual(), Drops::new());
    type Holder = GcRoot<Rootable![(Static<crate::probe::Probe>, GcCell<'_, Static<Option<()>>>)]>;
    let _: Option<Holder> = None;
    space.exclusive(|cx| {
        let object = cx.alloc((drops.probe(), GcCell::new(Static(None))));
        let any: Box<dyn std::any::Any + Send + Sync> = Box::new(cx.root(object));
        object.1.borrow_mut(cx).0 = Some(any);
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    drop(space);
    assert_eq!(drops.count(), 1);
}

#[test]
fn the_set_of_roots_counts_each_object_once() {
    let (space, drops) = (manual(), Drops::new());
    let weak = space.exclusive(|cx| {
        let object = cx.alloc(drops.probe());
        assert_eq!(cx.remove_gc_root(object), Err(RootError::NotARoot));
        assert_eq!(cx.add_gc_root(object), Ok(()));
        assert_eq!(cx.add_gc_root(object), Err(RootError::AlreadyRoot));
        cx.own_root(cx.downgrade(object))
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    space.exclusive(|cx| {
        let object = weak.get(cx).upgrade(cx).unwrap();
        assert_eq!(cx.remove_gc_root(object), Ok(()));
        assert_eq!(cx.remove_gc_root(object), Err(RootError::NotARoot));
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
}

#[test]
fn roots_are_dropped_by_other_threads_during_a_collection() {
    within(|| {
        let (space, drops) = (manual(), Drops::new());
        let barrier = Barrier::new(3);
        let (rounds, half) = if cfg!(miri) { (2, 10) } else { (20, 75) };
        for _ in 0..rounds {
            let roots: Vec<_> = space
                .exclusive(|cx| (0..4 * half).map(|_| cx.root(node(cx, &drops, None))).collect());
            let (kept, dropped) = roots.split_at(2 * half);
            let kept: Vec<_> = kept.to_vec();
            let halves = [dropped[..half].to_vec(), dropped[half..].to_vec()];
            drop(roots);
            thread::scope(|threads| {
                for half in halves {
                    let barrier = &barrier;
                    threads.spawn(move || {
                        barrier.wait();
                        for root in half {
                            drop(root.clone());
                            drop(root);
                        }
                    });
                }
                barrier.wait();
                space.collect().unwrap();
            });
            assert!(space.verify().unwrap().is_clean());
            space.shared(|cx| assert!(kept.iter().all(|root| root.get(cx).next.get(cx).is_none())));
            space.collect().unwrap();
            assert_eq!(space.num_objects(), 2 * half);
            drop(kept);
            space.collect().unwrap();
        }
        assert_eq!((drops.count(), space.num_objects()), (rounds * 4 * half, 0));
    });
}

/// A root made while the mark was under way was missed, and its object condemned.
#[test]
fn a_root_that_a_reader_makes_during_the_mark_is_seen() {
    within(|| {
        let (space, drops) = (manual(), Drops::new());
        // The visit of the gate tells when the mark is under way, and goes on when the root is made.
        let (marking, wait_marking) = channel();
        let (rooted, wait_rooted) = channel();
        let gate = space.exclusive(|cx| cx.root(cx.alloc(Gate::new(marking, wait_rooted))));
        let weak = space.exclusive(|cx| {
            let last = node(cx, &drops, None);
            cx.own_root(cx.downgrade(node(cx, &drops, Some(last))))
        });
        let root = thread::scope(|threads| {
            let collector = threads.spawn(|| space.collect().unwrap());
            wait_marking.recv().unwrap();
            let root = space.shared(|cx| cx.root(weak.get(cx).upgrade(cx).unwrap()));
            rooted.send(()).unwrap();
            assert_eq!(collector.join().unwrap().objects_reclaimed, 0);
            root
        });
        drop(rooted);
        assert_eq!(drops.count(), 0);
        assert!(space.verify().unwrap().is_clean());
        space.shared(|cx| assert!(root.get(cx).next.get(cx).unwrap().next.get(cx).is_none()));
        drop((root, gate));
    });
}

#[test]
fn a_drop_may_drop_the_last_root_of_another_object() {
    let (space, drops) = (manual(), Drops::new());
    space.exclusive(|cx| {
        let root = cx.root(cx.alloc(drops.probe()));
        cx.alloc(on_drop(move || drop(root)));
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
}

/// Stops the first visit until it is told to go on.
pub struct Gate {
    reached: std::sync::mpsc::Sender<()>,
    go_on: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Gate {
    pub fn new(reached: std::sync::mpsc::Sender<()>, go_on: std::sync::mpsc::Receiver<()>) -> Gate {
        Gate { reached, go_on: std::sync::Mutex::new(go_on) }
    }
}

impl Rootable for Gate {
    type At<'gc> = Gate;
}
// SAFETY: there are no references inside; the drop of its parts touches no object.
unsafe impl<'gc> IObject<'gc> for Gate {
    type R = Gate;
    fn visit_objects(&self, _: &mut Visitor<'_>) {
        let _ = self.reached.send(());
        let _ = self.go_on.lock().unwrap().recv();
    }
}
