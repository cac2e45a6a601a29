//! Memory of asynchronous operations: what Asio's recycling allocator and associated allocators do (SPEC.md 2.3).

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{pin, Pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use allocator_api2::boxed::Box as BoxIn;
use allocator_api2::vec::Vec as VecIn;
use cspace::{Category, Ledger};
use cspace_native::*;

use crate::allocations::live_bytes;
use crate::watchdog::panic_of;

fn on_a_thread_of_its_own<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|threads| threads.spawn(f).join().unwrap())
}

const OPERATION: RecyclingAllocator = RecyclingAllocator::new(Purpose::Operation);

fn allocate(allocator: RecyclingAllocator, size: usize) -> usize {
    let block = allocator.allocate(Layout::from_size_align(size, 8).unwrap()).unwrap();
    assert!(block.len() >= size);
    block.cast::<u8>().as_ptr().addr()
}

fn free(allocator: RecyclingAllocator, address: usize, size: usize) {
    let block = std::ptr::NonNull::new(std::ptr::with_exposed_provenance_mut(address)).unwrap();
    // SAFETY: of the calls to `allocate` above, once each.
    unsafe { allocator.deallocate(block, Layout::from_size_align(size, 8).unwrap()) };
}

#[test]
fn a_thread_keeps_two_blocks_for_each_purpose() {
    on_a_thread_of_its_own(|| {
        for purpose in Purpose::ALL {
            let allocator = RecyclingAllocator::new(purpose);
            assert_eq!((allocator.purpose(), allocator.cached_blocks()), (purpose, 0));
            let blocks: Vec<_> = (0..3).map(|_| allocate(allocator, 100)).collect();
            blocks.iter().for_each(|block| free(allocator, *block, 100));
            assert_eq!(allocator.cached_blocks(), 2, "the third goes");
            // The last one first: it is warm.
            assert_eq!([0; 2].map(|_| allocate(allocator, 100)), [blocks[1], blocks[0]]);
            assert_eq!(allocator.cached_blocks(), 0);
            free(allocator, blocks[0], 100);
            free(allocator, blocks[1], 100);
        }
        assert!(Purpose::ALL.iter().all(|of| RecyclingAllocator::new(*of).cached_blocks() == 2));
    });
}

#[test]
fn a_cache_that_is_full_of_other_sizes_converges_on_the_size_in_use() {
    on_a_thread_of_its_own(|| {
        let blocks: Vec<_> = (0..2).map(|_| allocate(OPERATION, 1000)).collect();
        blocks.iter().for_each(|block| free(OPERATION, *block, 1000));
        let small = allocate(OPERATION, 20);
        assert_eq!(OPERATION.cached_blocks(), 1, "one was given up");
        free(OPERATION, small, 20);
        assert_eq!(OPERATION.cached_blocks(), 2);
        assert_eq!(allocate(OPERATION, 32), small, "of the same class");
        free(OPERATION, small, 32);
    });
}

#[test]
fn blocks_in_use_together_replace_what_nobody_asks_for() {
    on_a_thread_of_its_own(|| {
        for stale in 0..=2 {
            RecyclingAllocator::clear_thread();
            let blocks: Vec<_> = (0..stale).map(|_| allocate(OPERATION, 1000)).collect();
            blocks.iter().for_each(|block| free(OPERATION, *block, 1000));
            let round = || {
                let blocks = [0; 2].map(|_| allocate(OPERATION, 100));
                blocks.iter().for_each(|block| free(OPERATION, *block, 100));
            };
            (0..3).for_each(|_| round());
            // Whatever asked the system now would fail.
            fault::fail_nth(Some(0));
            (0..10).for_each(|_| round());
            assert!(fault::is_armed(), "the system was asked, {stale} blocks were stale");
            fault::fail_nth(None);
        }
    });
}

