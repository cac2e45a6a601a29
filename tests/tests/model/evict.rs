//! Do random programs of touches, sizes, thresholds, pins and collections agree with a naive LRU?
//!
//! Pages refer to each other strongly and by evictable references, which have a size and the time of their last
//! touch. The model keeps pages and references in `Vec`s, marks by walking, and lets go of one reference at a time,
//! the oldest first. After every collection the two must agree on exactly which pages were dropped, which
//! references were cleared, what is resident, and which pages the callback saw.

use std::collections::BTreeMap;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::rng::{from_env, Rng};

/// Programs of an ordinary run.
const PROGRAMS: u64 = 10_000;
/// Steps of a program.
const STEPS: usize = 40;
/// How often victims are chosen in one collection.
const WAVES: usize = 8;

type Dropped = Arc<Mutex<Vec<usize>>>;

/// Tells when its page is dropped.
struct Probe(usize, Dropped);

impl Drop for Probe {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
    }
}

#[derive(IObject)]
struct Page<'gc> {
    probe: Static<Probe>,
    strong: GcCell<'gc, Vec<Gc<'gc, Page<'gc>>>>,
    soft: GcCell<'gc, Vec<(usize, Evictable<'gc, Page<'gc>>)>>,
}

impl Page<'_> {
    fn id(&self) -> usize {
        self.probe.0 .0
    }
}

type PageFamily = Rootable![Page<'_>];

// ---- the model

#[derive(Default, Clone)]
struct ModelPage {
    strong: Vec<usize>,
    soft: Vec<usize>,
    is_dropped: bool,
}

#[derive(Clone)]
struct Reference {
    page: usize,
    size: usize,
    touched: u64,
    is_gone: bool,
}

#[derive(Default)]
struct Model {
    pages: Vec<ModelPage>,
    references: Vec<Reference>,
    clock: u64,
    threshold: Option<usize>,
    max: Option<usize>,
    asked: usize,
    has_callback: bool,
    evicted: (u64, u64),
}

/// How an object stands that only evictable references hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    Chosen,
    /// Chosen, and then found to be held: it counts as that too, with this size.
    ChosenHeld(usize),
}

/// Such an object with the references to it.
struct Entry {
    page: usize,
    references: Vec<usize>,
    size: usize,
    state: State,
}

/// A collection of the model.
#[derive(Default)]
struct Cycle {
    pages: Vec<bool>,
    /// References whose cells were found, gone ones included.
    cells: Vec<bool>,
    found: Vec<usize>,
    /// Sizes of held pages, by page.
    held: BTreeMap<usize, usize>,
    entries: Vec<Entry>,
    /// References that are chosen.
    chosen: Vec<usize>,
    /// What only victims reach that are shown to the callback: a number, and bytes.
    carried: (usize, u128),
    /// One of those was rescued: what it reaches counts.
    is_carried_kept: bool,
}

impl Cycle {
    fn find(&mut self, model: &Model, reference: usize) {
        if !std::mem::replace(&mut self.cells[reference], true)
            && !model.references[reference].is_gone
        {
            self.found.push(reference);
        }
    }

    fn mark(&mut self, model: &Model, page: usize) {
        let mut stack = vec![page];
        while let Some(page) = stack.pop() {
            if !std::mem::replace(&mut self.pages[page], true) {
                stack.extend(&model.pages[page].strong);
                model.pages[page].soft.iter().for_each(|reference| self.find(model, *reference));
            }
        }
    }

    /// Sorts what was found; whether anything was.
    fn sort(&mut self, model: &Model) -> bool {
        let found = std::mem::take(&mut self.found);
        for reference in &found {
            let Reference { page, size, .. } = model.references[*reference];
            let is_held = self.pages[page];
            if let Some(counted) = self.held.get_mut(&page) {
                *counted = size.max(*counted);
            } else if let Some(entry) = self.entries.iter_mut().find(|entry| entry.page == page) {
                entry.references.push(*reference);
                match &mut entry.state {
                    State::Kept => entry.size = entry.size.max(size),
                    State::Chosen if is_held => entry.state = State::ChosenHeld(size),
                    State::Chosen => self.chosen.push(*reference),
                    State::ChosenHeld(counted) => *counted = size.max(*counted),
                }
            } else if is_held {
                self.held.insert(page, size);
            } else {
                let references = vec![*reference];
                self.entries.push(Entry { page, references, size, state: State::Kept });
            }
        }
        !found.is_empty()
    }

