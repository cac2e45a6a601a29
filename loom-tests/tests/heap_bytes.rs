//! Limits and readers against a finish and a sweep ([`HeapBytes`]).
//!
//! The scene is that of `heap.rs`, `ledger.rs` and `batch.rs`: a mutator hands cells out, with the books' mutex if there
//! is a limit; a finish finds them, and its sweep frees those that are dead; meanwhile somebody charges, or reads.

use cspace_core::protocol::HeapBytes;
use cspace_loom_tests::{play, spawn, Arc, Mutex};

/// What a space counts its cells by.
trait Bytes: Send + Sync + 'static {
    fn new() -> Self;
    fn hand_out(&self, bytes: usize);
    /// A finish. What it returns goes to `free`.
    fn finish(&self) -> usize;
    /// So many bytes were freed, after a finish that returned `found`, and that is all of it.
    fn free(&self, bytes: usize, found: usize);
    fn allocated(&self) -> usize;
    fn live(&self) -> usize;
}

impl Bytes for HeapBytes {
    fn new() -> Self {
        HeapBytes::new()
    }
    fn hand_out(&self, bytes: usize) {
        self.hand_out(bytes);
    }
    fn finish(&self) -> usize {
        self.finish();
        0
    }
    fn free(&self, bytes: usize, _: usize) {
        self.free(bytes);
    }
    fn allocated(&self) -> usize {
        self.allocated()
    }
    fn live(&self) -> usize {
        self.live()
    }
}

const LIMIT: usize = 10;

/// LG2: of 8 bytes that were handed out 3 are dead, so at no moment is there room for a charge of 6.
fn no_charge_fits_beside_what_is_alive<B: Bytes>() {
    play(|| {
        let (bytes, books) = (Arc::new(B::new()), Arc::new(Mutex::new(0)));
        {
            let _books = books.lock().unwrap();
            bytes.hand_out(8);
        }
        let charger = {
            let (bytes, books) = (Arc::clone(&bytes), Arc::clone(&books));
            spawn(move || {
                let mut charged = books.lock().unwrap();
                let fits = *charged + bytes.allocated() + 6 <= LIMIT;
                if fits {
                    *charged += 6;
                }
                fits
            })
        };
        let found = bytes.finish();
        bytes.free(3, found);
        assert!(!charger.join().unwrap(), "a charge beside what is alive");
        assert_eq!((bytes.allocated(), bytes.live()), (5, 5));
    });
}

/// LG2: what is handed out after the finish and a charge keep to the limit together, while the sweep frees.
fn allocations_and_charges_keep_to_the_limit<B: Bytes>() {
    play(|| {
        let (bytes, books) = (Arc::new(B::new()), Arc::new(Mutex::new(0)));
        bytes.hand_out(6);
        let found = bytes.finish();
        let sweep = {
            let bytes = Arc::clone(&bytes);
            spawn(move || bytes.free(2, found))
        };
        let charger = {
            let (bytes, books) = (Arc::clone(&bytes), Arc::clone(&books));
            spawn(move || {
                let mut charged = books.lock().unwrap();
                if *charged + bytes.allocated() + 4 <= LIMIT {
                    *charged += 4;
                }
            })
        };
        {
            let charged = books.lock().unwrap();
            if *charged + bytes.allocated() + 4 <= LIMIT {
                bytes.hand_out(4);
            }
        }
        charger.join().unwrap();
        sweep.join().unwrap();
        let all = *books.lock().unwrap() + bytes.allocated();
        assert!(all <= LIMIT, "{all} bytes together");
        assert!(all >= 8, "there was room for one of them");
    });
}

/// P21: who reads without a mutex finds no fewer bytes than are alive, from the finish on.
fn a_reader_finds_no_fewer_than_are_alive<B: Bytes>() {
    play(|| {
        let bytes = Arc::new(B::new());
        bytes.hand_out(8);
        let reader = {
            let bytes = Arc::clone(&bytes);
            spawn(move || (bytes.allocated(), bytes.live()))
        };
        bytes.hand_out(1);
        let found = bytes.finish();
        bytes.free(3, found);
        let (allocated, live) = reader.join().unwrap();
        assert!((6..=9).contains(&allocated), "{allocated} bytes are allocated");
        // Before the finish none of them was found.
        assert!(live == 0 || (6..=9).contains(&live), "{live} bytes are live");
    });
}

