//! Places through which threads pass handles to each other.
//!
//! Atomic swaps and nothing else: what passes through is ordered for the threads that touch it, and
//! ThreadSanitizer, which does not see into the standard library's locks, sees that.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, Ordering::AcqRel};

pub struct Exchange<T> {
    places: Vec<AtomicPtr<T>>,
    owns: PhantomData<Box<T>>,
}

// SAFETY: a value passes from the thread that puts it to the one that takes it.
unsafe impl<T: Send> Sync for Exchange<T> {}

impl<T: Send> Exchange<T> {
    pub fn new(places: usize) -> Exchange<T> {
        let places = (0..places).map(|_| AtomicPtr::default()).collect();
        Exchange { places, owns: PhantomData }
    }

    fn swap(&self, place: usize, new: *mut T) -> Option<T> {
        let old = self.places[place % self.places.len()].swap(new, AcqRel);
        // SAFETY: what is in a place came from `Box::into_raw`, and the swap took it out.
        (!old.is_null()).then(|| *unsafe { Box::from_raw(old) })
    }

    /// Puts a value in and returns what was there.
    pub fn put(&self, place: usize, value: T) -> Option<T> {
        self.swap(place, Box::into_raw(Box::new(value)))
    }

    pub fn take(&self, place: usize) -> Option<T> {
        self.swap(place, std::ptr::null_mut())
    }

    pub fn clear(&self) {
        for place in 0..self.places.len() {
            self.take(place);
        }
    }
}

impl<T> Drop for Exchange<T> {
    fn drop(&mut self) {
        for place in &mut self.places {
            let value = *place.get_mut();
            if !value.is_null() {
                // SAFETY: as in `swap`; nobody else has the exchange.
                drop(unsafe { Box::from_raw(value) });
            }
        }
    }
}
