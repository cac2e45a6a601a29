//! Programs: what they are, how they are made up, and how a failing one is made smaller.
//!
//! Arguments are plain numbers, which the run takes modulo what there is to choose from. So every part
//! of a program is a program, and making one smaller is leaving things out.

use crate::rng::Rng;

/// Something done within an exclusive access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Alloc,
    AllocMany,
    Load,
    Follow,
    Link,
    BagPush,
    BagPop,
    BagPushNew,
    Root,
    Unroot,
    WeakMake,
    WeakCopy,
    WeakUpgrade,
    NameInsert,
    NameFind,
    MachineNew,
    MachineDrop,
    MachinePush,
    MachinePop,
    MachineLoad,
    StackPush,
    StackPop,
    StackPoke,
    StackSetLen,
    MachineWeak,
    RootSetAdd,
    RootSetRemove,
    Count,
}

const ACTIONS: &[(Action, usize)] = &[
    (Action::Alloc, 24),
    (Action::AllocMany, 1),
    (Action::Load, 6),
    (Action::Follow, 8),
    (Action::Link, 20),
    (Action::BagPush, 4),
    (Action::BagPop, 3),
    (Action::BagPushNew, 2),
    (Action::Root, 4),
    (Action::Unroot, 3),
    (Action::WeakMake, 6),
    (Action::WeakCopy, 2),
    (Action::WeakUpgrade, 5),
    (Action::NameInsert, 6),
    (Action::NameFind, 4),
    (Action::MachineNew, 1),
    (Action::MachineDrop, 1),
    (Action::MachinePush, 2),
    (Action::MachinePop, 2),
    (Action::MachineLoad, 4),
    (Action::StackPush, 3),
    (Action::StackPop, 2),
    (Action::StackPoke, 3),
    (Action::StackSetLen, 2),
    (Action::MachineWeak, 2),
    (Action::RootSetAdd, 2),
    (Action::RootSetRemove, 2),
    (Action::Count, 2),
];

#[derive(Clone, Copy, Debug)]
pub struct Op {
    pub action: Action,
    pub a: u32,
    pub b: u32,
    pub c: u32,
}

/// Something done by a reader while a collection marks.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    RootByWeak(u32),
    RootByName(u32),
    RootByEdge(u32, u32),
    CloneRoot(u32),
    DropRoot(u32),
    DropMachine(u32),
}

/// How an exclusive access is entered.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    Exclusive,
    Transaction,
    Try,
    Timeout,
    /// The access ends in a panic.
    Panic,
}

#[derive(Clone, Debug)]
pub enum Step {
    Scope(Entry, Vec<Op>),
    /// Hold one guard for several steps.
    Hold(Vec<Step>),
    /// Within `Hold`: give the lock up meanwhile.
    Unlocked(Vec<Step>),
    /// Within `Hold`: give it up and take it again, as two calls.
    BeginEndUnlock,
    /// Work on an owned value by `scope_mut`.
    Machine(u32, Vec<Op>),
    Collect,
    /// Do the next part of a collection that comes of allocation.
    CollectInPart,
    /// Collect while a reader is inside; what the reader does happens during the mark.
    CollectBesideReader(u32, Vec<Reader>),
    /// Collect while holding another space, so that the sweep has to wait, and go on meanwhile.
    CollectDeferred(Vec<Op>),
    RequestGc,
    Safepoint,
    Read,
    CloneRoot(u32),
    DropRoot(u32),
    DropMachine(u32),
}

/// How a program's space ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    SpaceFirst,
    RootsFirst,
    WhileHoldingAnother,
    WithSweepDeferred,
    Destroy,
}

/// How a program's space is built.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub automatic: bool,
    pub stress: bool,
    pub budget_floor: usize,
    pub poison_freed: bool,
}

#[derive(Clone, Debug)]
pub struct Program {
    pub setting: Setting,
    pub steps: Vec<Step>,
    pub end: End,
}

/// The parts of programs that a test asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Only explicit collections.
    Explicit,
    /// Collections at safepoints, by tiny budgets or by stress.
    Automatic,
}

fn op(rng: &mut Rng) -> Op {
    let total: usize = ACTIONS.iter().map(|(_, weight)| weight).sum();
    let mut at = rng.below(total);
    let action = ACTIONS
        .iter()
        .find(|(_, weight)| {
            let here = at < *weight;
            at = at.wrapping_sub(*weight);
            here
        })
        .expect("the weights add up")
        .0;
    let mut argument = || rng.next() as u32 >> 8;
    Op { action, a: argument(), b: argument(), c: argument() }
}

fn ops(rng: &mut Rng, limit: usize) -> Vec<Op> {
    (0..=rng.below(limit)).map(|_| op(rng)).collect()
}

fn steps(rng: &mut Rng, count: usize, held: bool) -> Vec<Step> {
    (0..count).map(|_| step(rng, held)).collect()
}

