//! Cleaners: actions that run when an object has died.
//!
//! An action is registered with its space, next to the address of its object. The finish hands
//! the whole list to the batch, in one step. First of all, with the marks as the mark left them, the sweep puts
//! back what is for a marked object. The actions of the others are run when the batch is swept, before its dead are
//! dropped. So nothing is added to the time for which anybody is kept out, no cycle waits for an action, and one that
//! is given up has nothing to put right.
//!
//! - **F1 (once).** An action runs at most once: by the batch, or by hand (P11).
//! - **F2 (condemned).** It runs after the finish that condemned its object, whose weak references are empty then
//!   and which no access reaches any more. It cannot see the object: it is `'static`.
//! - **F3 (not outlived).** No entry outlives its object: each finish examines all entries made before it (P12),
//!   before the sweep frees an object, and so before its address is used again. The last batch of a space examines
//!   them with no mark set.
//! - **F4 (bare).** Actions run, and what they captured is dropped, with nothing locked (B2).

use core::fmt;
use std::sync::Arc;

use crate::any::GcAny;
use crate::chunk::{is_marked, mark_address};
use crate::home::Home;
use crate::pile::Pile;
use crate::protocol::{self, OnceAction};
use crate::type_info::TypeInfo;
use crate::visitor::prefetch;

/// What a cleaner does.
pub(crate) type Action = Box<dyn FnOnce() + Send>;

/// An object that an action waits for: its address, and its type, which outlives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target(*const u8, &'static TypeInfo);

// SAFETY: an address; whoever reads the object's mark says why it may.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    pub(crate) fn addr(&self) -> usize {
        self.0.addr()
    }

    /// The name of the object's type.
    pub(crate) fn type_name(&self) -> &'static str {
        self.1.name()
    }
}

/// The actions that wait in a space.
pub(crate) type Cleanups = protocol::Cleanups<Target, Action>;
/// One of them.
pub(crate) type Cleanup = protocol::Cleanup<Target, Action>;

/// How far ahead of the entry that is looked at memory is asked for.
const AHEAD: usize = 16;

/// Puts the actions back whose objects live, and returns the others in `due`, which has room for all. By a sweep, before
/// anything that clears marks or frees an object. Runs no user code.
pub(crate) fn sort(home: &Home, mut all: Pile<Cleanup>, mut due: Vec<Cleanup>) -> Pile<Cleanup> {
    for list in all.lists_mut() {
        let mut kept = 0;
        for at in 0..list.len() {
            if let Some(next) = list.get(at + AHEAD) {
                prefetch(mark_address(next.target.0));
                prefetch(Arc::as_ptr(&next.action).cast());
            }
            let Cleanup { target, action } = &list[at];
            // What was taken by hand is forgotten: its action is gone, so no user code is dropped with it.
            if action.is_taken() {
                continue;
            }
            // SAFETY: the object was alive when the finish before ended, or was made since, and its memory is not
            // freed before this batch's sweep (F3).
            if unsafe { is_marked(target.0) } {
                list.swap(kept, at);
                kept += 1;
            } else {
                due.push(Cleanup { target: *target, action: Arc::clone(action) });
            }
        }
        list.truncate(kept);
    }
    if !all.is_empty() {
        // The space that the objects belong to now need not be that of the finish.
        home.gate.put(Vec::new(), |counters| counters.cleanups.put_pile_back(all));
    }
    if due.is_empty() {
        // With its room for all.
        return Pile::default();
    }
    due.into_iter().collect()
}

/// A handle on an action that runs when an object has died, exactly once.
///
/// For what must be done when an object is gone and its fields cannot do in a `Drop` of their own: remove it from
/// a table outside of the heap, give a number back, tell another thread. Made by `cx.register_cleaner(object,
/// action)`. The action runs
///
/// - after the collection that finds the object dead, on the thread that reclaims, with no space held: weak
///   references to the object are empty by then, and its fields are not dropped yet;
/// - or at the end of the space;
/// - or at once, on the thread that calls [`clean`](Cleaner::clean).
///
/// When that collection comes is the collector's business: in a space with a period (the facade's `gc_period`) when
/// the period is over, though nothing be allocated; without one when enough was, or when somebody asks.
///
/// It may do what a `Drop` may that a collection runs: enter spaces, the object's own too, allocate, register
/// further cleaners, drop the last handle of a space; a collection that it asks for comes later. It cannot bring
/// the object back, as it is `'static` and has no way to it; one that holds a [`GcRoot`](crate::GcRoot) of its own
/// object keeps that alive until the space ends.
///
/// While an action runs, the other dead objects of its collection whose types need drops wait, and so do further actions.
/// Nothing else does: memory of other types is free already, and another thread runs the collections that are due. Even so,
/// leave what takes long to another thread; what took more than 100 ms is told by
/// [`Event::SlowUserCode`](crate::Event::SlowUserCode).
///
/// A panic of an action does not stop the others. It is counted in
/// [`GcStats::cleaner_panics`](crate::GcStats::cleaner_panics) and told by
/// [`Event::CleanerPanicked`](crate::Event::CleanerPanicked).
///
/// Actions of one object run in the order in which they were registered, those of several in no particular order.
/// Dropping the handle changes nothing. It is `Send` and `Sync`, and clones are handles on the same action.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use cspace_core::Space;
///
/// static CLEANED: AtomicU32 = AtomicU32::new(0);
///
/// let space = Space::builder().build()?;
/// let cleaner = space.exclusive(|cx| {
///     let object = cx.alloc("text".to_string());
///     cx.register_cleaner(object, || _ = CLEANED.fetch_add(1, Relaxed));
///     cx.register_cleaner(object, || _ = CLEANED.fetch_add(10, Relaxed))
/// });
/// assert!(cleaner.clean(), "it runs now");
/// assert!(!cleaner.clean(), "and never again");
/// assert_eq!(CLEANED.load(Relaxed), 10);
/// drop(space);
/// assert_eq!(CLEANED.load(Relaxed), 11);
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[derive(Clone)]
pub struct Cleaner(Arc<OnceAction<Action>>);

impl Cleaner {
    /// The caller is in an access to the actions' space, in which the object is alive (F3).
    pub(crate) fn register(cleanups: &Cleanups, object: GcAny<'_>, action: Action) -> Cleaner {
        let action = Arc::new(OnceAction::new(action));
        cleanups.insert(Target(object.address(), object.type_info()), Arc::clone(&action));
        Cleaner(action)
    }

    /// Runs the action now, on this thread, unless it was taken before. Returns whether it ran.
    ///
    /// False may come while another thread is still running it: nobody is waited for.
    ///
    /// # Panics
    ///
    /// If the action does. It has run then.
    pub fn clean(&self) -> bool {
        let action = self.0.take();
        let is_mine = action.is_some();
        if let Some(action) = action {
            action();
        }
        is_mine
    }

    /// Takes the action away, so that it never runs, and drops it on this thread. Returns whether it was still
    /// there.
    pub fn unregister(&self) -> bool {
        self.0.take().is_some()
    }

    /// Whether the action was taken: it has run, is running, or was unregistered.
    #[inline]
    pub fn is_taken(&self) -> bool {
        self.0.is_taken()
    }
}

impl fmt::Debug for Cleaner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleaner").field("is_taken", &self.is_taken()).finish()
    }
}
