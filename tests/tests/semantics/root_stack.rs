//! Value stacks: what lies above the length keeps nothing alive and is never seen again.

use cspace::*;

use crate::probe::{Drops, Probe};
use crate::watchdog::panic_of;

type Stack = OwnedRoot<Rootable![RootStack<NanBox<'_>>]>;

fn stack(space: &CSpace, capacity: usize) -> Stack {
    space.exclusive(|cx| cx.own_root(RootStack::new(capacity, NanBox::NIL)))
}

#[test]
fn elements_below_the_length_live_and_those_above_are_cleared() {
    let (space, drops) = (CSpace::new(), Drops::new());
    let mut stack = stack(&space, 100);
    let mut lock = space.lock();
    lock.scope_mut(&mut stack, |cx, stack| {
        let full = stack.as_mut_full();
        assert_eq!(full.len(), 100);
        for place in full.iter_mut() {
            *place = NanBox::from_gc(cx.alloc(drops.probe()));
        }
        stack.set_len(30);
    });
    lock.collect().unwrap();
    assert_eq!(drops.count(), 70);
    lock.scope_mut(&mut stack, |_, stack| {
        assert_eq!(stack.len(), 30);
        assert!(stack.iter().all(|value| value.is::<Static<Probe>>()));
        assert!(stack.as_mut_full()[30..].iter().all(|value| value.is_nil()));
        stack.set_len(100);
    });
    lock.collect().unwrap();
    assert_eq!(drops.count(), 70);
}

#[test]
fn an_abandoned_collection_clears_nothing() {
    let space = CSpace::new();
    let mut stack = stack(&space, 4);
    space.exclusive(|cx| stack.get_mut(cx).as_mut_full()[3] = NanBox::TRUE);
    let bad = space.exclusive(|cx| cx.root(cx.alloc(crate::collect::PanicsOnVisit::new())));
    assert!(space.collect().is_err());
    space.exclusive(|cx| assert_eq!(stack.get_mut(cx).as_mut_full()[3], NanBox::TRUE));
    drop(bad);
    space.collect().unwrap();
    space.exclusive(|cx| assert!(stack.get_mut(cx).as_mut_full()[3].is_nil()));
}

#[test]
fn a_filler_is_kept_alive() {
    let (space, drops) = (CSpace::new(), Drops::new());
    let mut stack: Stack = space
        .exclusive(|cx| cx.own_root(RootStack::new(8, NanBox::from_gc(cx.alloc(drops.probe())))));
    space.exclusive(|cx| stack.get_mut(cx).as_mut_full()[5] = NanBox::NIL);
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    space.exclusive(|cx| {
        let full = stack.get_mut(cx).as_mut_full();
        assert!(full.iter().all(|value| value.is::<Static<Probe>>() && *value == full_first(full)));
    });
    fn full_first<'gc>(full: &[NanBox<'gc>]) -> NanBox<'gc> {
        full[0]
    }
}

#[test]
fn a_stack_in_an_object_is_cleared_as_well() {
    let (space, drops) = (CSpace::new(), Drops::new());
    let root = space.exclusive(|cx| {
        let object = cx.alloc(GcCell::new(RootStack::new(3, NanBox::NIL)));
        let value = NanBox::from_gc(cx.alloc(drops.probe()));
        object.borrow_mut(cx).as_mut_full()[2] = value;
        cx.root(object)
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
    space.exclusive(|cx| {
        let object = root.get(cx);
        assert!(object.borrow_mut(cx).as_mut_full()[2].is_nil());
    });
}

#[test]
fn it_pushes_and_pops_as_a_stack_does() {
    let mut stack = RootStack::new(3, 0u64);
    assert_eq!((stack.pop(), stack.len(), stack.capacity()), (None, 0, 3));
    for i in 1..=3 {
        stack.push(i);
    }
    assert_eq!(&stack[..], [1, 2, 3]);
    assert!(panic_of(|| stack.push(4)).contains("is full"));
    assert_eq!(stack.pop(), Some(3));
    stack.truncate(9);
    assert_eq!(stack.len(), 2);
    stack.truncate(1);
    stack[0] = 7;
    assert_eq!(stack.pop(), Some(7));
    assert!(panic_of(|| stack.set_len(4)).contains("cannot have 4"));
}
