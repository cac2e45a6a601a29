//! Runs a program on a space and on the naive heap side by side, and compares.

use std::collections::HashMap;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace::collector::{Extent, ForCollectors, LockWait, MarkPhase};
use cspace::{
    Access, Alloc, CSpace, CellAccess, CollectError, Exclusive, ExclusiveGuard, GcCell, GcMode,
    GcRoot, LockError, NanBox, OwnedRoot, RootStack, Rootable, Shared, Slot, Static, WeakSet,
};

use crate::heap::{ModelHeap, ModelMachine, Value};
use crate::objects::*;
use crate::program::{Action, End, Entry, Op, Program, Reader, Step};
use crate::tracker::DropLog;

type Outcome = Result<(), String>;

/// Minor cycles, and cycles after increments, that were compared with the model.
pub static CYCLES_IN_PART: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(format!($($message)*));
        }
    };
}

/// Objects of a program at most; allocations beyond do nothing.
const OBJECTS_MAX: usize = 6000;
const TRACKERS_MAX: usize = 8192;
const REGISTERS: usize = 12;
const STACK_CAPACITY: usize = 12;
const MACHINES_MAX: usize = 3;
const ROOTS_MAX: usize = 16;
/// Few hashes: most names collide.
const HASHES: u64 = 5;

