//! A space for each request, merged into the server's: each left a block of 64 KiB of its own, which no budget and no
//! limit saw, then a page of 4 KiB, and a record for as long as a root of it lived.

use cspace::*;

fn space(mode: GcMode) -> CSpace {
    CSpace::builder().gc(mode).build().unwrap()
}

/// A request with one object, and its root.
fn request(value: u64) -> (CSpace, GcRoot<u64>) {
    let request = space(GcMode::Manual);
    let root = request.exclusive(|cx| cx.root(cx.alloc(value)));
    (request, root)
}

#[test]
#[cfg_attr(miri, ignore = "20,000 spaces")]
fn pages_of_dead_requests_are_collected_in_time() {
    let server = space(GcMode::Safepoints);
    let mut committed_max = 0;
    for i in 0..20_000 {
        let (request, root) = request(i);
        server.transfer_from(&request).unwrap();
        server.shared(|cx| assert_eq!(*root.get(cx), i));
        drop(root);
        // A safepoint.
        server.exclusive(|_| ());
        committed_max = committed_max.max(server.memory().committed);
    }
    assert!(committed_max <= 16 << 20, "{committed_max} bytes of pages");
    server.synchronous_gc().unwrap();
    assert_eq!((server.num_objects(), server.num_roots(), server.memory().committed), (0, 0, 0));
}

#[test]
#[cfg_attr(miri, ignore = "5,000 spaces")]
fn merged_spaces_have_no_blocks_of_their_own() {
    let server = space(GcMode::Manual);
    let before = server.memory().reserved;
    // Not dropped: a space whose objects have moved has no memory.
    let requests: Vec<_> = (0..5000).map(request).collect();
    for (request, _) in &requests {
        server.transfer_from(request).unwrap();
    }
    // 1.3 MiB of shares; other tests may map something meanwhile.
    let more = server.memory().reserved.saturating_sub(before);
    assert!(more <= 128 << 20, "{more} bytes were mapped");
    assert_eq!(server.memory().committed, 5000 * 256);
    assert!(requests.iter().all(|(request, _)| request.memory().committed == 0));
    for _ in 0..2 {
        server.synchronous_gc().unwrap();
        server.shared(|cx| {
            let sum: u64 = requests.iter().map(|(_, root)| *root.get(cx)).sum();
            assert_eq!(sum, 4999 * 5000 / 2);
        });
    }
    assert!(server.verify().unwrap().is_clean());
    drop(requests);
    server.synchronous_gc().unwrap();
    assert_eq!((server.num_objects(), server.memory().committed), (0, 0));
}

#[test]
#[cfg_attr(miri, ignore = "100 merges")]
fn rooms_of_merged_spaces_are_allocated_in() {
    let server = space(GcMode::Manual);
    let roots: Vec<_> = (0..100)
        .map(|i| {
            let (request, root) = request(i);
            server.transfer_from(&request).unwrap();
            root
        })
        .collect();
    server.synchronous_gc().unwrap();
    let committed = server.memory().committed;
    server.exclusive(|cx| (0..100 * 15u64).for_each(|i| _ = cx.alloc(i)));
    assert_eq!(server.memory().committed, committed, "there was room in the shares of requests");
    drop(roots);
}

#[test]
#[cfg_attr(miri, ignore = "10,000 merges")]
fn to_and_fro_beside_handles_of_all_kinds() {
    let (a, b) = (space(GcMode::Manual), space(GcMode::Manual));
    let (root, mut owned) = a.exclusive(|cx| {
        let object = cx.alloc(7u64);
        (cx.root(object), cx.own_root(vec![object]))
    });
    let own = b.exclusive(|cx| cx.root(cx.alloc(8u64)));
    let charge = a.ledger().try_charge(Category::External, 1000).unwrap();
    for i in 0..10_000 {
        let (from, into) = if i % 2 == 0 { (&a, &b) } else { (&b, &a) };
        into.transfer_from(from).unwrap();
        if i % 1000 == 0 {
            into.exclusive(|cx| {
                assert_eq!((*root.get(cx), *own.get(cx)), (7, 8));
                assert!(Gc::ptr_eq(owned.get_mut(cx)[0], root.get(cx)));
            });
            from.shared(|cx| assert!(root.try_get(cx).is_err() && owned.try_get(cx).is_err()));
            into.synchronous_gc().unwrap();
            assert_eq!((into.num_roots(), from.num_roots()), (2, 0));
            assert_eq!((into.ledger().charged(), from.ledger().charged()), (1000, 0));
        }
    }
    drop(charge);
    assert_eq!((a.ledger().charged(), b.ledger().charged()), (0, 0));
}
