//! The naive heap: what a program's objects are, in plain Rust.

use std::collections::BTreeSet;

use crate::objects::Kind;

/// What a slot holds, by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    Nothing,
    Number(u32),
    Object(usize),
}

impl Value {
    pub fn object(self) -> Option<usize> {
        match self {
            Value::Object(number) => Some(number),
            _ => None,
        }
    }
}

pub struct ModelObject {
    pub kind: Kind,
    pub values: Vec<Value>,
    /// The weak cells that the object refers to.
    pub weaks: Vec<Option<usize>>,
    /// Of a weak cell.
    pub target: Option<usize>,
    /// Of an object with a weak set: hash and object.
    pub names: Vec<(u64, usize)>,
    pub tracker: Option<u32>,
    pub dead: bool,
    /// It was alive in the last collection.
    pub old: bool,
}

/// What an owned root holds.
pub struct ModelMachine {
    pub tracker: u32,
    pub things: Vec<usize>,
    /// The whole capacity, with what lies above the length.
    pub stack: Vec<Value>,
    pub stack_len: usize,
    pub names: Vec<(u64, usize)>,
    /// Weak cells.
    pub weaks: Vec<usize>,
}

#[derive(Default)]
pub struct ModelHeap {
    pub objects: Vec<ModelObject>,
    pub root_set: BTreeSet<usize>,
    /// Trackers of owned values whose handles are gone.
    pub dropped_machines: Vec<u32>,
    /// Trackers that must have been dropped.
    pub dead_trackers: Vec<u32>,
}

impl ModelHeap {
    pub fn add(&mut self, kind: Kind, values: Vec<Value>, tracker: Option<u32>) -> usize {
        let weaks = if kind == Kind::Watch { vec![None; 2] } else { Vec::new() };
        self.objects.push(ModelObject {
            kind,
            values,
            weaks,
            target: None,
            names: Vec::new(),
            tracker,
            dead: false,
            old: false,
        });
        self.objects.len() - 1
    }

    pub fn add_cell(&mut self, target: usize) -> usize {
        let cell = self.add(Kind::Cell, Vec::new(), None);
        self.objects[cell].target = Some(target);
        cell
    }

    pub fn alive_count(&self) -> usize {
        self.objects.iter().filter(|object| !object.dead).count()
    }

    /// What was alive in the last collection.
    pub fn old(&self) -> Vec<usize> {
        let numbered = self.objects.iter().enumerate();
        numbered.filter(|(_, object)| object.old).map(|(number, _)| number).collect()
    }

    /// What the roots and owned values reach.
    pub fn reachable<'m>(
        &self,
        roots: impl IntoIterator<Item = usize>,
        machines: impl IntoIterator<Item = &'m ModelMachine>,
    ) -> Vec<bool> {
        let mut reached = vec![false; self.objects.len()];
        let mut gray: Vec<usize> = roots.into_iter().chain(self.root_set.iter().copied()).collect();
        for machine in machines {
            gray.extend(&machine.things);
            gray.extend(&machine.weaks);
            gray.extend(machine.stack[..machine.stack_len].iter().filter_map(|v| v.object()));
        }
        while let Some(number) = gray.pop() {
            if std::mem::replace(&mut reached[number], true) {
                continue;
            }
            let object = &self.objects[number];
            assert!(!object.dead, "the model reaches object {number}, which it says is dead");
            gray.extend(object.values.iter().filter_map(|value| value.object()));
            gray.extend(object.weaks.iter().flatten());
        }
        reached
    }

    /// Everything that was not reached is dead.
    pub fn collect<'m>(
        &mut self,
        reached: &[bool],
        machines: impl IntoIterator<Item = &'m mut ModelMachine>,
    ) {
        for (number, object) in self.objects.iter_mut().enumerate() {
            if !reached[number] && !object.dead {
                object.dead = true;
                self.dead_trackers.extend(object.tracker);
            }
            object.old = !object.dead;
            object.target = object.target.filter(|target| reached[*target]);
            object.names.retain(|(_, name)| reached[*name]);
        }
        for machine in machines {
            machine.names.retain(|(_, name)| reached[*name]);
            machine.stack[machine.stack_len..].fill(Value::Nothing);
        }
        self.dead_trackers.append(&mut self.dropped_machines);
    }
}
