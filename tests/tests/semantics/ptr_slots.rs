//! Slots of a space: whose they are, who may read and change them, and how their values end.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use cspace::*;

use crate::probe::{manual, on_drop, Drops, OnDrop, Probe};
use crate::watchdog::{eventually, panic_of, within};

static NAME: PtrSlot<String> = PtrSlot::new();
static OTHER_NAME: PtrSlot<String> = PtrSlot::new();
static COUNT: PtrSlot<AtomicUsize> = PtrSlot::new();
static PROBE: PtrSlot<Probe> = PtrSlot::new();
static ON_DROP: [PtrSlot<OnDrop>; 3] = [const { PtrSlot::new() }; 3];

/// Gives the space a value that runs `f` when it is dropped.
fn set_on_drop(space: &CSpace, f: impl FnOnce() + Send + Sync + 'static) {
    space.exclusive(|cx| cx.set_ptr_slot(&ON_DROP[0], on_drop(f).0));
}

#[test]
fn each_space_has_a_value_of_its_own_or_none() {
    let (a, b) = (manual(), manual());
    a.exclusive(|cx| assert_eq!(cx.set_ptr_slot(&NAME, "a".to_string()), None));
    assert_eq!(a.shared(|cx| cx.ptr_slot(&NAME).cloned()), Some("a".to_string()));
    assert_eq!(b.shared(|cx| cx.ptr_slot(&NAME).cloned()), None);
    b.exclusive(|cx| assert_eq!(cx.set_ptr_slot(&NAME, "b".to_string()), None));
    assert_eq!(a.shared(|cx| cx.ptr_slot(&NAME).cloned()), Some("a".to_string()));
}

#[test]
fn setting_and_taking_give_back_the_value_before() {
    let space = manual();
    space.exclusive(|cx| {
        assert_eq!(cx.take_ptr_slot(&NAME), None);
        assert_eq!(cx.set_ptr_slot(&NAME, "first".to_string()), None);
        assert_eq!(cx.set_ptr_slot(&NAME, "second".to_string()), Some("first".to_string()));
        assert_eq!(cx.take_ptr_slot(&NAME), Some("second".to_string()));
        assert_eq!(cx.ptr_slot(&NAME), None);
        assert_eq!(cx.take_ptr_slot(&NAME), None);
    });
}

#[test]
fn keys_of_one_type_and_of_several_are_apart() {
    let space = manual();
    space.exclusive(|cx| {
        cx.set_ptr_slot(&NAME, "name".to_string());
        cx.set_ptr_slot(&COUNT, AtomicUsize::new(7));
        cx.set_ptr_slot(&OTHER_NAME, "other".to_string());
    });
    space.shared(|cx| {
        assert_eq!(cx.ptr_slot(&NAME).unwrap(), "name");
        assert_eq!(cx.ptr_slot(&OTHER_NAME).unwrap(), "other");
        assert_eq!(cx.ptr_slot(&COUNT).unwrap().load(SeqCst), 7);
    });
}

#[test]
fn a_value_is_read_in_every_kind_of_access() {
    let space = manual();
    space.on_transaction_begin(|cx| {
        cx.set_ptr_slot(&NAME, "named".to_string());
    });
    space.transaction(|cx| assert_eq!(cx.ptr_slot(&NAME).unwrap(), "named"));
    space.exclusive(|cx| {
        let (alloc, cells) = cx.split();
        let name = alloc.ptr_slot(&NAME).unwrap();
        let cell = alloc.alloc(GcCell::new(String::new()));
        cell.borrow_mut(cells).push_str(name);
        assert_eq!(*cell.borrow(cx), "named");
        assert_eq!(cx.as_shared().ptr_slot(&NAME).unwrap(), "named");
    });
    let mut lock = space.lock();
    {
        make_guard!(brand);
        let mut cx = lock.enter(brand);
        assert_eq!(cx.ptr_slot(&NAME).unwrap(), "named");
        cx.set_ptr_slot(&NAME, "renamed".to_string());
    }
    drop(lock);
    let mut lock = space.lock_shared();
    make_guard!(brand);
    assert_eq!(lock.enter(brand).ptr_slot(&NAME).unwrap(), "renamed");
}

