//! Two batches waited; a drop of the first leaked a guard, and the second was lost with its marks set.
use cspace::*;

struct Leaker(&'static CSpace);
impl Drop for Leaker {
    fn drop(&mut self) {
        std::mem::forget(self.0.lock());
    }
}

#[derive(IObject)]
struct Node<'gc> {
    next: Slot<'gc, Option<Gc<'gc, String>>>,
}

#[test]
fn a_batch_waits_until_its_thread_is_free() {
    let leaked: &'static CSpace = Box::leak(Box::new(CSpace::new()));
    let (a, b, outer) = (CSpace::new(), CSpace::new(), CSpace::new());
    let root = a.exclusive(|cx| cx.root(cx.alloc(Node { next: Slot::new(None) })));
    b.exclusive(|cx| {
        cx.alloc(Static(Leaker(leaked)));
    });
    let (a2, b2) = (a.clone(), b.clone());
    let _ = std::thread::spawn(move || {
        outer.exclusive(|_| {
            assert!(a2.synchronous_gc().unwrap().sweep_deferred);
            assert!(b2.synchronous_gc().unwrap().sweep_deferred);
        });
    })
    .join();
    a.synchronous_gc().unwrap();
    a.exclusive(|cx| {
        let text = cx.alloc("kept by the node".repeat(10));
        root.get(cx).next.set(cx, Some(text));
    });
    a.synchronous_gc().unwrap();
    assert_eq!(a.num_objects(), 2);
    a.shared(|cx| assert_eq!(root.get(cx).next.get(cx).unwrap().len(), 160));
}
