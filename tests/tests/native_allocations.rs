//! In the steady state nothing is allocated: a binary of its own, for its global allocator counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use cspace::Ledger;
use cspace_native::{ConfigBuilder, Context, Handler, Operation, Purpose, RecyclingAllocator};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

/// How often this thread allocates in `f`.
fn allocations(f: impl FnOnce()) -> usize {
    let before = COUNT.get();
    f();
    COUNT.get() - before
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

type Started = Operation<Next, [u8; 100], RecyclingAllocator>;

thread_local! {
    static STARTED: Cell<Option<Started>> = const { Cell::new(None) };
}

/// A handler that starts the next operation of the chain.
struct Next {
    left: usize,
}

impl Handler<u8> for Next {
    type Alloc<D: allocator_api2::alloc::Allocator + Clone> = D;
    fn allocator_or<D: allocator_api2::alloc::Allocator + Clone>(&self, default: D) -> D {
        default
    }
    fn handle(self, byte: u8) {
        if self.left > 0 {
            STARTED.set(Some(start(self.left - 1, byte)));
        }
    }
}

fn start(left: usize, byte: u8) -> Started {
    let default = RecyclingAllocator::new(Purpose::Operation);
    Operation::start(Next { left }, default, [byte; 100]).unwrap()
}

fn run_chain(len: usize) {
    let mut next = Some(start(len, 1));
    let mut count = 0;
    while let Some(mut operation) = next {
        // Beside its own block, one whose size is known now only.
        let scratch: allocator_api2::vec::Vec<u8, _> =
            allocator_api2::vec::Vec::with_capacity_in(100 + count % 28, *operation.allocator());
        std::hint::black_box(&scratch);
        drop(scratch);
        let byte = operation.state()[99];
        operation.complete(byte);
        next = STARTED.take();
        count += 1;
    }
    assert_eq!(count, len + 1);
}

#[test]
fn a_chain_of_a_million_operations_allocates_nothing() {
    assert!(allocations(|| run_chain(1)) > 0, "the first ones do");
    assert_eq!(allocations(|| run_chain(1_000_000)), 0);
}

#[test]
fn a_million_contexts_from_the_pool_allocate_nothing() {
    let mut builder = ConfigBuilder::new(&Ledger::default()).unwrap();
    let counter = builder.reserve::<u64>().unwrap();
    let held = builder.reserve::<std::sync::Arc<u64>>().unwrap();
    let config = builder.freeze();
    let shared = std::sync::Arc::new(1);
    let run = |count: u64| {
        for i in 0..count {
            let mut context = Context::new(&config).unwrap();
            *context.slot_or_init(&counter, |_| i).unwrap() += 1;
            context.slot_or_init(&held, |_| std::sync::Arc::clone(&shared)).unwrap();
            let text = context.localize("a text").unwrap();
            context.mark_for_cleanup(move || assert_eq!(text, text)).unwrap();
            context.obtain_named_object("a name", || i).unwrap().unwrap();
            let mut buffer = context.transient_buffer(10).unwrap();
            buffer.require(100).unwrap();
            buffer.commit(50).unwrap();
        }
    };
    assert!(allocations(|| run(1)) > 0, "the first one does");
    assert_eq!(allocations(|| run(1_000_000)), 0);
    assert_eq!(std::sync::Arc::strong_count(&shared), 1);
}

#[test]
fn the_block_has_room_for_all_that_its_slots_need() {
    let shared = std::sync::Arc::new(1);
    for slots in [1, 2, 3, 50] {
        let mut builder = ConfigBuilder::new(&Ledger::default()).unwrap().spare_bytes(0);
        let keys: Vec<_> = (0..slots)
            .map(|_| {
                let bytes = builder.reserve::<[u8; 3]>().unwrap();
                (bytes, builder.reserve::<std::sync::Arc<u64>>().unwrap())
            })
            .collect();
        let config = builder.freeze();
        let run = || {
            let mut context = Context::new(&config).unwrap();
            for (bytes, held) in &keys {
                context.slot_or_init(bytes, |_| [1; 3]).unwrap();
                context.slot_or_init(held, |_| std::sync::Arc::clone(&shared)).unwrap();
            }
        };
        run();
        assert_eq!(allocations(run), 0, "{slots} slots");
    }
    assert_eq!(std::sync::Arc::strong_count(&shared), 1);
}