#[test]
fn threads_of_one_access_share_a_value() {
    const ROUNDS: usize = if cfg!(miri) { 10 } else { 1000 };
    let space = manual();
    space.exclusive(|cx| {
        cx.set_ptr_slot(&COUNT, AtomicUsize::new(0));
        let tasks = (0..4).map(|_| {
            |cx: &Shared<'_>| {
                (0..ROUNDS).for_each(|_| _ = cx.ptr_slot(&COUNT).unwrap().fetch_add(1, SeqCst))
            }
        });
        cx.as_shared().fan_out(tasks);
        assert_eq!(cx.take_ptr_slot(&COUNT).unwrap().into_inner(), 4 * ROUNDS);
    });
}

#[test]
#[cfg_attr(miri, ignore = "500 rounds")]
fn writers_and_readers_on_many_threads_see_whole_values() {
    within(|| {
        let space = manual();
        thread::scope(|threads| {
            for letter in ['a', 'b'] {
                let space = &space;
                threads.spawn(move || {
                    for length in 1..500 {
                        let name: String = core::iter::repeat_n(letter, length).collect();
                        space.exclusive(|cx| drop(cx.set_ptr_slot(&NAME, name)));
                    }
                });
                threads.spawn(|| {
                    for _ in 0..500 {
                        space.shared(|cx| {
                            let Some(name) = cx.ptr_slot(&NAME) else { return };
                            let first = name.chars().next().unwrap();
                            assert!(name.chars().all(|letter| letter == first), "{name}");
                        });
                    }
                });
            }
        });
    });
}

#[test]
fn a_value_is_dropped_once_by_whoever_has_it_last() {
    let (space, drops) = (manual(), Drops::new());
    let before = space.exclusive(|cx| {
        cx.set_ptr_slot(&PROBE, drops.probe().0);
        cx.set_ptr_slot(&PROBE, drops.probe().0)
    });
    assert_eq!(drops.count(), 0);
    drop(before);
    assert_eq!(drops.count(), 1);
    let taken = space.exclusive(|cx| {
        let taken = cx.take_ptr_slot(&PROBE);
        cx.set_ptr_slot(&PROBE, drops.probe().0);
        taken
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 1, "a collection drops no value");
    drop(space);
    assert_eq!(drops.count(), 2);
    drop(taken);
    assert_eq!(drops.count(), 3);
}

#[test]
fn values_are_dropped_after_the_objects() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |text| {
        let log = log.clone();
        move || log.lock().unwrap().push(text)
    };
    let space = manual();
    set_on_drop(&space, note("value"));
    space.exclusive(|cx| cx.alloc(on_drop(note("object"))).addr());
    drop(space);
    assert_eq!(*log.lock().unwrap(), ["object", "value"]);
}

#[test]
fn a_value_whose_drop_panics_does_not_stop_the_others() {
    let drops = Drops::new();
    let end = || {
        let space = manual();
        space.exclusive(|cx| {
            for key in &ON_DROP {
                let probe = drops.probe();
                let panics = on_drop(move || {
                    drop(probe);
                    panic!("no");
                });
                cx.set_ptr_slot(key, panics.0);
            }
            cx.alloc(drops.probe());
        });
        drop(space);
    };
    end();
    assert_eq!(drops.count(), 4);
    // Beside a panic that is under way a second one would abort.
    struct InUnwinding<F: Fn()>(F);
    impl<F: Fn()> Drop for InUnwinding<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    panic_of(|| {
        let _end = InUnwinding(end);
        panic!("unwinding");
    });
    assert_eq!(drops.count(), 8);
}

