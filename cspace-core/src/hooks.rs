//! Hooks: functions that see a part of an object when the object has been found dead.
//!
//! Named by `#[cspace(on_collect = "…")]` on a field of type [`Static`]. A dead object's references lead to memory
//! that may be swept, and a `Gc` dereferences without a token, so no hook sees more than the `'static` data of its
//! own field. What remains of a batch calls the hooks of an object before it drops the object, once, with nothing locked (B2).
//!
//! How hooks are found: `IObject::HAS_HOOKS` says whether a type may have some, `IObject::on_condemned` passes on to
//! the parts that may. What owns its parts through an allocation of its own says that it has: a type may contain
//! itself that way, and a constant cannot depend on itself. Such a type goes through `nesting.rs`, so that no value is too
//! deep. Keys of maps and elements of sets can only be changed when they are taken out, so they are, and dropped when the
//! hooks of all that is in them are done.

use crate::batch::guarded;
use crate::nesting::Nesting;
use crate::static_data::Static;

/// Calls hooks, and keeps what the panicking ones said. Only the derive's expansion calls it.
#[doc(hidden)]
pub struct Hooks<'p> {
    pub(crate) panics: &'p mut Vec<String>,
    pub(crate) nesting: Nesting<Hooks<'p>>,
}

impl<'p> Hooks<'p> {
    pub(crate) fn new(panics: &'p mut Vec<String>) -> Hooks<'p> {
        Hooks { panics, nesting: Nesting::new() }
    }

    /// Calls the hook of a field. Its panic is kept, so that other hooks are called too.
    pub fn call<F: HookedField>(&mut self, field: &mut F, hook: fn(&mut F::Data)) {
        guarded(self.panics, || hook(field.data()));
    }
}

mod sealed {
    /// Nothing but a `Static` may have a hook: what else it might show leads to dead objects.
    pub trait Sealed {}
    impl<T: 'static> Sealed for super::Static<T> {}
}

/// A field that may have a hook.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`#[cspace(on_collect = \"…\")]` is for fields of type `Static<…>`, not `{Self}`",
    label = "not a `Static<…>`",
    note = "a hook runs when the object is dead, so it must not see references to other objects: put the data that \
            it needs in a `Static<…>` field, and the attribute there"
)]
pub trait HookedField: sealed::Sealed {
    /// What the hook sees.
    type Data;
    /// It.
    fn data(&mut self) -> &mut Self::Data;
}

impl<T: 'static> HookedField for Static<T> {
    type Data = T;
    fn data(&mut self) -> &mut T {
        &mut self.0
    }
}
