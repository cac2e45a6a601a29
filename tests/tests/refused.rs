//! What a collection needs memory for, it asks for: where none is to be had, it does with less or is given up, and the
//! process goes on.
//!
//! The allocator of this binary refuses whatever is larger than a limit that a thread has set. A list that grows without
//! asking aborts the process. Small pieces are not refused: the system has some when it has nothing large.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use cspace::*;

struct Limited;

thread_local! {
    /// The largest request of this thread that is granted, in bytes.
    static LARGEST: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn is_refused(bytes: usize) -> bool {
    LARGEST.try_with(|largest| bytes > largest.get()).unwrap_or(false)
}

// SAFETY: the system's allocator, but that some requests are refused.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        if is_refused(bytes) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static LIMITED: Limited = Limited;

/// Refuses this thread what is larger, while `f` runs.
fn refusing<R>(largest: usize, f: impl FnOnce() -> R) -> R {
    struct Grant;
    impl Drop for Grant {
        fn drop(&mut self) {
            LARGEST.set(usize::MAX);
        }
    }
    LARGEST.set(largest);
    let _grant = Grant;
    f()
}

type Table<'gc> = EphemeronMap<'gc, Gc<'gc, u64>, Gc<'gc, u64>>;

/// Something of everything that a collection has lists for.
#[derive(IObject)]
struct Machine<'gc> {
    names: GcCell<'gc, WeakSet<'gc, u64>>,
    notes: GcCell<'gc, Table<'gc>>,
    values: GcCell<'gc, WeakValueMap<'gc, u64, u64>>,
    weaks: GcCell<'gc, Vec<GcWeak<'gc, u64>>>,
    numbers: GcCell<'gc, Vec<Gc<'gc, u64>>>,
    texts: GcCell<'gc, Vec<Gc<'gc, String>>>,
}

/// How many of each.
const MANY: u64 = if cfg!(miri) { 300 } else { 20_000 };

struct Program {
    space: CSpace,
    machine: GcRoot<Rootable![Machine<'_>]>,
    roots: Vec<GcRoot<u64>>,
    evictables: Vec<EvictableRoot<Rootable![Vec<u64>]>>,
}

fn program(callback: bool) -> Program {
    let space = CSpace::builder().gc(GcMode::Manual).eviction_threshold(64 << 10).build().unwrap();
    if callback {
        space.on_evict(|_, _| ());
    }
    let (machine, roots, evictables) = space.exclusive(|cx| {
        let machine = cx.alloc(Machine {
            names: GcCell::new(WeakSet::new()),
            notes: GcCell::new(EphemeronMap::new()),
            values: GcCell::new(WeakValueMap::new()),
            weaks: GcCell::new(Vec::new()),
            numbers: GcCell::new(Vec::new()),
            texts: GcCell::new(Vec::new()),
        });
        let (mut roots, mut evictables) = (Vec::new(), Vec::new());
        for i in 0..MANY {
            let (key, value) = (cx.alloc(i), cx.alloc(i + 1));
            machine.names.with_mut(cx, |set, alloc| set.insert(alloc, i, key));
            machine.notes.with_mut(cx, |map, alloc| _ = map.insert(alloc, key, value));
            machine.values.with_mut(cx, |map, alloc| _ = map.insert(alloc, i, value));
            let weak = cx.downgrade(key);
            machine.weaks.borrow_mut(cx).push(weak);
            cx.register_cleaner(key, || ());
            match i % 4 {
                0 => roots.push(cx.root(key)),
                1 => machine.numbers.borrow_mut(cx).push(key),
                _ => {}
            }
            if i % 8 == 0 {
                let data = cx.alloc(vec![i; 4]);
                evictables.push(cx.evictable_root(data));
                // Some have two references.
                if i % 16 == 0 {
                    evictables.push(cx.evictable_root(data));
                }
                let text = cx.alloc(i.to_string());
                machine.texts.borrow_mut(cx).push(text);
            }
        }
        (cx.root(machine), roots, evictables)
    });
    Program { space, machine, roots, evictables }
}

impl Program {
    /// Whether all that is held is there.
    fn check(&self) {
        self.space.exclusive(|cx| {
            let machine = self.machine.get(cx);
            for (i, root) in self.roots.iter().enumerate() {
                let (key, i) = (root.get(cx), i as u64 * 4);
                assert_eq!(*key, i);
                assert!(machine.names.borrow(cx).find(i, |found| *found == i).is_some());
                assert_eq!(machine.notes.borrow(cx).get(cx, key).map(|value| **value), Some(i + 1));
            }
            let numbers = machine.numbers.borrow(cx);
            assert!(numbers.iter().enumerate().all(|(i, number)| **number == i as u64 * 4 + 1));
            let texts = machine.texts.borrow(cx);
            assert!(texts.iter().enumerate().all(|(i, text)| **text == (i * 8).to_string()));
        });
        assert!(self.space.verify().unwrap().is_clean());
    }
}

/// Limits from that below which even a list of a few fails, to that which the largest list needs.
fn limits() -> impl Iterator<Item = usize> {
    let shift = if cfg!(miri) { 3 } else { 1 };
    (9..24).step_by(shift).map(|bits| 1 << bits)
}

#[test]
fn a_collection_that_is_refused_memory_is_given_up_or_does_with_less() {
    for callback in [false, true] {
        let (mut given_up, mut whole) = (0, 0);
        for largest in limits() {
            let program = program(callback);
            for _ in 0..2 {
                match refusing(largest, || program.space.synchronous_gc()) {
                    Ok(_) => whole += 1,
                    Err(CollectError::NoMemory { .. }) => given_up += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            program.check();
            // With memory again nothing is left of it.
            program.space.synchronous_gc().unwrap();
            program.check();
            let stats = program.space.eviction_stats();
            assert!(stats.bytes_resident <= 64 << 10, "{stats:?}");
            drop(program.evictables);
        }
        assert!(given_up > 0 && whole > 0, "{given_up} {whole}");
    }
}

#[test]
fn a_space_that_ends_without_memory_drops_everything() {
    for largest in limits() {
        let Program { space, machine, roots, evictables } = program(false);
        drop((machine, roots, evictables));
        refusing(largest, move || drop(space));
    }
}

#[test]
fn spaces_are_merged_where_there_is_little_memory() {
    // Lists up to 512 entries are joined.
    for largest in limits().filter(|largest| *largest >= 1 << 14) {
        let (into, from) = (program(false), program(true));
        refusing(largest, || into.space.transfer_from(&from.space)).unwrap();
        into.check();
        into.space.synchronous_gc().unwrap();
        into.check();
    }
}
