//! Global variables: found by name when code is loaded, by number when it runs.

use cspace::{Gc, IObject};

use crate::object::{LoxString, NameMap};
use crate::value::Value;

/// The global variables.
#[derive(IObject)]
pub(crate) struct Globals<'gc> {
    indices: NameMap<'gc, u32>,
    pub(crate) names: Vec<Gc<'gc, LoxString>>,
    /// `UNDEFINED` for those that are mentioned but not declared.
    pub(crate) values: Vec<Value<'gc>>,
}

impl<'gc> Globals<'gc> {
    pub(crate) fn new() -> Self {
        Globals { indices: NameMap::default(), names: Vec::new(), values: Vec::new() }
    }

    /// The number of the global with this name, which need not be declared.
    pub(crate) fn index_of(&mut self, name: Gc<'gc, LoxString>) -> usize {
        let next = self.names.len();
        let index = *self.indices.entry(name).or_insert(next as u32) as usize;
        if index == next {
            self.names.push(name);
            self.values.push(Value::UNDEFINED);
        }
        index
    }
}