fn reader(rng: &mut Rng) -> Reader {
    let a = rng.next() as u32 >> 8;
    match rng.below(8) {
        0 | 1 => Reader::RootByWeak(a),
        2 => Reader::RootByName(a),
        3 => Reader::RootByEdge(a, rng.next() as u32 >> 8),
        4 => Reader::CloneRoot(a),
        5 | 6 => Reader::DropRoot(a),
        _ => Reader::DropMachine(a),
    }
}

fn step(rng: &mut Rng, held: bool) -> Step {
    let argument = rng.next() as u32 >> 8;
    match rng.below(100) {
        0..=39 => {
            let entry = match rng.below(16) {
                0 => Entry::Transaction,
                1 => Entry::Try,
                2 => Entry::Timeout,
                3 if !held => Entry::Panic,
                _ => Entry::Exclusive,
            };
            Step::Scope(entry, ops(rng, 16))
        }
        40..=50 => Step::Collect,
        51..=57 => Step::CollectInPart,
        58..=62 => Step::Machine(argument, ops(rng, 8)),
        63..=69 => Step::Safepoint,
        70..=72 => Step::RequestGc,
        73..=77 => Step::Read,
        78..=82 => Step::DropRoot(argument),
        83..=85 => Step::CloneRoot(argument),
        86..=87 => Step::DropMachine(argument),
        choice if held => match choice {
            88..=92 => {
                let count = rng.below(3) + 1;
                Step::Unlocked(steps(rng, count, false))
            }
            93..=95 => Step::BeginEndUnlock,
            _ => Step::Collect,
        },
        88..=92 => {
            let count = rng.below(6) + 1;
            Step::Hold(steps(rng, count, true))
        }
        93..=96 => {
            let count = rng.below(6) + 1;
            Step::CollectBesideReader(argument, (0..count).map(|_| reader(rng)).collect())
        }
        _ => Step::CollectDeferred(ops(rng, 12)),
    }
}

impl Program {
    pub fn random(mut rng: Rng, family: Family) -> Program {
        let automatic = family == Family::Automatic;
        let setting = Setting {
            automatic,
            stress: automatic && rng.one_in(2),
            budget_floor: if automatic { 1 << (10 + rng.below(6)) } else { 32 << 20 },
            poison_freed: !rng.one_in(4),
        };
        let count = 4 + rng.below(24);
        let mut steps = steps(&mut rng, count, false);
        // Something to work with.
        steps.insert(0, Step::Scope(Entry::Exclusive, ops(&mut rng, 40)));
        let end = match rng.below(6) {
            0 => End::RootsFirst,
            1 => End::WhileHoldingAnother,
            2 => End::WithSweepDeferred,
            3 => End::Destroy,
            _ => End::SpaceFirst,
        };
        Program { setting, steps, end }
    }

    /// Leaves out what can be left out with the program still failing.
    pub fn shrink(mut self, fails: impl Fn(&Program) -> bool) -> Program {
        // A program of some size is read easily enough.
        let begun = std::time::Instant::now();
        loop {
            let mut smaller = None;
            let total = size(&self.steps);
            let mut chunk = total.max(1);
            'search: while chunk > 0 {
                let mut at = 0;
                while at < total {
                    if begun.elapsed().as_secs() > 30 {
                        return self;
                    }
                    let mut candidate = self.clone();
                    leave_out(&mut candidate.steps, &mut 0, at..at + chunk);
                    if size(&candidate.steps) < total && fails(&candidate) {
                        smaller = Some(candidate);
                        break 'search;
                    }
                    at += chunk;
                }
                chunk /= 2;
            }
            match smaller {
                Some(program) => self = program,
                None => return self,
            }
        }
    }
}

/// How many steps and operations there are.
fn size(steps: &[Step]) -> usize {
    steps
        .iter()
        .map(|step| {
            1 + match step {
                Step::Scope(_, ops) | Step::Machine(_, ops) | Step::CollectDeferred(ops) => {
                    ops.len()
                }
                Step::Hold(inner) | Step::Unlocked(inner) => size(inner),
                Step::CollectBesideReader(_, work) => work.len(),
                _ => 0,
            }
        })
        .sum()
}

/// Removes the steps and operations with the numbers in `range`, counted in order.
fn leave_out(steps: &mut Vec<Step>, next: &mut usize, range: std::ops::Range<usize>) {
    fn keep(next: &mut usize, range: &std::ops::Range<usize>) -> bool {
        *next += 1;
        !range.contains(&(*next - 1))
    }
    steps.retain_mut(|step| {
        let stays = keep(next, &range);
        match step {
            Step::Scope(_, ops) | Step::Machine(_, ops) | Step::CollectDeferred(ops) => {
                ops.retain(|_| keep(next, &range));
            }
            Step::CollectBesideReader(_, work) => work.retain(|_| keep(next, &range)),
            Step::Hold(inner) | Step::Unlocked(inner) => leave_out(inner, next, range.clone()),
            _ => {}
        }
        stays
    });
}
