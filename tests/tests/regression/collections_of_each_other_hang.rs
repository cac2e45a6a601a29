//! Two threads, each inside of a space, collected the other's and waited for ever.
use cspace::*;
use std::sync::{Arc, Barrier};

#[test]
fn threads_inside_of_two_spaces_collect_the_other() {
    super::within(15, || {
        let (a, b, both) = (CSpace::new(), CSpace::new(), Arc::new(Barrier::new(2)));
        let (a2, b2, both2) = (a.clone(), b.clone(), both.clone());
        let other = std::thread::spawn(move || {
            a2.exclusive(|_| {
                both2.wait();
                let _ = b2.synchronous_gc();
            })
        });
        b.exclusive(|_| {
            both.wait();
            let _ = a.synchronous_gc();
        });
        other.join().unwrap();
    });
}
