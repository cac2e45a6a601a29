//! Transactions: exclusive accesses between callbacks.

use std::sync::{Arc, Mutex};

use cspace::*;

use crate::watchdog::panic_of;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    fn add(&self, entry: &'static str) {
        self.0.lock().unwrap().push(entry);
    }
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn logged() -> (CSpace, Log) {
    let (space, log) = (CSpace::new(), Log::default());
    for entry in ["begin 1", "begin 2"] {
        let log = log.clone();
        space.on_transaction_begin(move |_| log.add(entry));
    }
    for entry in ["end 1", "end 2"] {
        let log = log.clone();
        space.on_transaction_end(move |_| log.add(entry));
    }
    (space, log)
}

const WHOLE: [&str; 5] = ["begin 1", "begin 2", "body", "end 1", "end 2"];

#[test]
fn callbacks_run_around_the_body_in_order_of_registration() {
    let (space, log) = logged();
    space.transaction(|_| log.add("body"));
    assert_eq!(log.take(), WHOLE);
    space.try_transaction(|_| log.add("body")).unwrap();
    assert_eq!(log.take(), WHOLE);
    let mut lock = space.lock_mode(LockMode::Transaction);
    assert_eq!(lock.mode(), LockMode::Transaction);
    lock.exclusive().unwrap().scope(|_| log.add("body"));
    drop(lock);
    assert_eq!(log.take(), WHOLE);
}

#[test]
fn other_accesses_call_no_callbacks() {
    let (space, log) = logged();
    space.exclusive(|_| ());
    space.shared(|_| ());
    space.collect().unwrap();
    assert!(log.take().is_empty());
}

#[test]
fn callbacks_have_exclusive_access_before_the_lock_is_released() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| cx.root(cx.alloc(Slot::new(0u64))));
    let (in_begin, in_end) = (root.clone(), root.clone());
    space.on_transaction_begin(move |cx| in_begin.get(cx).set(cx, 1));
    space.on_transaction_end(move |cx| {
        let slot = in_end.get(cx);
        slot.set(cx, slot.get(cx) + 10);
    });
    space.transaction(|cx| {
        let slot = root.get(cx);
        assert_eq!(slot.get(cx), 1);
        slot.set(cx, 2);
    });
    assert_eq!(space.shared(|cx| root.get(cx).get(cx)), 12);
}

#[test]
fn giving_the_lock_up_stays_one_transaction() {
    let (space, log) = logged();
    let mut lock = space.lock_transaction();
    lock.unlocked(|| space.exclusive(|_| log.add("body")));
    lock.safepoint();
    lock.collect().unwrap();
    let info = lock.begin_unlock();
    space.exclusive(|_| ());
    let mut lock = info.end_unlock();
    assert_eq!(lock.mode(), LockMode::Transaction);
    lock.unlocked(|| space.try_lock().map(drop).unwrap());
    drop(lock);
    assert_eq!(log.take(), WHOLE);
}

#[test]
fn a_transaction_inside_a_relinquish_is_one_of_its_own() {
    let (space, log) = logged();
    let mut lock = space.lock_transaction();
    lock.unlocked(|| space.transaction(|_| log.add("body")));
    log.add("body");
    drop(lock);
    let nested: Vec<_> = WHOLE[..2].iter().chain(&WHOLE).chain(&WHOLE[2..]).copied().collect();
    assert_eq!(log.take(), nested);
}

#[test]
fn a_lock_not_taken_again_calls_no_end_callbacks() {
    let (space, log) = logged();
    drop(space.lock_transaction().begin_unlock());
    assert_eq!(log.take(), WHOLE[..2]);
}

#[test]
fn end_callbacks_run_when_the_body_panics() {
    let (space, log) = logged();
    panic_of(|| space.transaction(|_| panic!("half way")));
    assert_eq!(log.take(), ["begin 1", "begin 2", "end 1", "end 2"]);
    assert!(space.is_poisoned());
}

#[test]
fn a_panicking_begin_callback_releases_the_lock_and_poisons() {
    let space = CSpace::new();
    space.on_transaction_begin(|_| panic!("not today"));
    assert_eq!(panic_of(|| space.transaction(|_| ())), "not today");
    assert!(space.is_poisoned());
    space.clear_poison();
    assert_eq!(space.exclusive(|cx| cx.num_objects()), 0);
}

#[test]
fn a_panicking_end_callback_releases_the_lock_and_poisons() {
    let space = CSpace::new();
    space.on_transaction_end(|_| panic!("not today"));
    assert_eq!(panic_of(|| space.transaction(|_| ())), "not today");
    assert!(space.is_poisoned());
    space.clear_poison();
    assert_eq!(space.exclusive(|cx| cx.num_objects()), 0);
}

#[test]
fn a_callback_may_register_callbacks() {
    let (space, log) = logged();
    let (handle, later) = (space.downgrade(), log.clone());
    space.on_transaction_begin(move |_| {
        let later = later.clone();
        handle.upgrade().unwrap().on_transaction_end(move |_| later.add("late end"));
    });
    space.transaction(|_| log.add("body"));
    assert_eq!(log.take(), ["begin 1", "begin 2", "body", "end 1", "end 2", "late end"]);
}

/// The process was aborted: the callback's panic left a guard's drop that another panic ran.
#[test]
fn an_end_callback_that_panics_while_the_body_panics_does_not_abort() {
    const CHILD: &str = "CSPACE_END_CALLBACK_CHILD";
    // Miri starts no processes, and tells of an abort itself.
    if cfg!(miri) || std::env::var_os(CHILD).is_some() {
        let space = CSpace::new();
        space.on_transaction_end(|_| panic!("end"));
        assert_eq!(panic_of(|| space.transaction(|_| panic!("body"))), "body");
        space.clear_poison();
        space.exclusive(|_| ());
        return;
    }
    let name = "transactions::an_end_callback_that_panics_while_the_body_panics_does_not_abort";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success());
}
