//! Which spaces this thread holds: for errors instead of deadlocks, and for lost locks.
//!
//! - **HL1 (proof).** While code of the user runs, a space is in the list only if this thread holds it: so who finds it
//!   there may read what a holder may read. A thread that is about to wait for a lock notes it before, to be
//!   refused what would wait for itself; nothing of the user's runs until it has the lock or the note is
//!   taken back (`Noted` in `space/lock.rs`).
//!
//! The list is a `const`-initialised thread-local without drop glue, so that guards may be dropped
//! by the destructors of other thread-locals. Other thread-locals have a destructor and nothing
//! else: when the thread ends, it marks the locks that are still held as leaked. One is not enough, as a
//! destructor that runs after it may take a lock and forget it: each lock that is taken when the last one has run
//! registers the next one.

use core::cell::Cell;
use core::marker::PhantomData;
use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::Mutex;

use crate::batch;
use crate::collector_handle::WeakCollectorHandle;

/// How many spaces a thread can hold.
pub(crate) const HELD_MAX: usize = 16;

/// Set in the number of a space whose lock was noted as leaked.
const LEAKED: u64 = 1 << 63;
/// Set in the number of a space in whose access a panic began that left the objects whole.
const EXCUSED: u64 = 1 << 62;
/// Set in the number of a space when such a panic has left the scope that it began in.
const LEFT_SCOPE: u64 = 1 << 61;
/// What may be set in a number.
const FLAGS: u64 = LEAKED | EXCUSED | LEFT_SCOPE;

struct Held {
    ids: [Cell<u64>; HELD_MAX],
    count: Cell<usize>,
    /// Whether the thread's end is watched for, or what is left of it.
    watched: Cell<bool>,
    /// Sweeps that this thread runs: nested when a drop destroys a space.
    sweeping: Cell<usize>,
    /// Whether this thread drives collections, and how often it began to.
    driving: Cell<usize>,
    /// Whether user code of the dead is for other threads, and how often that was said.
    bystanding: Cell<usize>,
}

impl Held {
    fn entries(&self) -> &[Cell<u64>] {
        &self.ids[..self.count.get()]
    }

    fn entry(&self, id: u64) -> Option<&Cell<u64>> {
        self.entries().iter().find(|entry| number(entry) == id)
    }
}

/// The number of an entry's space.
#[inline]
fn number(entry: &Cell<u64>) -> u64 {
    entry.get() & !FLAGS
}

thread_local! {
    static HELD: Held = const {
        Held {
            ids: [const { Cell::new(0) }; HELD_MAX],
            count: Cell::new(0),
            watched: Cell::new(false),
            sweeping: Cell::new(0),
            driving: Cell::new(0),
            bystanding: Cell::new(0),
        }
    };
}

/// Does what a thread does at its end.
struct Watch;

/// Declares the watches, in the order in which they are used.
macro_rules! watches {
    ($first:ident $($more:ident)*) => {
        thread_local! {
            static $first: Watch = const { Watch };
            $(static $more: Watch = const { Watch };)*
        }

        /// Whether the first watch has run, or runs.
        fn has_first_run() -> bool {
            $first.try_with(|_| ()).is_err()
        }

        /// Registers the first watch that has not run; false if all have.
        fn watch() -> bool {
            $first.try_with(|_| ()).is_ok() $(|| $more.try_with(|_| ()).is_ok())*
        }
    };
}
// The first is that of every thread; each other one serves the next destructor that locks when those before have run.
watches! { FIRST SECOND THIRD FOURTH FIFTH SIXTH SEVENTH EIGHTH }

impl Drop for Watch {
    fn drop(&mut self) {
        HELD.with(|held| {
            // What is taken from here on is the next watch's.
            held.watched.set(false);
            // By number: with its last handle a space takes itself off the list.
            let entries = held.ids.each_ref().map(Cell::get);
            for entry in &entries[..held.count.get()] {
                if entry & LEAKED == 0 {
                    leak(entry & !FLAGS);
                }
            }
        });
        batch::orphan_deferred();
    }
}

