//! Do arenas, buffers, maps and contexts agree with plain vectors of bytes?
//!
//! Each has a number of pieces of memory and, beside each, the bytes that ought to be in it. After each step all pieces
//! are compared, so that one which overlaps another, or is moved or freed too early, is noticed at once; what has been
//! closed or freed gives the error that says so, and the ledger is at zero in the end.
#![no_main]

#[path = "native/arenas.rs"]
mod arenas;
#[path = "native/buffers.rs"]
mod buffers;
#[path = "native/contexts.rs"]
mod contexts;

use std::ops::Range;

use libfuzzer_sys::fuzz_target;

/// The fuzzer's choices; zeros when there are no more.
struct Choices<'b>(std::slice::Iter<'b, u8>);

impl Choices<'_> {
    fn is_over(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    /// Mostly small, at times around a page or a chunk.
    fn size(&mut self) -> usize {
        let byte = usize::from(self.byte());
        match byte {
            0..=199 => byte,
            200..=229 => 4096 - 215 + byte,
            230..=249 => (64 << 10) - 240 + byte,
            _ => 300_000,
        }
    }

    fn align(&mut self) -> usize {
        1 << self.below(9)
    }

    /// A range, which need not lie within.
    fn range(&mut self, len: usize) -> Range<usize> {
        let (a, b) = (usize::from(self.byte()), usize::from(self.byte()));
        let start = if a >= 128 { len.saturating_sub(a - 128) } else { a };
        start..if b >= 250 { usize::MAX - b } else { start.saturating_add(b) }
    }
}

/// The part of a model that a range names, if it lies within.
fn part<T: AsRef<[u8]>>(bytes: &T, range: &Range<usize>) -> Option<Vec<u8>> {
    bytes.as_ref().get(range.clone()).map(<[u8]>::to_vec)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let choices = Choices(bytes.iter());
    match kind % 5 {
        0 => arenas::confined(choices),
        1 => arenas::shared(choices),
        2 => arenas::checked(choices),
        3 => buffers::run(choices),
        _ => contexts::run(choices),
    }
});
