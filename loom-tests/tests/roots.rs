//! Root entries: released and used again while the collector reads them ([`HandleCount`]).
//!
//! The scene is that of `root.rs`: a table with a mutex for making roots in entries without handles, and
//! entries that handles release and the collector reads without it; and a segment of entries, which belongs to its
//! table and to the handles in it.

use std::collections::BTreeSet;

use cspace_core::protocol::HandleCount;
use cspace_core::sync::{AtomicUsize, Ordering::Relaxed};
use cspace_loom_tests::{play, spawn, Arc, Mutex, Plain};

/// What a table needs of a count.
trait Count: Send + Sync + 'static {
    fn new() -> Self;
    fn begin(&self);
    fn acquire(&self);
    fn release(&self) -> bool;
    fn is_live(&self) -> bool;
}

impl Count for HandleCount {
    fn new() -> Self {
        HandleCount::new()
    }
    fn begin(&self) {
        self.begin();
    }
    fn acquire(&self) {
        self.acquire();
    }
    fn release(&self) -> bool {
        self.release()
    }
    fn is_live(&self) -> bool {
        self.is_live()
    }
}

struct Entry<C> {
    /// The object's number; 0 is no object.
    object: AtomicUsize,
    count: C,
}

#[derive(Default)]
struct Table {
    /// Whether the entry was never used.
    free: bool,
    marking: bool,
    late: Vec<usize>,
}

/// A table with one entry.
struct Roots<C> {
    entry: Entry<C>,
    table: Mutex<Table>,
}

impl<C: Count> Roots<C> {
    fn new() -> Arc<Self> {
        let entry = Entry { object: AtomicUsize::new(0), count: C::new() };
        Arc::new(Roots { entry, table: Mutex::new(Table { free: true, ..Table::default() }) })
    }

    /// Makes a root if the entry has no handle.
    fn insert(&self, object: usize) -> bool {
        let mut table = self.table.lock().unwrap();
        let free = std::mem::take(&mut table.free) || !self.entry.count.is_live();
        if free {
            self.entry.object.store(object, Relaxed);
            self.entry.count.begin();
            if table.marking {
                table.late.push(object);
            }
        }
        free
    }

    fn release(&self) {
        self.entry.count.release();
    }

    fn begin_mark(&self) {
        let mut table = self.table.lock().unwrap();
        table.marking = true;
        table.late.clear();
    }

    /// What the collector reads without the mutex.
    fn scan(&self) -> Option<usize> {
        self.entry.count.is_live().then(|| self.entry.object.load(Relaxed))
    }

    fn take_late(&self) -> Vec<usize> {
        std::mem::take(&mut self.table.lock().unwrap().late)
    }
}

/// A reader makes a root while the collector scans.
fn an_entry_read_as_live_names_its_object<C: Count>() {
    play(|| {
        let roots = Roots::<C>::new();
        let reader = {
            let roots = Arc::clone(&roots);
            spawn(move || roots.insert(1))
        };
        if let Some(object) = roots.scan() {
            assert_eq!(object, 1, "a live entry without its object");
        }
        reader.join().unwrap();
    });
}

#[test]
fn an_entry_that_is_being_made_is_read_as_free_or_whole() {
    an_entry_read_as_live_names_its_object::<HandleCount>();
}

/// The last handle of object 1 goes and a reader roots object 2 while the collector marks; both were
/// alive when it began. What has a root at the end must be marked.
fn what_is_rooted_at_the_finish_is_marked<C: Count>(begin_first: bool) {
    play(move || {
        let roots = Roots::<C>::new();
        assert!(roots.insert(1));
        let dropper = {
            let roots = Arc::clone(&roots);
            spawn(move || roots.release())
        };
        let reader = {
            let roots = Arc::clone(&roots);
            spawn(move || roots.insert(2))
        };
        let mut marked = BTreeSet::new();
        if begin_first {
            roots.begin_mark();
        }
        marked.extend(roots.scan());
        if !begin_first {
            roots.begin_mark();
        }
        dropper.join().unwrap();
        let rooted = reader.join().unwrap();
        // The finish: everybody has left.
        marked.extend(roots.take_late());
        assert!(!marked.contains(&0), "no object was marked");
        assert!(!rooted || marked.contains(&2), "a root was missed");
    });
}

#[test]
fn no_root_is_missed_when_an_entry_changes_hands_during_a_mark() {
    what_is_rooted_at_the_finish_is_marked::<HandleCount>(true);
}

/// A handle is cloned and dropped on another thread while the collector scans: one exists throughout.
fn a_root_with_a_handle_is_live<C: Count>(clone_first: bool) {
    play(move || {
        let roots = Roots::<C>::new();
        assert!(roots.insert(1));
        let passer = {
            let roots = Arc::clone(&roots);
            spawn(move || {
                if clone_first {
                    roots.entry.count.acquire();
                    roots.release();
                } else {
                    roots.release();
                    roots.insert(1);
                }
            })
        };
        assert_eq!(roots.scan(), Some(1), "a root was missed");
        passer.join().unwrap();
    });
}

#[test]
fn a_clone_keeps_its_root_live_when_the_first_handle_goes() {
    a_root_with_a_handle_is_live::<HandleCount>(true);
}

