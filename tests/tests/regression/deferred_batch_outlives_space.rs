use cspace::*;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

struct Count(Arc<AtomicUsize>);
impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn objects_of_a_deferred_batch_are_dropped_with_their_space() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (outer, inner) = (CSpace::new(), CSpace::new());
    let root = inner.exclusive(|cx| {
        cx.alloc(Static(Count(drops.clone())));
        cx.root(cx.alloc(Static(Count(drops.clone()))))
    });
    outer.exclusive(|_| {
        assert!(inner.collect().unwrap().sweep_deferred);
        drop(inner);
        drop(root);
    });
    assert_eq!(drops.load(Relaxed), 2);
}

#[test]
fn a_deferred_batch_does_not_sweep_what_another_space_put_in_its_memory() {
    let inner_drops = Arc::new(AtomicUsize::new(0));
    let other_drops = Arc::new(AtomicUsize::new(0));
    let (outer, inner) = (CSpace::new(), CSpace::new());
    inner.exclusive(|cx| {
        for _ in 0..10 {
            cx.alloc(Static(Count(inner_drops.clone())));
        }
    });
    let mut other = None;
    outer.exclusive(|_| {
        assert!(inner.collect().unwrap().sweep_deferred);
        std::thread::scope(|threads| {
            threads.spawn(|| drop(inner));
        });
        let space = CSpace::new();
        let roots: Vec<_> = space.exclusive(|cx| {
            (0..5).map(|_| cx.root(cx.alloc(Static(Count(other_drops.clone()))))).collect()
        });
        assert!(space.verify().unwrap().is_clean());
        other = Some((space, roots));
    });
    assert_eq!((inner_drops.load(Relaxed), other_drops.load(Relaxed)), (10, 0));
}