#[test]
fn blocks_that_are_large_or_much_aligned_are_not_kept() {
    on_a_thread_of_its_own(|| {
        for (size, align) in [(1025, 8), (1 << 20, 8), (64, 32), (64, 4096), (1, 1 << 16)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let block = OPERATION.allocate(layout).unwrap().cast::<u8>();
            assert_eq!(block.as_ptr().addr() % align, 0);
            // SAFETY: just allocated, with this layout.
            unsafe {
                block.as_ptr().write_bytes(1, size);
                OPERATION.deallocate(block, layout);
            }
            assert_eq!(OPERATION.cached_blocks(), 0, "{size} {align}");
        }
        let nothing = OPERATION.allocate(Layout::new::<[u64; 0]>()).unwrap();
        assert_eq!((nothing.len(), nothing.cast::<u64>().is_aligned()), (0, true));
        // SAFETY: as above.
        unsafe { OPERATION.deallocate(nothing.cast(), Layout::new::<[u64; 0]>()) };
        assert_eq!(OPERATION.cached_blocks(), 0);
    });
}

#[test]
fn how_many_are_kept_can_be_set_for_a_thread() {
    on_a_thread_of_its_own(|| {
        for (set, kept) in [(0, 0), (1, 1), (5, 5), (1000, 16)] {
            RecyclingAllocator::set_slots_of_thread(set);
            let blocks: Vec<_> = (0..20).map(|_| allocate(OPERATION, 50)).collect();
            blocks.iter().for_each(|block| free(OPERATION, *block, 50));
            assert_eq!(OPERATION.cached_blocks(), kept);
        }
        RecyclingAllocator::set_slots_of_thread(3);
        assert_eq!(OPERATION.cached_blocks(), 3);
        RecyclingAllocator::clear_thread();
        assert_eq!(OPERATION.cached_blocks(), 0);
    });
}

#[test]
fn a_block_that_another_thread_frees_is_kept_there() {
    let block = on_a_thread_of_its_own(|| allocate(OPERATION, 200));
    on_a_thread_of_its_own(|| {
        free(OPERATION, block, 200);
        assert_eq!(OPERATION.cached_blocks(), 1);
        assert_eq!(allocate(OPERATION, 200), block);
        free(OPERATION, block, 200);
    });
}

#[test]
fn the_end_of_a_thread_frees_what_it_keeps_and_what_comes_later() {
    struct Late(Cell<Option<BoxIn<[u8; 100], RecyclingAllocator>>>);
    impl Drop for Late {
        fn drop(&mut self) {
            // The cache may be gone: to the system then.
            drop(self.0.take());
            drop(BoxIn::new_in([0u8; 100], OPERATION));
            RecyclingAllocator::clear_thread();
            RecyclingAllocator::set_slots_of_thread(1);
            assert!(OPERATION.cached_blocks() <= 1);
        }
    }
    thread_local! {
        static BEFORE: Cell<Option<Late>> = const { Cell::new(None) };
        static AFTER: Cell<Option<Late>> = const { Cell::new(None) };
    }
    on_a_thread_of_its_own(|| {
        let late = || Late(Cell::new(Some(BoxIn::new_in([0; 100], OPERATION))));
        // One is registered before the cache's destructor, one after it.
        BEFORE.with(|_| ());
        let first = late();
        drop(late());
        BEFORE.set(Some(first));
        AFTER.set(Some(late()));
    });
}

/// Something at an address that must not change, which says when it is dropped.
struct State {
    log: Rc<RefCell<Vec<String>>>,
    /// So much that blocks of operations with it are of one class, whatever the handler.
    _bytes: [u8; 160],
    _pinned: std::marker::PhantomPinned,
}

impl Drop for State {
    fn drop(&mut self) {
        self.log.borrow_mut().push(format!("state dropped, {} kept", OPERATION.cached_blocks()));
    }
}

