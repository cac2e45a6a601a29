//! The home record: what blocks and handles point at instead of their space.
//!
//! A handle may outlive its space, so what it needs is in a record of its own, counted by the space
//! and by every handle.

use core::ptr::NonNull;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::owned_root::OwnedList;
use crate::root::RootTable;

/// The part of a space that handles outside of accesses refer to.
pub(crate) struct Home {
    pub(crate) roots: Mutex<RootTable>,
    pub(crate) owned: Mutex<OwnedList>,
}

impl Home {
    pub(crate) fn new() -> Arc<Home> {
        Arc::new(Home { roots: Mutex::default(), owned: Mutex::default() })
    }
}

/// A home's address: its identity, for comparing.
pub(crate) fn address(home: &Arc<Home>) -> NonNull<Home> {
    NonNull::from(&**home)
}
