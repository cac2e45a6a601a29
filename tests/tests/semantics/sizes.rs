//! Objects of every size and alignment.

use cspace::*;

use crate::probe::Drops;

macro_rules! aligned {
    ($($name:ident $align:literal $size:literal;)*) => {
        $(
            #[derive(IObject)]
            #[repr(align($align))]
            struct $name([u8; $size], Static<crate::probe::Probe>);
        )*

        #[test]

        #[cfg_attr(miri, ignore = "objects of 200,000 bytes, byte by byte")]
        fn objects_have_their_alignment_and_keep_their_bytes() {
            let (space, drops) = (CSpace::new(), Drops::new());
            let mut total = 0;
            $({
                let roots: Vec<_> = space.exclusive(|cx| (0..10u8).map(|i| {
                    let object = cx.alloc($name([i; $size], drops.probe()));
                    assert_eq!(object.addr() % $align, 0, stringify!($name));
                    assert_eq!(std::mem::align_of::<$name>(), $align);
                    cx.root(object)
                }).collect());
                total += 10;
                space.collect().unwrap();
                space.shared(|cx| for (i, root) in roots.iter().enumerate() {
                    assert!(root.get(cx).0.iter().all(|byte| *byte == i as u8));
                });
                drop(roots);
                space.collect().unwrap();
                assert_eq!(drops.count(), total);
            })*
            assert_eq!(space.num_objects(), 0);
        }
    };
}
aligned! {
    By16 16 1;
    By32 32 33;
    By64 64 1;
    By128 128 1000;
    By256 256 1;
    By512 512 1;
    By1024 1024 1;
    By2048 2048 2049;
    By4096 4096 1;
    ManyPages 4096 20_000;
    ManyBlocks 4096 200_000;
}

#[derive(IObject)]
struct Large<'gc, const N: usize> {
    bytes: [u8; N],
    next: Slot<'gc, Option<GcAny<'gc>>>,
    probe: Static<crate::probe::Probe>,
}

