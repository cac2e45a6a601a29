//! `#[cspace(on_collect = "…")]`: functions that see a part of an object when it has been found dead.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::watchdog::{eventually, within};

fn manual() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap()
}

/// Notes what happens, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn data(&self, name: impl ToString) -> Static<Data> {
        Static(Data { log: self.clone(), name: name.to_string() })
    }

    fn part(&self, name: impl ToString) -> Part {
        Part { number: 0, data: self.data(name) }
    }

    /// Whether the hook of each of these ran once, and before its drop.
    #[track_caller]
    fn assert_ran(&self, names: &[&str]) {
        let log = self.take();
        for name in names {
            let both = [format!("hook {name}"), format!("drop {name}")];
            let of_name: Vec<_> = log.iter().filter(|what| both.contains(what)).collect();
            assert_eq!(of_name, [&both[0], &both[1]], "{log:?}");
        }
        assert_eq!(log.len(), names.len() * 2, "{log:?}");
    }
}

struct Data {
    log: Log,
    name: String,
}

impl Data {
    fn found_dead(&mut self) {
        self.log.note(format!("hook {}", self.name));
        assert!(!self.name.contains("panics"), "{}", self.name);
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        self.log.note(format!("drop {}", self.name));
        assert!(!self.name.contains("drops badly"), "{}", self.name);
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Data) -> bool {
        self.name == other.name
    }
}
impl Eq for Data {}
impl PartialOrd for Data {
    fn partial_cmp(&self, other: &Data) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Data {
    fn cmp(&self, other: &Data) -> std::cmp::Ordering {
        self.name.cmp(&other.name)
    }
}
impl std::hash::Hash for Data {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// A part of other objects, by value.
#[derive(IObject, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Part {
    number: u64,
    #[cspace(on_collect = "Data::found_dead")]
    data: Static<Data>,
}

fn rename(name: &mut String) {
    name.push('!');
}

#[derive(IObject)]
struct Several<'gc> {
    #[cspace(on_collect = "Data::found_dead")]
    first: Static<Data>,
    next: Slot<'gc, Option<Gc<'gc, Several<'gc>>>>,
    #[cspace(on_collect = "Data::found_dead")]
    second: Static<Data>,
    #[cspace(on_collect = "rename")]
    name: Static<String>,
    without: Static<Data>,
}

#[test]
fn hooks_run_once_in_order_before_the_fields_are_dropped() {
    let (space, log) = (manual(), Log::default());
    let root = space.exclusive(|cx| {
        let object = cx.alloc(Several {
            first: log.data("first"),
            next: Slot::new(None),
            second: log.data("second"),
            name: Static("name".to_string()),
            without: log.data("without"),
        });
        object.next.set(cx, Some(object));
        cx.root(object)
    });
    space.collect().unwrap();
    assert!(log.take().is_empty());
    assert_eq!(space.shared(|cx| root.get(cx).name.len()), 4);
    drop(root);
    space.collect().unwrap();
    let expected = ["hook first", "hook second", "drop first", "drop second", "drop without"];
    assert_eq!(log.take(), expected);
    drop(space);
    assert!(log.take().is_empty());
}

#[test]
fn the_end_of_a_space_calls_them_too() {
    let (space, log) = (manual(), Log::default());
    let root = space.exclusive(|cx| {
        cx.alloc(log.part("garbage"));
        cx.root(cx.alloc(log.part("rooted")))
    });
    drop(space);
    log.assert_ran(&["garbage", "rooted"]);
    drop(root);
}

/// The `Drop` of the data is not what makes the type interesting to the sweep.
#[test]
#[cfg_attr(miri, ignore = "1,000 objects")]
fn a_type_without_drop_glue_has_its_hooks_called() {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    static SUM: AtomicU64 = AtomicU64::new(0);
    fn add(number: &mut u64) {
        SUM.fetch_add(*number, SeqCst);
    }
    #[derive(IObject, Clone, Copy)]
    struct Plain {
        #[cspace(on_collect = "add")]
        number: Static<u64>,
    }
    #[derive(IObject)]
    struct InSlot<'gc>(Slot<'gc, Plain>);
    assert!(!std::mem::needs_drop::<Plain>());
    let space = manual();
    space.exclusive(|cx| {
        (1..=1000u64).for_each(|i| _ = cx.alloc(Plain { number: Static(i) }));
        let slot = cx.alloc(InSlot(Slot::new(Plain { number: Static(1) })));
        slot.0.set(cx, Plain { number: Static(1_000_000) });
    });
    space.collect().unwrap();
    assert_eq!(SUM.load(SeqCst), 1_500_500);
}

