//! Objects that end in elements: slices, text, header and elements.

use cspace::*;

use crate::probe::{manual, Drops, Probe};
use crate::watchdog::panic_of;

#[test]
#[cfg_attr(miri, ignore = "tails of 5,000 elements")]
fn elements_are_made_in_order_and_read_back() {
    manual().exclusive(|cx| {
        for len in [0, 1, 2, 7, 100, 1023, 5000] {
            let slice = cx.alloc_slice(len, |i| i as u64);
            assert_eq!(slice.len(), len);
            assert!(slice.elems().iter().copied().eq(0..len as u64));
            let copied = cx.alloc_slice_copy(slice.elems());
            assert_eq!(copied.elems(), slice.elems());
            assert_ne!(copied, slice);
            let both = cx.alloc_tail("header".to_string(), len, |i| (i as u8, i as u32));
            assert_eq!((both.header().as_str(), both.elems().len()), ("header", len));
            assert!(both.elems().iter().enumerate().all(|(i, e)| *e == (i as u8, i as u32)));
        }
    });
}

#[test]
fn text_is_text() {
    manual().exclusive(|cx| {
        for text in ["", "a", "naïve ☃", &"long ".repeat(10_000)] {
            let object = cx.alloc_str(text);
            assert_eq!((object.as_str(), object.len()), (text, text.len()));
            assert_eq!(GcAny::new(object).downcast::<Str>(), Some(object));
            assert!(cx.try_alloc_str(text).is_ok());
        }
        assert!(GcAny::new(cx.alloc_slice_copy(b"bytes")).downcast::<Str>().is_none());
    });
}

/// The data of a slice without elements begins where the next object does: marking by the data's address marked a
/// neighbour, and identity was shared with it.
#[test]
#[cfg_attr(miri, ignore = "2,000 objects")]
fn slices_without_elements_are_objects_of_their_own() {
    let (space, drops) = (manual(), Drops::new());
    let roots: Vec<_> = space.exclusive(|cx| {
        let empties: Vec<_> = (0..1000).map(|_| cx.alloc_slice(0, |_| drops.probe())).collect();
        for pair in empties.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
        let others: Vec<_> =
            (0..1000).map(|_| cx.alloc_tail(drops.probe(), 0, |_| 1u128)).collect();
        assert!(others.iter().all(|object| object.elems().is_empty()));
        empties.iter().step_by(2).map(|object| cx.root(*object)).collect()
    });
    assert_eq!(space.num_objects(), 2000);
    space.collect().unwrap();
    assert_eq!((space.num_objects(), drops.count()), (500, 1000));
    assert!(space.verify().unwrap().is_clean());
    drop(roots);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "a tail of 200,000 elements")]
fn a_panicking_element_drops_header_and_prefix_exactly_once() {
    for len in [5, 50, 2_000, 200_000] {
        let (space, headers, elements) = (manual(), Drops::new(), Drops::new());
        let at = len * 3 / 5;
        let message = panic_of(|| {
            space.exclusive(|cx| {
                cx.alloc_tail(headers.probe(), len, |i| {
                    assert!(i < at, "element {i}");
                    elements.probe()
                });
            })
        });
        assert_eq!(message, format!("element {at}"));
        assert!(space.is_poisoned());
        assert_eq!((headers.count(), elements.count()), (0, 0), "the collector drops them");
        assert!(space.verify().unwrap().is_clean());
        space.collect().unwrap();
        assert_eq!((headers.count(), elements.count()), (1, at));
        drop(space);
        assert_eq!((headers.count(), elements.count()), (1, at));
    }
}

#[test]
#[cfg_attr(miri, ignore = "1,000 objects")]
fn elements_may_be_made_with_the_access() {
    let (space, drops) = (manual(), Drops::new());
    let root = space.exclusive(|cx| {
        let tree = cx.alloc_slice(100, |_| {
            cx.alloc_slice(10, |_| Some(cx.alloc_slice(1, |_| drops.probe())))
        });
        cx.root(tree)
    });
    space.collect().unwrap();
    assert_eq!((space.num_objects(), drops.count()), (1 + 100 + 1000, 0));
    space.shared(|cx| {
        let leaves = root.get(cx).elems().iter().flat_map(|inner| inner.elems());
        assert_eq!(leaves.filter(|leaf| leaf.unwrap().len() == 1).count(), 1000);
    });
    drop(root);
    space.collect().unwrap();
    assert_eq!((space.num_objects(), drops.count()), (0, 1000));
}

