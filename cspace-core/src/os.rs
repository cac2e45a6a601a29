//! The one platform seam: mapping memory.
//!
//! `reserve` gives zeroed memory of a size and an alignment, `release` takes it back, `decommit`
//! lets the system have the pages of a range until they are touched again (and zeroes them where
//! the system does), `advise_huge` asks for large pages.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{advise_huge, decommit, release, reserve};

#[cfg(not(unix))]
mod portable;
#[cfg(not(unix))]
pub(crate) use portable::{advise_huge, decommit, release, reserve};
