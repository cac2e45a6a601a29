//! The object space of cspace: access, handles, slots, heap, and the seam for the collector.
//!
//! Interpreters depend on the facade crate `cspace`, which re-exports all of this with a collector
//! wired in. This crate alone never collects.
//!
//! # The one idea: the lock is the safepoint
//!
//! A space is protected by one lock, and the collector needs that lock. So while a thread has access,
//! no collection can finish and no object can be condemned: a plain pointer read during an access is
//! valid for the whole access, without stack scanning, reference counts, or a root for each local
//! variable. And when the collector holds the lock nobody has access, so there are no stack roots,
//! ever. Three lifetimes make that a fact that the compiler checks: handles ([`Gc`]) and tokens
//! ([`Exclusive`], [`Shared`]) carry an invariant brand `'gc`, fresh for each access, which nothing
//! outlives.
//!
//! # Invariants
//!
//! They are numbered in the module that keeps them, and cited by their numbers: H1 is the first one of the heap, in
//! `chunk.rs`. ARCHITECTURE.md has the list of them, and what checks each.

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "cspace needs a 64-bit target: values are NaN-boxed, chunks are 4 MiB of address space"
);

extern crate self as cspace_core;

mod access;
#[doc(hidden)]
pub mod amount;
mod any;
mod batch;
mod brand;
mod cell;
mod changes;
mod chunk;
mod claim;
mod cleaner;
pub mod collector;
mod collector_handle;
mod config;
mod ephemeron;
mod error;
mod event;
mod evictable;
mod eviction;
mod gc;
mod guard;
mod heap;
mod held;
mod histogram;
mod home;
mod hooks;
mod incremental;
mod interface;
mod ledger;
mod list;
mod memory;
mod nan_box;
mod nesting;
mod no_unwind;
mod object;
mod os;
mod owned_root;
mod pieces;
mod pile;
mod pool;
pub mod protocol;
mod ptr_slot;
mod requests;
mod root;
mod root_set;
mod root_stack;
mod shared_word;
mod slot;
mod space;
mod stamp;
mod static_data;

pub mod sync;
mod tail;
mod transfer;
mod type_info;
mod verify;
mod visitor;
mod weak;
mod weak_set;
mod weak_value_map;

pub use access::{
    Access, Alloc, CellAccess, CellAccessMut, Cells, Exclusive, ExclusiveAccess, Shared,
};
pub use any::GcAny;
pub use cell::GcCell;
pub use cleaner::Cleaner;
/// Its methods, for whoever imports all.
#[doc(no_inline)]
pub use collector::ForCollectors as _;
pub use config::{Builder, PanicPolicy};
pub use cspace_derive::IObject;
pub use ephemeron::{EphemeronKey, EphemeronMap};
pub use error::{
    AllocError, CollectError, HeapFull, HeapFullCause, LockError, RootError, SettingError,
    TransferError, WaitError, WrongSpace,
};
pub use event::{CollectReport, Event, GcStats, MemoryStats, SlowUserCode, UserCode};
pub use evictable::{Evictable, EvictableRoot, EvictionPin};
pub use gc::Gc;
pub use generativity::{Guard, Id};
pub use guard::{Entered, ExclusiveGuard, LockInfo, LockMode, ModeGuard, MultiGuard, SharedGuard};
pub use histogram::PauseHistogram;
pub use interface::{GcDyn, Interface};
pub use ledger::{Account, Category, Charge, Ledger, MemoryFull, PendingCharge};
pub use nan_box::NanBox;
pub use object::{IObject, Rootable};
pub use owned_root::OwnedRoot;
pub use ptr_slot::PtrSlot;
pub use root::GcRoot;
pub use root_stack::RootStack;
pub use slot::Slot;
pub use space::{Space, Wait, WeakSpace};
pub use static_data::Static;
pub use tail::{Slice, Str, Tail, Utf8};
pub use transfer::TransferReport;
pub use type_info::{TypeIndex, TypeInfo};
pub use verify::{BadEdge, Fault, VerifyReport};
pub use visitor::Visitor;
pub use weak::{GcWeak, WeakRoot};
pub use weak_set::WeakSet;
pub use weak_value_map::WeakValueMap;

/// Names the family of an object type: `Rootable![Node<'_>]`, for [`GcRoot`] and [`OwnedRoot`].
///
/// Every elided lifetime stands for the brand.
#[macro_export]
macro_rules! Rootable {
    ($($type:tt)*) => {
        $crate::__private::__rootable!($crate; $($type)*)
    };
}

/// What macros expand to; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::brand::AccessEndsWithItsBlock_RootWhatIsKeptLonger;
    pub use crate::hooks::{HookedField, Hooks};
    pub use crate::nesting::{Depth, Drops};
    pub use crate::type_info::TypesSeen;
    pub use cspace_derive::__rootable;
    pub use generativity;
}