#[test]
fn all_memory_is_released_before_the_handler_runs_and_the_next_operation_reuses_it() {
    on_a_thread_of_its_own(|| {
        let log = Rc::<RefCell<Vec<String>>>::default();
        let state = || State {
            log: Rc::clone(&log),
            _bytes: [0; 160],
            _pinned: std::marker::PhantomPinned,
        };
        let next_log = Rc::clone(&log);
        let next_state = Rc::new(Cell::new(Some(state())));
        let handler = move |first_address: usize| {
            let next_state = next_state.take().unwrap();
            next_log.borrow_mut().push(format!("handler, {} kept", OPERATION.cached_blocks()));
            let mut next = Operation::start(|_: ()| (), OPERATION, next_state).unwrap();
            let address = std::ptr::from_ref(&*next.state().as_ref()).addr();
            // The states lie in blocks of one class, not at one offset.
            assert!(address.abs_diff(first_address) < 128, "another block");
            drop(next);
        };
        let mut operation = Operation::start(handler, OPERATION, state()).unwrap();
        let address = std::ptr::from_ref(&*operation.state().as_ref()).addr();
        // The handle moves, the state does not.
        let mut operation = std::convert::identity(Box::new(operation));
        assert_eq!(std::ptr::from_ref(&*operation.state().as_ref()).addr(), address);
        operation.complete(address);
        let log = log.borrow();
        assert_eq!(log[..2], ["state dropped, 0 kept", "handler, 1 kept"]);
    });
}

#[test]
fn an_operation_uses_none_one_runtime_sized_concurrent_and_serial_blocks() {
    on_a_thread_of_its_own(|| {
        struct Buffers<A: Allocator>(Vec<VecIn<u8, A>>);
        let none = Operation::start(|_: ()| (), OPERATION, ()).unwrap();
        none.complete(());
        for count in 0..4usize {
            let handler = move |expected: usize| assert_eq!(expected, count);
            let mut operation = Operation::start(handler, OPERATION, Buffers(Vec::new())).unwrap();
            let allocator = *operation.allocator();
            for size in 1..=count {
                operation.state().0.push(VecIn::with_capacity_in(size * 100, allocator));
            }
            // One after the other.
            for _ in 0..count {
                operation.state().0.clear();
                operation.state().0.push(VecIn::with_capacity_in(300, allocator));
            }
            operation.complete(count);
        }
    });
}

#[test]
fn an_operation_ends_on_another_thread() {
    let called = Arc::new(AtomicUsize::new(0));
    let handler = {
        let called = Arc::clone(&called);
        move |number: usize| _ = called.fetch_add(number, SeqCst)
    };
    let operation = Operation::start(handler, OPERATION, [0u8; 100]).unwrap();
    on_a_thread_of_its_own(|| {
        operation.complete(7);
        assert_eq!(OPERATION.cached_blocks(), 1);
    });
    assert_eq!(called.load(SeqCst), 7);
}

/// Counts what it allocates.
#[derive(Clone, Default)]
struct Counting(Rc<Cell<isize>>);

// SAFETY: the global allocator's; clones share it.
unsafe impl Allocator for Counting {
    fn allocate(&self, layout: Layout) -> Result<std::ptr::NonNull<[u8]>, AllocError> {
        self.0.set(self.0.get() + 1);
        Global.allocate(layout)
    }
    unsafe fn deallocate(&self, block: std::ptr::NonNull<u8>, layout: Layout) {
        self.0.set(self.0.get() - 1);
        // SAFETY: the caller's promise.
        unsafe { Global.deallocate(block, layout) }
    }
}

#[test]
fn the_handlers_own_allocator_comes_before_the_default_and_wrappers_pass_it_on() {
    struct Wrapper<H>(H);
    impl<Args, H: Handler<Args>> Handler<Args> for Wrapper<H> {
        type Alloc<D: Allocator + Clone> = H::Alloc<D>;
        fn allocator_or<D: Allocator + Clone>(&self, default: D) -> H::Alloc<D> {
            self.0.allocator_or(default)
        }
        fn handle(self, args: Args) {
            self.0.handle(args);
        }
    }
    fn in_use<H: Handler<()>>(handler: H, own: &Counting, default: &Counting) -> (isize, isize)
    where
        H::Alloc<Counting>: 'static,
    {
        let operation = Operation::start(handler, default.clone(), [0u8; 10]).unwrap();
        let counts = (own.0.get(), default.0.get());
        operation.complete(());
        assert_eq!((own.0.get(), default.0.get()), (0, 0));
        counts
    }
    let (own, default) = (Counting::default(), Counting::default());
    assert_eq!(in_use(|()| (), &own, &default), (0, 1));
    assert_eq!(in_use(bind_allocator(own.clone(), |()| ()), &own, &default), (1, 0));
    assert_eq!(in_use(Wrapper(|()| ()), &own, &default), (0, 1));
    assert_eq!(
        in_use(Wrapper(Wrapper(bind_allocator(own.clone(), |()| ()))), &own, &default),
        (1, 0)
    );
    // The outermost counts.
    let twice = bind_allocator(own.clone(), Wrapper(bind_allocator(OPERATION, |()| ())));
    assert_eq!(in_use(twice, &own, &default), (1, 0));
}

