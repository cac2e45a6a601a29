//! A space whose last handle went while a batch of it waited gave its blocks back with objects in them.
use cspace::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

struct Counted(Arc<AtomicUsize>, #[allow(dead_code)] String);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn every_object_is_dropped_once_and_the_blocks_are_clean() {
    const COUNT: usize = if cfg!(miri) { 10 } else { 100 };
    let dropped = Arc::new(AtomicUsize::new(0));
    let outer = CSpace::new();
    // With a thread of its own the batch would be that thread's.
    let inner = CSpace::builder().gc(GcMode::Manual).build().unwrap();
    let root = inner.exclusive(|cx| {
        let mut last = None;
        for i in 0..COUNT {
            let object = cx.alloc((Static(Counted(dropped.clone(), i.to_string())), last));
            last = Some(GcAny::new(object));
        }
        cx.root(last.unwrap().downcast::<(Static<Counted>, Option<GcAny<'_>>)>().unwrap())
    });
    outer.exclusive(|_| {
        assert!(inner.synchronous_gc().unwrap().sweep_deferred);
        drop(inner);
    });
    assert_eq!(dropped.load(SeqCst), COUNT, "objects dropped with their space");
    drop(root);
    // Other spaces use the blocks now.
    for _ in 0..if cfg!(miri) { 2 } else { 20 } {
        let space = CSpace::new();
        let root = space.exclusive(|cx| cx.root(cx.alloc_slice(100, Box::new)));
        let more = space.exclusive(|cx| cx.root(cx.alloc(("a".to_string(), 1u64))));
        assert!(space.verify().unwrap().is_clean(), "{}", space.verify().unwrap());
        space.synchronous_gc().unwrap();
        assert_eq!(space.num_objects(), 2);
        drop((root, more));
    }
}
