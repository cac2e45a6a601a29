//! [`WeakValueMap`]: a table that finds objects by a key and keeps none of them alive.
//!
//! It is a hash table of [`GcWeak`]s: what is dead is known by the weak cells, which the collector empties. Dead
//! entries and their keys are dropped by the mutator, on the way of insertions; no key's `Hash`, `Eq` or `Drop`
//! ever runs in a collection.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use std::collections::hash_map::RandomState;
use std::collections::HashMap;

use crate::access::{Access, Alloc};
use crate::brand::Family;
use crate::gc::Gc;
use crate::nesting::{Depth, Drops};
use crate::object::{IObject, Rootable};
use crate::visitor::Visitor;
use crate::weak::GcWeak;

/// Entries that a map may have before it looks for dead ones.
const PURGE_MIN: usize = 16;

/// A map from keys to objects that does not keep the objects alive: a registry, a cache of what exists anyway.
///
/// Use it to find the one object for a file name, a number, a tuple, for as long as somebody uses the object. Keys are
/// parts of objects with [`Hash`] and [`Eq`]; handles in them are strong, for as long as the entry is there. To find
/// objects by what is in themselves, as an interning table does, a [`WeakSet`](crate::WeakSet) needs no keys. The map
/// lives in an object's [`GcCell`](crate::GcCell), in an [`OwnedRoot`](crate::OwnedRoot), or wherever else an object
/// type may. The hasher is `'static`, as for the standard library's maps.
///
/// ```
/// use cspace_core::{Space, WeakValueMap};
///
/// let space = Space::builder().build()?;
/// let mut modules = space.exclusive(|cx| cx.own_root(WeakValueMap::<String, u64>::new()));
/// space.exclusive(|cx| {
///     let module = cx.alloc(7u64);
///     modules.get_mut(cx).insert(cx, "std/io".to_string(), module);
///     assert_eq!(modules.get(cx).get(cx, "std/io"), Some(module));
///     assert_eq!(modules.get(cx).get(cx, "std/os"), None);
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
///
/// # When are keys dropped?
///
/// An entry whose object a collection finds dead is gone from the moment the collection ends: no function shows it.
/// Its key stays in the table until an insertion that would let the table grow, or
/// [`purge`](WeakValueMap::purge), drops it; or until the map goes. An entry also takes 16 bytes of the heap.
pub struct WeakValueMap<'gc, K, V, S = RandomState> {
    entries: HashMap<K, GcWeak<'gc, V>, S>,
    /// Entries to have before dead ones are looked for the next time.
    purge_at: usize,
}

impl<K, V, S: Default> Default for WeakValueMap<'_, K, V, S> {
    fn default() -> Self {
        WeakValueMap { entries: HashMap::default(), purge_at: PURGE_MIN }
    }
}

impl<K, V> WeakValueMap<'_, K, V> {
    /// An empty map.
    pub fn new() -> Self {
        WeakValueMap::default()
    }
}

impl<'gc, K, V, S> WeakValueMap<'gc, K, V, S>
where
    K: IObject<'gc> + Hash + Eq,
    V: IObject<'gc>,
    S: BuildHasher,
{
    /// An empty map that hashes keys in a way of your choice.
    pub fn with_hasher(hasher: S) -> Self {
        WeakValueMap { entries: HashMap::with_hasher(hasher), purge_at: PURGE_MIN }
    }

    /// The object of a key.
    #[inline]
    pub fn get<Q>(&self, cx: &impl Access<'gc>, key: &Q) -> Option<Gc<'gc, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.get(key)?.upgrade(cx)
    }

    /// Whether there is a live object for a key.
    #[inline]
    pub fn contains<Q>(&self, cx: &impl Access<'gc>, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(cx, key).is_some()
    }

    /// Sets the object of a key, and returns the one that it had.
    ///
    /// Drops dead entries now and then: as many insertions pay for it as it finds entries.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Alloc::alloc): an entry takes 16 bytes of the heap. If the drop of a dead entry's key panics. Nothing
    /// is inserted then.
    #[track_caller]
    pub fn insert(&mut self, cx: &Alloc<'gc>, key: K, value: Gc<'gc, V>) -> Option<Gc<'gc, V>> {
        let value = cx.downgrade(value);
        if self.entries.len() >= self.purge_at {
            self.purge(cx);
        }
        self.entries.insert(key, value)?.upgrade(cx)
    }

    /// Takes the entry of a key out, and returns its object.
    pub fn remove<Q>(&mut self, cx: &Alloc<'gc>, key: &Q) -> Option<Gc<'gc, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.remove(key)?.upgrade(cx)
    }

    /// The entries whose objects no collection found dead, in no order. Until the next collection ends that includes
    /// objects that nothing else refers to.
    pub fn iter<'a>(
        &'a self,
        cx: &'a impl Access<'gc>,
    ) -> impl Iterator<Item = (&'a K, Gc<'gc, V>)> + 'a
    where
        'gc: 'a,
    {
        self.entries.iter().filter_map(|(key, value)| Some((key, value.upgrade(cx)?)))
    }

    /// Keeps the entries for which `keep` says so, drops the others and the dead ones.
    pub fn retain(&mut self, cx: &Alloc<'gc>, mut keep: impl FnMut(&K, Gc<'gc, V>) -> bool) {
        self.entries.retain(|key, value| value.upgrade(cx).is_some_and(|value| keep(key, value)));
        let count = self.entries.len();
        // Walking a table costs its capacity, so what is kept has to have its size.
        if self.entries.capacity() / 8 > count.max(PURGE_MIN) {
            self.entries.shrink_to(count * 2);
        }
        self.purge_at = (count * 2).max(PURGE_MIN);
    }

    /// Drops dead entries and their keys now, and returns how many there were.
    pub fn purge(&mut self, cx: &Alloc<'gc>) -> usize {
        let before = self.entries.len();
        self.retain(cx, |_, _| true);
        before - self.entries.len()
    }

    /// How many entries there are, counting some that may be dead by now.
    pub fn len_hint(&self) -> usize {
        self.entries.len()
    }
}

#[doc(hidden)]
pub struct WeakValueMapFamily<R, T, S>(Family<R>, Family<T>, Family<S>);
impl<R: Rootable, T: Rootable, S: Send + Sync + 'static> Rootable for WeakValueMapFamily<R, T, S> {
    type At<'gc> = WeakValueMap<'gc, R::At<'gc>, T::At<'gc>, S>;
}
// SAFETY: the one part that holds handles is visited; the family carries the families and the hasher's type.
unsafe impl<'gc, K, V, S> IObject<'gc> for WeakValueMap<'gc, K, V, S>
where
    K: IObject<'gc> + 'gc,
    V: IObject<'gc> + 'gc,
    S: Send + Sync + 'static,
{
    type R = WeakValueMapFamily<K::R, V::R, S>;
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        self.entries.visit_objects(visitor);
    }
    const MAY_NEST: bool = true;
    fn is_deeper_than(&self, depth: Depth) -> bool {
        self.entries.is_deeper_than(depth)
    }
    unsafe fn drop_parts(this: *mut Self, drops: &mut Drops<'_>) {
        // SAFETY: the caller's promise, for what there is to drop.
        unsafe { IObject::drop_parts(&raw mut (*this).entries, drops) };
    }
}
