//! A thread-local's destructor on a worker that had been told to stop started the collector again, for which it waited
//! until the stop was over, which waited for the thread.

use std::cell::RefCell;
use std::sync::mpsc::{channel, Sender};
use std::time::Duration;

use cspace::*;

use crate::probe::on_drop;
use crate::within;

struct Starts(Option<(WeakCSpace, Sender<bool>)>);
impl Drop for Starts {
    fn drop(&mut self) {
        let Some((space, refused)) = self.0.take() else { return };
        let started = space.upgrade().unwrap().start_gc();
        refused.send(matches!(started, Err(StartError::FromCollector { .. }))).unwrap();
    }
}
thread_local!(static STARTS: RefCell<Starts> = const { RefCell::new(Starts(None)) });

#[test]
fn a_worker_is_one_to_its_very_end() {
    within(60, || {
        let space = CSpace::new();
        let (say_refused, refused) = channel();
        let weak = space.downgrade();
        let sets = on_drop(move || STARTS.with(|it| it.borrow_mut().0 = Some((weak, say_refused))));
        space.exclusive(|cx| cx.alloc(sets).addr());
        space.request_gc();
        space.wait_for_gc_after(0, Duration::from_secs(50)).unwrap();
        space.stop_gc().unwrap();
        assert!(refused.recv().unwrap());
    });
}
