//! The one platform seam: mapping memory.
//!
//! `reserve` gives zeroed memory of a size and an alignment, `release` takes it back, `decommit`
//! lets the system have the pages of a range until they are touched again (and zeroes them where
//! the system does), `advise_huge` asks for large pages. All memory ends below [`ADDRESS_MAX`]. Miri, which has no maps, takes the portable way.

/// The end of the addresses that objects may have: `NanBox` keeps one in 48 bits of which the top one is clear.
pub(crate) const ADDRESS_MAX: usize = 1 << 47;

#[cfg(all(unix, not(miri)))]
mod unix;
#[cfg(all(unix, not(miri)))]
pub(crate) use unix::{advise_huge, decommit, release, reserve};

#[cfg(any(not(unix), miri))]
mod portable;
#[cfg(any(not(unix), miri))]
pub(crate) use portable::{advise_huge, decommit, release, reserve};
