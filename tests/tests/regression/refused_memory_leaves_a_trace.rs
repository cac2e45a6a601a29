//! Memory outside of the heap that the system, or a limit for good, refused had been charged and given back: the most
//! that there was stayed at 2^62 for ever, each refusal brought a collection, and caches were emptied for it.

use allocator_api2::alloc::Allocator;
use cspace::*;
use cspace_native::*;
use std::alloc::Layout;

/// More than there is room for in any address space, and less than a `Layout` may say.
const ENDLESS: usize = 1 << 62;

/// A space that collects when it is asked to, with caches worth 10 MiB.
fn space(builder: Builder) -> (CSpace, Vec<EvictableRoot<Rootable![u64]>>) {
    let space = builder.gc(GcMode::Safepoints).build().unwrap();
    let cached = space.exclusive(|cx| {
        let cached = (0..10u64).map(|i| {
            let root = cx.evictable_root(cx.alloc(i));
            root.evictable(cx).set_size_bytes(cx, 1 << 20);
            root
        });
        cached.collect()
    });
    (space, cached)
}

/// Each way to ask for memory, with so many bytes; all are refused.
fn ask(space: &CSpace, bytes: usize) {
    let ledger = &space.ledger();
    let mut builder = ConfigBuilder::new(ledger).unwrap();
    assert!(builder.alloc_span::<u8>(bytes).is_err());
    assert!(builder.make_span(bytes, |_| 1u8).is_err());
    let mut context = Context::new(&builder.freeze()).unwrap();
    assert!(context.alloc_span::<u8>(bytes).is_err());
    assert!(context.transient_buffer(bytes).is_err());
    assert!(context.transient_buffer(0).unwrap().require(bytes).is_err());
    let confined = ConfinedArena::new(ledger).unwrap();
    assert!(confined.allocate(bytes, 1).is_err());
    assert!(confined.allocate(1, bytes.next_power_of_two()).is_err());
    assert!(SharedArena::new(ledger).unwrap().allocate(bytes, 16).is_err());
    assert!(CheckedArena::new(ledger).unwrap().allocate(bytes, 4096).is_err());
    let charged = Charged::new(ledger, Category::Operations, RecyclingAllocator::default());
    let layout = Layout::from_size_align(bytes, 16).unwrap();
    assert!(charged.unwrap().allocate(layout).is_err());
    space.exclusive(|cx| {
        assert!(DirectBuffer::allocate(cx, bytes).is_err());
        assert!(DirectBuffer::allocate_page_aligned(cx, bytes).is_err());
        assert!(AutoArena::new(cx).unwrap().allocate(cx, bytes, 1).is_err());
    });
    let reserved = Reservation::with_wait(ledger, bytes, |_| panic!("no waiting"));
    if let Ok(reserved) = reserved {
        assert!(space.exclusive(|cx| reserved.allocate(cx).is_err()));
    }
}

#[test]
fn what_can_never_be_is_refused_and_nothing_else() {
    let builders: [&dyn Fn() -> Builder; 4] = [
        &|| CSpace::builder(),
        &|| CSpace::builder().memory_limit(1 << 30),
        &|| CSpace::builder().memory_soft_limit(1 << 30),
        &|| CSpace::builder().memory_limit(usize::MAX - 1),
    ];
    for builder in builders {
        let (space, cached) = space(builder());
        ask(&space, ENDLESS);
        space.exclusive(|_| ());
        assert_eq!(space.total_num_completed_gcs(), 0);
        space.shared(|cx| assert!(cached.iter().all(|entry| !entry.is_evicted(cx))));
        let ledger = space.ledger();
        assert!(ledger.bytes_max() < 1 << 20, "{ledger}");
        assert_eq!(ledger.account(Category::Buffers).bytes_max, 0);
        assert!(ledger.account(Category::Contexts).bytes_max < 10_000, "{ledger}");
        assert!(ledger.account(Category::Arenas).bytes_max < 10_000, "{ledger}");
        assert_eq!(ledger.account(Category::Operations).bytes_max, 0);
    }
    assert!(GlobalArena.allocate(ENDLESS, 1).is_err());
    assert!(GlobalArena.ledger().bytes_max() < 1 << 30);
}

#[test]
fn what_is_more_than_a_limit_in_all_is_refused_and_nothing_else() {
    let (space, cached) = space(CSpace::builder());
    for category in Category::ALL {
        space.ledger().set_category_limit(category, Some(100_000));
    }
    ask(&space, 200_000);
    space.exclusive(|_| ());
    assert_eq!(space.total_num_completed_gcs(), 0);
    space.shared(|cx| assert!(cached.iter().all(|entry| !entry.is_evicted(cx))));
    assert!(space.ledger().bytes_max() < 200_000);
}