#[test]
fn a_value_of_a_space_that_ends_inside_another_is_dropped_when_the_thread_holds_none() {
    within(|| {
        let (outer, inner, drops) = (manual(), manual(), Drops::new());
        let (handle, count) = (outer.clone(), drops.clone());
        set_on_drop(&inner, move || {
            handle.exclusive(|cx| cx.alloc(count.probe()).addr());
        });
        outer.exclusive(|cx| {
            drop(inner);
            assert_eq!(cx.num_objects(), 0);
        });
        eventually(|| outer.num_objects() == 1);
    });
}

#[test]
#[cfg_attr(miri, ignore = "10,000 spaces")]
fn a_value_may_own_another_space_in_a_long_chain() {
    static OWNED: PtrSlot<(Probe, Option<CSpace>)> = PtrSlot::new();
    within(|| {
        let drops = Drops::new();
        let mut chain = None::<CSpace>;
        for _ in 0..10_000 {
            let space = manual();
            space.exclusive(|cx| cx.set_ptr_slot(&OWNED, (drops.probe().0, chain.take())));
            chain = Some(space);
        }
        let small = thread::Builder::new().stack_size(256 << 10);
        small.spawn(move || drop(chain)).unwrap().join().unwrap();
        eventually(|| drops.count() == 10_000);
    });
}

#[test]
fn the_drop_of_a_value_may_use_other_spaces() {
    within(|| {
        let (space, other, drops) = (manual(), manual(), Drops::new());
        let last = manual();
        last.exclusive(|cx| cx.set_ptr_slot(&PROBE, drops.probe().0));
        other.exclusive(|cx| cx.alloc(drops.probe()).addr());
        let handle = other.clone();
        set_on_drop(&space, move || {
            assert!(matches!(handle.collect(), Ok(_) | Err(CollectError::InSweep { .. })));
            handle.exclusive(|cx| cx.set_ptr_slot(&NAME, "set in a drop".to_string()));
            drop(last);
        });
        drop(space);
        other.collect().unwrap();
        eventually(|| drops.count() == 2);
        assert_eq!(other.shared(|cx| cx.ptr_slot(&NAME).cloned()).unwrap(), "set in a drop");
    });
}

#[test]
fn a_root_in_a_slot_keeps_its_object_alive_until_it_is_taken() {
    static ROOT: PtrSlot<GcRoot<Static<Probe>>> = PtrSlot::new();
    let (space, drops) = (manual(), Drops::new());
    space.exclusive(|cx| {
        let root = cx.root(cx.alloc(drops.probe()));
        cx.set_ptr_slot(&ROOT, root);
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    space.exclusive(|cx| cx.take_ptr_slot(&ROOT));
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
    space.exclusive(|cx| {
        let root = cx.root(cx.alloc(drops.probe()));
        cx.set_ptr_slot(&ROOT, root);
    });
    drop(space);
    assert_eq!(drops.count(), 2);
}

#[test]
fn an_owned_root_in_a_slot_is_traced_and_ends_with_the_space() {
    #[derive(IObject)]
    struct Table<'gc>(Vec<Gc<'gc, Static<Probe>>>, Static<Probe>);
    static TABLE: PtrSlot<OwnedRoot<Rootable![Table<'_>]>> = PtrSlot::new();
    let (space, drops) = (manual(), Drops::new());
    space.exclusive(|cx| {
        let table = Table(vec![cx.alloc(drops.probe())], drops.probe());
        let table = cx.own_root(table);
        cx.set_ptr_slot(&TABLE, table);
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    space.shared(|cx| assert_eq!(cx.ptr_slot(&TABLE).unwrap().get(cx).0.len(), 1));
    drop(space);
    assert_eq!(drops.count(), 2);
}

#[test]
fn values_survive_poison_and_go_with_a_space_whose_lock_was_forgotten() {
    let (space, drops) = (manual(), Drops::new());
    panic_of(|| {
        space.exclusive(|cx| {
            cx.set_ptr_slot(&PROBE, drops.probe().0);
            panic!("poison");
        });
    });
    space.clear_poison();
    assert!(space.shared(|cx| cx.ptr_slot(&PROBE).is_some()));
    core::mem::forget(space.lock());
    drop(space);
    assert_eq!(drops.count(), 1);
}
