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
//! Whole programs to run and to change are in the folder `examples`.
//!
//! # What keeps an object alive?
//!
//! Being reached from a [`GcRoot`], an [`OwnedRoot`]'s value, or the set of
//! [`add_gc_root`](Alloc::add_gc_root). Local variables need nothing: a [`Gc`] is valid for its whole access,
//! because no collection finishes while anybody has access. Across accesses a `Gc` cannot be kept; the
//! compiler says so.
//!
//! # How do I keep a cache that gives way?
//!
//! With [`Evictable`] references, made by [`cx.evictable`](Exclusive::evictable): the space keeps what they refer to
//! until all of it is more than its [`eviction_threshold`](Builder::eviction_threshold), and lets go of what was
//! touched least recently, or by [`try_evict`](CSpace::try_evict) under memory pressure. What was let go of can be
//! written out before by [`on_evict`](CSpace::on_evict), and must be made again. By key they are found in an
//! [`EvictableMap`], which is a part of an object, or an [`EvictableCache`], which threads share and which loads what is
//! missing.
//!
//! # Which weak reference do I take?
//!
//! | what for | |
//! | --- | --- |
//! | a way back that keeps nothing alive | [`GcWeak`] in objects, [`WeakRoot`] outside |
//! | interning: equal things once | [`WeakSet`] |
//! | objects by a key, for as long as others keep them | [`WeakValueMap`] |
//! | something about an object, for as long as the object is there | [`EphemeronMap`] |
//! | what can be made again | [`Evictable`], [`EvictableMap`], [`EvictableCache`] |
//! | to be told when an object has died | [`ReferenceQueue`], [`Cleaner`] |
//!
//! # When can a collection happen?
//!
//! Never inside an access or a scope. By default a thread of the space's own collects: when the budget is used
//! up (as many bytes as are alive, at least [32 MiB](Builder::gc_budget_floor); where less is alive 4 MiB and twice that),
//! when somebody [asks](Space::request_gc), and by time if
//! there is a [`gc_period`](Builder::gc_period): when that is over and anything changed, an access, a handle that was
//! dropped, a charge, a threshold, though nothing be allocated. Without a period what has died, or is to be
//! evicted, waits until enough was allocated. It needs the lock for that: poll
//! [`should_yield`](Alloc::should_yield) in loops, leave the scope when it is up, and come to a
//! [`safepoint`](ExclusiveGuard::safepoint). A mutator that has allocated twice the budget marks and sweeps itself.
//! [`synchronous_gc`](Space::synchronous_gc) and a guard's
//! [`collect`](ExclusiveGuard::collect) collect now, on the calling thread.
//!
//! # Who runs the collector?
//!
//! | | |
//! | --- | --- |
//! | a thread of the space's own | the default; [`start_gc`](CSpace::start_gc), [`stop_gc`](CSpace::stop_gc) |
//! | a few threads for many spaces | [`GcPool`], [`Builder::gc_pool`] |
//! | a thread of yours | [`CSpace::gc_driver`] |
//! | the mutators, at safepoints and ends of exclusive accesses | [`GcMode::Safepoints`] |
//! | explicit calls only | [`GcMode::Manual`] |
//!
//! To shake races out of a program, collect without a pause and overwrite what is freed:
//! `gc_period(Duration::ZERO)`, [`poison_freed`](Builder::poison_freed); and [`stress`](Builder::stress) for a
//! collection at every safepoint.
//!
//! # How do I bring two heaps together?
//!
//! [`transfer_from`](Space::transfer_from) makes all objects of one space another's, handles and all, in
//! microseconds: a request, an actor or a parser can build its objects in a space of its own and hand them over.
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
//! # How do I learn that an object has died?
//!
//! Data of the object's own goes away by its `Drop`, in a [`Static`] field; to have it called before, name a hook:
//! `#[cspace(on_collect = "path")]`. For what is elsewhere, [`register_cleaner`](Alloc::register_cleaner) runs an
//! action of yours on the collector's side ([`Cleaner`]), and a [`ReferenceQueue`] tells a thread of yours. None of
//! them sees the object, so none can bring it back.
//!
//! # Where does my code run?
//!
//! A *driver* is the thread that runs a space's collections: its worker, a thread of its [`GcPool`], or yours with a
//! [`GcDriver`]. While there is one, no mutator runs cleaners, hooks, drops of dead objects, listeners or `on_evict` at the
//! end of its access, however late the collector is: it marks and sweeps itself then, and leaves these to the driver. So does
//! the driver's *stand-in*, a thread of the library's own that collects while the driver has run one piece of such code for
//! more than 10 ms, the longer the more waits for it. So locks of yours that are held around an access are safe from them. "Bare" below: the thread holds no space and no lock of the
//! library, so the code may enter spaces, allocate, take locks, drop last handles.
//!
//! | your code | when | on which thread | with what held | it may not | a panic |
//! | --- | --- | --- | --- | --- | --- |
//! | actions of [`Cleaner`]s | after the collection that finds the object dead; by [`clean`](Cleaner::clean) at once | the *reclaiming* one, see below; of `clean` its caller | bare; of `clean` what the caller holds | collect its own space in place (the request is noted) | counted and told; the others run |
//! | `Drop` of what dead objects own, of an [`OwnedRoot`]'s value, of a [`PtrSlot`]'s value | after cleaners | the reclaiming one | bare | as above | counted and told; the others run |
//! | `on_collect` hooks | right before the object's drop | the reclaiming one | bare | see other objects | counted and told; the drop runs |
//! | listeners ([`on_event`](Builder::on_event)) | when the cycle is over | the reclaiming one | bare, in no sweep | wait for its own collector | caught; the others are called |
//! | [`on_evict`](CSpace::on_evict) | after the cycle that chose the victim | the reclaiming one | an exclusive access | take the space's lock again | counted and told |
//! | [`visit_objects`](IObject::visit_objects) | in the mark; when an evictable reference is made | whoever marks: the driver, its stand-in, or a mutator that is late | the space, shared; with readers | take locks that somebody holds around an access; change the graph | the cycle is given up, nothing is condemned |
//! | [`EvictionPolicy`](collector::EvictionPolicy) | in the mark, and after it with the claim | whoever marks, the stand-in too | as above | as above | counted and told; nothing more is evicted |
//! | `Hash` and `Eq` of keys | in the operation on the map; never in a collection | the caller | the access of the operation | | the caller's; the map keeps its entries |
//! | loaders of an [`EvictableCache`] | in `get_or_load` | the caller | bare, in a load of the key | load what waits for it (an error) | the load fails, who waits loads anew |
//! | transaction callbacks | at the beginning and end of transactions | the caller | the exclusive access | | the caller's; poisons the space |
//! | closures of accesses, of `alloc_tail` | | the caller | the access | | the caller's; poisons the space if exclusive |
//! | [`Collector`](collector::Collector): `runner`, `wake` | in and after accesses | any | perhaps a space | block, or use the space | the caller's; nothing stays locked |
//! | `go_on` of a [`LockWait`](collector::LockWait) | while a lock is waited for | who waits | nothing | | the caller's; nothing stays noted |
//!
//! The reclaiming thread is the driver. It is another one in these cases only: an explicit collection
//! ([`synchronous_gc`](Space::synchronous_gc), a guard's [`collect`](ExclusiveGuard::collect)) reclaims on its caller, or, if
//! that holds a space, when it holds none; with [`GcMode::Safepoints`] and [`GcMode::Manual`], or after
//! [`stop_gc`](CSpace::stop_gc), mutators reclaim at the safepoints at which they collect; and at the end of a space the thread does that lets
//! go of it last, or one of the library's own if that is in the middle of a charge, at its end, or a stand-in.
//!
//! Code of yours that takes long, or waits, keeps nothing from being collected but the objects that wait to be dropped after it, those
//! with a hook or a [`Static`] that needs a drop: the memory of all others, text and vectors included, is free before any of
//! it runs. Meanwhile the stand-in runs the collections that are due by time, by request or by the budget, of the other
//! spaces of a [`GcPool`] too if all of its threads are busy like that. They count as complete when their memory is free; the
//! driver runs what they leave later, in their order. If it is more than 1024 collections behind, those that left nothing but
//! their event do not tell it. A hand-driven [`GcDriver`] has a stand-in while it collects, and none while nobody calls it.
//! An [`Event::SlowUserCode`] tells what took more than 100 milliseconds.
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
//! [`memory_limit`](Builder::memory_limit) is for objects and what is outside of the heap together.
//!
//! # What about memory outside of the heap?
//!
//! The module [`native`] has it: buffers and mapped files that the collector frees, arenas, a block of memory for each
//! request, memory of asynchronous operations. All of it is charged to the space's [`Ledger`], which has limits, and
//! counts towards the next collection. What your objects own otherwise, they charge themselves:
//!
//! ```
//! use cspace::*;
//!
//! #[derive(IObject)]
//! struct Image {
//!     pixels: Static<Vec<u8>>,
//!     charge: Static<Charge>, // gives the bytes back when the image is collected
//! }
//!
//! let space = CSpace::builder().memory_limit(100 << 20).build()?;
//! space.exclusive(|cx| {
//!     let charge = cx.ledger().try_charge(Category::External, 1 << 20)?;
//!     cx.alloc(Image { pixels: Static(vec![0; 1 << 20]), charge: Static(charge) });
//!     Ok::<(), MemoryFull>(())
//! })?;
//! assert_eq!(space.ledger().account(Category::External).bytes, 1 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
//! [ceda](https://cedanet.com.au/ceda/) is the C++ system whose `CSpace` this one follows.
//!
//! | ceda | cspace |
//! | --- | --- |
//! | `CSpace`, `CreateCSpace`, `Destroy` | [`CSpace`], [`CSpace::builder`], dropping it or [`CSpace::destroy`] |
//! | the thread's `CSpace`, free functions | [`CSpace::set_current`], [`CSpace::current`], the module [`current`] |
//! | `CSpaceCreator` | [`CSpace::scope`] |
//! | `GetPtrSlotArray` | [`PtrSlot`], [`Shared::ptr_slot`], [`Exclusive::set_ptr_slot`] |
//! | `IObject`, `VisitObjects`, `GetReflectedClass` | [`IObject`], [`IObject::visit_objects`], [`TypeInfo`] |
//! | `OnGarbageCollect` | `#[cspace(on_collect = "path")]` on a [`Static`] field; [`Cleaner`] |
//! | `QueryInterface`, `ptr<I>` | [`GcAny::downcast`], [`GcDyn`] |
//! | `$new`, `RegisterGcObject` | [`Alloc::alloc`] |
//! | `RegisterNonGcObject` | [`Alloc::own_root`]; traced in every collection while the handle lives |
//! | `gcroot` | [`GcRoot`] |
//! | `AddGcRoot`, `RemoveGcRoot` | [`Alloc::add_gc_root`], [`Alloc::remove_gc_root`] |
//! | `ECSpaceLockMode`, `CSpaceLock`, `CSpaceTxn` | [`LockMode`], [`ExclusiveGuard`] and [`SharedGuard`], [`Space::transaction`] |
//! | `BeginUnlock`, `EndUnlock` | [`ExclusiveGuard::begin_unlock`], [`SharedGuard::begin_unlock`], [`LockInfo::end_unlock`] |
//! | `LockMultipleCSpaces`, `MultipleCSpaceLock` | [`CSpace::lock_multiple`], [`MultiGuard`] |
//! | `SynchronousGc`, `StartGc`, `StopGc` | [`Space::synchronous_gc`], [`CSpace::start_gc`], [`CSpace::stop_gc`] |
//! | `GetMilliSecsPerGc`, `SetMilliSecsPerGc` | [`CSpace::milli_secs_per_gc`], [`CSpace::set_milli_secs_per_gc`], [`CSpace::set_gc_period`]; what was set comes back, but -1 for 0 and for anything negative |
//! | `WaitForGarbageCollect` | [`GcDriver::wait_for_garbage_collect`] |
//! | `GetTotalNumCompletedGcs`, `GetNumObjects` | [`Space::total_num_completed_gcs`], [`Space::num_objects`] |
//! | `SetTouched`, `SetEvictableObjectSizeInBytes` | [`Evictable::set_touched`], [`Evictable::set_evictable_object_size_in_bytes`] |
//! | `GetEvictionThreshold`, `SetEvictionThreshold` | [`CSpace::eviction_threshold`], [`CSpace::set_eviction_threshold`] |
//! | `TransferCSpace` | [`Space::transfer_from`] |
//!
//! What coffi, the JDK, TxnBox, Asio and Java call things is in the docs of [`native`].
//!
//! # Features
//!
//! `hashbrown`, `indexmap`, `smallvec`: object types for theirs.

#![forbid(unsafe_code)]

pub mod current;
mod space;

pub use cspace_core::*;
pub use cspace_evict::{
    EvictableCache, EvictableMap, Evicted, EvictionStats, Evictor, LoadError, MapLimit,
};
pub use cspace_gc::{
    GcDriver, GcMode, GcPool, Patience, PhantomReference, PoolError, ReferenceQueue, StartError,
    StopError, WeakReference,
};
/// Memory that is not objects: arenas, buffers, contexts, operations, with the limits of a space's [`Ledger`].
pub use cspace_native as native;
pub use current::{CurrentError, CurrentGuard, NoCurrentSpace};
pub use space::{BuildError, Builder, CSpace, WeakCSpace};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