#[derive(IObject)]
enum Choice<'gc> {
    Nothing,
    One(#[cspace(on_collect = "Data::found_dead")] Static<Data>),
    Two { part: Part, other: Option<Gc<'gc, Choice<'gc>>> },
}

#[test]
fn variants_have_hooks_of_their_own() {
    let (space, log) = (manual(), Log::default());
    space.exclusive(|cx| {
        let nothing = cx.alloc(Choice::Nothing);
        cx.alloc(Choice::One(log.data("one")));
        cx.alloc(Choice::Two { part: log.part("two"), other: Some(nothing) });
    });
    space.collect().unwrap();
    log.assert_ran(&["one", "two"]);
}

#[derive(IObject)]
struct Wrapper<'gc, T>(T, GcCell<'gc, Vec<T>>);

/// It contains itself, so that whether it has hooks must not depend on whether it has.
#[derive(IObject)]
struct Tree {
    part: Part,
    children: Vec<Tree>,
    other: Option<Box<Tree>>,
}

#[test]
fn parts_by_value_have_theirs_called_wherever_they_are() {
    let (space, log) = (manual(), Log::default());
    let part = |name: &str| log.part(name);
    let check = |names: &[&str]| {
        space.collect().unwrap();
        log.assert_ran(names);
    };
    space.exclusive(|cx| cx.alloc(Some(part("option"))).addr());
    check(&["option"]);
    space
        .exclusive(|cx| cx.alloc((part("tuple"), 5u64, [part("array 1"), part("array 2")])).addr());
    check(&["tuple", "array 1", "array 2"]);
    space.exclusive(|cx| cx.alloc(Ok::<Part, u64>(part("ok"))).addr());
    space.exclusive(|cx| cx.alloc(Err::<u64, Part>(part("err"))).addr());
    check(&["ok", "err"]);
    space.exclusive(|cx| cx.alloc(Box::new(part("box"))).addr());
    space.exclusive(|cx| cx.alloc(vec![part("slice")].into_boxed_slice()).addr());
    check(&["box", "slice"]);
    space.exclusive(|cx| cx.alloc(vec![vec![part("vec 1")], vec![part("vec 2")]]).addr());
    space.exclusive(|cx| cx.alloc(VecDeque::from([part("deque")])).addr());
    check(&["vec 1", "vec 2", "deque"]);
    space.exclusive(|cx| cx.alloc(GcCell::new(part("cell"))).addr());
    check(&["cell"]);
    space.exclusive(|cx| cx.alloc(BinaryHeap::from([part("heap 1"), part("heap 2")])).addr());
    space.exclusive(|cx| cx.alloc(BTreeSet::from([part("set 1"), part("set 2")])).addr());
    space.exclusive(|cx| cx.alloc(HashSet::from([part("hash 1"), part("hash 2")])).addr());
    check(&["heap 1", "heap 2", "set 1", "set 2", "hash 1", "hash 2"]);
    space.exclusive(|cx| cx.alloc(HashMap::from([(1u64, part("value 1"))])).addr());
    space.exclusive(|cx| cx.alloc(BTreeMap::from([(1u64, part("value 2"))])).addr());
    check(&["value 1", "value 2"]);
    space.exclusive(|cx| cx.alloc(HashMap::from([(part("key 1"), part("value 1"))])).addr());
    space.exclusive(|cx| cx.alloc(BTreeMap::from([(part("key 2"), 1u64)])).addr());
    check(&["key 1", "value 1", "key 2"]);
    space.exclusive(|cx| {
        cx.alloc(Wrapper(part("generic"), GcCell::new(vec![part("generic in a cell")]))).addr()
    });
    check(&["generic", "generic in a cell"]);
    space
        .exclusive(|cx| cx.alloc_tail(part("header"), 2, |i| part(&format!("element {i}"))).addr());
    check(&["header", "element 0", "element 1"]);
    space.exclusive(|cx| {
        let tree = |name: &str, children, other| Tree { part: part(name), children, other };
        let inner = tree("child", vec![tree("grandchild", vec![], None)], None);
        cx.alloc(tree("tree", vec![inner], Some(Box::new(tree("other", vec![], None))))).addr()
    });
    check(&["tree", "child", "grandchild", "other"]);
}

#[test]
fn values_that_leave_the_heap_otherwise_are_dropped_without() {
    let (space, log) = (manual(), Log::default());
    let (root, owned) = space.exclusive(|cx| {
        let list = cx.alloc(GcCell::new(vec![log.part("removed"), log.part("stays")]));
        list.borrow_mut(cx).remove(0);
        assert_eq!(log.take(), ["drop removed"]);
        (cx.root(list), cx.own_root(log.part("owned")))
    });
    drop(owned);
    space.collect().unwrap();
    assert_eq!(log.take(), ["drop owned"]);
    drop(root);
    space.collect().unwrap();
    log.assert_ran(&["stays"]);
}

