//! Lists that lie in the memory of a [`Bump`]: charged with it, failing with it, and gone with it.
//!
//! A vector beside the memory would be charged to nobody, and a context that is kept to be used again would keep its
//! capacity.
//!
//! - **NZ2 (chained).** A link lies in memory that was given out since the last reset, and is in one chain, with a
//!   value, or is the vacant one of one chain.

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::bump::{Bump, NativeError};

/// Values, the newest first.
pub(crate) struct Chain<T> {
    newest: Option<NonNull<Link<T>>>,
    /// Room for one more.
    vacant: Option<NonNull<Link<T>>>,
}

struct Link<T> {
    value: MaybeUninit<T>,
    older: Option<NonNull<Link<T>>>,
}

impl<T> Default for Chain<T> {
    fn default() -> Self {
        Chain { newest: None, vacant: None }
    }
}

impl<T: Copy> Chain<T> {
    /// Bytes of the bump for so many values, at most.
    pub(crate) fn bytes(count: usize) -> usize {
        let align = if count > 0 { align_of::<Link<T>>() } else { 0 };
        count.saturating_mul(size_of::<Link<T>>()).saturating_add(align)
    }

    /// Makes room for one, so that `push` does not fail. Room that nobody used stays.
    ///
    /// # Safety
    ///
    /// What the bump gives out stays until the chain is cleared, or is not used any more.
    pub(crate) unsafe fn reserve(&mut self, bump: &mut Bump) -> Result<(), NativeError> {
        if self.vacant.is_none() {
            self.vacant = Some(bump.allocate(Layout::new::<Link<T>>())?.cast());
        }
        Ok(())
    }

    /// Puts a value before all others.
    ///
    /// # Panics
    ///
    /// If no room was made for it.
    pub(crate) fn push(&mut self, value: T) {
        let link = self.vacant.take().expect("`reserve` comes before `push`");
        // SAFETY: memory for a link that no chain has yet (NZ2).
        unsafe { link.write(Link { value: MaybeUninit::new(value), older: self.newest }) };
        self.newest = Some(link);
    }

    /// Takes the newest value out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        // SAFETY: in the chain, so it is there, with a value (NZ2).
        let Link { value, older } = unsafe { self.newest?.read() };
        self.newest = older;
        // SAFETY: as above.
        Some(unsafe { value.assume_init() })
    }

    /// The values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        let mut next = self.newest;
        core::iter::from_fn(move || {
            // SAFETY: in the chain, which is borrowed, so it is there, with a value (NZ2).
            let Link { value, older } = unsafe { next?.read() };
            next = older;
            // SAFETY: as above.
            Some(unsafe { value.assume_init() })
        })
    }

    /// Forgets all values and the room.
    pub(crate) fn clear(&mut self) {
        *self = Chain::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cspace_core::{Category, Ledger};

    #[test]
    fn the_newest_comes_first_and_room_that_nobody_used_stays() {
        let ledger = Ledger::default();
        let mut bump = Bump::new(ledger.try_charge(Category::Contexts, 0).unwrap(), usize::MAX);
        let mut chain = Chain::default();
        for round in 0..3 {
            assert_eq!(chain.pop(), None);
            for i in 0..100u32 {
                // SAFETY: the chain is cleared before the bump is reset.
                unsafe { chain.reserve(&mut bump).unwrap() };
                let used = bump.used();
                // SAFETY: as above.
                unsafe { chain.reserve(&mut bump).unwrap() };
                assert_eq!(bump.used(), used, "there is room");
                chain.push(i);
            }
            assert!(chain.iter().eq((0..100).rev()), "{round}");
            assert_eq!((chain.pop(), chain.pop()), (Some(99), Some(98)));
            assert!(chain.iter().eq((0..98).rev()), "{round}");
            // SAFETY: as above.
            unsafe { chain.reserve(&mut bump).unwrap() };
            chain.clear();
            // SAFETY: nothing is used any more.
            unsafe { bump.reset(0) };
        }
    }
}
