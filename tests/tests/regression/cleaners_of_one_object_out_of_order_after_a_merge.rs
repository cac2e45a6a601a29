//! A merge joined what two spaces had of cleaners in an order in which those that were registered last could come first.

use std::sync::{Arc, Mutex};

use cspace::*;

fn space() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).build().unwrap()
}

/// Many objects with cleaners.
fn crowd(space: &CSpace, count: u64) -> Vec<GcRoot<u64>> {
    let make = |cx: &Exclusive<'_>, i| {
        let object = cx.alloc(i);
        cx.register_cleaner(object, || ());
        cx.root(object)
    };
    space.exclusive(|cx| (0..count).map(|i| make(cx, i)).collect())
}

#[test]
#[cfg_attr(miri, ignore = "a thousand cleaners")]
fn they_run_as_they_were_registered() {
    let (from, into, ran) = (space(), space(), Arc::new(Mutex::new(Vec::new())));
    let register = |root: &GcRoot<u64>, number: u32| {
        let ran = Arc::clone(&ran);
        from.exclusive(|cx| {
            _ = cx.register_cleaner(root.get(cx), move || ran.lock().unwrap().push(number));
        });
    };
    let root = from.exclusive(|cx| cx.root(cx.alloc(0u64)));
    let mut crowds = Vec::new();
    for number in 1..=4 {
        register(&root, number);
        crowds.push(crowd(&from, 600));
        from.synchronous_gc().unwrap();
    }
    register(&root, 5);
    crowds.push(crowd(&into, 1));
    into.synchronous_gc().unwrap();
    crowds.push(crowd(&into, 700));
    into.transfer_from(&from).unwrap();
    drop(root);
    into.synchronous_gc().unwrap();
    assert_eq!(*ran.lock().unwrap(), [1, 2, 3, 4, 5]);
}
