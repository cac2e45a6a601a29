//! The tools that find what nobody keeps alive, in release builds too.

use cspace::*;

use crate::probe::Drops;

#[test]
fn under_stress_every_safepoint_collects() {
    let drops = Drops::new();
    let space = CSpace::builder().gc(GcMode::Safepoints).stress(true).build().unwrap();
    let mut lock = space.lock();
    for i in 1..=15 {
        lock.scope(|cx| cx.alloc(drops.probe()).addr());
        assert!(lock.should_yield());
        lock.safepoint();
        assert_eq!((space.total_num_completed_gcs(), drops.count()), (i, i as usize));
    }
    // One in a while may be done in parts, and is followed by others.
    for _ in 0..5 {
        lock.scope(|cx| cx.alloc(drops.probe()).addr());
        lock.safepoint();
    }
    assert_eq!(drops.count(), 20);
    drop(lock);
    space.exclusive(|cx| cx.alloc(drops.probe()).addr());
    assert_eq!(drops.count(), 21, "the end of an access is a safepoint");
}

#[test]
fn stress_is_turned_on_and_off() {
    let space = CSpace::new();
    let mut lock = space.lock();
    space.set_stress(true);
    lock.safepoint();
    lock.safepoint();
    assert_eq!(space.total_num_completed_gcs(), 2);
    space.set_stress(false);
    lock.safepoint();
    lock.safepoint();
    assert_eq!(space.total_num_completed_gcs(), 2);
    assert!(!lock.should_yield());
}

/// Reads memory of a reclaimed object, which stays mapped: the page belongs to a space that lives.
fn bytes_of<const N: usize>(address: usize) -> Vec<u8> {
    let first = std::ptr::with_exposed_provenance::<u8>(address);
    // SAFETY: the callers' objects lay in pages that their space keeps; nobody writes meanwhile.
    (0..N).map(|i| unsafe { first.add(i).read_volatile() }).collect()
}

#[test]
fn freed_memory_is_overwritten() {
    let space = CSpace::builder().poison_freed(true).build().unwrap();
    let (address, kept) = space.exclusive(|cx| {
        // A neighbour keeps the page.
        let kept = cx.root(cx.alloc([0x11u8; 64]));
        let object = cx.alloc([0x22u8; 64]);
        (std::ptr::from_ref(object.as_ref()).expose_provenance(), kept)
    });
    assert_eq!(bytes_of::<64>(address), [0x22; 64]);
    space.collect().unwrap();
    assert_eq!(bytes_of::<64>(address), [0xDB; 64]);
    assert_eq!(space.shared(|cx| root_bytes(&kept, cx)), [0x11; 64]);

    fn root_bytes(root: &GcRoot<Rootable![[u8; 64]]>, cx: &Shared<'_>) -> [u8; 64] {
        *root.get(cx)
    }
}

#[test]
fn freed_memory_is_overwritten_after_the_drop() {
    let (drops, space) = (Drops::new(), CSpace::builder().poison_freed(true).build().unwrap());
    let (address, kept) = space.exclusive(|cx| {
        let kept = cx.root(cx.alloc((drops.probe(), 1u64)));
        (cx.alloc((drops.probe(), 2u64)).addr(), kept)
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
    let _ = std::ptr::with_exposed_provenance::<u8>(address);
    assert_eq!(space.shared(|cx| kept.get(cx).1), 1);
    assert!(space.verify().unwrap().is_clean());
}

#[test]
#[cfg_attr(miri, ignore = "200 collections")]
fn a_program_that_roots_what_it_needs_survives_stress_and_overwriting() {
    let space = CSpace::builder().stress(true).poison_freed(true).build().unwrap();
    let mut lock = space.lock();
    let mut stack = lock.scope(|cx| cx.own_root(RootStack::new(64, NanBox::NIL)));
    for i in 0..200u64 {
        lock.scope_mut(&mut stack, |cx, stack| {
            if stack.len() == 50 {
                stack.truncate(10);
            }
            stack.push(NanBox::from_gc(cx.alloc(format!("value {i}"))));
            stack.push(NanBox::from_f64(i as f64));
        });
        lock.safepoint();
        lock.scope(|cx| {
            let stack = stack.get(cx);
            let texts = stack.iter().filter_map(|value| value.downcast::<String>());
            assert!(texts.count() == stack.len() / 2);
            assert!(
                stack.iter().rev().nth(1).unwrap().downcast::<String>().unwrap().as_str()
                    == format!("value {i}")
            );
        });
    }
    drop(lock);
    assert!(space.verify().unwrap().is_clean());
}