#[test]
fn an_operation_that_is_dropped_releases_its_memory_and_its_handler_is_not_called() {
    let count = Counting::default();
    let operation = Operation::start(|_: ()| panic!("not called"), count.clone(), 1).unwrap();
    assert_eq!(count.0.get(), 1);
    assert_eq!(operation.handler().allocator_or(7u8.then_global()).0, 7);
    drop(operation);
    assert_eq!(count.0.get(), 0);
}

/// The global allocator, with a number to know it by.
#[derive(Clone)]
struct Numbered(u8);

trait ThenGlobal {
    fn then_global(self) -> Numbered;
}

impl ThenGlobal for u8 {
    fn then_global(self) -> Numbered {
        Numbered(self)
    }
}

// SAFETY: the global allocator's.
unsafe impl Allocator for Numbered {
    fn allocate(&self, layout: Layout) -> Result<std::ptr::NonNull<[u8]>, AllocError> {
        Global.allocate(layout)
    }
    unsafe fn deallocate(&self, block: std::ptr::NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { Global.deallocate(block, layout) }
    }
}

#[test]
fn panics_of_handlers_and_states_leak_nothing() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a state");
        }
    }
    let count = Counting::default();
    let operation = Operation::start(|_: ()| panic!("a handler"), count.clone(), ()).unwrap();
    assert_eq!(panic_of(|| operation.complete(())), "a handler");
    assert_eq!(count.0.get(), 0);
    let called = Cell::new(false);
    let operation = Operation::start(|_: ()| called.set(true), count.clone(), Bomb).unwrap();
    assert_eq!(panic_of(|| operation.complete(())), "a state");
    assert_eq!((count.0.get(), called.get()), (0, false));
    let operation = Operation::start(|_: ()| called.set(true), count.clone(), Bomb).unwrap();
    assert_eq!(panic_of(|| drop(operation)), "a state");
    assert_eq!(count.0.get(), 0);
}

