//! Strings, and the table that makes equal ones the same object.

use cspace::{Alloc, Gc, HeapFull, IObject, Tail, WeakSet};

/// What a string object has besides its bytes.
#[derive(IObject)]
pub(crate) struct StringHeader {
    hash: u32,
}

/// A string: its hash, then its bytes, which are UTF-8.
pub(crate) type LoxString = Tail<StringHeader, u8>;

/// The strings that are alive, each once. It does not keep them alive.
#[derive(IObject)]
pub(crate) struct StringTable<'gc> {
    strings: WeakSet<'gc, LoxString>,
    /// Where a concatenation is put together; empty in between.
    joined: Vec<u8>,
}

/// A buffer that grew larger than this is given back after use.
const JOINED_KEPT: usize = 1 << 20;

impl<'gc> StringTable<'gc> {
    pub(crate) fn new() -> Self {
        StringTable { strings: WeakSet::new(), joined: Vec::new() }
    }

    /// The string with these bytes, made if there is none.
    pub(crate) fn intern(
        &mut self,
        cx: &Alloc<'gc>,
        bytes: &[u8],
    ) -> Result<Gc<'gc, LoxString>, HeapFull> {
        let hash = hash(bytes);
        let found =
            self.strings.find(hash.into(), |string| string.hash == hash && string.elems() == bytes);
        if let Some(string) = found {
            return Ok(string);
        }
        let string =
            cx.try_alloc_tail_copy(StringHeader { hash }, bytes).map_err(|error| error.cause)?;
        self.strings.insert(cx, hash.into(), string);
        Ok(string)
    }

    /// The string that two strings make together; `None` if there is no room for it.
    #[inline(never)]
    pub(crate) fn concatenate(
        &mut self,
        cx: &Alloc<'gc>,
        a: Gc<'gc, LoxString>,
        b: Gc<'gc, LoxString>,
    ) -> Option<Gc<'gc, LoxString>> {
        let mut joined = std::mem::take(&mut self.joined);
        let (a, b) = (a.elems(), b.elems());
        // Growing a vector aborts if there is no memory; this does not.
        joined.try_reserve(a.len().checked_add(b.len())?).ok()?;
        joined.extend_from_slice(a);
        joined.extend_from_slice(b);
        let string = self.intern(cx, &joined).ok();
        joined.clear();
        if joined.capacity() <= JOINED_KEPT {
            self.joined = joined;
        }
        string
    }
}

/// Hashes eight bytes at a time: multiplications mix well enough upward, the last step downward.
fn hash(bytes: &[u8]) -> u32 {
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let mut hash = mix(0, bytes.len() as u64);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
        hash = mix(hash, word);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = mix(hash, u64::from_le_bytes(word));
    }
    (hash ^ hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use cspace::CSpace;

    #[test]
    fn equal_strings_are_one_object() {
        CSpace::new().exclusive(|cx| {
            let mut table = StringTable::new();
            let a = table.intern(cx, b"concatenation").unwrap();
            let b = table.intern(cx, b"concat").unwrap();
            let c = table.intern(cx, b"enation").unwrap();
            let joined = table.concatenate(cx, b, c).unwrap();
            assert!(Gc::ptr_eq(joined, a));
            assert!(!Gc::ptr_eq(b, c));
            assert!(Gc::ptr_eq(table.intern(cx, b"").unwrap(), table.intern(cx, b"").unwrap()));
        });
    }

    #[test]
    fn the_hash_depends_on_every_byte_and_on_the_length() {
        let zeros = [0; 40];
        let mut seen = std::collections::HashSet::new();
        for len in 0..zeros.len() {
            assert!(seen.insert(hash(&zeros[..len])));
            for at in 0..len {
                let mut changed = zeros;
                changed[at] = 1;
                assert!(seen.insert(hash(&changed[..len])));
            }
        }
    }
}