type OwnedMachine = OwnedRoot<Rootable![Machine<'_>]>;

/// What of a run is not in the space.
struct World {
    heap: ModelHeap,
    roots: Vec<(Root, usize)>,
    machines: Vec<(OwnedMachine, ModelMachine)>,
    /// A root of an object whose visit a reader can make wait.
    hook: Option<GcRoot<Rootable![Hook]>>,
    hook_turn: Arc<Turn>,
    machine_turn: Arc<Turn>,
    log: Arc<DropLog>,
    cycles: u64,
    cycles_minor: u64,
    increments: u64,
    verify_each_step: bool,
}

/// The number of the hook's object.
const HOOK: usize = 0;

pub fn run(program: &Program, verify_each_step: bool) -> Outcome {
    // A panic is a failure like others, except that its message is gone to standard error.
    catch_unwind(AssertUnwindSafe(|| run_caught(program, verify_each_step)))
        .unwrap_or_else(|_| Err("a panic".to_string()))
}

fn run_caught(program: &Program, verify_each_step: bool) -> Outcome {
    // Older than the space, so that it may be held around it.
    let other = CSpace::new();
    let setting = program.setting;
    let space = CSpace::builder()
        .gc(if setting.automatic { GcMode::Safepoints } else { GcMode::Manual })
        .stress(setting.stress)
        .gc_budget_floor(setting.budget_floor)
        .poison_freed(setting.poison_freed)
        .build()
        .map_err(|error| error.to_string())?;
    let mut world = World {
        heap: ModelHeap::default(),
        roots: Vec::new(),
        machines: Vec::new(),
        hook: None,
        hook_turn: Arc::default(),
        machine_turn: Arc::default(),
        log: DropLog::new(TRACKERS_MAX),
        cycles: 0,
        cycles_minor: 0,
        increments: 0,
        verify_each_step,
    };
    world.heap.add(Kind::Hook, Vec::new(), None);
    let hook = Hook(Arc::clone(&world.hook_turn));
    world.hook = Some(space.exclusive(|cx| cx.root(cx.alloc(hook))));
    world.sync(&space, &mut None)?;
    for (number, step) in program.steps.iter().enumerate() {
        world
            .step(&space, &other, &mut None, step)
            .map_err(|error| format!("step {number}: {error}"))?;
    }
    world.end(space, &other, program.end).map_err(|error| format!("at the end: {error}"))
}

/// What a collector does of its own accord when memory is short: an increment if one is due, or a cycle for which
/// what is old may be alive.
fn collect_in_part(space: &CSpace) -> Outcome {
    let claim = space.try_claim_cycle().ok_or("a cycle is under way, of which nobody knows")?;
    let failed = |error: CollectError| error.to_string();
    let phase = MarkPhase::begin(claim, LockWait::FOREVER).map_err(failed)?;
    let Some(mut phase) = phase.try_increment().map_err(failed)? else { return Ok(()) };
    phase.mark_as(Extent::MinorWillDo).map_err(failed)?;
    let finish = phase.try_finish(Duration::from_secs(60)).map_err(|_| "somebody is inside")?;
    let (batch, report) = finish.condemn().map_err(failed)?;
    batch.complete(report).map_err(|_| "a sweep was deferred with nothing held")?;
    Ok(())
}

impl World {
    fn step(
        &mut self,
        space: &CSpace,
        other: &CSpace,
        guard: &mut Option<ExclusiveGuard<'_>>,
        step: &Step,
    ) -> Outcome {
        match step {
            Step::Scope(entry, ops) => self.scope(space, guard, *entry, ops)?,
            Step::Hold(steps) => {
                let mut guard = Some(space.lock());
                for step in steps {
                    self.step(space, other, &mut guard, step)?;
                }
            }
            Step::Unlocked(steps) => {
                let Some(guard) = guard else { return Ok(()) };
                guard.unlocked(|| {
                    steps.iter().try_for_each(|step| self.step(space, other, &mut None, step))
                })?;
            }
            Step::BeginEndUnlock => {
                let unlocked = guard.take().map(ExclusiveGuard::begin_unlock);
                if unlocked.is_some() {
                    self.check(space, &mut None, true)?;
                }
                *guard = unlocked.map(|info| info.end_unlock());
            }
            Step::Machine(which, ops) => self.machine(space, guard, *which, ops)?,
            Step::Collect => {
                let result = match guard {
                    Some(guard) => guard.collect(),
                    None => space.synchronous_gc(),
                };
                let report = result.map_err(|error| error.to_string())?;
                ensure!(!report.sweep_deferred, "a sweep was deferred with nothing held");
                ensure!(report.drop_panics == 0, "{} drops panicked", report.drop_panics);
                self.sync(space, guard)?;
                ensure!(
                    report.objects_live == self.heap.alive_count(),
                    "{} objects reported as alive, {} are",
                    report.objects_live,
                    self.heap.alive_count()
                );
            }
            Step::CollectBesideReader(which, work) => {
                if guard.is_none() {
                    self.collect_beside_reader(space, *which, work)?;
                }
            }
            Step::CollectDeferred(ops) => {
                if guard.is_none() {
                    self.collect_deferred(space, other, ops)?;
                }
            }
            Step::CollectInPart => {
                if guard.is_none() {
                    collect_in_part(space)?;
                }
            }
            Step::RequestGc => match guard {
                Some(guard) => guard.scope(|cx| cx.request_gc()),
                None => space.request_gc(),
            },
            Step::Safepoint => match guard {
                Some(guard) => guard.safepoint(),
                None => space.lock().safepoint(),
            },
            Step::Read => {
                if guard.is_none() {
                    let walked = space.shared(|cx| self.walk(cx, false));
                    walked?;
                }
            }
            Step::CloneRoot(which) => {
                if let Some((root, number)) = pick(&self.roots, *which) {
                    let clone = (root.clone(), *number);
                    self.add_root(clone.0, clone.1);
                }
            }
            Step::DropRoot(which) => {
                if !self.roots.is_empty() {
                    let at = *which as usize % self.roots.len();
                    self.roots.swap_remove(at);
                }
            }
            Step::DropMachine(which) => self.drop_machine(*which),
        }
        self.sync(space, guard)?;
        if self.verify_each_step {
            self.check(space, guard, true)?;
        }
        Ok(())
    }

    fn scope(
        &mut self,
        space: &CSpace,
        guard: &mut Option<ExclusiveGuard<'_>>,
        entry: Entry,
        ops: &[Op],
    ) -> Outcome {
        if let Some(guard) = guard {
            return guard.scope(|cx| self.ops(cx, ops));
        }
        let locked = |error: LockError| Err(error.to_string());
        match entry {
            Entry::Exclusive => space.exclusive(|cx| self.ops(cx, ops)),
            Entry::Transaction => space.transaction(|cx| self.ops(cx, ops)),
            Entry::Try => space.try_exclusive(|cx| self.ops(cx, ops)).unwrap_or_else(locked),
            Entry::Timeout => {
                let timeout = Duration::from_secs(5);
                space.exclusive_for(timeout, |cx| self.ops(cx, ops)).unwrap_or_else(locked)
            }
            Entry::Panic => {
                let mut outcome = Ok(());
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    space.exclusive(|cx| {
                        outcome = self.ops(cx, ops);
                        // Not a `panic!`, whose message would be printed ten thousand times.
                        resume_unwind(Box::new("a panic of the program's"));
                    });
                }));
                ensure!(panicked.is_err(), "a panic did not come out of its access");
                ensure!(space.is_poisoned(), "a panic left an access and did not poison");
                let refused = matches!(space.try_lock(), Err(LockError::Poisoned { .. }));
                ensure!(refused, "a poisoned space was locked");
                space.clear_poison();
                outcome
            }
        }
    }

    fn ops<'gc>(&mut self, cx: &mut Exclusive<'gc>, ops: &[Op]) -> Outcome {
        let mut registers = Vec::new();
        // A run of operations begins with what is to be had.
        for (root, _) in self.roots.iter().take(4) {
            registers.push(root.get(cx));
        }
        for (at, op) in ops.iter().enumerate() {
            self.op(cx, &mut registers, *op)
                .map_err(|error| format!("operation {at}, {op:?}: {error}"))?;
            if registers.len() > REGISTERS {
                registers.swap_remove(op.c as usize % REGISTERS);
            }
        }
        Ok(())
    }

    fn op<'gc>(
        &mut self,
        cx: &mut Exclusive<'gc>,
        registers: &mut Vec<Object<'gc>>,
        op: Op,
    ) -> Outcome {
        let Op { action, a, b, c } = op;
        match action {
            Action::Alloc => {
                let kind = KINDS[a as usize % KINDS.len()];
                // The large ones less often.
                let kind = if kind == Kind::Big && b % 4 != 0 { Kind::Plain } else { kind };
                let object = self.alloc(cx, registers, kind, b, c);
                registers.extend(object);
            }
            Action::AllocMany => {
                let kinds = [Kind::Plain, Kind::Leaf, Kind::Text, Kind::Bag, Kind::Row];
                let kind = kinds[a as usize % kinds.len()];
                let bag = self.alloc(cx, &[], Kind::Bag, 0, 0);
                let Some(Object::Bag(bag)) = bag else { return Ok(()) };
                registers.push(Object::Bag(bag));
                for i in 0..50 + b % 400 {
                    let Some(object) = self.alloc(cx, registers, kind, i, c) else { break };
                    if i % (1 + c % 5) == 0 {
                        bag.items.borrow_mut(cx).push(object.any());
                        self.object(bag.number).values.push(value_of(object));
                    }
                }
            }
            Action::Load => {
                if let Some((root, number)) = pick(&self.roots, a) {
                    let object = root.get(cx);
                    ensure!(object.number() as usize == *number, "a root names another object");
                    registers.push(object);
                }
            }
            Action::Follow => {
                let Some(object) = pick(registers, a) else { return Ok(()) };
                let edges = object.edges(cx);
                if let Some(Held::Object(any)) = pick(&edges, b) {
                    let next = Object::from_any(*any).ok_or("an edge to no kind of object")?;
                    registers.push(next);
                }
            }
            Action::Link => {
                let Some(&object) = pick(registers, a) else { return Ok(()) };
                let count = self.object(object.number()).values.len();
                if count == 0 || !object.kind().has_slots() {
                    return Ok(());
                }
                let index = b as usize % count;
                let held = match c % 8 {
                    0 => Held::Nothing,
                    1 => Held::Number(c),
                    _ => pick(registers, c).map_or(Held::Nothing, |o| Held::Object(o.any())),
                };
                object.set(cx, index, held);
                let value = match (held, object.kind()) {
                    (Held::Number(_) | Held::Nothing, Kind::Bag) => return Ok(()),
                    (Held::Number(number), Kind::Values) => Value::Number(number),
                    (held, _) => value_of_held(held.object())?,
                };
                self.object(object.number()).values[index] = value;
            }
            Action::BagPush | Action::BagPop | Action::BagPushNew => {
                self.bag_op(cx, registers, op);
            }
            Action::Root => {
                if let Some(object) = pick(registers, a) {
                    self.add_root(object.root(cx), object.number() as usize);
                }
            }
            Action::Unroot => {
                if !self.roots.is_empty() {
                    let at = a as usize % self.roots.len();
                    self.roots.swap_remove(at);
                }
            }
            Action::WeakMake => {
                let (Some(Object::Watch(watch)), Some(target)) =
                    (of_kind(registers, Kind::Watch, a), pick(registers, b))
                else {
                    return Ok(());
                };
                let cell = self.heap.add_cell(target.number() as usize);
                let index = c as usize % 2;
                watch.as_ref().weaks[index].set(cx, Some(target.downgrade(cx)));
                self.object(watch.number).weaks[index] = Some(cell);
            }
            Action::WeakCopy => {
                let (Some(Object::Watch(from)), Some(Object::Watch(to))) =
                    (of_kind(registers, Kind::Watch, a), of_kind(registers, Kind::Watch, b))
                else {
                    return Ok(());
                };
                let index = c as usize % 2;
                to.as_ref().weaks[index].set(cx, from.as_ref().weaks[1 - index].get(cx));
                let cell = self.object(from.number).weaks[1 - index];
                self.object(to.number).weaks[index] = cell;
            }
            Action::WeakUpgrade => {
                let Some(Object::Watch(watch)) = of_kind(registers, Kind::Watch, a) else {
                    return Ok(());
                };
                let index = b as usize % 2;
                let weak = watch.as_ref().weaks[index].get(cx);
                let cell = self.object(watch.number).weaks[index];
                registers.extend(self.upgrade(cx, weak, cell)?);
            }
            Action::NameInsert => {
                let Some(text) = self.text(cx, registers, b) else { return Ok(()) };
                let (hash, entry) = (u64::from(c) % HASHES, *text.header() as usize);
                if let Some(Object::Names(names)) = of_kind(registers, Kind::Names, a) {
                    let (alloc, cells) = cx.split();
                    names.set.borrow_mut(cells).insert(alloc, hash, text);
                    self.object(names.number).names.push((hash, entry));
                } else if let Some((owned, model)) = pick_mut(&mut self.machines, a) {
                    owned.get_mut(cx).names.insert(cx, hash, text);
                    model.names.push((hash, entry));
                }
            }
            Action::NameFind => {
                if let Some(Object::Names(names)) = of_kind(registers, Kind::Names, a) {
                    let expected = &self.heap.objects[names.number as usize].names;
                    check_names(names.set.borrow(cx), expected, false)?;
                } else if let Some((owned, model)) = pick(&self.machines, a) {
                    check_names(&owned.get(cx).names, &model.names, false)?;
                }
            }
            Action::MachineNew => self.new_machine(cx),
            Action::MachineDrop => self.drop_machine(a),
            Action::RootSetAdd => {
                if let Some(object) = pick(registers, a) {
                    let new = self.heap.root_set.insert(object.number() as usize);
                    ensure!(object.add_to_root_set(cx) == new, "the root set added wrongly");
                }
            }
            Action::RootSetRemove => {
                let number = self.heap.root_set.iter().nth(a as usize % 4).copied();
                for object in registers.iter() {
                    let there = self.heap.root_set.contains(&(object.number() as usize));
                    if !there || Some(object.number() as usize) == number {
                        let removed = object.remove_from_root_set(cx);
                        ensure!(removed == there, "the root set removed wrongly");
                        self.heap.root_set.remove(&(object.number() as usize));
                    }
                }
            }
            Action::Count => {
                let (count, expected) = (cx.num_objects(), self.heap.alive_count());
                ensure!(count == expected, "{count} objects counted, {expected} there");
            }
            Action::MachinePush
            | Action::MachinePop
            | Action::MachineLoad
            | Action::StackPush
            | Action::StackPop
            | Action::StackPoke
            | Action::StackSetLen
            | Action::MachineWeak => {
                if let Some((owned, model)) = pick_mut(&mut self.machines, a) {
                    let machine = owned.get_mut(cx);
                    machine_op(cx, machine, model, &mut self.heap, registers, op)?;
                }
            }
        }
        Ok(())
    }

    fn bag_op<'gc>(&mut self, cx: &mut Exclusive<'gc>, registers: &mut Vec<Object<'gc>>, op: Op) {
        let Some(Object::Bag(bag)) = of_kind(registers, Kind::Bag, op.a) else { return };
        let item = match op.action {
            Action::BagPush => pick(registers, op.b).copied(),
            Action::BagPop => {
                let popped = bag.items.borrow_mut(cx).pop();
                let model = self.object(bag.number).values.pop();
                assert_eq!(popped.is_some(), model.is_some(), "a bag has items of its own");
                if popped.is_none() {
                    bag.items.take(cx);
                }
                return;
            }
            _ => {
                if self.heap.objects.len() >= OBJECTS_MAX {
                    return;
                }
                // Allocates while the bag is borrowed.
                let number = self.heap.add(Kind::Leaf, Vec::new(), None);
                let tracker = self.log.tracker();
                self.heap.objects[number].tracker = Some(tracker.number());
                let leaf = Leaf { number: number as u32, tracker: Static(tracker) };
                let (alloc, cells) = cx.split();
                let items = bag.items.borrow_mut(cells);
                let leaf = alloc.alloc(leaf);
                items.push(leaf.into());
                self.object(bag.number).values.push(Value::Object(number));
                registers.push(Object::Leaf(leaf));
                return;
            }
        };
        if let Some(item) = item {
            bag.items.borrow_mut(cx).push(item.any());
            self.object(bag.number).values.push(value_of(item));
        }
    }

    fn alloc<'gc>(
        &mut self,
        cx: &Alloc<'gc>,
        registers: &[Object<'gc>],
        kind: Kind,
        b: u32,
        c: u32,
    ) -> Option<Object<'gc>> {
        if self.heap.objects.len() >= OBJECTS_MAX {
            return None;
        }
        let number = self.heap.objects.len() as u32;
        let has_tracker =
            !matches!(kind, Kind::Plain | Kind::Values | Kind::Wide | Kind::Pair | Kind::Text);
        let mut tracker = has_tracker.then(|| self.log.tracker());
        let tracker_number = tracker.as_ref().map(|tracker| tracker.number());
        let mut track = || Static(tracker.take().expect("the kind has a tracker"));
        let mut values = Vec::new();
        let mut fill = |i: usize| {
            let choice = c as usize + i * 7;
            let object = registers.get(choice % (registers.len() + 2)).copied();
            values.push(object.map_or(Value::Nothing, value_of));
            object.map(|object| object.any())
        };
        let object = match kind {
            Kind::Plain => {
                let slots = [Slot::new(fill(0)), Slot::new(fill(1))];
                Object::Plain(cx.alloc(Plain { number, slots }))
            }
            Kind::Bag => {
                let items = GcCell::new(Vec::with_capacity(b as usize % 3));
                Object::Bag(cx.alloc(Bag { number, tracker: track(), items }))
            }
            Kind::Row => {
                // Some need a run of blocks, few a mapping of their own.
                let len = match b % 200 {
                    0 => 140_000,
                    1..=4 => 1200,
                    5..=40 => b as usize % 70,
                    _ => b as usize % 5,
                };
                let head = RowHead { number, tracker: track() };
                Object::Row(cx.alloc_tail(head, len, |i| {
                    if i < 8 {
                        return Slot::new(fill(i));
                    }
                    Slot::new(None)
                }))
            }
            Kind::Big => {
                let padding = [u64::from(number); 1100];
                let slot = Slot::new(fill(0));
                Object::Big(cx.alloc(Big { number, tracker: track(), slot, padding }))
            }
            Kind::Values => {
                let value = |held: Option<_>| Slot::new(held.map_or(NanBox::NIL, NanBox::from_any));
                let values = [value(fill(0)), value(fill(1)), value(fill(2))];
                Object::Values(cx.alloc(Values { number, values }))
            }
            Kind::Wide => Object::Wide(cx.alloc(Wide { number, slot: Slot::new(fill(0)) })),
            Kind::Pair => {
                let parts = [fill(0), fill(1)];
                Object::Pair(cx.alloc(Pair { number, parts }))
            }
            Kind::Record => {
                let head = RowHead { number, tracker: track() };
                Object::Record(cx.alloc_tail(head, b as usize % 6, &mut fill))
            }
            Kind::Leaf => Object::Leaf(cx.alloc(Leaf { number, tracker: track() })),
            Kind::Text => {
                let bytes = vec![text_byte(number); b as usize % 100];
                Object::Text(cx.alloc_tail_copy(number, &bytes))
            }
            Kind::Watch => {
                let weaks = [Slot::new(None), Slot::new(None)];
                Object::Watch(cx.alloc(Watch { number, tracker: track(), weaks }))
            }
            Kind::Names => {
                let set = GcCell::new(WeakSet::new());
                Object::Names(cx.alloc(Names { number, tracker: track(), set }))
            }
            Kind::Cell | Kind::Hook => unreachable!("not a program's to choose"),
        };
        if let Object::Row(row) = object {
            values.resize(row.elems().len(), Value::Nothing);
        }
        self.heap.add(kind, values, tracker_number);
        Some(object)
    }

    /// A text from the registers, or a new one.
    fn text<'gc>(
        &mut self,
        cx: &Alloc<'gc>,
        registers: &mut Vec<Object<'gc>>,
        b: u32,
    ) -> Option<cspace::Gc<'gc, Text>> {
        let object = match of_kind(registers, Kind::Text, b) {
            Some(text) if b % 2 == 0 => text,
            _ => {
                let text = self.alloc(cx, &[], Kind::Text, b, 0)?;
                registers.push(text);
                text
            }
        };
        match object {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    fn upgrade<'gc>(
        &self,
        cx: &impl Access<'gc>,
        weak: Option<Weak<'gc>>,
        cell: Option<usize>,
    ) -> Result<Option<Object<'gc>>, String> {
        ensure!(weak.is_some() == cell.is_some(), "a weak reference got lost or came from nowhere");
        let (Some(weak), Some(cell)) = (weak, cell) else { return Ok(None) };
        let (target, expected) = (weak.upgrade(cx), self.heap.objects[cell].target);
        let target_number = target.map(|object| object.number() as usize);
        ensure!(target_number == expected, "upgraded to {target_number:?}, not to {expected:?}");
        Ok(target)
    }

    fn object(&mut self, number: u32) -> &mut crate::heap::ModelObject {
        &mut self.heap.objects[number as usize]
    }

    fn add_root(&mut self, root: Root, number: usize) {
        if self.roots.len() < ROOTS_MAX {
            self.roots.push((root, number));
        }
    }

    fn new_machine(&mut self, cx: &Alloc<'_>) {
        if self.machines.len() >= MACHINES_MAX {
            return;
        }
        let tracker = self.log.tracker();
        let model = ModelMachine {
            tracker: tracker.number(),
            things: Vec::new(),
            stack: vec![Value::Nothing; STACK_CAPACITY],
            stack_len: 0,
            names: Vec::new(),
            weaks: Vec::new(),
        };
        let owned = cx.own_root(Machine {
            hook: Hook(Arc::clone(&self.machine_turn)),
            tracker: Static(tracker),
            things: Vec::new(),
            stack: RootStack::new(STACK_CAPACITY, NanBox::NIL),
            names: WeakSet::new(),
            weaks: Vec::new(),
        });
        self.machines.push((owned, model));
    }

    fn drop_machine(&mut self, which: u32) {
        if !self.machines.is_empty() {
            let at = which as usize % self.machines.len();
            let (_, model) = self.machines.swap_remove(at);
            self.heap.dropped_machines.push(model.tracker);
        }
    }

    /// Works on an owned value beside the token.
    fn machine(
        &mut self,
        space: &CSpace,
        guard: &mut Option<ExclusiveGuard<'_>>,
        which: u32,
        ops: &[Op],
    ) -> Outcome {
        if self.machines.is_empty() {
            return Ok(());
        }
        let at = which as usize % self.machines.len();
        let (mut owned, mut model) = self.machines.swap_remove(at);
        let (heap, roots) = (&mut self.heap, &self.roots);
        let mut work = |guard: &mut ExclusiveGuard<'_>| {
            guard.scope_mut(&mut owned, |cx, machine| {
                let mut registers: Vec<_> = roots.iter().map(|(root, _)| root.get(cx)).collect();
                ops.iter().try_for_each(|op| {
                    machine_op(cx, machine, &mut model, heap, &mut registers, *op)
                })
            })
        };
        let outcome = match guard {
            Some(guard) => work(guard),
            None => work(&mut space.lock()),
        };
        self.machines.push((owned, model));
        outcome
    }

    fn root_numbers(&self) -> Vec<usize> {
        let hook = self.hook.is_some().then_some(HOOK);
        self.roots.iter().map(|(_, number)| *number).chain(hook).collect()
    }

    fn collect_model(&mut self) {
        self.collect_model_as(false);
    }

    fn collect_model_as(&mut self, is_minor: bool) {
        let old = if is_minor { self.heap.old() } else { Vec::new() };
        let roots = self.root_numbers().into_iter().chain(old);
        let reached = self.heap.reachable(roots, self.machines.iter().map(|(_, model)| model));
        self.heap.collect(&reached, self.machines.iter_mut().map(|(_, model)| model));
    }

    /// Lets the model follow a collection that happened, and compares.
    fn sync(&mut self, space: &CSpace, guard: &mut Option<ExclusiveGuard<'_>>) -> Outcome {
        let cycles = space.total_num_completed_gcs();
        if cycles == self.cycles {
            return Ok(());
        }
        // If one was full, all that was dead then is gone: nothing is done in a step between two collections.
        let stats = space.stats();
        let all_minor = stats.cycles_minor - self.cycles_minor == cycles - self.cycles;
        let in_increments = stats.increments != self.increments;
        CYCLES_IN_PART[0].fetch_add(stats.cycles_minor - self.cycles_minor, Relaxed);
        CYCLES_IN_PART[1].fetch_add(in_increments.into(), Relaxed);
        self.collect_model_as(all_minor && !in_increments);
        if in_increments {
            // What died while the mark was under way may be there still, until a cycle that marks at once.
            self.check_drops(false)?;
            self.walk_all(space, guard, true)?;
            Self::verify(space, guard)?;
            let result = match guard {
                Some(guard) => guard.collect(),
                None => space.synchronous_gc(),
            };
            result.map_err(|error| error.to_string())?;
        }
        let stats = space.stats();
        self.cycles = space.total_num_completed_gcs();
        (self.cycles_minor, self.increments) = (stats.cycles_minor, stats.increments);
        self.check(space, guard, true)
    }

    /// Compares the whole space with the model. `swept`: the last collection is complete.
    fn check(
        &self,
        space: &CSpace,
        guard: &mut Option<ExclusiveGuard<'_>>,
        swept: bool,
    ) -> Outcome {
        let count = space.num_objects();
        let expected = self.heap.alive_count();
        ensure!(count == expected, "{count} objects are counted, {expected} are there");
        self.check_drops(swept)?;
        self.walk_all(space, guard, false)?;
        let objects = Self::verify(space, guard)?;
        ensure!(objects == expected, "{objects} objects verified of {expected}");
        Ok(())
    }

    fn walk_all(
        &self,
        space: &CSpace,
        guard: &mut Option<ExclusiveGuard<'_>>,
        lenient: bool,
    ) -> Outcome {
        match guard {
            Some(guard) => guard.scope(|cx| self.walk(cx, lenient)),
            None => space.shared(|cx| self.walk(cx, lenient)),
        }
    }

    /// How many objects there are, all sound.
    fn verify(space: &CSpace, guard: &mut Option<ExclusiveGuard<'_>>) -> Result<usize, String> {
        let verified = match guard {
            Some(guard) => guard.unlocked(|| space.verify()),
            None => space.verify(),
        };
        let report = verified.map_err(|error| error.to_string())?;
        ensure!(report.is_clean(), "{report}");
        Ok(report.objects)
    }

    fn check_drops(&self, swept: bool) -> Outcome {
        for (number, object) in self.heap.objects.iter().enumerate().filter(|(_, o)| !o.dead) {
            let drops = object.tracker.map_or(0, |tracker| self.log.drops_of(tracker));
            ensure!(drops == 0, "object {number} was dropped while it was alive");
        }
        for (_, machine) in &self.machines {
            let drops = self.log.drops_of(machine.tracker);
            ensure!(drops == 0, "an owned value was dropped while its handle exists");
        }
        for &tracker in &self.heap.dead_trackers {
            let drops = self.log.drops_of(tracker);
            let right = if swept { drops == 1 } else { drops <= 1 };
            ensure!(right, "what had tracker {tracker} is dead and was dropped {drops} times");
        }
        Ok(())
    }

    /// Follows every edge from every root and compares with the model. `lenient`: a collection is over
    /// that may have kept what only roots dropped meanwhile reached.
    fn walk<'gc, C: Access<'gc> + CellAccess<'gc>>(&self, cx: &C, lenient: bool) -> Outcome {
        let mut gray: Vec<(usize, Object<'gc>)> = Vec::new();
        let mut seen: HashMap<usize, usize> = HashMap::new();
        for (root, number) in &self.roots {
            gray.push((*number, root.get(cx)));
        }
        let reach = |value: &Value, held: Held<'gc>| match (value, held) {
            (Value::Nothing, Held::Nothing) => Ok(None),
            (Value::Number(a), Held::Number(b)) if *a == b => Ok(None),
            (Value::Object(number), Held::Object(any)) => {
                let object = Object::from_any(any).ok_or("an edge to no kind of object")?;
                Ok(Some((*number, object)))
            }
            (value, _) => Err(format!("a slot does not hold {value:?}")),
        };
        for (owned, model) in &self.machines {
            let machine = owned.get(cx);
            ensure!(machine.tracker.is_whole(), "an owned value is damaged");
            ensure!(machine.things.len() == model.things.len(), "an owned vector is damaged");
            for (number, any) in model.things.iter().zip(&machine.things) {
                gray.extend(reach(&Value::Object(*number), Held::Object(*any))?);
            }
            ensure!(machine.stack.len() == model.stack_len, "a stack has another length");
            for (value, element) in model.stack.iter().zip(machine.stack.iter()) {
                gray.extend(reach(value, (*element).into())?);
            }
            check_names(&machine.names, &model.names, lenient)?;
            for (weak, cell) in machine.weaks.iter().zip(&model.weaks) {
                if !lenient {
                    self.upgrade(cx, Some(*weak), Some(*cell))?;
                }
            }
        }
        while let Some((number, object)) = gray.pop() {
            ensure!(
                object.number() as usize == number,
                "object {number} is {} in the space",
                object.number()
            );
            match seen.insert(number, object.any().addr()) {
                Some(address) => {
                    ensure!(address == object.any().addr(), "object {number} is in two places");
                    continue;
                }
                None => ensure!(object.is_whole(), "object {number} is damaged"),
            }
            let model = &self.heap.objects[number];
            ensure!(object.kind() == model.kind, "object {number} is a {:?}", object.kind());
            let edges = object.edges(cx);
            ensure!(edges.len() == model.values.len(), "object {number} has {} slots", edges.len());
            for (value, held) in model.values.iter().zip(edges) {
                let next =
                    reach(value, held).map_err(|error| format!("object {number}: {error}"))?;
                gray.extend(next);
            }
            if let Object::Watch(watch) = object {
                for (slot, cell) in watch.as_ref().weaks.iter().zip(&model.weaks) {
                    let weak = slot.get(cx);
                    if !lenient {
                        self.upgrade(cx, weak, *cell)
                            .map_err(|error| format!("object {number}: {error}"))?;
                    }
                }
            }
            if let Object::Names(names) = object {
                check_names(names.set.borrow(cx), &model.names, lenient)
                    .map_err(|error| format!("object {number}: {error}"))?;
            }
        }
        Ok(())
    }

    fn collect_beside_reader(&mut self, space: &CSpace, which: u32, work: &[Reader]) -> Outcome {
        let in_machine = which % 2 == 0 && !self.machines.is_empty();
        let turn = Arc::clone(if in_machine { &self.machine_turn } else { &self.hook_turn });
        let collected = std::thread::scope(|threads| {
            let world = &mut *self;
            let reader_turn = Arc::clone(&turn);
            let reader = threads.spawn(move || {
                space.shared(|cx| {
                    reader_turn.set(Turn::ARMED);
                    let marking = reader_turn.wait_for(Turn::MARKING);
                    let outcome = work.iter().try_for_each(|work| world.read(cx, *work));
                    reader_turn.set(Turn::DONE);
                    ensure!(marking, "the mark did not come to the hook");
                    outcome
                })
            });
            turn.wait_for(Turn::ARMED);
            let collected = space.synchronous_gc();
            let read = reader.join().unwrap_or_else(|_| Err("the reader panicked".to_string()));
            turn.set(Turn::IDLE);
            read.and(collected.map_err(|error| error.to_string()))
        });
        collected?;
        // What only handles dropped by the reader reached may be there or not: see that what is
        // certain is right, and collect again.
        space.shared(|cx| self.walk(cx, true))?;
        let report = space.verify().map_err(|error| error.to_string())?;
        ensure!(report.is_clean(), "{report}");
        space.synchronous_gc().map_err(|error| error.to_string())?;
        self.sync(space, &mut None)
    }

    fn read<'gc>(&mut self, cx: &Shared<'gc>, work: Reader) -> Outcome {
        match work {
            Reader::RootByWeak(a) => {
                let mut candidates = Vec::new();
                for (owned, model) in &self.machines {
                    let weaks = owned.get(cx).weaks.iter().copied();
                    candidates.extend(weaks.zip(model.weaks.iter().copied()));
                }
                for (root, number) in &self.roots {
                    if let Object::Watch(watch) = root.get(cx) {
                        let cells = &self.heap.objects[*number].weaks;
                        for (slot, cell) in watch.as_ref().weaks.iter().zip(cells) {
                            candidates.extend(slot.get(cx).zip(*cell));
                        }
                    }
                }
                if let Some((weak, cell)) = pick(&candidates, a) {
                    let object = self.upgrade(cx, Some(*weak), Some(*cell))?;
                    if let Some(object) = object {
                        self.add_root(object.root_shared(cx), object.number() as usize);
                    }
                }
            }
            Reader::RootByName(a) => {
                let Some((owned, model)) = pick(&self.machines, a) else { return Ok(()) };
                check_names(&owned.get(cx).names, &model.names, false)?;
                let found = owned.get(cx).names.find(u64::from(a) % HASHES, |_| true);
                if let Some(text) = found {
                    let object = Object::Text(text);
                    self.add_root(object.root_shared(cx), object.number() as usize);
                }
            }
            Reader::RootByEdge(a, b) => {
                let Some((root, _)) = pick(&self.roots, a) else { return Ok(()) };
                if let Some(Held::Object(any)) = pick(&root.get(cx).edges(cx), b) {
                    let object = Object::from_any(*any).ok_or("an edge to no kind of object")?;
                    self.add_root(object.root_shared(cx), object.number() as usize);
                }
            }
            Reader::CloneRoot(a) => {
                if let Some((root, number)) = pick(&self.roots, a) {
                    let clone = (root.clone(), *number);
                    self.add_root(clone.0, clone.1);
                }
            }
            Reader::DropRoot(a) => {
                if !self.roots.is_empty() {
                    let at = a as usize % self.roots.len();
                    self.roots.swap_remove(at);
                }
            }
            Reader::DropMachine(a) => self.drop_machine(a),
        }
        Ok(())
    }

    fn collect_deferred(&mut self, space: &CSpace, other: &CSpace, ops: &[Op]) -> Outcome {
        other.exclusive(|_| {
            let report = space.synchronous_gc().map_err(|error| error.to_string())?;
            ensure!(report.sweep_deferred, "a sweep ran on a thread that holds a space");
            self.collect_model();
            space.shared(|cx| self.walk(cx, false))?;
            let again = space.synchronous_gc();
            ensure!(
                matches!(again, Err(CollectError::Busy { .. })) || again.is_ok(),
                "collecting while the sweep waits: {again:?}"
            );
            if again.is_ok() {
                // Another thread has run the sweep that waited; the second collection waits now.
                self.collect_model();
            }
            self.check_drops(false)?;
            space.exclusive(|cx| self.ops(cx, ops))?;
            let (count, expected) = (space.num_objects(), self.heap.alive_count());
            ensure!(count == expected, "{count} objects are counted, {expected} are there");
            Ok(())
        })?;
        // Waits for the sweep, which another thread may have taken over.
        self.settle(space)?;
        self.check(space, &mut None, true)
    }

    /// Waits for sweeps that were deferred.
    fn settle(&mut self, space: &CSpace) -> Outcome {
        space.verify().map_err(|error| error.to_string())?;
        self.cycles = space.total_num_completed_gcs();
        Ok(())
    }

    fn end(mut self, space: CSpace, other: &CSpace, end: End) -> Outcome {
        let weak = space.downgrade();
        match end {
            End::SpaceFirst => drop(space),
            End::RootsFirst => {
                self.roots.clear();
                self.machines.clear();
                self.hook = None;
                drop(space);
            }
            End::WhileHoldingAnother => other.exclusive(|_| drop(space)),
            End::WithSweepDeferred => other.exclusive(|_| {
                self.roots.truncate(1);
                let _ = space.synchronous_gc();
                drop(space);
            }),
            End::Destroy => {
                let begun = Instant::now();
                let mut space = space;
                // Another thread that ran a deferred sweep may still hold a handle.
                while let Err(back) = space.destroy() {
                    ensure!(begun.elapsed().as_secs() < 10, "the last handle is not the last");
                    space = back;
                    std::thread::yield_now();
                }
            }
        }
        let log = Arc::clone(&self.log);
        let begun = Instant::now();
        while weak.upgrade().is_some() {
            ensure!(begun.elapsed().as_secs() < 10, "the space is not gone");
            other.exclusive(|_| {});
            std::thread::yield_now();
        }
        let strangers =
            other.shared(|cx| self.hook.as_ref().is_none_or(|root| root.try_get(cx).is_err()));
        ensure!(strangers, "a root of a space that is gone was taken for one of another");
        drop(self);
        // Another thread may be destroying the space.
        while let Some((tracker, drops)) = log.not_once() {
            ensure!(drops <= 1, "what had tracker {tracker} was dropped {drops} times");
            ensure!(begun.elapsed().as_secs() < 10, "what had tracker {tracker} is not dropped");
            other.exclusive(|_| {});
            std::thread::yield_now();
        }
        Ok(())
    }
}

