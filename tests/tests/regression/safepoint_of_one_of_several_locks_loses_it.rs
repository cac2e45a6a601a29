//! The older of two locks taken with `lock_multiple` was lost at a safepoint, for reasons of order.
use cspace::*;

#[test]
fn each_lock_of_several_has_safepoints() {
    let (a, b) = (CSpace::new(), CSpace::new());
    let wanted = [(&a, LockMode::Exclusive), (&b, LockMode::Exclusive)];
    let mut locks = CSpace::lock_multiple(wanted).unwrap();
    a.request_gc();
    let lock = locks.get_mut(0).unwrap().exclusive().unwrap();
    lock.safepoint();
    assert_eq!(lock.scope(|cx| *cx.alloc(1u64)), 1);
}