/// Notes the lock of a space, which this thread holds, as leaked.
#[cold]
pub(crate) fn leak(id: u64) {
    let space = SPACES.lock().get(&id).cloned();
    let space = space.and_then(|space| space.upgrade_now());
    let Some(space) = space else { return };
    HELD.with(|held| {
        if let Some(entry) = held.entry(id) {
            entry.set(entry.get() | LEAKED);
            space.inner.lock().count_leaked();
        }
    });
}

/// Every space by its number, to find those whose locks a thread leaked.
static SPACES: LazyLock<Mutex<HashMap<u64, WeakCollectorHandle>>> = LazyLock::new(Mutex::default);

pub(crate) fn enlist(id: u64, space: WeakCollectorHandle) {
    SPACES.lock().insert(id, space);
}

pub(crate) fn delist(id: u64) {
    SPACES.lock().remove(&id);
}

/// Why a space cannot be noted as held.
pub(crate) enum NotNoted {
    Reentry,
    TooMany,
    Order,
}

/// Whether this thread holds the space (HL1).
#[inline]
pub(crate) fn holds(id: u64) -> bool {
    HELD.with(|held| held.entry(id).is_some())
}

/// Whether this thread holds a space that is younger than this one.
pub(crate) fn holds_younger(id: u64) -> bool {
    HELD.with(|held| held.entries().iter().any(|other| number(other) > id))
}

/// Whether this thread has done what it does at its end.
pub(crate) fn is_ending() -> bool {
    has_first_run()
}

/// How many spaces this thread holds.
#[inline]
pub(crate) fn count() -> usize {
    HELD.with(|held| held.count.get())
}

/// A panic in this thread's access to the space left the objects whole: the access has an excuse for one.
pub(crate) fn excuse(id: u64) {
    HELD.with(|held| {
        if let Some(entry) = held.entry(id) {
            entry.set(entry.get() | EXCUSED);
        }
    });
}

/// A panic leaves a scope of this thread's access to the space: an excuse is for a panic of the same scope, and what
/// came before in the access has none to give to it any more.
#[cold]
pub(crate) fn panic_leaves_scope(id: u64) {
    HELD.with(|held| {
        if let Some(entry) = held.entry(id) {
            let flags = entry.get();
            let left = if flags & EXCUSED != 0 { LEFT_SCOPE } else { 0 };
            entry.set(flags & !(EXCUSED | LEFT_SCOPE) | left);
        }
    });
}

/// Takes the excuse of this thread's access to the space; whether it had one.
pub(crate) fn take_excuse(id: u64) -> bool {
    const ANY: u64 = EXCUSED | LEFT_SCOPE;
    HELD.with(|held| {
        held.entry(id).is_some_and(|entry| entry.replace(entry.get() & !ANY) & ANY != 0)
    })
}

/// Notes that this thread is about to take the space; `ordered` also refuses one that is older than another
/// held. Returns whether the thread's end is watched for; if not, and it takes the lock, the lock counts as leaked until
/// it is released ([`leak`]).
#[inline]
pub(crate) fn note(id: u64, ordered: bool) -> Result<bool, NotNoted> {
    HELD.with(|held| {
        let count = held.count.get();
        if count != 0 {
            if held.entry(id).is_some() {
                return Err(NotNoted::Reentry);
            }
            if ordered && held.entries().iter().any(|other| number(other) > id) {
                return Err(NotNoted::Order);
            }
            if count == HELD_MAX {
                return Err(NotNoted::TooMany);
            }
        }
        held.ids[count].set(id);
        held.count.set(count + 1);
        if !held.watched.get() {
            // The first use registers the destructor.
            held.watched.set(watch());
        }
        Ok(held.watched.get())
    })
}

/// Notes that this thread, which holds no other space, takes this one; false if it holds another, or
/// was never seen before.
#[inline(always)]
pub(crate) fn note_only(id: u64) -> bool {
    HELD.with(|held| {
        let first = held.count.get() == 0 && held.watched.get();
        if first {
            held.ids[0].set(id);
            held.count.set(1);
        }
        first
    })
}

