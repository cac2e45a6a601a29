//! A garbage-collected object space for interpreters: sound for every safe program, made for threads, as
//! fast as a native collector.
//!
//! # Where do I begin?
//!
//! With a [`CSpace`], object types that derive [`IObject`], and accesses:
//!
//! ```
//! use cspace::*;
//!
//! #[derive(IObject)]
//! struct Pair<'gc> {
//!     first: Slot<'gc, NanBox<'gc>>,
//!     second: Slot<'gc, NanBox<'gc>>,
//! }
//!
//! let space = CSpace::new();
//! let root = space.exclusive(|cx| {
//!     let pair = cx.alloc(Pair { first: Slot::new(1.0.into()), second: Slot::new(NanBox::NIL) });
//!     pair.second.set(cx, pair.into());
//!     cx.root(pair)
//! });
//! space.shared(|cx| assert_eq!(root.get(cx).first.get(cx).as_f64(), Some(1.0)));
//! ```
//!
//! # What keeps an object alive?
//!
//! Being reached from a [`GcRoot`], an [`OwnedRoot`]'s value, or the set of
//! [`add_gc_root`](Alloc::add_gc_root). Local variables need nothing: a [`Gc`] is valid for its whole access,
//! because no collection finishes while anybody has access. Across accesses a `Gc` cannot be kept; the
//! compiler says so.
//!
//! # When can a collection happen?
//!
//! When [`synchronous_gc`](Space::synchronous_gc) or a guard's [`collect`](ExclusiveGuard::collect) is called,
//! and, if the budget is used up or somebody asked, at a guard's [`safepoint`](ExclusiveGuard::safepoint) and at
//! the end of an exclusive access. Never inside an access or a scope. Poll
//! [`should_yield`](Alloc::should_yield) in loops and leave the scope when it is up.
//!
//! # Which access do I take?
//!
//! | | |
//! | --- | --- |
//! | a few operations | [`exclusive`](Space::exclusive), [`shared`](Space::shared): closures |
//! | an interpreter's loop | [`lock`](Space::lock), then [`scope_mut`](ExclusiveGuard::scope_mut) and [`safepoint`](ExclusiveGuard::safepoint) in turn |
//! | `?`, `break` and `return` across objects | [`enter`](ExclusiveGuard::enter) with [`make_guard!`] |
//! | waiting for input while holding the lock | [`unlocked`](ExclusiveGuard::unlocked) |
//! | several spaces | [`lock_multiple`](CSpace::lock_multiple) |
//! | readers on many threads | [`fan_out`](Shared::fan_out) |
//!
//! # How do I change an object?
//!
//! [`Slot`] for what is `Copy` and replaced whole, [`GcCell`] for what is changed in place. To allocate while a
//! cell is borrowed, [`split`](Exclusive::split) the token.
//!
//! # Which value type does a dynamic language take?
//!
//! [`NanBox`]: a double, an object of any type, or an immediate, in 64 bits. [`GcAny::downcast`] and
//! [`NanBox::downcast`] are two loads and a comparison.
//!
//! # What if memory runs out?
//!
//! Set [`max_heap_bytes`](Builder::max_heap_bytes). [`try_alloc`](Alloc::try_alloc) gives the value back; leave the
//! scope, collect, try again, then report. [`alloc`](Alloc::alloc) panics, which does not poison the space.
//!
//! # How do native functions fit in?
//!
//! A function pointer with a brand in its type is not `'static` by itself; a higher-ranked one is:
//! `Static<for<'gc> fn(&mut Exclusive<'gc>, &[NanBox<'gc>]) -> NanBox<'gc>>`. A native function that calls back into
//! the interpreter must not run an inner loop, as the frames outside of it hold `Gc`s and it could never reach a
//! safepoint: let it return what it wants called and continue from the one loop.
//!
//! # Must I pass the space to everything?
//!
//! No: [`set_current`](CSpace::set_current) makes it the current space of a thread, and the functions of
//! [`current`] act on that. Tokens still come from taking the lock, never from the thread. A space for one job
//! is [`CSpace::scope`].
//!
//! # Where does my library keep what it needs for each space?
//!
//! In a slot of the space: a [`PtrSlot`] is a `static` key, with a value of its own in each space, read in any
//! access, and dropped with the space.
//!
//! # And async?
//!
//! A guard across an `.await` makes a future that is not `Send`, and on one thread the next task would find the
//! space held. Take one access for each poll and keep the state in an [`OwnedRoot`], which is `Send`.
//!
//! # I know ceda; what is it called here?
//!
//! | ceda | cspace |
//! | --- | --- |
//! | `CSpace`, `CreateCSpace`, `Destroy` | [`CSpace`], [`CSpace::builder`], dropping it or [`CSpace::destroy`] |
//! | the thread's `CSpace`, free functions | [`CSpace::set_current`], [`CSpace::current`], the module [`current`] |
//! | `CSpaceCreator` | [`CSpace::scope`] |
//! | `GetPtrSlotArray` | [`PtrSlot`], [`Shared::ptr_slot`], [`Exclusive::set_ptr_slot`] |
//! | `IObject`, `VisitObjects`, `GetReflectedClass` | [`IObject`], [`IObject::visit_objects`], [`TypeInfo`] |
//! | `QueryInterface`, `ptr<I>` | [`GcAny::downcast`], [`GcDyn`] |
//! | `$new`, `RegisterGcObject` | [`Alloc::alloc`] |
//! | `RegisterNonGcObject` | [`Alloc::own_root`]; traced in every collection while the handle lives |
//! | `gcroot` | [`GcRoot`] |
//! | `AddGcRoot`, `RemoveGcRoot` | [`Alloc::add_gc_root`], [`Alloc::remove_gc_root`] |
//! | `ECSpaceLockMode`, `CSpaceLock`, `CSpaceTxn` | [`LockMode`], [`ExclusiveGuard`] and [`SharedGuard`], [`Space::transaction`] |
//! | `BeginUnlock`, `EndUnlock` | [`ExclusiveGuard::begin_unlock`], [`LockInfo::end_unlock`] |
//! | `LockMultipleCSpaces`, `MultipleCSpaceLock` | [`CSpace::lock_multiple`], [`MultiGuard`] |
//! | `SynchronousGc` | [`Space::synchronous_gc`] |
//! | `GetTotalNumCompletedGcs`, `GetNumObjects` | [`Space::total_num_completed_gcs`], [`Space::num_objects`] |
//!
//! # Features
//!
//! `hashbrown`, `indexmap`, `smallvec`: object types for theirs.

#![forbid(unsafe_code)]

pub mod current;
mod space;

pub use cspace_core::*;
pub use cspace_gc::{GcDriver, GcMode, GcPool, Patience, PoolError, StartError, StopError};
pub use current::{CurrentError, CurrentGuard, NoCurrentSpace};
pub use space::{BuildError, Builder, CSpace, WeakCSpace};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