fn machine_op<'gc>(
    cx: &mut Exclusive<'gc>,
    machine: &mut Machine<'gc>,
    model: &mut ModelMachine,
    heap: &mut ModelHeap,
    registers: &mut Vec<Object<'gc>>,
    op: Op,
) -> Outcome {
    let Op { action, b, c, .. } = op;
    match action {
        Action::MachinePush => {
            if let Some(object) = pick(registers, b) {
                machine.things.push(object.any());
                model.things.push(object.number() as usize);
            }
        }
        Action::MachinePop => {
            machine.things.pop();
            model.things.pop();
        }
        Action::MachineLoad => {
            let any = match c % 2 {
                0 => pick(&machine.things, b).copied(),
                _ => pick(&machine.stack, b).and_then(|value| value.as_any()),
            };
            if let Some(any) = any {
                registers.push(Object::from_any(any).ok_or("no kind of object on a stack")?);
            }
        }
        Action::StackPush if model.stack_len < STACK_CAPACITY => {
            let (value, number) = stack_value(registers, b, c);
            machine.stack.push(value);
            model.stack[model.stack_len] = number;
            model.stack_len += 1;
        }
        Action::StackPop => {
            let popped = machine.stack.pop();
            if model.stack_len > 0 {
                model.stack_len -= 1;
                let expected = model.stack[model.stack_len];
                let same = popped.is_some_and(|value| same(value, expected));
                ensure!(same, "popped {popped:?}, not {expected:?}");
            } else {
                ensure!(popped.is_none(), "popped {popped:?} from an empty stack");
            }
        }
        Action::StackPoke => {
            let full = machine.stack.as_mut_full();
            for (value, expected) in full.iter().zip(&model.stack) {
                ensure!(same(*value, *expected), "a stack holds {value:?}, not {expected:?}");
            }
            let (value, number) = stack_value(registers, b, c);
            let at = c as usize % STACK_CAPACITY;
            full[at] = value;
            model.stack[at] = number;
        }
        Action::StackSetLen => {
            let len = b as usize % (STACK_CAPACITY + 1);
            machine.stack.set_len(len);
            model.stack_len = len;
        }
        Action::MachineWeak => {
            if c % 3 == 0 {
                machine.weaks.pop();
                model.weaks.pop();
            } else if let Some(target) = pick(registers, b) {
                machine.weaks.push(target.downgrade(cx));
                model.weaks.push(heap.add_cell(target.number() as usize));
            }
        }
        // The others are not about a machine.
        _ => {}
    }
    Ok(())
}