/// Allocates on the heap's own terms: an array of this size does not fit on a test's stack.
fn large<const N: usize>() {
    let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
    let (drops, small) = (Drops::new(), Drops::new());
    let handle = std::thread::Builder::new().stack_size(64 << 20);
    let run = move || {
        let root = space.exclusive(|cx| {
            let last = cx.alloc(small.probe());
            let new = |next| Large::<N> {
                bytes: [7; N],
                next: Slot::new(Some(next)),
                probe: drops.probe(),
            };
            cx.alloc(new(GcAny::new(last)));
            let first = cx.alloc(new(GcAny::new(last)));
            assert_eq!(GcAny::new(first).downcast::<Large<'_, N>>(), Some(first));
            cx.root(cx.alloc(new(GcAny::new(first))))
        });
        assert_eq!(space.num_objects(), 4);
        let memory = space.memory();
        assert!(memory.allocated >= 3 * N && memory.committed >= memory.allocated);
        assert!(memory.reserved >= memory.committed, "{memory:?}");
        assert_eq!(space.collect().unwrap().objects_reclaimed, 1);
        assert_eq!((drops.count(), small.count()), (1, 0));
        assert!(space.verify().unwrap().is_clean());
        space.shared(|cx| {
            let object = root.get(cx);
            assert!(object.bytes.iter().all(|byte| *byte == 7));
            let next = object.next.get(cx).unwrap().downcast::<Large<'_, N>>().unwrap();
            assert_eq!(next.bytes[N - 1], 7);
        });
        drop(root);
        space.collect().unwrap();
        assert_eq!((drops.count(), small.count(), space.num_objects()), (3, 1, 0));
        // Memory that was given back is used again.
        for _ in 0..20 {
            space.exclusive(|cx| {
                let next = cx.alloc(small.probe());
                let object = Large::<N> {
                    bytes: [9; N],
                    next: Slot::new(Some(GcAny::new(next))),
                    probe: drops.probe(),
                };
                let object = cx.alloc(object);
                assert_eq!(object.bytes[N / 2], 9);
            });
            space.collect().unwrap();
        }
        assert_eq!((drops.count(), space.num_objects(), space.memory().live), (23, 0, 0));
    };
    handle.spawn(run).unwrap().join().unwrap();
}

#[test]
fn objects_over_8_kib() {
    large::<9_000>();
}

#[test]
#[cfg_attr(miri, ignore = "objects of 70,000 bytes made byte by byte")]
fn objects_over_64_kib() {
    large::<70_000>();
}

#[test]
#[cfg_attr(miri, ignore = "objects of more than 1 MiB")]
fn objects_over_1_mib() {
    large::<{ (1 << 20) + 100 }>();
}

#[test]
#[cfg_attr(miri, ignore = "objects of more than 4 MiB")]
fn objects_over_4_mib() {
    large::<{ (4 << 20) + 100 }>();
}

#[test]
#[cfg_attr(miri, ignore = "objects of up to 9 MiB")]
fn objects_around_the_limits_of_their_kind() {
    let space = CSpace::new();
    let lengths = [
        (8 << 10) - 17,
        (8 << 10) - 16,
        (8 << 10) - 8,
        8 << 10,
        (64 << 10) - 8,
        64 << 10,
        (1 << 20) - 8,
        1 << 20,
        (1 << 20) + 1,
        (4 << 20) - (128 << 10) - 8,
        4 << 20,
        9 << 20,
    ];
    let roots: Vec<_> = space.exclusive(|cx| {
        lengths.iter().map(|len| cx.root(cx.alloc_slice_copy(&vec![*len as u8; *len]))).collect()
    });
    space.collect().unwrap();
    assert!(space.verify().unwrap().is_clean());
    space.shared(|cx| {
        for (len, root) in lengths.iter().zip(&roots) {
            let elements = root.get(cx).elems();
            assert_eq!(elements.len(), *len);
            assert!(elements.iter().all(|byte| *byte == *len as u8));
        }
    });
    drop(roots);
    space.collect().unwrap();
    assert_eq!((space.num_objects(), space.memory().live), (0, 0));
}

#[test]
#[cfg_attr(miri, ignore = "objects of each size, byte by byte")]
fn every_small_size_keeps_its_bytes() {
    let space = CSpace::new();
    let roots: Vec<_> = space.exclusive(|cx| {
        (0..2000usize).map(|len| cx.root(cx.alloc_slice_copy(&vec![len as u8; len]))).collect()
    });
    space.exclusive(|cx| {
        for len in 0..2000usize {
            cx.alloc_slice_copy(&vec![0xFFu8; len]);
        }
    });
    space.collect().unwrap();
    space.exclusive(|cx| {
        for len in 0..2000usize {
            cx.alloc_slice_copy(&vec![0xEEu8; len]);
        }
        for (len, root) in roots.iter().enumerate() {
            assert!(root.get(cx).elems().iter().all(|byte| *byte == len as u8), "{len}");
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "1,000 objects")]
fn objects_without_size_are_objects() {
    #[derive(IObject)]
    struct Nothing;
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        let all: Vec<_> = (0..1000).map(|_| cx.alloc(Nothing)).collect();
        let distinct: std::collections::HashSet<_> =
            all.iter().map(|nothing| nothing.addr()).collect();
        assert_eq!(distinct.len(), 1000);
        cx.root(all[500])
    });
    assert_eq!(space.num_objects(), 1000);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 1);
    space.shared(|cx| assert!(GcAny::new(root.get(cx)).is::<Nothing>()));
}

#[test]
fn an_object_without_size_is_dropped_once() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Nothing;
    impl Drop for Nothing {
        fn drop(&mut self) {
            DROPS.fetch_add(1, SeqCst);
        }
    }
    let space = CSpace::new();
    space.exclusive(|cx| (0..100).for_each(|_| _ = cx.alloc(Static(Nothing))));
    space.collect().unwrap();
    assert_eq!(DROPS.load(SeqCst), 100);
}
