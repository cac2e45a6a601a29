//! Which spaces this thread holds: for errors instead of deadlocks, and for lost locks.
//!
//! The list is a `const`-initialised thread-local without drop glue, so that guards may be dropped
//! by the destructors of other thread-locals. A second thread-local has a destructor and nothing
//! else: when the thread ends, it marks the locks that are still held as leaked.

use core::cell::Cell;
use std::collections::HashMap;
use std::sync::{LazyLock, Weak};

use parking_lot::Mutex;

use crate::batch;
use crate::space::SpaceInner;

/// How many spaces a thread can hold.
pub(crate) const HELD_MAX: usize = 16;

/// Set in the number of a space whose lock was noted as leaked.
const LEAKED: u64 = 1 << 63;

struct Held {
    ids: [Cell<u64>; HELD_MAX],
    count: Cell<usize>,
    /// Whether the thread's end is watched for.
    watched: Cell<bool>,
    /// Sweeps that this thread runs: nested when a drop destroys a space.
    sweeping: Cell<usize>,
}

thread_local! {
    static HELD: Held = const {
        Held {
            ids: [const { Cell::new(0) }; HELD_MAX],
            count: Cell::new(0),
            watched: Cell::new(false),
            sweeping: Cell::new(0),
        }
    };
    static WATCH: Watch = const { Watch };
}

struct Watch;

impl Drop for Watch {
    fn drop(&mut self) {
        HELD.with(|held| {
            for id in &held.ids[..held.count.get()] {
                let space = SPACES.lock().get(&id.get()).and_then(Weak::upgrade);
                if let Some(space) = space {
                    space.note_leaked();
                    id.set(id.get() | LEAKED);
                }
            }
        });
        batch::orphan_deferred();
    }
}

/// Every space by its number, to find those whose locks a thread leaked.
static SPACES: LazyLock<Mutex<HashMap<u64, Weak<SpaceInner>>>> = LazyLock::new(Mutex::default);

pub(crate) fn enlist(id: u64, space: Weak<SpaceInner>) {
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

/// Whether this thread holds the space.
#[inline]
pub(crate) fn holds(id: u64) -> bool {
    HELD.with(|held| {
        held.ids[..held.count.get()].iter().any(|held_id| held_id.get() & !LEAKED == id)
    })
}

/// Whether this thread holds a space that is younger than this one.
pub(crate) fn holds_younger(id: u64) -> bool {
    HELD.with(|held| held.ids[..held.count.get()].iter().any(|other| other.get() & !LEAKED > id))
}

/// Whether this thread has done what it does at its end.
pub(crate) fn is_ending() -> bool {
    WATCH.try_with(|_| ()).is_err()
}

/// How many spaces this thread holds.
#[inline]
pub(crate) fn count() -> usize {
    HELD.with(|held| held.count.get())
}

/// Notes that this thread takes the space; `ordered` also refuses one that is older than another
/// held.
#[inline]
pub(crate) fn note(id: u64, ordered: bool) -> Result<(), NotNoted> {
    HELD.with(|held| {
        let count = held.count.get();
        if count != 0 {
            let others = &held.ids[..count];
            if others.iter().any(|other| other.get() & !LEAKED == id) {
                return Err(NotNoted::Reentry);
            }
            if ordered && others.iter().any(|other| other.get() & !LEAKED > id) {
                return Err(NotNoted::Order);
            }
            if count == HELD_MAX {
                return Err(NotNoted::TooMany);
            }
        }
        held.ids[count].set(id);
        held.count.set(count + 1);
        if !held.watched.get() {
            held.watched.set(true);
            // The first use registers the destructor; at the thread's very end there is no use left.
            let _ = WATCH.try_with(|_| ());
        }
        Ok(())
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
    /// The thread had ended, and the lock was noted as leaked.
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
        if found & !LEAKED == id {
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
