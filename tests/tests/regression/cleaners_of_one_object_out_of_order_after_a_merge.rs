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
#[cfg_attr(miri, ignore = "thousands of cleaners")]
fn they_run_as_they_were_registered() {
    let (from, more, into, others) = (space(), space(), space(), space());
    let ran = Arc::new(Mutex::new(Vec::new()));
    let register = |root: &GcRoot<u64>, number: u32| {
        let ran = Arc::clone(&ran);
        from.exclusive(|cx| {
            _ = cx.register_cleaner(root.get(cx), move || ran.lock().unwrap().push(number));
        });
    };
    let root = from.exclusive(|cx| cx.root(cx.alloc(0u64)));
    register(&root, 1);
    // Lists of more than 512 are not joined.
    let _crowds = [(&from, 600), (&more, 700), (&into, 900), (&others, 1000)]
        .map(|(space, count)| crowd(space, count));
    from.transfer_from(&more).unwrap();
    into.transfer_from(&others).unwrap();
    register(&root, 2);
    into.transfer_from(&from).unwrap();
    drop(root);
    into.synchronous_gc().unwrap();
    assert_eq!(*ran.lock().unwrap(), [1, 2]);
}