#[test]
fn what_is_static_or_skipped_is_not_looked_into() {
    #[derive(IObject)]
    struct Opaque {
        data: Static<Option<Part>>,
        #[cspace(skip)]
        skipped: Part,
    }
    let (space, log) = (manual(), Log::default());
    space.exclusive(|cx| {
        let (data, skipped) = (Static(Some(log.part("in static"))), log.part("skipped"));
        let object = cx.alloc(Opaque { data, skipped });
        assert!(object.data.is_some() && object.skipped.number == 0);
    });
    space.collect().unwrap();
    assert_eq!(log.take(), ["drop in static", "drop skipped"]);
}

#[test]
fn a_hook_that_panics_stops_neither_others_nor_drops_and_is_told_as_drops_are() {
    let (told, log) = (Arc::new(Mutex::new(Vec::new())), Log::default());
    let listener = told.clone();
    let space = CSpace::builder()
        .gc(GcMode::Manual)
        .on_event(move |event| {
            if let Event::DropPanicked { message } = event {
                listener.lock().unwrap().push(message.clone());
            }
        })
        .build()
        .unwrap();
    space.exclusive(|cx| {
        cx.alloc(vec![log.part("a panics"), log.part("b panics and drops badly"), log.part("c")]);
        // Taken out one by one, as elements of sets are.
        cx.alloc(BTreeSet::from([log.part("d panics"), log.part("e drops badly"), log.part("f")]));
    });
    let report = space.collect().unwrap();
    assert_eq!((report.drop_panics, space.stats().drop_panics), (5, 5));
    let names = ["a panics", "b panics and drops badly", "c", "d panics", "e drops badly", "f"];
    log.assert_ran(&names);
    let mut told = std::mem::take(&mut *told.lock().unwrap());
    told.sort_unstable();
    let badly = "b panics and drops badly";
    assert_eq!(told, ["a panics", badly, badly, "d panics", "e drops badly"]);
    assert!(space.verify().unwrap().is_clean());
}

#[test]
#[cfg_attr(miri, ignore = "1,000 objects")]
fn a_hook_may_do_what_a_drop_may() {
    struct Handle(WeakCSpace, Option<CSpace>, Arc<Mutex<Vec<usize>>>);
    fn use_it(handle: &mut Handle) {
        let space = handle.0.upgrade().expect("it is being collected, not destroyed");
        space.exclusive(|cx| (0..1000u64).for_each(|i| _ = cx.alloc(i)));
        assert!(matches!(space.collect(), Err(CollectError::InSweep { .. })));
        // The last one of that space.
        drop(handle.1.take());
        handle.2.lock().unwrap().push(space.num_objects());
    }
    #[derive(IObject)]
    struct User {
        #[cspace(on_collect = "use_it")]
        handle: Static<Handle>,
    }
    within(|| {
        let (space, other, seen) = (manual(), manual(), Arc::default());
        let watched = other.downgrade();
        space.exclusive(|cx| {
            let handle = Handle(space.downgrade(), Some(other), Arc::clone(&seen));
            cx.alloc(User { handle: Static(handle) }).addr()
        });
        assert_eq!(space.collect().unwrap().drop_panics, 0);
        assert_eq!(*seen.lock().unwrap(), [1000]);
        assert!(watched.upgrade().is_none());
    });
}

#[test]
fn hooks_of_a_batch_that_a_merge_overtakes_are_called() {
    let (target, source, log) = (manual(), manual(), Log::default());
    let root = source.exclusive(|cx| {
        cx.alloc(log.part("dead"));
        cx.root(cx.alloc(log.part("alive")))
    });
    let claim = source.try_claim_cycle().unwrap();
    let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).ok().unwrap();
    phase.mark().unwrap();
    let finish = phase.try_finish(Duration::from_secs(60)).ok().unwrap();
    let batch = finish.condemn().unwrap().0;
    target.transfer_from(&source).unwrap();
    assert!(log.take().is_empty());
    drop(batch.reclaim());
    log.assert_ran(&["dead"]);
    drop(root);
    target.collect().unwrap();
    log.assert_ran(&["alive"]);
}

#[test]
fn a_worker_calls_them_too() {
    let (space, log) = (CSpace::new(), Log::default());
    let n = space.total_num_completed_gcs();
    space.exclusive(|cx| cx.alloc(log.part("dead")).addr());
    space.request_gc();
    space.wait_for_gc_after(n, Duration::from_secs(60)).unwrap();
    eventually(|| log.0.lock().unwrap().len() == 2);
    log.assert_ran(&["dead"]);
}