#[test]
fn without_memory_handler_and_state_come_back() {
    on_a_thread_of_its_own(|| {
        let before = live_bytes();
        fault::fail_nth(Some(0));
        let failed = Operation::start(|_: ()| (), OPERATION, "the state".to_string());
        let StartError { handler, state } = failed.unwrap_err();
        assert_eq!(state, "the state");
        let operation = Operation::start(handler, OPERATION, state).unwrap();
        operation.complete(());
        fault::fail_nth(Some(0));
        RecyclingAllocator::clear_thread();
        let failed = OperationFuture::try_new_in(async { 5 }, OPERATION).map(drop).unwrap_err();
        let future = OperationFuture::try_new_in(failed, OPERATION).ok().unwrap();
        assert_eq!(poll(&mut { future }), Poll::Ready(5));
        RecyclingAllocator::clear_thread();
        assert_eq!(live_bytes(), before);
    });
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_future_gives_its_frame_back_before_who_awaits_it_goes_on() {
    on_a_thread_of_its_own(|| {
        const FRAME: RecyclingAllocator = RecyclingAllocator::new(Purpose::CoroutineFrame);
        /// Pending once.
        async fn later(number: u32) -> u32 {
            let mut was_pending = false;
            std::future::poll_fn(move |_| {
                if std::mem::replace(&mut was_pending, true) {
                    Poll::Ready(number)
                } else {
                    Poll::Pending
                }
            })
            .await
        }
        let outer = async {
            let mut sum = 0;
            for number in 0..100 {
                sum += OperationFuture::recycled(later(number)).await;
                assert_eq!(FRAME.cached_blocks(), 1, "the same frame again and again");
            }
            sum
        };
        let mut outer = pin!(outer);
        let sum = loop {
            if let Poll::Ready(sum) = poll(&mut outer) {
                break sum;
            }
        };
        assert_eq!(sum, 4950);
        // Dropped before it was ready.
        let mut dropped = OperationFuture::recycled(later(1));
        assert_eq!(poll(&mut dropped), Poll::Pending);
        drop(dropped);
        assert_eq!(FRAME.cached_blocks(), 1);
        let mut ready = OperationFuture::recycled(std::future::ready(1));
        assert_eq!(poll(&mut ready), Poll::Ready(1));
        assert!(panic_of(|| poll(&mut ready)).contains("not polled after it was ready"));
    });
}

/// A future that panics when it is dropped.
struct BombFuture {
    is_ready: bool,
}

impl Drop for BombFuture {
    fn drop(&mut self) {
        panic!("a future");
    }
}

impl Future for BombFuture {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.is_ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

#[test]
fn a_future_whose_drop_panics_leaks_nothing() {
    let count = Counting::default();
    let begin = |is_ready| {
        let future = OperationFuture::try_new_in(BombFuture { is_ready }, count.clone());
        let future = future.ok().unwrap();
        assert_eq!(count.0.get(), 1);
        future
    };
    let mut ready = begin(true);
    assert_eq!(panic_of(|| poll(&mut ready)), "a future");
    assert_eq!(count.0.get(), 0);
    drop(ready);
    let mut pending = begin(false);
    assert_eq!(poll(&mut pending), Poll::Pending);
    assert_eq!(panic_of(|| drop(pending)), "a future");
    assert_eq!(count.0.get(), 0);
}

#[test]
fn a_future_of_no_bytes_frees_only_what_it_allocated() {
    let count = Counting::default();
    let future = std::future::pending::<()>();
    assert_eq!(size_of_val(&future), 0);
    drop(OperationFuture::try_new_in(future, count.clone()).ok().unwrap());
    assert_eq!(count.0.get(), 0);
}

#[test]
fn a_recycled_future_without_memory_panics_and_does_not_abort() {
    on_a_thread_of_its_own(|| {
        fault::fail_nth(Some(0));
        let panic = panic_of(|| drop(OperationFuture::recycled(async { 5 })));
        fault::fail_nth(None);
        assert!(panic.contains("no memory for the state of a future"), "{panic}");
    });
}

#[test]
fn charged_memory_is_counted_and_limited() {
    let ledger = Ledger::default();
    ledger.set_category_limit(Category::Operations, Some(1000));
    let allocator = Charged::new(&ledger, Category::Operations, Counting::default()).unwrap();
    let mut bytes = VecIn::<u8, _>::with_capacity_in(600, allocator.clone());
    assert_eq!((allocator.bytes(), ledger.account(Category::Operations).bytes), (600, 600));
    let refused = VecIn::<u8, _>::new_in(allocator.clone()).try_reserve_exact(401);
    assert!(refused.is_err());
    assert!(bytes.try_reserve_exact(1000).is_err());
    // While it grows, both blocks are there.
    bytes.extend_from_slice(&[1; 600]);
    assert!(bytes.try_reserve_exact(100).is_err());
    bytes.truncate(100);
    bytes.shrink_to_fit();
    assert_eq!(ledger.account(Category::Operations).bytes, 100);
    drop(bytes);
    assert_eq!((allocator.bytes(), ledger.account(Category::Operations).count), (0, 1));
    drop(allocator);
    assert_eq!(ledger.account(Category::Operations).count, 0);
    fault::fail_nth(Some(0));
    let failing = Charged::new(&ledger, Category::Operations, OPERATION).unwrap();
    RecyclingAllocator::clear_thread();
    assert!(BoxIn::try_new_in([0u8; 100], failing.clone()).is_err());
    assert_eq!(failing.bytes(), 0);
    fault::fail_nth(None);
}