    fn keep(&mut self, model: &Model) {
        for at in 0..self.entries.len() {
            if self.entries[at].state == State::Kept {
                self.mark(model, self.entries[at].page);
            }
        }
    }

    fn keep_all_that_is_found(&mut self, model: &Model) {
        while self.sort(model) {
            self.keep(model);
        }
    }

    /// How many are resident, and their bytes.
    fn resident(&self) -> (usize, u128) {
        let held = self.held.values().copied();
        let others = self.entries.iter().filter_map(|entry| match entry.state {
            State::Kept => Some(entry.size),
            State::Chosen => None,
            State::ChosenHeld(size) => Some(size),
        });
        let carried = if self.is_carried_kept { self.carried } else { (0, 0) };
        held.chain(others).fold(carried, |(count, bytes), size| (count + 1, bytes + size as u128))
    }

    fn victims(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.state != State::Kept)
    }

    fn bytes_of_victims(&self) -> u128 {
        self.victims().map(|entry| entry.size as u128).sum()
    }

    fn is_over(&self, model: &Model) -> bool {
        let (count, bytes) = self.resident();
        model.threshold.is_some_and(|threshold| threshold == 0 || bytes > threshold as u128)
            || model.max.is_some_and(|max| count > max)
            || self.bytes_of_victims() < model.asked as u128
    }

    fn let_go(&mut self, model: &Model) {
        while self.is_over(model) {
            // What can never fit goes first.
            let order = |entry: &Entry| {
                let is_heavy = model.threshold.is_some_and(|threshold| entry.size > threshold);
                let touched = |reference: &usize| model.references[*reference].touched;
                (!is_heavy, entry.references.iter().map(touched).max())
            };
            let kept = self.entries.iter_mut().filter(|entry| entry.state == State::Kept);
            let Some(oldest) = kept.min_by_key(|entry| order(entry)) else { return };
            oldest.state = State::Chosen;
            self.chosen.extend(&oldest.references);
        }
    }
}

impl Model {
    /// A collection up to the choice.
    fn choose(&self, roots: &[usize], held: &[usize]) -> Cycle {
        let mut cycle = Cycle {
            pages: vec![false; self.pages.len()],
            cells: vec![false; self.references.len()],
            ..Cycle::default()
        };
        roots.iter().for_each(|page| cycle.mark(self, *page));
        held.iter().for_each(|reference| cycle.find(self, *reference));
        for wave in 1..=WAVES {
            if !cycle.sort(self) && wave > 1 {
                break;
            }
            if wave == WAVES {
                cycle.keep(self);
                cycle.keep_all_that_is_found(self);
            }
            cycle.let_go(self);
            cycle.keep(self);
        }
        if self.has_callback {
            let victims: Vec<usize> = cycle.victims().map(|entry| entry.page).collect();
            victims.iter().for_each(|page| cycle.mark(self, *page));
            while let Some(reference) = cycle.found.pop() {
                cycle.carried.0 += 1;
                cycle.carried.1 += self.references[reference].size as u128;
                cycle.mark(self, self.references[reference].page);
            }
        }
        cycle
    }

    /// Readers got these meanwhile.
    fn rescue(&self, cycle: &mut Cycle, touched: &[usize]) {
        for reference in touched {
            if !cycle.chosen.contains(reference) {
                continue;
            }
            let of = |entry: &&mut Entry| entry.references.contains(reference);
            let entry =
                cycle.entries.iter_mut().find(of).expect("one that was chosen has an entry");
            if let State::ChosenHeld(size) = std::mem::replace(&mut entry.state, State::Kept) {
                // It counts as held.
                let (references, page) = (entry.references.clone(), entry.page);
                cycle.entries.retain(|entry| entry.page != page);
                cycle.chosen.retain(|chosen| !references.contains(chosen));
                cycle.held.insert(page, size);
            } else {
                let (references, page) = (entry.references.clone(), entry.page);
                cycle.chosen.retain(|chosen| !references.contains(chosen));
                cycle.mark(self, page);
            }
            cycle.is_carried_kept = true;
        }
        cycle.keep_all_that_is_found(self);
    }

