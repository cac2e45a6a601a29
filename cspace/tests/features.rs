//! Collections of other crates keep what they hold alive. Needs the features; `.ci/run` turns them on.

#![cfg(all(feature = "hashbrown", feature = "indexmap", feature = "smallvec"))]

use cspace::*;

type Text<'gc> = Gc<'gc, String>;

#[derive(IObject)]
struct Holder<'gc> {
    map: hashbrown::HashMap<u64, Text<'gc>, std::hash::RandomState>,
    set: hashbrown::HashSet<Text<'gc>, std::hash::RandomState>,
    ordered: indexmap::IndexMap<u64, Text<'gc>>,
    ordered_set: indexmap::IndexSet<Text<'gc>>,
    few: smallvec::SmallVec<[Text<'gc>; 2]>,
    many: smallvec::SmallVec<[Text<'gc>; 2]>,
}

#[test]
fn what_they_hold_is_kept_and_the_rest_reclaimed() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        let text = |name: &str| cx.alloc(name.to_string());
        text("garbage");
        cx.root(cx.alloc(Holder {
            map: [(1, text("map"))].into_iter().collect(),
            set: [text("set")].into_iter().collect(),
            ordered: [(1, text("ordered"))].into_iter().collect(),
            ordered_set: [text("ordered set")].into_iter().collect(),
            few: [text("few")].into_iter().collect(),
            many: (0..5).map(|i| text(&format!("many {i}"))).collect(),
        }))
    });
    assert_eq!(space.synchronous_gc().unwrap().objects_reclaimed, 1);
    assert_eq!(space.num_objects(), 11);
    assert!(space.verify().unwrap().is_clean());
    space.shared(|cx| {
        let holder = root.get(cx);
        assert_eq!(holder.map[&1].as_str(), "map");
        assert_eq!(holder.set.iter().next().unwrap().as_str(), "set");
        assert_eq!(holder.ordered[&1].as_str(), "ordered");
        assert_eq!(holder.ordered_set[0].as_str(), "ordered set");
        assert_eq!(holder.few[0].as_str(), "few");
        assert_eq!(holder.many[4].as_str(), "many 4");
    });
    drop(root);
    space.synchronous_gc().unwrap();
    assert_eq!(space.num_objects(), 0);
}
