//! Copies from and to memory that others write meanwhile, in atomic words.
//!
//! - **NW1 (one size).** Memory that is shared so is read and written in aligned words of eight bytes alone, never in
//!   smaller pieces: accesses to a place in different sizes that no order keeps apart are undefined, atomic or not. A
//!   copy that begins or ends within a word reads the whole word, and writes it as a whole, with its other bytes as they
//!   are at that moment.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a word.
const WORD: usize = 8;

/// Copies as many bytes as `into` has from a place.
///
/// # Safety
///
/// The words that the bytes lie in are readable, and nobody writes to them but as here (NW1), or from outside of Rust.
pub(super) unsafe fn load(from: *const u8, into: &mut [u8]) {
    let mut words = Words::of(from, into.len());
    let (head, rest) = into.split_at_mut(words.head);
    if !head.is_empty() {
        // SAFETY: the word that the first bytes lie in.
        let word = unsafe { words.next().load(Relaxed) }.to_ne_bytes();
        head.copy_from_slice(&word[words.skip..words.skip + head.len()]);
    }
    let mut rest = rest.chunks_exact_mut(WORD);
    for whole in &mut rest {
        // SAFETY: the next word that bytes lie in.
        let word = unsafe { words.next().load(Relaxed) };
        whole.copy_from_slice(&word.to_ne_bytes());
    }
    let tail = rest.into_remainder();
    if !tail.is_empty() {
        // SAFETY: the word that the last bytes lie in.
        let word = unsafe { words.next().load(Relaxed) }.to_ne_bytes();
        tail.copy_from_slice(&word[..tail.len()]);
    }
}

/// Copies bytes to a place. What others write at the same time to other bytes stays.
///
/// # Safety
///
/// As for [`load`]; the words are writable.
pub(super) unsafe fn store(to: *mut u8, bytes: &[u8]) {
    let mut words = Words::of(to, bytes.len());
    let (head, rest) = bytes.split_at(words.head);
    if !head.is_empty() {
        // SAFETY: the word that the first bytes lie in.
        merge(unsafe { words.next() }, words.skip, head);
    }
    let mut rest = rest.chunks_exact(WORD);
    for whole in &mut rest {
        let word = u64::from_ne_bytes(whole.try_into().expect("as many as a word has"));
        // SAFETY: the next word that bytes lie in.
        unsafe { words.next() }.store(word, Relaxed);
    }
    if !rest.remainder().is_empty() {
        // SAFETY: the word that the last bytes lie in.
        merge(unsafe { words.next() }, 0, rest.remainder());
    }
}

/// Writes some bytes of a word, from the one at `skip` on.
fn merge(word: &AtomicU64, skip: usize, bytes: &[u8]) {
    let (mut mask, mut new) = ([0; WORD], [0; WORD]);
    mask[skip..skip + bytes.len()].fill(0xff);
    new[skip..skip + bytes.len()].copy_from_slice(bytes);
    let (mask, new) = (u64::from_ne_bytes(mask), u64::from_ne_bytes(new));
    // It always succeeds: the closure has a word for each.
    let _ = word.fetch_update(Relaxed, Relaxed, |old| Some(old & !mask | new));
}

/// The words that a range of bytes lies in, one after the other.
struct Words {
    at: *const u64,
    /// Bytes of the first word that come before the range.
    skip: usize,
    /// Bytes of the range in a first word that does not begin with it.
    head: usize,
}

impl Words {
    fn of(place: *const u8, len: usize) -> Words {
        let skip = place.addr() % WORD;
        let head = if skip == 0 { 0 } else { len.min(WORD - skip) };
        Words { at: place.wrapping_sub(skip).cast(), skip, head }
    }

    /// The next word.
    ///
    /// # Safety
    ///
    /// There is one that bytes of the range lie in, and it can be used as the caller of the copy promised.
    unsafe fn next<'a>(&mut self) -> &'a AtomicU64 {
        let word = self.at.cast_mut();
        self.at = self.at.wrapping_add(1);
        // SAFETY: aligned (`of`); what others do with it, they do atomically and in this size (NW1).
        unsafe { AtomicU64::from_ptr(word) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    const WORDS: usize = 5;

    /// Every range of some words: also for Miri.
    #[test]
    fn a_copy_touches_its_own_bytes_and_no_others() {
        for start in 0..WORDS * WORD {
            for len in 0..=WORDS * WORD - start {
                let mut memory = [0x1111_1111_1111_1111u64; WORDS];
                let place = memory.as_mut_ptr().cast::<u8>().wrapping_add(start);
                let bytes: Vec<u8> = (0..len).map(|i| 100 + i as u8).collect();
                // SAFETY: the range lies within the words, which are this thread's.
                unsafe { store(place, &bytes) };
                let mut copied = vec![0; len];
                // SAFETY: as above.
                unsafe { load(place, &mut copied) };
                assert_eq!(copied, bytes);
                let all = memory.map(u64::to_ne_bytes).concat();
                assert_eq!(all[start..start + len], bytes);
                assert!(all[..start].iter().chain(&all[start + len..]).all(|byte| *byte == 0x11));
            }
        }
    }

    /// Ranges that share words: Miri knows whether any access is of another size.
    #[test]
    fn threads_that_write_neighbouring_bytes_lose_none() {
        const ROUNDS: usize = if cfg!(miri) { 20 } else { 200_000 };
        let memory = [const { AtomicU64::new(0) }; WORDS];
        let begin = Barrier::new(4);
        let place = |at: usize| memory.as_ptr().cast_mut().cast::<u8>().wrapping_add(at);
        thread::scope(|threads| {
            for (start, len) in [(0, 3), (3, 7), (10, 19), (29, 11)] {
                let (place, begin) = (&place, &begin);
                threads.spawn(move || {
                    begin.wait();
                    for round in 0..ROUNDS {
                        let bytes = vec![round as u8; len];
                        // SAFETY: within the words, which all threads use in this way.
                        unsafe { store(place(start), &bytes) };
                        let mut copied = vec![0; len];
                        // SAFETY: as above.
                        unsafe { load(place(start), &mut copied) };
                        assert_eq!(copied, bytes, "nobody else writes these");
                        // SAFETY: as above.
                        unsafe { load(place(0), &mut [0; WORDS * WORD]) };
                    }
                });
            }
        });
    }
}