/// What letting go of a space came to.
pub(crate) struct Forgotten {
    /// The thread holds no space now.
    pub(crate) is_bare: bool,
    /// The lock was noted as leaked, as the thread was at its end.
    pub(crate) was_leaked: bool,
}

/// Notes that this thread lets go of the space.
#[inline(always)]
pub(crate) fn forget(id: u64) -> Forgotten {
    HELD.with(|held| {
        if held.count.get() == 1 && held.ids[0].get() == id {
            held.count.set(0);
            return Forgotten { is_bare: true, was_leaked: false };
        }
        forget_slow(held, id)
    })
}

#[cold]
fn forget_slow(held: &Held, id: u64) -> Forgotten {
    let count = held.count.get();
    for at in (0..count).rev() {
        let found = held.ids[at].get();
        if found & !FLAGS == id {
            held.ids[at].set(held.ids[count - 1].get());
            held.count.set(count - 1);
            return Forgotten { is_bare: count == 1, was_leaked: found & LEAKED != 0 };
        }
    }
    Forgotten { is_bare: count == 0, was_leaked: false }
}

/// Whether this thread runs drops of a sweep.
pub(crate) fn is_sweeping() -> bool {
    HELD.with(|held| held.sweeping.get() > 0)
}

/// Notes that this thread runs drops of a sweep, until it is dropped.
pub(crate) struct Sweeping(());

impl Sweeping {
    pub(crate) fn begin() -> Sweeping {
        HELD.with(|held| held.sweeping.set(held.sweeping.get() + 1));
        Sweeping(())
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        HELD.with(|held| held.sweeping.set(held.sweeping.get() - 1));
    }
}

/// Whether this thread drives collections.
pub(crate) fn is_driving() -> bool {
    HELD.with(|held| held.driving.get() > 0)
}

/// Notes that this thread drives collections, until it is dropped; for collectors. What it calls meanwhile, listeners
/// above all, must not wait for collections: it may be the one that would run them.
///
/// Forgotten, it says so for as long as the thread lives, destructors of thread-locals included.
#[must_use = "the thread is noted until this is dropped"]
pub struct Driving(PhantomData<*mut ()>);

impl Driving {
    /// This thread drives collections from here on.
    pub fn begin() -> Driving {
        HELD.with(|held| held.driving.set(held.driving.get() + 1));
        Driving(PhantomData)
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        HELD.with(|held| held.driving.set(held.driving.get() - 1));
    }
}

/// Whether this thread is a bystander.
pub(crate) fn is_bystander() -> bool {
    HELD.with(|held| held.bystanding.get() > 0)
}

/// Notes that this thread runs no user code of the dead, whatever it holds or lets go of, until it is dropped; for
/// collectors. What it would have run it leaves for later: then it may run it (`run_deferred`), or have another thread do so
/// (`leave_to_reaper`).
///
/// Forgotten, it says so for as long as the thread lives.
///
/// ```
/// use cspace_core::collector::{run_deferred, Bystander};
/// use cspace_core::{Space, Static};
///
/// struct Tells(std::sync::mpsc::Sender<()>);
/// impl Drop for Tells {
///     fn drop(&mut self) {
///         self.0.send(()).unwrap();
///     }
/// }
///
/// let (tell, told) = std::sync::mpsc::channel();
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| cx.alloc(Static(Tells(tell))).addr());
/// let bystander = Bystander::begin();
/// drop(space);
/// assert!(told.try_recv().is_err());
/// drop(bystander);
/// run_deferred();
/// assert!(told.try_recv().is_ok());
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[must_use = "the thread is noted until this is dropped"]
pub struct Bystander(PhantomData<*mut ()>);

impl Bystander {
    /// This thread is one from here on.
    pub fn begin() -> Bystander {
        HELD.with(|held| held.bystanding.set(held.bystanding.get() + 1));
        Bystander(PhantomData)
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        HELD.with(|held| held.bystanding.set(held.bystanding.get() - 1));
    }
}
