//! The whole of it at once: a few thousand objects through every kind of handle.
use cspace::*;
#[derive(IObject)]
struct Node<'gc> {
    key: u64,
    next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    tags: GcCell<'gc, Vec<String>>,
}
#[test]
fn smoke() {
    let space = CSpace::new();
    let head: GcRoot<Rootable![Node<'_>]> = space.exclusive(|cx| {
        let mut head = None;
        for key in 0..100_000 {
            let n = cx.alloc(Node {
                key,
                next: Slot::new(head),
                tags: GcCell::new(vec!["x".to_string()]),
            });
            if key % 2 == 0 {
                head = Some(n);
            }
        }
        cx.root(head.unwrap())
    });
    assert_eq!(space.num_objects(), 100_000);
    let r = space.synchronous_gc().unwrap();
    println!("{r:?}");
    assert_eq!(space.num_objects(), 50_000);
    println!("{}", space.verify().unwrap());
    assert!(space.verify().unwrap().is_clean());
    let sum = space.shared(|cx| {
        let mut n = Some(head.get(cx));
        let mut s = 0;
        while let Some(x) = n {
            s += x.key;
            assert_eq!(x.tags.borrow(cx).len(), 1);
            n = x.next.get(cx);
        }
        s
    });
    assert_eq!(sum, (0..100_000u64).filter(|k| k % 2 == 0).sum());
    drop(head);
    space.synchronous_gc().unwrap();
    assert_eq!(space.num_objects(), 0);
    println!("{:?}", space.memory());
    space.exclusive(|cx| {
        let w = cx.downgrade(cx.alloc(5u64));
        assert!(w.upgrade(cx).is_some());
    });
    let mut lock = space.lock();
    let mut vm: OwnedRoot<Rootable![(RootStack<NanBox<'_>>, WeakSet<'_, String>)]> =
        lock.scope(|cx| cx.own_root((RootStack::new(10, NanBox::NIL), WeakSet::<String>::new())));
    lock.scope_mut(&mut vm, |cx, vm| {
        let s = cx.alloc("hello".to_string());
        vm.0.push(NanBox::from_gc(s));
        vm.1.insert(cx, 7, s);
        let t = cx.alloc("dead".to_string());
        vm.1.insert(cx, 8, t);
        vm.0.as_mut_full()[3] = NanBox::from_gc(t);
    });
    lock.collect().unwrap();
    lock.scope_mut(&mut vm, |_cx, vm| {
        assert!(vm.1.find(7, |s| s.as_str() == "hello").is_some());
        assert!(vm.1.find(8, |_| true).is_none());
        assert_eq!(vm.0.as_mut_full()[3], NanBox::NIL);
    });
    drop(lock);
    assert!(space.verify().unwrap().is_clean());
}