/// Two handles used and dropped on two threads: the last one's thread, which lets the entry be used
/// again, comes after all uses.
fn every_use_comes_before_the_reuse<C: Count>() {
    play(|| {
        let shared = Arc::new((C::new(), Plain::new(1)));
        shared.0.begin();
        shared.0.acquire();
        let users: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                spawn(move || {
                    assert_eq!(shared.1.read(), 1);
                    let last = shared.0.release();
                    if last {
                        shared.1.write(2);
                    }
                    last
                })
            })
            .collect();
        let lasts = users.into_iter().map(|user| user.join().unwrap());
        assert_eq!(lasts.filter(|last| *last).count(), 1, "not exactly one was the last");
    });
}

#[test]
fn an_entry_is_used_again_after_all_uses() {
    every_use_comes_before_the_reuse::<HandleCount>();
}

/// A segment with one entry.
struct Segment<C> {
    users: C,
    count: C,
    content: Plain,
    freed: AtomicUsize,
}

impl<C: Count> Segment<C> {
    /// With the table and one handle.
    fn new() -> Arc<Self> {
        let (users, count) = (C::new(), C::new());
        users.begin();
        users.acquire();
        count.begin();
        Arc::new(Segment { users, count, content: Plain::new(1), freed: AtomicUsize::new(0) })
    }

    fn drop_handle(&self) {
        assert_eq!(self.content.read(), 1, "used after it was freed");
        if self.count.release() {
            self.let_go();
        }
    }

    /// The table, under its mutex: makes another handle if it may use the entry again.
    fn make_handle(&self) -> bool {
        let is_free = !self.count.is_live();
        if is_free {
            self.users.acquire();
            self.count.begin();
        }
        is_free
    }

    fn let_go(&self) {
        if self.users.release() {
            self.content.write(0);
            self.freed.fetch_add(1, Relaxed);
        }
    }
}

/// The table and two handles, the second of which may use the entry again while the first one is on its way out, let go.
fn a_segment_goes_with_its_last_user<C: Count>() {
    play(|| {
        let segment = Segment::<C>::new();
        let dropper = {
            let segment = Arc::clone(&segment);
            spawn(move || segment.drop_handle())
        };
        if segment.make_handle() {
            segment.drop_handle();
        }
        segment.let_go();
        dropper.join().unwrap();
        assert_eq!(segment.freed.load(Relaxed), 1, "not freed exactly once");
    });
}

#[test]
fn a_segment_is_freed_once_and_after_all_uses() {
    a_segment_goes_with_its_last_user::<HandleCount>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{fence, Ordering};

    /// [`HandleCount`] with the orderings given.
    struct Weak<const BEGIN: bool, const RELEASE: bool, const FENCE: bool>(AtomicUsize);

    fn or_relaxed(strong: bool, ordering: Ordering) -> Ordering {
        if strong {
            ordering
        } else {
            Relaxed
        }
    }

    impl<const BEGIN: bool, const RELEASE: bool, const FENCE: bool> Count
        for Weak<BEGIN, RELEASE, FENCE>
    {
        fn new() -> Self {
            Weak(AtomicUsize::new(0))
        }
        fn begin(&self) {
            self.0.store(1, or_relaxed(BEGIN, Ordering::Release));
        }
        fn acquire(&self) {
            self.0.fetch_add(1, Relaxed);
        }
        fn release(&self) -> bool {
            let last = self.0.fetch_sub(1, or_relaxed(RELEASE, Ordering::Release)) == 1;
            if last && FENCE {
                fence(Ordering::Acquire);
            }
            last
        }
        fn is_live(&self) -> bool {
            self.0.load(Ordering::Acquire) > 0
        }
    }

    /// A count that is changed in two steps.
    struct Torn(AtomicUsize);

    impl Count for Torn {
        fn new() -> Self {
            Torn(AtomicUsize::new(0))
        }
        fn begin(&self) {
            self.0.store(1, Ordering::SeqCst);
        }
        fn acquire(&self) {
            self.0.store(self.0.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
        }
        fn release(&self) -> bool {
            let count = self.0.load(Ordering::SeqCst) - 1;
            self.0.store(count, Ordering::SeqCst);
            count == 0
        }
        fn is_live(&self) -> bool {
            self.0.load(Ordering::SeqCst) > 0
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        type Whole = Weak<true, true, true>;
        an_entry_read_as_live_names_its_object::<Whole>();
        what_is_rooted_at_the_finish_is_marked::<Whole>(true);
        a_root_with_a_handle_is_live::<Whole>(true);
        every_use_comes_before_the_reuse::<Whole>();
        a_segment_goes_with_its_last_user::<Whole>();
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_segment_freed_without_the_releases_fence_is_found_out() {
        a_segment_goes_with_its_last_user::<Weak<true, true, false>>();
    }

    #[test]
    #[should_panic = "a live entry without its object"]
    fn a_relaxed_begin_is_found_out() {
        an_entry_read_as_live_names_its_object::<Weak<false, true, true>>();
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_relaxed_release_is_found_out() {
        every_use_comes_before_the_reuse::<Weak<true, false, true>>();
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_last_release_without_its_fence_is_found_out() {
        every_use_comes_before_the_reuse::<Weak<true, true, false>>();
    }

    #[test]
    #[should_panic = "not exactly one was the last"]
    fn a_count_changed_in_two_steps_is_found_out() {
        every_use_comes_before_the_reuse::<Torn>();
    }

    #[test]
    #[should_panic = "a root was missed"]
    fn noting_late_roots_only_after_the_scan_is_found_out() {
        what_is_rooted_at_the_finish_is_marked::<HandleCount>(false);
    }

    #[test]
    #[should_panic = "a root was missed"]
    fn giving_a_handle_up_before_the_next_is_made_is_found_out() {
        a_root_with_a_handle_is_live::<HandleCount>(false);
    }
}