    /// The end of a collection; the pages that are dropped.
    fn finish(&mut self, cycle: &Cycle) -> Vec<usize> {
        let mut dropped = Vec::new();
        for (page, is_marked) in cycle.pages.iter().enumerate() {
            if !is_marked && !std::mem::replace(&mut self.pages[page].is_dropped, true) {
                dropped.push(page);
            }
        }
        for victim in &cycle.chosen {
            self.references[*victim].is_gone = true;
        }
        let bytes = u64::try_from(cycle.bytes_of_victims()).unwrap_or(u64::MAX);
        self.evicted.0 += cycle.victims().count() as u64;
        self.evicted.1 = self.evicted.1.saturating_add(bytes);
        self.asked = 0;
        dropped
    }

    /// The pages that the callback is shown.
    fn shown(&self, cycle: &Cycle) -> Vec<usize> {
        let victims = cycle.victims().filter(|_| self.has_callback);
        victims.map(|entry| entry.page).collect()
    }

    fn touch(&mut self, reference: usize) {
        self.clock += 1;
        self.references[reference].touched = self.clock;
    }
}

// ---- the program

/// What the callback saw and linked back.
#[derive(Default)]
struct Seen {
    pages: Vec<usize>,
    roots: Vec<(usize, GcRoot<PageFamily>)>,
}

struct Run {
    space: CSpace,
    model: Model,
    rng: Rng,
    dropped: Dropped,
    seen: Arc<Mutex<Seen>>,
    roots: Vec<(usize, GcRoot<PageFamily>)>,
    pins: Vec<(usize, EvictionPin<PageFamily>)>,
    held: Vec<(usize, EvictableRoot<PageFamily>)>,
    log: Vec<String>,
}

/// Whether the callback links a page back.
fn is_linked_back(page: usize) -> bool {
    page % 3 == 0
}

/// What is there, found by walking: pages by number, and references.
struct There<'gc> {
    pages: BTreeMap<usize, Gc<'gc, Page<'gc>>>,
    references: BTreeMap<usize, Evictable<'gc, Page<'gc>>>,
}

impl Run {
    fn new(rng: Rng) -> Run {
        let space = CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap();
        let (model, dropped, seen) = (Model::default(), Dropped::default(), Arc::default());
        let (roots, pins, held, log) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Run { space, model, rng, dropped, seen, roots, pins, held, log }
    }

