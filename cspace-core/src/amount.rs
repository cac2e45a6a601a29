//! Sums of sizes and counts that neither wrap nor panic.
//!
//! Users say how large things are: what an object owns outside of the heap, what a charge stands for, how many
//! bytes an evictable object is worth. Any of these may be near `usize::MAX`. So sizes and counts are never added
//! or scaled with the plain operators, which panic in one build and wrap in the other. A sum that cannot be said is
//! the largest that can, which for a size means: more than there is room for.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The sum of some amounts, or the largest that can be said.
#[inline]
pub fn sum<const N: usize>(amounts: [usize; N]) -> usize {
    amounts.into_iter().fold(0, usize::saturating_add)
}

/// A part or a multiple of an amount, or the largest that can be said. A factor that is negative or no number gives 0.
#[inline]
pub fn scaled(amount: usize, factor: f64) -> usize {
    // The cast takes the nearest number there is.
    (amount as f64 * factor) as usize
}

/// Adds to an amount that several threads add to, and stops at the largest that can be said.
#[inline]
pub fn add(to: &AtomicUsize, amount: usize) {
    let _ = to.fetch_update(Relaxed, Relaxed, |old| Some(old.saturating_add(amount)));
}

/// Takes away from an amount that several threads change, and stops at none.
#[inline]
pub fn sub(from: &AtomicUsize, amount: usize) {
    let _ = from.fetch_update(Relaxed, Relaxed, |old| Some(old.saturating_sub(amount)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stop_at_the_largest_amount() {
        assert_eq!(sum([1, 2, 3]), 6);
        assert_eq!(sum([usize::MAX, 1, usize::MAX]), usize::MAX);
    }

    #[test]
    fn scaling_stops_at_both_ends() {
        assert_eq!(scaled(100, 1.5), 150);
        assert_eq!(scaled(usize::MAX, 2.0), usize::MAX);
        assert_eq!(scaled(100, -1.0), 0);
        assert_eq!(scaled(100, f64::NAN), 0);
    }

    #[test]
    fn shared_amounts_stop_at_both_ends() {
        let amount = AtomicUsize::new(usize::MAX - 1);
        add(&amount, 5);
        assert_eq!(amount.load(Relaxed), usize::MAX);
        sub(&amount, usize::MAX);
        sub(&amount, 1);
        assert_eq!(amount.load(Relaxed), 0);
    }
}
