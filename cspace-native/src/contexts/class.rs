//! Where the data of classes is in a configuration.

use core::any::TypeId;
use core::ptr::NonNull;

use cspace_core::{Category, Charge, Ledger};

use super::handle::ContextHandle;
use crate::bump::NativeError;
use crate::source::{self, SystemFull};

/// Handles on the data of classes, by the types of class and data. The data lies in the configuration's memory, as all
/// that it owns.
#[derive(Default)]
pub(super) struct Classes {
    /// Sorted by the types.
    entries: Vec<Entry>,
    /// For the list; none until there is one.
    charge: Option<Charge>,
}

struct Entry {
    types: (TypeId, TypeId),
    owner: u64,
    place: NonNull<u8>,
}

// SAFETY: an entry gives nothing away by itself, as a handle does not.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

impl Classes {
    fn position(&self, types: (TypeId, TypeId)) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&types, |entry| entry.types)
    }

    /// The data `D` of a class `C`, if there is any.
    pub(super) fn find<C: 'static, D: 'static>(&self) -> Option<ContextHandle<D>> {
        let at = self.position((TypeId::of::<C>(), TypeId::of::<D>())).ok()?;
        let Entry { owner, place, .. } = self.entries[at];
        Some(ContextHandle::new(owner, place.cast()))
    }

    /// Makes room for one more.
    pub(super) fn reserve(&mut self, ledger: &Ledger) -> Result<(), NativeError> {
        if self.entries.len() < self.entries.capacity() {
            return Ok(());
        }
        let more = self.entries.len().max(4);
        let bytes = more * size_of::<Entry>();
        let pending = match &self.charge {
            Some(charge) => charge.try_begin_grow(bytes)?,
            None => ledger.try_begin_charge(Category::Contexts, bytes, bytes)?,
        };
        source::fail_if_due(bytes)?;
        self.entries.try_reserve_exact(more).map_err(|_| SystemFull { bytes })?;
        match &mut self.charge {
            Some(charge) => charge.add(pending),
            none => *none = Some(pending.complete()),
        }
        Ok(())
    }

    /// Adds the data of a class that has none of the type. Room was made for it.
    pub(super) fn insert<C: 'static, D: 'static>(&mut self, data: ContextHandle<D>) {
        let types = (TypeId::of::<C>(), TypeId::of::<D>());
        let (Ok(at) | Err(at)) = self.position(types);
        let ContextHandle { owner, place, .. } = data;
        self.entries.insert(at, Entry { types, owner, place: place.cast() });
    }
}
