//! Owned roots: values outside of the heap that are traced.

use std::sync::mpsc::channel;
use std::thread;

use cspace::*;

use crate::probe::{manual, on_drop, Drops, Probe};
use crate::roots::Gate;
use crate::watchdog::{eventually, panic_of, within};

#[derive(IObject)]
struct Machine<'gc> {
    probe: Static<Probe>,
    stack: Vec<Gc<'gc, Static<Probe>>>,
}

type Owned = OwnedRoot<Rootable![Machine<'_>]>;

fn machine(space: &CSpace, drops: &Drops) -> Owned {
    space.exclusive(|cx| cx.own_root(Machine { probe: drops.probe(), stack: Vec::new() }))
}

#[test]
fn what_an_owned_root_holds_is_alive_and_what_it_drops_is_not() {
    let (space, values, objects) = (manual(), Drops::new(), Drops::new());
    let mut owned = machine(&space, &values);
    let mut lock = space.lock();
    lock.scope_mut(&mut owned, |cx, machine| {
        for _ in 0..100 {
            machine.stack.push(cx.alloc(objects.probe()));
        }
    });
    lock.collect().unwrap();
    assert_eq!(objects.count(), 0);
    lock.scope_mut(&mut owned, |_, machine| machine.stack.truncate(40));
    lock.collect().unwrap();
    assert_eq!((objects.count(), values.count()), (60, 0));
    assert_eq!(lock.scope(|cx| owned.get(cx).stack.len()), 40);
}

#[test]
fn its_value_is_never_an_object_of_the_space() {
    let space = manual();
    let _owned = machine(&space, &Drops::new());
    assert_eq!(space.num_objects(), 0);
}

/// Dropping the handle dropped the value, while the collector was visiting it.
#[test]
fn a_value_dropped_by_its_handle_during_a_collection_is_dropped_after_it() {
    within(|| {
        let (space, drops) = (manual(), Drops::new());
        let (marking, wait_marking) = channel();
        let (go_on, wait_go_on) = channel();
        let owned =
            space.exclusive(|cx| cx.own_root((Gate::new(marking, wait_go_on), drops.probe())));
        thread::scope(|threads| {
            let collector = threads.spawn(|| space.collect().unwrap());
            wait_marking.recv().unwrap();
            drop(owned);
            assert_eq!(drops.count(), 0, "the collector is looking at it");
            go_on.send(()).unwrap();
            collector.join().unwrap();
        });
        drop(go_on);
        space.collect().unwrap();
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_dropped_value_goes_with_the_next_collection_exactly_once() {
    let (space, values, objects) = (manual(), Drops::new(), Drops::new());
    let mut owned = machine(&space, &values);
    space.exclusive(|cx| owned.get_mut(cx).stack.push(cx.alloc(objects.probe())));
    thread::scope(|threads| threads.spawn(move || drop(owned)).join().unwrap());
    assert_eq!((values.count(), objects.count()), (0, 0));
    space.collect().unwrap();
    assert_eq!((values.count(), objects.count()), (1, 1));
    space.collect().unwrap();
    drop(space);
    assert_eq!((values.count(), objects.count()), (1, 1));
}

#[test]
fn a_value_dropped_before_its_space_goes_with_the_space() {
    let (space, drops) = (manual(), Drops::new());
    drop(machine(&space, &drops));
    assert_eq!(drops.count(), 0);
    drop(space);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_value_outlives_its_space_and_is_dropped_by_its_handle() {
    let (space, values, objects) = (manual(), Drops::new(), Drops::new());
    let mut owned = machine(&space, &values);
    space.exclusive(|cx| owned.get_mut(cx).stack.push(cx.alloc(objects.probe())));
    drop(space);
    assert_eq!((values.count(), objects.count()), (0, 1), "the space drops its objects only");
    let other = manual();
    assert!(panic_of(|| other.shared(|cx| owned.get(cx).stack.len())).contains("another space"));
    drop(owned);
    assert_eq!(values.count(), 1);
}

#[test]
fn a_value_is_used_in_its_own_space_only() {
    let (a, b) = (manual(), manual());
    let mut owned = machine(&a, &Drops::new());
    let mut lock = b.lock();
    let message = panic_of(|| lock.scope_mut(&mut owned, |_, machine| machine.stack.clear()));
    assert!(message.contains("this OwnedRoot belongs to another space"), "{message}");
    assert!(panic_of(|| lock.scope(|cx| owned.get(cx).stack.len())).contains("another space"));
}

#[test]
#[cfg_attr(miri, ignore = "200 rounds")]
fn handle_and_space_dropped_at_once_drop_the_value_once() {
    within(|| {
        let drops = Drops::new();
        for _ in 0..200 {
            let space = manual();
            let owned = machine(&space, &drops);
            thread::scope(|threads| {
                threads.spawn(move || drop(owned));
                threads.spawn(move || drop(space));
            });
        }
        assert_eq!(drops.count(), 200);
    });
}

#[test]
fn a_value_moves_to_another_thread_with_its_handle() {
    let (space, objects) = (manual(), Drops::new());
    let mut owned = machine(&space, &Drops::new());
    space.exclusive(|cx| owned.get_mut(cx).stack.push(cx.alloc(objects.probe())));
    thread::scope(|threads| {
        let space = &space;
        threads.spawn(move || {
            space.collect().unwrap();
            space.exclusive(|cx| {
                let machine = owned.get_mut(cx);
                assert_eq!(machine.stack.len(), 1);
                machine.stack.clear();
            });
        });
    });
    space.collect().unwrap();
    assert_eq!(objects.count(), 1);
}

#[test]
fn a_value_is_read_by_many_threads() {
    let space = manual();
    let mut owned = machine(&space, &Drops::new());
    space.exclusive(|cx| owned.get_mut(cx).stack.push(cx.alloc(Drops::new().probe())));
    thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| assert_eq!(space.shared(|cx| owned.get(cx).stack.len()), 1));
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "5,000 objects")]
fn a_value_is_changed_while_the_access_allocates() {
    let (space, objects) = (manual(), Drops::new());
    let mut owned = machine(&space, &Drops::new());
    let mut lock = space.lock();
    lock.scope_mut(&mut owned, |cx, machine| {
        let top = &mut machine.stack;
        for _ in 0..5000 {
            top.push(cx.alloc(objects.probe()));
        }
        let cell = cx.alloc(GcCell::new(0u64));
        *cell.borrow_mut(cx) = top.len() as u64;
        assert_eq!(*cell.borrow(cx), 5000);
    });
    assert_eq!(lock.scope(|cx| cx.num_objects()), 5001);
}

#[test]
fn a_panicking_drop_of_a_value_is_counted_and_stops_nothing() {
    let (space, drops) = (manual(), Drops::new());
    let panics = space.exclusive(|cx| cx.own_root(on_drop(|| panic!("no"))));
    let after = machine(&space, &drops);
    drop((panics, after));
    assert_eq!(space.collect().unwrap().drop_panics, 1);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_value_may_drop_another_owned_root_and_its_space() {
    within(|| {
        let (outer, inner, drops) = (manual(), manual(), Drops::new());
        let owned = machine(&inner, &drops);
        let value = outer.exclusive(|cx| cx.own_root((Static(owned), Static(inner))));
        drop(value);
        outer.collect().unwrap();
        eventually(|| drops.count() == 1);
    });
}
