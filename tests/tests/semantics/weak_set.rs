//! Weak sets: interning tables that keep nothing alive and never show a dead entry.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use cspace::*;

use crate::probe::Drops;
use crate::watchdog::within;

type Names = OwnedRoot<Rootable![WeakSet<'_, String>]>;

/// A poor hash on purpose: entries collide.
fn hash(name: &str) -> u64 {
    name.bytes().map(u64::from).sum::<u64>() % 97
}

fn find<'gc>(names: &WeakSet<'gc, String>, name: &str) -> Option<Gc<'gc, String>> {
    names.find(hash(name), |entry| entry.as_str() == name)
}

fn intern<'gc>(cx: &Alloc<'gc>, names: &mut WeakSet<'gc, String>, name: &str) -> Gc<'gc, String> {
    find(names, name).unwrap_or_else(|| {
        let object = cx.alloc(name.to_string());
        names.insert(cx, hash(name), object);
        object
    })
}

fn names(space: &CSpace) -> Names {
    space.exclusive(|cx| cx.own_root(WeakSet::<String>::new()))
}

#[test]
#[cfg_attr(miri, ignore = "1,000 objects")]
fn dead_entries_are_absent_and_living_ones_are_the_same_objects() {
    let space = CSpace::new();
    let mut names = names(&space);
    let mut lock = space.lock();
    let roots: Vec<_> = lock.scope_mut(&mut names, |cx, names| {
        let objects: Vec<_> = (0..1000).map(|i| intern(cx, names, &format!("name {i}"))).collect();
        objects.iter().step_by(3).map(|object| cx.root(*object)).collect()
    });
    lock.collect().unwrap();
    lock.scope(|cx| {
        for i in 0..1000 {
            let found = find(names.get(cx), &format!("name {i}"));
            assert_eq!(found.is_some(), i % 3 == 0, "{i}");
            assert_eq!(found, (i % 3 == 0).then(|| roots[i / 3].get(cx)));
        }
    });
    assert_eq!(lock.scope(|cx| cx.num_objects()), roots.len());
}

#[test]
fn equality_is_asked_of_living_objects_only() {
    let (space, drops) = (CSpace::new(), Drops::new());
    let mut set =
        space.exclusive(|cx| cx.own_root(WeakSet::<(u64, Static<crate::probe::Probe>)>::new()));
    space.exclusive(|cx| {
        let set = set.get_mut(cx);
        for i in 0..100u64 {
            let object = cx.alloc((i, drops.probe()));
            set.insert(cx, 1, object);
            if i % 2 == 0 {
                cx.add_gc_root(object).unwrap();
            }
        }
    });
    space.collect().unwrap();
    let mut asked = 0;
    space.exclusive(|cx| {
        let found = set.get(cx).find(1, |object| {
            assert_eq!(object.0 % 2, 0);
            asked += 1;
            false
        });
        assert!(found.is_none());
    });
    assert_eq!((asked, drops.count()), (50, 50));
}

#[test]
fn a_name_that_died_is_interned_anew() {
    let space = CSpace::new();
    let mut names = names(&space);
    let mut lock = space.lock();
    for _ in 0..if cfg!(miri) { 5 } else { 50 } {
        lock.scope_mut(&mut names, |cx, names| {
            let first = intern(cx, names, "again");
            assert_eq!(intern(cx, names, "again"), first);
        });
        lock.collect().unwrap();
        lock.scope(|cx| assert!(find(names.get(cx), "again").is_none()));
        assert_eq!(lock.scope(|cx| cx.num_objects()), 0);
    }
}

#[test]
#[cfg_attr(miri, ignore = "200 cycles")]
fn a_set_grows_and_shrinks_over_many_cycles() {
    let space = CSpace::new();
    let mut names = names(&space);
    let mut lock = space.lock();
    let mut kept: Vec<(usize, GcRoot<Rootable![String]>)> = Vec::new();
    for round in 0..30 {
        lock.scope_mut(&mut names, |cx, names| {
            for i in 0..200 {
                let number = round * 150 + i;
                let object = intern(cx, names, &number.to_string());
                if number % 10 == 0 && !kept.iter().any(|(at, _)| *at == number) {
                    kept.push((number, cx.root(object)));
                }
            }
        });
        lock.collect().unwrap();
        kept.retain(|(number, _)| number + 300 > round * 150);
        lock.collect().unwrap();
        lock.scope(|cx| {
            let names = names.get(cx);
            for number in 0..round * 150 + 200 {
                let expected = kept.iter().find(|(at, _)| *at == number);
                let found = find(names, &number.to_string());
                assert_eq!(found, expected.map(|(_, root)| root.get(cx)), "{number}");
            }
            assert_eq!(cx.num_objects(), kept.len());
        });
    }
    kept.clear();
    lock.collect().unwrap();
    lock.scope_mut(&mut names, |cx, names| {
        intern(cx, names, "last");
        assert_eq!(names.len_hint(), 1);
    });
}