    /// Walks, looking and not touching, and checks that the model sees the same.
    fn walk<'gc>(&self, cx: &impl CellAndAccess<'gc>) -> There<'gc> {
        let mut there = There { pages: BTreeMap::new(), references: BTreeMap::new() };
        let mut stack: Vec<Gc<'gc, Page<'gc>>> = Vec::new();
        stack.extend(self.roots.iter().map(|(_, root)| root.get(cx)));
        stack.extend(self.pins.iter().map(|(_, pin)| pin.get(cx)));
        let look = |id: usize, reference: Evictable<'gc, Page<'gc>>, there: &mut There<'gc>| {
            there.references.insert(id, reference);
            let page = reference.peek(cx);
            let model = &self.model.references[id];
            assert_eq!(page.map(|page| page.id()), (!model.is_gone).then_some(model.page));
            assert_eq!(
                (page.is_none(), model.size),
                (reference.is_evicted(cx), reference.size_bytes(cx))
            );
            page
        };
        for (id, root) in &self.held {
            stack.extend(look(*id, root.evictable(cx), &mut there));
        }
        while let Some(page) = stack.pop() {
            if there.pages.insert(page.id(), page).is_some() {
                continue;
            }
            let model = &self.model.pages[page.id()];
            assert!(!model.is_dropped, "page {} is there", page.id());
            let strong = page.strong.borrow(cx);
            assert!(strong.iter().map(|page| page.id()).eq(model.strong.iter().copied()));
            stack.extend(strong.iter());
            let soft = page.soft.borrow(cx);
            assert!(soft.iter().map(|(id, _)| *id).eq(model.soft.iter().copied()));
            for (id, reference) in soft.iter() {
                stack.extend(look(*id, *reference, &mut there));
            }
        }
        there
    }

    fn roots_of_model(&self) -> (Vec<usize>, Vec<usize>) {
        let roots = self.roots.iter().map(|(page, _)| *page);
        let pins = self.pins.iter().map(|(page, _)| *page);
        (roots.chain(pins).collect(), self.held.iter().map(|(reference, _)| *reference).collect())
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..=6 => self.make(),
            7..=11 => self.touch(),
            12 => self.link(),
            13 => self.drop_one(),
            14 => self.resize(),
            15 => self.set_limits(),
            16 => self.pin(),
            17 => self.collect_in_phases(),
            _ => self.collect(),
        }
    }

    fn size(&mut self) -> usize {
        if self.rng.one_in(60) {
            usize::MAX / 2
        } else {
            self.rng.below(20)
        }
    }

    /// Makes a page, most of the time with an evictable reference that is held somewhere.
    fn make(&mut self) {
        let id = self.model.pages.len();
        let (kind, size, pick) = (self.rng.below(8), self.size(), self.rng.next() as usize);
        self.log.push(format!("make page {id} ({kind}), size {size}"));
        self.model.pages.push(ModelPage::default());
        let space = self.space.clone();
        space.exclusive(|cx| {
            let there = self.walk(cx);
            let probe = Static(Probe(id, Arc::clone(&self.dropped)));
            let page = cx.alloc(Page {
                probe,
                strong: GcCell::new(Vec::new()),
                soft: GcCell::new(Vec::new()),
            });
            let others: Vec<usize> = there.pages.keys().copied().collect();
            let other = (!others.is_empty()).then(|| others[pick % others.len().max(1)]);
            if kind == 0 {
                self.roots.push((id, cx.root(page)));
                return;
            }
            if let (1 | 2, Some(other)) = (kind, other) {
                page.strong.borrow_mut(cx).push(there.pages[&other]);
                self.model.pages[id].strong.push(other);
            }
            // Of some, a second reference to a page that is there.
            let (target, target_id) = match (kind, other) {
                (3, Some(other)) => (there.pages[&other], other),
                _ => (page, id),
            };
            let number = self.model.references.len();
            let reference = if size % 2 == 0 {
                cx.evictable_with_size(target, size)
            } else {
                let reference = cx.evictable(target);
                reference.set_size_bytes(cx, size);
                reference
            };
            self.model.references.push(Reference {
                page: target_id,
                size,
                touched: 0,
                is_gone: false,
            });
            self.model.touch(number);
            match (kind, other) {
                (4.., Some(other)) => {
                    there.pages[&other].soft.borrow_mut(cx).push((number, reference));
                    self.model.pages[other].soft.push(number);
                }
                _ => {
                    // The same cell as a root: made anew, as a copy cannot be.
                    let root = cx.evictable_root(target);
                    root.evictable(cx).set_size_bytes(cx, size);
                    self.model.touch(number);
                    self.held.push((number, root));
                }
            }
        });
    }

    fn touch(&mut self) {
        let (pick, kind) = (self.rng.next() as usize, self.rng.below(6));
        let space = self.space.clone();
        let touch = |run: &mut Run, number: Option<usize>| {
            if let Some(number) = number {
                run.log.push(format!("touch {number} ({kind})"));
                if !run.model.references[number].is_gone && kind != 0 {
                    run.model.touch(number);
                }
            }
        };
        let chosen = |there: &There<'_>| {
            let numbers: Vec<usize> = there.references.keys().copied().collect();
            (!numbers.is_empty()).then(|| numbers[pick % numbers.len().max(1)])
        };
        let number = match kind {
            0 | 1 => space.exclusive(|cx| {
                let there = self.walk(cx);
                let number = chosen(&there)?;
                let reference = there.references[&number];
                let got = if kind == 0 { reference.peek(cx) } else { reference.get(cx) };
                assert_eq!(got.is_none(), self.model.references[number].is_gone);
                Some(number)
            }),
            _ => space.shared(|cx| {
                let there = self.walk(cx);
                let number = chosen(&there)?;
                let reference = there.references[&number];
                let touched = if kind == 2 && pick % 16 == 0 {
                    thread::scope(|threads| {
                        threads.spawn(|| reference.set_touched(cx)).join().unwrap()
                    })
                } else {
                    reference.set_touched(cx)
                };
                assert_eq!(touched, !self.model.references[number].is_gone);
                Some(number)
            }),
        };
        touch(self, number);
    }

    fn link(&mut self) {
        let pick = self.rng.next() as usize;
        let space = self.space.clone();
        space.exclusive(|cx| {
            let there = self.walk(cx);
            let ids: Vec<usize> = there.pages.keys().copied().collect();
            if ids.is_empty() {
                return;
            }
            let (from, to) = (ids[pick % ids.len()], ids[(pick >> 20) % ids.len()]);
            self.log.push(format!("link {from} to {to}"));
            there.pages[&from].strong.borrow_mut(cx).push(there.pages[&to]);
            self.model.pages[from].strong.push(to);
        });
    }

    fn drop_one(&mut self) {
        let pick = self.rng.next() as usize;
        let counts = [self.roots.len(), self.pins.len(), self.held.len()];
        let Some(kind) = (0..3).map(|at| (at + pick % 3) % 3).find(|kind| counts[*kind] > 0) else {
            return;
        };
        let at = (pick >> 8) % counts[kind];
        self.log.push(format!("drop {at} of {kind}"));
        match kind {
            0 => drop(self.roots.swap_remove(at)),
            1 => drop(self.pins.swap_remove(at)),
            _ => drop(self.held.swap_remove(at)),
        }
    }

    fn resize(&mut self) {
        let (pick, size) = (self.rng.next() as usize, self.size());
        let space = self.space.clone();
        space.shared(|cx| {
            let there = self.walk(cx);
            let numbers: Vec<usize> = there.references.keys().copied().collect();
            if numbers.is_empty() {
                return;
            }
            let number = numbers[pick % numbers.len()];
            self.log.push(format!("size of {number} is {size}"));
            there.references[&number].set_size_bytes(cx, size);
            self.model.references[number].size = size;
        });
    }

    fn set_limits(&mut self) {
        let size = self.size();
        let pick = self.rng.below(8);
        self.log.push(format!("limit {pick} of {size}"));
        match pick {
            0 => self.model.threshold = None,
            1 => self.model.threshold = Some(0),
            2..=4 => self.model.threshold = Some(size.saturating_mul(4)),
            5 => self.model.max = None,
            6 => self.model.max = Some(size),
            _ => {
                self.model.has_callback = !self.model.has_callback;
                let seen = Arc::clone(&self.seen);
                if self.model.has_callback {
                    self.space.on_evict(move |cx, object| {
                        let page = object.downcast::<Page<'_>>().unwrap();
                        let mut seen = seen.lock().unwrap();
                        seen.pages.push(page.id());
                        if is_linked_back(page.id()) {
                            let root = cx.root(page);
                            seen.roots.push((page.id(), root));
                        }
                    });
                } else {
                    self.space.evictor().clear_on_evict();
                }
            }
        }
        self.space.set_eviction_threshold(self.model.threshold);
        self.space.set_max_evictable_objects(self.model.max);
    }

    fn pin(&mut self) {
        let pick = self.rng.next() as usize;
        let space = self.space.clone();
        space.shared(|cx| {
            let there = self.walk(cx);
            let numbers: Vec<usize> = there.references.keys().copied().collect();
            if numbers.is_empty() {
                return;
            }
            let number = numbers[pick % numbers.len()];
            self.log.push(format!("pin {number}"));
            let pin = there.references[&number].pin(cx);
            assert_eq!(pin.is_none(), self.model.references[number].is_gone);
            if let Some(pin) = pin {
                self.model.touch(number);
                self.pins.push((self.model.references[number].page, pin));
            }
        });
    }

    fn collect(&mut self) {
        let ask = if self.rng.one_in(4) { self.rng.below(40) } else { 0 };
        self.collect_asking(ask);
    }

    /// Collects, and again as long as the callback was shown anything.
    fn collect_asking(&mut self, ask: usize) {
        self.log.push(format!("collect, {ask} asked"));
        self.model.asked = ask;
        let (mut roots, held) = self.roots_of_model();
        let before = self.model.evicted;
        let (mut dropped, mut shown) = (Vec::new(), Vec::new());
        let cycle = loop {
            let cycle = self.model.choose(&roots, &held);
            dropped.extend(self.model.finish(&cycle));
            let shown_now = self.model.shown(&cycle);
            if shown_now.is_empty() {
                break cycle;
            }
            roots.extend(shown_now.iter().filter(|page| is_linked_back(**page)));
            shown.extend(shown_now);
        };
        if ask > 0 {
            let evicted = self.space.try_evict(ask).unwrap();
            assert_eq!(evicted.objects, self.model.evicted.0 - before.0);
        } else {
            let report = self.space.collect().unwrap();
            assert_eq!(report.objects_evicted as u64, self.model.evicted.0 - before.0);
        }
        self.compare(&cycle, dropped, shown);
    }

    /// A collection phase by phase, with a reader in the middle, given up at times.
    fn collect_in_phases(&mut self) {
        let (give_up, reads) = (self.rng.one_in(3), self.rng.one_in(2));
        let picks: Vec<usize> = (0..3).map(|_| self.rng.next() as usize).collect();
        let (roots, held) = self.roots_of_model();
        let mut cycle = self.model.choose(&roots, &held);
        let claim = self.space.try_claim_cycle().unwrap();
        let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
        phase.mark().unwrap();
        let mut touched = Vec::new();
        if reads {
            let run = &*self;
            touched = thread::scope(|threads| {
                let read = || {
                    run.space.shared(|cx| {
                        // Nothing is decided yet: what the model sees is what was there before.
                        let there = run.walk(cx);
                        let numbers: Vec<usize> = there.references.keys().copied().collect();
                        let mut touched = Vec::new();
                        for pick in picks.iter().filter(|_| !numbers.is_empty()) {
                            let number = numbers[pick % numbers.len()];
                            if there.references[&number].get(cx).is_some() {
                                touched.push(number);
                            }
                        }
                        touched
                    })
                };
                threads.spawn(read).join().unwrap()
            });
        }
        self.log.push(format!("phases, touching {touched:?}, given up: {give_up}"));
        touched.iter().for_each(|number| self.model.touch(*number));
        if give_up {
            drop(phase);
            self.space.exclusive(|cx| _ = self.walk(cx));
            return;
        }
        self.model.rescue(&mut cycle, &touched);
        phase.drain_late().unwrap();
        let finish = phase.try_finish(Duration::from_secs(60)).ok().unwrap();
        let (batch, _) = finish.condemn().unwrap();
        batch.reclaim().ok().unwrap();
        self.space.deliver_evicted(LockWait::FOREVER);
        let dropped = self.model.finish(&cycle);
        let shown = self.model.shown(&cycle);
        let delivered = !shown.is_empty();
        self.compare(&cycle, dropped, shown);
        assert_eq!(
            (self.space.has_delivered(), self.space.wants_collection()),
            (delivered, delivered)
        );
        if delivered {
            // Else the next access does.
            self.collect_asking(0);
        }
    }

    /// After a collection.
    fn compare(&mut self, cycle: &Cycle, mut expected: Vec<usize>, mut shown: Vec<usize>) {
        let mut dropped = std::mem::take(&mut *self.dropped.lock().unwrap());
        dropped.sort_unstable();
        expected.sort_unstable();
        assert_eq!(dropped, expected, "dropped pages");
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        shown.sort_unstable();
        seen.pages.sort_unstable();
        assert_eq!(seen.pages, shown, "pages that the callback saw");
        self.roots.append(&mut seen.roots);
        let marked = |marks: &[bool]| marks.iter().filter(|mark| **mark).count();
        assert_eq!(self.space.num_objects(), marked(&cycle.pages) + marked(&cycle.cells));
        let stats = self.space.eviction_stats();
        let (count, bytes) = cycle.resident();
        assert_eq!(stats.objects_resident, count);
        assert_eq!(stats.bytes_resident, usize::try_from(bytes).unwrap_or(usize::MAX));
        assert_eq!((stats.objects_evicted, stats.bytes_evicted), self.model.evicted);
        self.space.shared(|cx| _ = self.walk(cx));
    }
}

/// A token that reads handles and cells.
trait CellAndAccess<'gc>: Access<'gc> + CellAccess<'gc> {}
impl<'gc, A: Access<'gc> + CellAccess<'gc>> CellAndAccess<'gc> for A {}

/// Runs a program; panics where it does not agree, and says before what was done.
pub fn run(rng: Rng, name: &str) {
    let mut run = Run::new(rng);
    let done = catch_unwind(AssertUnwindSafe(|| {
        (0..STEPS).for_each(|_| run.step());
        run.collect();
        assert!(run.space.verify().unwrap().is_clean());
    }));
    if let Err(panic) = done {
        eprintln!("program {name}:\n  {}", run.log.join("\n  "));
        resume_unwind(panic);
    }
}

#[test]
fn programs_with_evictable_objects_agree_with_a_naive_lru() {
    let seed = from_env("CSPACE_MODEL_SEED").unwrap_or(1);
    let count = from_env("CSPACE_MODEL_PROGRAMS").unwrap_or(PROGRAMS);
    for seed in seed..seed + count {
        run(Rng::new(seed), &format!("with CSPACE_MODEL_SEED={seed}"));
    }
}