fn stack_value<'gc>(registers: &[Object<'gc>], b: u32, c: u32) -> (NanBox<'gc>, Value) {
    match pick(registers, b) {
        Some(object) if c % 4 != 0 => (NanBox::from_any(object.any()), value_of(*object)),
        _ => (NanBox::from_f64(f64::from(c)), Value::Number(c)),
    }
}

fn same(value: NanBox<'_>, expected: Value) -> bool {
    match Held::from(value) {
        Held::Nothing => expected == Value::Nothing,
        Held::Number(number) => expected == Value::Number(number),
        Held::Object(any) => Object::from_any(any).is_some_and(|o| value_of(o) == expected),
    }
}

fn check_names(set: &WeakSet<'_, Text>, expected: &[(u64, usize)], lenient: bool) -> Outcome {
    for hash in 0..HASHES {
        let mut found = Vec::new();
        let none = set.find(hash, |text| {
            found.push(*text.header() as usize);
            false
        });
        ensure!(none.is_none(), "a weak set found what was not looked for");
        let mut wanted: Vec<usize> =
            expected.iter().filter(|(h, _)| *h == hash).map(|(_, name)| *name).collect();
        // An entry may be shown twice: when another thread filters the set in the middle of a search,
        // the search begins again.
        for names in [&mut found, &mut wanted] {
            names.sort_unstable();
            names.dedup();
        }
        if !lenient {
            ensure!(found == wanted, "a weak set shows {found:?}, not {wanted:?}");
        }
    }
    Ok(())
}

fn value_of(object: Object<'_>) -> Value {
    Value::Object(object.number() as usize)
}

fn value_of_held(any: Option<cspace::GcAny<'_>>) -> Result<Value, String> {
    let Some(any) = any else { return Ok(Value::Nothing) };
    Ok(value_of(Object::from_any(any).ok_or("no kind of object")?))
}

fn pick<T>(from: &[T], choice: u32) -> Option<&T> {
    from.get((choice as usize).checked_rem(from.len())?)
}

fn pick_mut<T>(from: &mut [T], choice: u32) -> Option<&mut T> {
    let at = (choice as usize).checked_rem(from.len())?;
    from.get_mut(at)
}

/// A register with an object of a kind, the search starting at `choice`.
fn of_kind<'gc>(registers: &[Object<'gc>], kind: Kind, choice: u32) -> Option<Object<'gc>> {
    let first = (choice as usize).checked_rem(registers.len())?;
    let (before, after) = registers.split_at(first);
    after.iter().chain(before).copied().find(|object| object.kind() == kind)
}