#[test]
fn limits_hold_in_a_finish_and_a_sweep() {
    no_charge_fits_beside_what_is_alive::<HeapBytes>();
    allocations_and_charges_keep_to_the_limit::<HeapBytes>();
}

#[test]
fn readers_find_what_is_alive() {
    a_reader_finds_no_fewer_than_are_alive::<HeapBytes>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{AtomicUsize, Ordering};

    /// What was alive at the finish, guessed until the sweep has counted, and what was handed out since.
    struct Guessed {
        live: AtomicUsize,
        handed_out: AtomicUsize,
    }

    impl Bytes for Guessed {
        fn new() -> Self {
            Guessed { live: AtomicUsize::new(0), handed_out: AtomicUsize::new(0) }
        }
        fn hand_out(&self, bytes: usize) {
            let sum = self.handed_out.load(Ordering::Relaxed) + bytes;
            self.handed_out.store(sum, Ordering::Relaxed);
        }
        fn finish(&self) -> usize {
            let all = self.live.load(Ordering::Relaxed) + self.handed_out.swap(0, Ordering::AcqRel);
            // The guess is a good one here: nothing is dead.
            self.live.store(all, Ordering::Release);
            all
        }
        fn free(&self, bytes: usize, _: usize) {
            self.live.fetch_sub(bytes, Ordering::AcqRel);
        }
        fn allocated(&self) -> usize {
            self.live.load(Ordering::Acquire) + self.handed_out.load(Ordering::Acquire)
        }
        fn live(&self) -> usize {
            self.live.load(Ordering::Acquire)
        }
    }

    #[test]
    #[should_panic(expected = "a charge beside what is alive")]
    fn a_finish_that_moves_bytes_hides_them_for_a_moment() {
        no_charge_fits_beside_what_is_alive::<Guessed>();
    }

    /// Sums with weaker readers and writers.
    struct Sums<const FREED_FIRST: bool, const ORDERED: bool> {
        handed_out: AtomicUsize,
        at_finish: AtomicUsize,
        freed: AtomicUsize,
    }

    impl<const FREED_FIRST: bool, const ORDERED: bool> Sums<FREED_FIRST, ORDERED> {
        fn difference(&self, sum: &AtomicUsize) -> usize {
            let order = if ORDERED { Ordering::Acquire } else { Ordering::Relaxed };
            let (sum, freed) = if FREED_FIRST {
                let freed = self.freed.load(order);
                (sum.load(Ordering::Relaxed), freed)
            } else {
                (sum.load(Ordering::Relaxed), self.freed.load(order))
            };
            sum.wrapping_sub(freed)
        }
    }

    impl<const FREED_FIRST: bool, const ORDERED: bool> Bytes for Sums<FREED_FIRST, ORDERED> {
        fn new() -> Self {
            let none = || AtomicUsize::new(0);
            Sums { handed_out: none(), at_finish: none(), freed: none() }
        }
        fn hand_out(&self, bytes: usize) {
            let sum = self.handed_out.load(Ordering::Relaxed) + bytes;
            self.handed_out.store(sum, Ordering::Relaxed);
        }
        fn finish(&self) -> usize {
            self.at_finish.store(self.handed_out.load(Ordering::Relaxed), Ordering::Relaxed);
            0
        }
        fn free(&self, bytes: usize, _: usize) {
            let order = if ORDERED { Ordering::Release } else { Ordering::Relaxed };
            self.freed.store(self.freed.load(Ordering::Relaxed) + bytes, order);
        }
        fn allocated(&self) -> usize {
            self.difference(&self.handed_out)
        }
        fn live(&self) -> usize {
            self.difference(&self.at_finish)
        }
    }

    #[test]
    fn the_copy_is_as_good_as_what_it_copies() {
        no_charge_fits_beside_what_is_alive::<Sums<true, true>>();
        a_reader_finds_no_fewer_than_are_alive::<Sums<true, true>>();
    }

    #[test]
    #[should_panic(expected = "bytes are")]
    fn reading_first_what_was_handed_out_finds_too_few() {
        a_reader_finds_no_fewer_than_are_alive::<Sums<false, true>>();
    }

    #[test]
    #[should_panic(expected = "bytes are")]
    fn without_an_order_what_was_freed_is_found_before_what_it_was_freed_of() {
        a_reader_finds_no_fewer_than_are_alive::<Sums<true, false>>();
    }
}