/// What the system refuses though it might have it: the first of the requests for memory that `ask` makes.
fn refused_by_the_system(ledger: &Ledger, ask: impl FnOnce()) {
    let before = (ledger.bytes_max(), Category::ALL.map(|category| ledger.account(category)));
    fault::fail_nth(Some(0));
    ask();
    assert!(!fault::is_armed(), "it asked for none");
    let after = (ledger.bytes_max(), Category::ALL.map(|category| ledger.account(category)));
    assert_eq!(before, after);
}

#[test]
fn what_the_system_refuses_leaves_no_trace() {
    const BYTES: usize = 5 << 20;
    let (space, cached) = space(CSpace::builder().memory_soft_limit(1 << 20));
    let ledger = &space.ledger();
    let mut builder = ConfigBuilder::new(ledger).unwrap();
    refused_by_the_system(ledger, || assert!(builder.alloc_span::<u8>(BYTES).is_err()));
    refused_by_the_system(ledger, || assert!(builder.try_class_data::<u8, u8>().is_err()));
    let big = builder.reserve_span::<u8>(BYTES).unwrap();
    let config = builder.freeze();
    refused_by_the_system(ledger, || assert!(Context::new(&config).is_err()));
    let arena = ConfinedArena::new(ledger).unwrap();
    refused_by_the_system(ledger, || assert!(arena.allocate(BYTES, 1).is_err()));
    let arena = SharedArena::new(ledger).unwrap();
    refused_by_the_system(ledger, || assert!(arena.allocate_handle(BYTES, 1).is_err()));
    let charged = Charged::new(ledger, Category::Operations, RecyclingAllocator::default());
    let charged = charged.unwrap();
    let layout = Layout::from_size_align(BYTES, 1).unwrap();
    refused_by_the_system(ledger, || assert!(charged.allocate(layout).is_err()));
    let reserved = Reservation::new(ledger, BYTES).unwrap();
    // Miri has no maps of files.
    let file = (!cfg!(miri)).then(|| tempfile::tempfile().unwrap());
    let range = MapRange { offset: 0, len: Some(BYTES) };
    space.exclusive(|cx| {
        refused_by_the_system(&ledger.clone(), || {
            assert!(DirectBuffer::allocate(cx, BYTES).is_err());
        });
        fault::fail_nth(Some(0));
        assert!(reserved.allocate(cx).is_err());
        if let Some(file) = &file {
            refused_by_the_system(&ledger.clone(), || {
                assert!(MappedBuffer::map(cx, file, MapMode::ReadWrite, range).is_err());
            });
        }
    });
    assert!(file.is_none_or(|file| file.metadata().unwrap().len() == 0));
    space.exclusive(|_| ());
    assert_eq!(
        (space.total_num_completed_gcs(), ledger.account(Category::Buffers).bytes_max),
        (0, 0)
    );
    space.shared(|cx| assert!(cached.iter().all(|entry| !entry.is_evicted(cx))));
    // And what it then has is counted.
    let mut context = Context::new(&config).unwrap();
    assert_eq!(context.span_or_zeroed(&big).unwrap().len(), BYTES);
    assert!(ledger.account(Category::Contexts).bytes_max >= BYTES);
}

#[test]
fn a_chunk_that_would_pass_the_limit_of_its_arena_is_not_kept() {
    let ledger = Ledger::default();
    let arena = ConfinedArena::with_limit(&ledger, 100).unwrap();
    arena.allocate(90, 1).unwrap();
    for _ in 0..10 {
        let bytes = arena.bytes();
        // Whether it fits depends on where the chunk lies: in few places it does.
        if arena.allocate(8, 1 << 20).is_err() {
            assert_eq!(arena.bytes(), bytes);
        }
    }
    assert!(arena.used_bytes() <= 100);
    assert_eq!(ledger.charged(), arena.bytes());
}

#[test]
fn an_arena_that_gets_a_small_chunk_asks_nobody_to_make_room_for_a_large_one() {
    let (space, cached) = space(CSpace::builder());
    let ledger = space.ledger();
    ledger.set_category_limit(Category::Arenas, Some(200_000));
    let arena = ConfinedArena::new(&ledger).unwrap();
    arena.allocate(100_000, 1).unwrap();
    for _ in 0..10 {
        arena.allocate(1000, 1).unwrap();
    }
    space.exclusive(|_| ());
    assert_eq!(space.total_num_completed_gcs(), 0);
    space.shared(|cx| assert!(cached.iter().all(|entry| !entry.is_evicted(cx))));
}

#[test]
fn an_object_that_is_refused_for_its_name_is_not_made() {
    let ledger = Ledger::default();
    let mut context = Context::new(&ConfigBuilder::new(&ledger).unwrap().freeze()).unwrap();
    let used = context.used_bytes();
    ledger.set_limit(Some(ledger.bytes()));
    let name = "x".repeat(1 << 20);
    let mut is_called = false;
    for _ in 0..10 {
        let refused = context.obtain_named_object(&name, || {
            is_called = true;
            [1u8; 100]
        });
        assert!(refused.is_err());
    }
    assert!(!is_called);
    assert!(context.used_bytes() - used < 500, "room for what was not made is given back");
}