#[test]
fn every_element_is_visited_and_dropped() {
    let (space, objects, elements) = (manual(), Drops::new(), Drops::new());
    let root = space.exclusive(|cx| {
        let tail = cx.alloc_tail(cx.alloc(objects.probe()), 300, |_| {
            (Slot::new(Some(cx.alloc(objects.probe()))), elements.probe())
        });
        cx.root(tail)
    });
    space.collect().unwrap();
    assert_eq!((objects.count(), elements.count()), (0, 0));
    space.exclusive(|cx| root.get(cx).elems()[299].0.set(cx, None));
    space.collect().unwrap();
    assert_eq!((objects.count(), elements.count()), (1, 0));
    drop(root);
    space.collect().unwrap();
    assert_eq!((objects.count(), elements.count()), (301, 300));
}

#[test]
fn elements_without_size_are_counted() {
    let (space, drops) = (manual(), Drops::new());
    struct Nothing(());
    impl Drop for Nothing {
        fn drop(&mut self) {
            NOTHINGS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    static NOTHINGS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    space.exclusive(|cx| {
        let slice = cx.alloc_tail(drops.probe(), 1000, |_| Static(Nothing(())));
        assert_eq!(slice.elems().len(), 1000);
        let _ = &slice.elems()[999].0 .0;
        let huge = cx.alloc_slice_copy(&[(); usize::MAX]);
        assert_eq!(huge.elems().len(), usize::MAX);
    });
    space.collect().unwrap();
    assert_eq!(NOTHINGS.load(std::sync::atomic::Ordering::SeqCst), 1000);
}

#[test]
fn a_length_that_overflows_is_an_error_with_the_header() {
    manual().exclusive(|cx| {
        let header = "kept".to_string();
        let error = cx.try_alloc_tail(header, usize::MAX / 8, |_| [0u64; 2]).unwrap_err();
        assert_eq!(error.value, "kept");
        assert_eq!(error.cause.cause, HeapFullCause::TooLarge);
        assert!(error.to_string().contains("cannot be larger than"), "{error}");
        assert!(cx.try_alloc_tail((), isize::MAX as usize, |_| 0u8).is_err());
    });
}

#[test]
fn a_header_whose_drop_panics_has_its_elements_dropped() {
    let (space, elements) = (manual(), Drops::new());
    space.exclusive(|cx| {
        let header = crate::probe::on_drop(|| panic!("header"));
        cx.alloc_tail(header, 4, |_| elements.probe());
    });
    assert_eq!(space.collect().unwrap().drop_panics, 1);
    assert_eq!(elements.count(), 4);
}

#[test]
fn elements_are_aligned() {
    manual().exclusive(|cx| {
        for _ in 0..20 {
            let wide = cx.alloc_tail(1u8, 3, |i| i as u128);
            assert_eq!(wide.elems().as_ptr() as usize % align_of::<u128>(), 0);
            let narrow = cx.alloc_tail(1u128, 3, |i| i as u8);
            assert_eq!((**narrow, narrow.elems()), (1, [0, 1, 2].as_slice()));
        }
    });
}

#[test]
fn a_tail_is_found_by_its_type() {
    manual().exclusive(|cx| {
        let any = GcAny::new(cx.alloc_tail(cx.alloc(1u64), 2, |_| Drops::new().probe()));
        assert!(any.is::<Tail<Gc<'_, u64>, Static<Probe>>>());
        assert!(!any.is::<Slice<Static<Probe>>>() && !any.is::<Gc<'_, u64>>());
        assert_eq!(any.downcast::<Tail<Gc<'_, u64>, Static<Probe>>>().unwrap().elems().len(), 2);
    });
}
