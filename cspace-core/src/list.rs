//! Lists of the collector's own, which grow if there is memory.
//!
//! A collection may be what memory is waited for, so its lists ask before they grow: that there is none is an outcome,
//! and the place that hears of it says what becomes of the cycle.

use core::hash::{BuildHasher, Hash};
use core::ptr::NonNull;
use std::alloc::{alloc, Layout};
use std::collections::HashMap;

/// Whether a list has room for so many more, now that it was asked to.
#[inline]
pub(crate) fn has_room<T>(list: &mut Vec<T>, more: usize) -> bool {
    list.capacity() - list.len() >= more || grows(list, more)
}

#[cold]
fn grows<T>(list: &mut Vec<T>, more: usize) -> bool {
    !is_refused() && list.try_reserve(more).is_ok()
}

/// Whether a map has room for so many more, now that it was asked to.
#[inline]
pub(crate) fn has_room_in_map<K: Eq + Hash, V, S: BuildHasher>(
    map: &mut HashMap<K, V, S>,
    more: usize,
) -> bool {
    map.capacity() - map.len() >= more || (!is_refused() && map.try_reserve(more).is_ok())
}

/// Puts an item at the end of a list; false if there is no memory.
#[inline]
#[must_use]
pub(crate) fn try_push<T>(list: &mut Vec<T>, item: T) -> bool {
    let has_room = has_room(list, 1);
    if has_room {
        list.push(item);
    }
    has_room
}

/// A list of all items, unless there is no memory.
pub(crate) fn try_collect<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let mut list = Vec::new();
    for item in items {
        if !try_push(&mut list, item) {
            return None;
        }
    }
    Some(list)
}

/// A value in a box, or the value if there is no memory.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, T> {
    let layout = Layout::new::<T>();
    let place = if layout.size() == 0 {
        NonNull::dangling()
    } else if is_refused() {
        return Err(value);
    } else {
        // SAFETY: the layout has a size.
        let Some(place) = NonNull::new(unsafe { alloc(layout) }) else { return Err(value) };
        place.cast::<T>()
    };
    // SAFETY: allocated for a `T` a moment ago, by the allocator that boxes are from, or a `T` takes no memory.
    unsafe {
        place.write(value);
        Ok(Box::from_raw(place.as_ptr()))
    }
}

#[cfg(not(test))]
#[inline(always)]
pub(crate) fn is_refused() -> bool {
    false
}

#[cfg(test)]
pub(crate) use refusal::is_refused;

/// Memory that is refused, for tests.
#[cfg(test)]
pub(crate) mod refusal {
    use core::cell::Cell;

    /// What is refused to a thread.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) enum Refusal {
        /// All but so many requests.
        After(usize),
        /// The one that comes after so many.
        Once(usize),
        /// Nothing any more.
        Past,
    }

    thread_local! {
        static REFUSAL: Cell<Refusal> = const { Cell::new(Refusal::Past) };
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn is_refused() -> bool {
        let (now, next) = match REFUSAL.get() {
            Refusal::Past => return false,
            Refusal::After(0) => (true, Refusal::After(0)),
            Refusal::After(more) => (false, Refusal::After(more - 1)),
            Refusal::Once(0) => (true, Refusal::Past),
            Refusal::Once(more) => (false, Refusal::Once(more - 1)),
        };
        REFUSAL.set(next);
        COUNT.set(COUNT.get() + usize::from(now));
        now
    }

    /// Runs `f` while this thread is refused memory for lists; the result, and how often it was.
    pub(crate) fn during<R>(refusal: Refusal, f: impl FnOnce() -> R) -> (R, usize) {
        REFUSAL.set(refusal);
        let result = f();
        REFUSAL.set(Refusal::Past);
        (result, COUNT.take())
    }
}
