//! Destroying a space beside its collector ([`CollectorHandles`]).
//!
//! The scene is that of `Space::destroy`: a driver has a handle while it looks, and none in between; who has the only
//! other one waits for it. The count of strong handles is a relaxed counter here, as that of an `Arc` is.

use std::time::Duration;

use cspace_core::protocol::{CollectorHandles, Others};
use cspace_core::sync::{AtomicUsize, Ordering::Relaxed};
use cspace_loom_tests::{play_bounded, spawn, Arc};

trait Handles: Send + Sync + 'static {
    fn new() -> Self;
    fn begin(&self, waits: bool, strong: &AtomicUsize) -> bool;
    fn end(&self, strong: &AtomicUsize);
    /// Waits until the caller's handle is the only one, and calls `take` then, until that says that it was.
    fn close(&self, strong: &AtomicUsize, take: impl FnMut() -> bool) -> Result<(), ()>;
}

/// A handle, if there is one left.
fn upgrade(strong: &AtomicUsize) -> Option<()> {
    strong.fetch_update(Relaxed, Relaxed, |count| (count > 0).then_some(count + 1)).ok().map(|_| ())
}

impl Handles for CollectorHandles {
    fn new() -> Self {
        CollectorHandles::new()
    }
    fn begin(&self, waits: bool, strong: &AtomicUsize) -> bool {
        self.begin(waits, || upgrade(strong)).is_some()
    }
    fn end(&self, strong: &AtomicUsize) {
        strong.fetch_sub(1, Relaxed);
        self.end();
    }
    fn close(&self, strong: &AtomicUsize, mut take: impl FnMut() -> bool) -> Result<(), ()> {
        let closing = self.close();
        loop {
            match closing.look(|| strong.load(Relaxed)) {
                Others::Somebody => return Err(()),
                Others::Collectors => closing.wait(Duration::MAX),
                Others::None if take() => return Ok(()),
                Others::None => {}
            }
        }
    }
}

/// Of a driver that waits for nobody: a stand-in's.
struct Trying(CollectorHandles);

impl Handles for Trying {
    fn new() -> Self {
        Trying(CollectorHandles::new())
    }
    fn begin(&self, _: bool, strong: &AtomicUsize) -> bool {
        self.0.try_begin(|| upgrade(strong)).is_some()
    }
    fn end(&self, strong: &AtomicUsize) {
        Handles::end(&self.0, strong);
    }
    fn close(&self, strong: &AtomicUsize, take: impl FnMut() -> bool) -> Result<(), ()> {
        Handles::close(&self.0, strong, take)
    }
}

struct Space<H> {
    handles: H,
    strong: AtomicUsize,
}

/// P25, P26: a driver looks twice, while the space is destroyed.
fn the_collector_is_waited_for<H: Handles>(waits: bool) {
    play_bounded(3, move || {
        let space = Arc::new(Space { handles: H::new(), strong: AtomicUsize::new(1) });
        let driver = {
            let space = Arc::clone(&space);
            spawn(move || {
                for _ in 0..2 {
                    if space.handles.begin(waits, &space.strong) {
                        assert_ne!(space.strong.load(Relaxed), 0, "it is gone: it was used");
                        space.handles.end(&space.strong);
                    }
                }
            })
        };
        let take = || space.strong.compare_exchange(1, 0, Relaxed, Relaxed).is_ok();
        let destroyed = space.handles.close(&space.strong, take);
        assert!(destroyed.is_ok(), "the collector was taken for somebody else");
        driver.join().unwrap();
        assert!(!space.handles.begin(waits, &space.strong));
    });
}

/// P25: somebody else has a handle, and the collector too.
fn somebody_else_is_not_waited_for<H: Handles>() {
    play_bounded(3, || {
        let space = Arc::new(Space { handles: H::new(), strong: AtomicUsize::new(2) });
        let driver = {
            let space = Arc::clone(&space);
            spawn(move || {
                assert!(space.handles.begin(true, &space.strong));
                space.handles.end(&space.strong);
            })
        };
        let destroyed = space.handles.close(&space.strong, || unreachable!("there is another"));
        assert!(destroyed.is_err());
        driver.join().unwrap();
    });
}

#[test]
fn p25_p26_the_collector_is_waited_for() {
    the_collector_is_waited_for::<CollectorHandles>(true);
    the_collector_is_waited_for::<CollectorHandles>(false);
    the_collector_is_waited_for::<Trying>(false);
}

#[test]
fn p25_somebody_else_is_not_waited_for() {
    somebody_else_is_not_waited_for::<CollectorHandles>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{Condvar, Mutex};
    use cspace_loom_tests::deadlocks;

    /// [`CollectorHandles`] that count a handle after it was made, or no more before it is dropped, or whose last one
    /// tells nobody.
    struct Weak<const COUNTED: bool, const DROPPED: bool, const TELLS: bool> {
        state: Mutex<(usize, usize)>,
        changed: Condvar,
    }

    impl<const COUNTED: bool, const DROPPED: bool, const TELLS: bool> Handles
        for Weak<COUNTED, DROPPED, TELLS>
    {
        fn new() -> Self {
            Weak { state: Mutex::new((0, 0)), changed: Condvar::default() }
        }
        fn begin(&self, waits: bool, strong: &AtomicUsize) -> bool {
            let mut state = self.state.lock();
            while waits && state.1 > 0 {
                self.changed.wait(&mut state);
            }
            if !COUNTED {
                drop(state);
                let made = upgrade(strong).is_some();
                self.state.lock().0 += usize::from(made);
                return made;
            }
            let made = upgrade(strong).is_some();
            state.0 += usize::from(made);
            made
        }
        fn end(&self, strong: &AtomicUsize) {
            if DROPPED {
                strong.fetch_sub(1, Relaxed);
            }
            self.state.lock().0 -= 1;
            if TELLS {
                self.changed.notify_all();
            }
            if !DROPPED {
                strong.fetch_sub(1, Relaxed);
            }
        }
        fn close(&self, strong: &AtomicUsize, mut take: impl FnMut() -> bool) -> Result<(), ()> {
            let mut state = self.state.lock();
            state.1 += 1;
            let result = loop {
                if strong.load(Relaxed) > 1 + state.0 {
                    break Err(());
                } else if state.0 > 0 {
                    self.changed.wait(&mut state);
                } else if take() {
                    break Ok(());
                }
            };
            state.1 -= 1;
            drop(state);
            self.changed.notify_all();
            result
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        the_collector_is_waited_for::<Weak<true, true, true>>(true);
        somebody_else_is_not_waited_for::<Weak<true, true, true>>();
    }

    #[test]
    #[should_panic = "the collector was taken for somebody else"]
    fn a_handle_that_is_counted_late_is_found_out() {
        the_collector_is_waited_for::<Weak<false, true, true>>(true);
    }

    #[test]
    #[should_panic = "the collector was taken for somebody else"]
    fn a_handle_that_is_dropped_late_is_found_out() {
        the_collector_is_waited_for::<Weak<true, false, true>>(true);
    }

    #[test]
    fn a_last_handle_that_tells_nobody_is_found_out() {
        let test = "weakened::a_last_handle_that_tells_nobody_is_found_out";
        assert!(deadlocks(test, || the_collector_is_waited_for::<Weak<true, true, false>>(true)));
    }
}