#[test]
fn two_sets_in_one_space_know_only_their_own() {
    let space = CSpace::new();
    let (mut a, mut b) = (names(&space), names(&space));
    let root = space.exclusive(|cx| {
        let object = intern(cx, a.get_mut(cx), "shared");
        b.get_mut(cx).insert(cx, hash("shared"), object);
        intern(cx, a.get_mut(cx), "of a");
        cx.root(object)
    });
    space.collect().unwrap();
    space.shared(|cx| {
        assert_eq!(find(a.get(cx), "shared"), Some(root.get(cx)));
        assert_eq!(find(b.get(cx), "shared"), Some(root.get(cx)));
        assert!(find(a.get(cx), "of a").is_none());
    });
}

#[test]
fn a_set_in_an_object_dies_with_it() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        let table = cx.alloc(GcCell::new(WeakSet::<String>::new()));
        let (alloc, cells) = cx.split();
        intern(alloc, table.borrow_mut(cells), "inside");
        alloc.root(table)
    });
    space.collect().unwrap();
    space.exclusive(|cx| assert!(find(root.get(cx).borrow(cx), "inside").is_none()));
    drop(root);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn an_abandoned_collection_leaves_the_set_as_it_was() {
    let space = CSpace::new();
    let mut names = names(&space);
    let bad = space.exclusive(|cx| {
        intern(cx, names.get_mut(cx), "not yet dead");
        cx.root(cx.alloc(crate::collect::PanicsOnVisit::new()))
    });
    assert!(space.collect().is_err());
    space.shared(|cx| assert!(find(names.get(cx), "not yet dead").is_some()));
    drop(bad);
    space.collect().unwrap();
    space.shared(|cx| assert!(find(names.get(cx), "not yet dead").is_none()));
}

#[test]
fn a_panic_in_the_question_leaves_the_set_whole() {
    let space = CSpace::new();
    let mut names = names(&space);
    space.exclusive(|cx| {
        cx.root(intern(cx, names.get_mut(cx), "name"));
        let names = names.get(cx);
        crate::watchdog::panic_of(|| names.find(hash("name"), |_| panic!("no")));
        assert!(find(names, "name").is_some());
    });
}

/// Dead entries were cleared while a reader looked at them.
#[test]
#[cfg_attr(miri, ignore = "500 objects")]
fn readers_search_while_collections_run() {
    within(|| {
        let space = CSpace::new();
        let mut names = names(&space);
        let all: Vec<String> = (0..500).map(|i| format!("name {i}")).collect();
        let kept: Vec<_> = space.exclusive(|cx| {
            let set = names.get_mut(cx);
            let objects: Vec<_> = all.iter().map(|name| intern(cx, set, name)).collect();
            objects.iter().step_by(2).map(|object| cx.root(*object)).collect()
        });
        let done = AtomicBool::new(false);
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    while !done.load(SeqCst) {
                        space.shared(|cx| {
                            for (i, name) in all.iter().enumerate() {
                                match find(names.get(cx), name) {
                                    Some(found) => assert_eq!(found.as_str(), name),
                                    None => assert_eq!(i % 2, 1, "{name} is alive"),
                                }
                            }
                        });
                    }
                });
            }
            for _ in 0..100 {
                space.collect().unwrap();
            }
            done.store(true, SeqCst);
        });
        assert_eq!(space.num_objects(), kept.len());
    });
}

#[test]
fn a_drop_finds_living_names_and_no_dead_ones() {
    within(|| {
        let space = CSpace::new();
        let names = names(&space);
        let names = std::sync::Arc::new(std::sync::Mutex::new(names));
        let (seen, all_seen) = std::sync::mpsc::channel();
        let root = space.exclusive(|cx| {
            let mut set = names.lock().unwrap();
            let set = set.get_mut(cx);
            for i in 0..20 {
                intern(cx, set, &format!("dead {i}"));
                let (names, space, seen) = (names.clone(), space.downgrade(), seen.clone());
                cx.alloc(crate::probe::on_drop(move || {
                    let Some(space) = space.upgrade() else { return };
                    let mut names = names.lock().unwrap();
                    space.exclusive(|cx| {
                        let set = names.get_mut(cx);
                        let dead = (0..20).any(|i| find(set, &format!("dead {i}")).is_some());
                        intern(cx, set, &format!("new {i}"));
                        seen.send((dead, find(set, "alive").is_some())).unwrap();
                    });
                }));
            }
            cx.root(intern(cx, set, "alive"))
        });
        drop(seen);
        space.collect().unwrap();
        let seen: Vec<_> = all_seen.iter().take(20).collect();
        assert_eq!(seen, [(false, true); 20]);
        space.exclusive(|cx| {
            let names = names.lock().unwrap();
            assert_eq!(find(names.get(cx), "alive"), Some(root.get(cx)));
            assert!((0..20).all(|i| find(names.get(cx), &format!("new {i}")).is_some()));
        });
        space.collect().unwrap();
        assert_eq!(space.num_objects(), 1);
        assert!(space.verify().unwrap().is_clean());
    });
}
