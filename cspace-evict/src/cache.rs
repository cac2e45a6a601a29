//! [`EvictableCache`]: a map of evictable objects that threads share, with one loader for each key at a time.
//!
//! The map is an object of the space, which the cache has a root to; so what is in the cache is found by tracing, and
//! a value may refer to anything, the cache's own map included. Beside it, outside of the heap, is a table of the
//! [flights](Flights): the loads that are under way.

use core::fmt;
use core::hash::Hash;
use std::sync::Arc;

use cspace_core::collector::ForCollectors;
use cspace_core::{
    Access, Alloc, CellAccess, Exclusive, Gc, GcCell, GcRoot, LockError, Rootable, Space, Static,
    Wait, WrongSpace,
};

use crate::error::LoadError;
use crate::flight::{Circular, Flights};
use crate::map::{EvictableMap, MapLimit};

/// The cache's object.
type Table<'gc, K, V> = GcCell<'gc, EvictableMap<'gc, Static<K>, V>>;
/// Its family.
type TableFamily<K, R> = Rootable![Table<'_, K, <R as Rootable>::At<'_>>];

/// A keyed cache of objects of a space, which the space keeps while it can afford to.
///
/// For what an interpreter can make again: compiled code, inline data, pages from a disk. A handle: `Clone`, `Send`,
/// `Sync`; every thread that has access to the space uses it. The values are objects and may refer to any others. An
/// entry goes when the space lets go of its object in a collection (see
/// [`Evictor`](crate::Evictor)), when the cache's own limit is passed, or by [`invalidate`](EvictableCache::invalidate).
///
/// [`get`](EvictableCache::get) takes any access and neither a lock nor a shared counter.
/// [`get_or_load`](EvictableCache::get_or_load) is for loads that take long: it runs them with nothing locked, one for a
/// key at a time, and whoever asks for the key meanwhile waits for it.
///
/// ```
/// use cspace_core::Space;
/// use cspace_evict::EvictableCache;
///
/// let space = Space::builder().build()?;
/// let sources = space.exclusive(|cx| EvictableCache::<String, String>::new(cx));
/// let read = |name: &String| {
///     let load = || std::io::Result::Ok(format!("the text of {name}"));
///     sources.get_or_load(&space, name, load, |cx, text| cx.alloc(text))
/// };
/// let root = read(&"main".to_string())?;
/// space.shared(|cx| {
///     assert_eq!(root.get(cx).as_str(), "the text of main");
///     assert!(sources.get(cx, &"main".to_string()).is_some());
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The cache keeps its map alive, and with it what the space keeps of its values: an object must not own (in a
/// [`Static`]) a cache of its own space whose values refer to the object, else with enough memory neither ever
/// goes. For a cache that belongs to an object put an [`EvictableMap`] into it.
pub struct EvictableCache<K: Send + Sync + 'static, R: Rootable> {
    shared: Arc<Shared<K, R>>,
}

struct Shared<K: Send + Sync + 'static, R: Rootable> {
    table: GcRoot<TableFamily<K, R>>,
    flights: Flights<K>,
}

impl<K, R> EvictableCache<K, R>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    R: Rootable,
{
    /// An empty cache in a space, without a limit of its own.
    ///
    /// # Panics
    ///
    /// If the heap is full, as [`Alloc::alloc`].
    pub fn new<'gc>(cx: &Alloc<'gc>) -> EvictableCache<K, R> {
        EvictableCache::from_map(cx, EvictableMap::new())
    }

    /// An empty cache in a space, with a limit of its own.
    ///
    /// # Panics
    ///
    /// If the heap is full, as [`Alloc::alloc`].
    pub fn with_limit<'gc>(cx: &Alloc<'gc>, limit: MapLimit) -> EvictableCache<K, R> {
        EvictableCache::from_map(cx, EvictableMap::with_limit(limit))
    }

    fn from_map<'gc>(
        cx: &Alloc<'gc>,
        map: EvictableMap<'gc, Static<K>, R::At<'gc>>,
    ) -> EvictableCache<K, R> {
        let table = cx.root(cx.alloc(GcCell::new(map)));
        EvictableCache { shared: Arc::new(Shared { table, flights: Flights::new() }) }
    }

    /// The object for a key, if it is there. Touches it.
    ///
    /// # Panics
    ///
    /// If the cache belongs to another space; [`try_get`](EvictableCache::try_get) returns that as an error.
    #[inline]
    #[track_caller]
    pub fn get<'gc>(
        &self,
        cx: &(impl Access<'gc> + CellAccess<'gc>),
        key: &K,
    ) -> Option<Gc<'gc, R::At<'gc>>> {
        self.shared.table.get(cx).borrow(cx).get(cx, key)
    }

    /// As [`get`](EvictableCache::get), or an error if the cache belongs to another space.
    #[inline]
    pub fn try_get<'gc>(
        &self,
        cx: &(impl Access<'gc> + CellAccess<'gc>),
        key: &K,
    ) -> Result<Option<Gc<'gc, R::At<'gc>>>, WrongSpace> {
        Ok(self.shared.table.try_get(cx)?.borrow(cx).get(cx, key))
    }

    /// Puts an object in for a key, as touched now; returns the one that was there. One that stands for more bytes than
    /// the limit by itself is not put in ([`EvictableMap::insert`]).
    ///
    /// # Panics
    ///
    /// If the cache belongs to another space, or the heap is full.
    #[track_caller]
    pub fn insert<'gc>(
        &self,
        cx: &mut Exclusive<'gc>,
        key: K,
        object: Gc<'gc, R::At<'gc>>,
    ) -> Option<Gc<'gc, R::At<'gc>>> {
        let (table, value) = (self.shared.table.get(cx), cx.evictable(object));
        let (alloc, cells) = cx.split();
        table.borrow_mut(cells).insert(alloc, Static(key), value)
    }

    /// Removes the entry for a key; returns its object. A load of it that is under way goes on, and puts in what
    /// it loads.
    ///
    /// # Panics
    ///
    /// If the cache belongs to another space.
    #[track_caller]
    pub fn invalidate<'gc>(&self, cx: &mut Exclusive<'gc>, key: &K) -> Option<Gc<'gc, R::At<'gc>>> {
        let table = self.shared.table.get(cx);
        let (alloc, cells) = cx.split();
        table.borrow_mut(cells).remove(alloc, key)
    }

    /// Removes all entries.
    ///
    /// # Panics
    ///
    /// If the cache belongs to another space.
    #[track_caller]
    pub fn invalidate_all<'gc>(&self, cx: &mut Exclusive<'gc>) {
        let table = self.shared.table.get(cx);
        // The keys' drops are the user's: with nothing borrowed.
        let map = table.borrow_mut(cx);
        let empty = match map.limit() {
            None => EvictableMap::new(),
            Some(limit) => EvictableMap::with_limit(limit),
        };
        drop(core::mem::replace(map, empty));
    }

    /// Calls `f` with each key and object that is there, in no particular order. Touches none.
    ///
    /// # Panics
    ///
    /// If the cache belongs to another space.
    #[track_caller]
    pub fn for_each<'gc>(
        &self,
        cx: &(impl Access<'gc> + CellAccess<'gc>),
        mut f: impl FnMut(&K, Gc<'gc, R::At<'gc>>),
    ) {
        let table = self.shared.table.get(cx);
        table.borrow(cx).iter(cx).for_each(|(key, object)| f(key, object));
    }

    /// How many entries there are, counting those of objects that were let go of and not come across since.
    ///
    /// # Panics
    ///
    /// If the cache belongs to another space.
    #[track_caller]
    pub fn len_hint<'gc>(&self, cx: &(impl Access<'gc> + CellAccess<'gc>)) -> usize {
        self.shared.table.get(cx).borrow(cx).len_hint()
    }

    /// Sets the limit of the cache's own, and removes what is over it.
    ///
    /// # Panics
    ///
    /// If the cache belongs to another space.
    #[track_caller]
    pub fn set_limit<'gc>(&self, cx: &mut Exclusive<'gc>, limit: Option<MapLimit>) {
        let table = self.shared.table.get(cx);
        let (alloc, cells) = cx.split();
        table.borrow_mut(cells).set_limit(alloc, limit);
    }

    /// The object for a key, which is made within this access if it is not there. Touches it.
    ///
    /// `make` may use the cache, but not for this key.
    ///
    /// # Errors
    ///
    /// If `make` fails; if the key is being loaded, by this thread ([`LoadError::Reentered`]) or another
    /// ([`LoadError::Busy`]), which cannot be waited for in an access; if the cache belongs to another space.
    pub fn get_or_make<'gc, E>(
        &self,
        cx: &mut Exclusive<'gc>,
        key: &K,
        make: impl FnOnce(&mut Exclusive<'gc>) -> Result<Gc<'gc, R::At<'gc>>, E>,
    ) -> Result<Gc<'gc, R::At<'gc>>, LoadError<E>> {
        if let Some(found) = self.try_get(cx, key)? {
            return Ok(found);
        }
        let _landing = match self.shared.flights.take_off(key) {
            Ok(landing) => landing,
            Err(flight) if flight.is_of_this_thread() => return Err(LoadError::Reentered),
            Err(_) => return Err(LoadError::Busy),
        };
        let object = make(cx).map_err(LoadError::Load)?;
        self.insert(cx, key.clone(), object);
        Ok(object)
    }

    /// A root of the object for a key, which is loaded if it is not there. Touches it.
    ///
    /// `load` runs with nothing locked; `make` makes an object of what it loaded, in an exclusive access. While a thread
    /// loads a key, others that ask for it wait, and then get what was loaded. If a load fails or panics, one of those
    /// that wait loads in its place.
    ///
    /// # Errors
    ///
    /// - [`LoadError::Load`]: `load` failed.
    /// - [`LoadError::Reentered`]: this thread is already loading the key, or the thread that does waits, by way of
    ///   others or not, for one that this thread loads, in this cache or another. `load` may use caches, but not in circles. A load that hands the question to
    ///   another thread and waits for that is a circle that is not seen: it hangs.
    /// - [`LoadError::HoldsSpace`]: this thread holds a space, or runs a drop of a sweep. The load that it would wait
    ///   for may want that space. Also if the object is there: what [`get`](EvictableCache::get) is for.
    /// - [`LoadError::Lock`], [`LoadError::WrongSpace`]: the space cannot be locked; the cache belongs to another one.
    ///
    /// # Panics
    ///
    /// As `load`, `make` and what the key does; the load has ended then, and the space is poisoned if that happened in
    /// an exclusive access: in `make`, or while the object was put in.
    pub fn get_or_load<T, E>(
        &self,
        space: &Space,
        key: &K,
        load: impl FnOnce() -> Result<T, E>,
        make: impl for<'gc> FnOnce(&mut Exclusive<'gc>, T) -> Gc<'gc, R::At<'gc>>,
    ) -> Result<GcRoot<R>, LoadError<E>> {
        if !Space::may_wait_for_cycle() {
            return Err(LoadError::HoldsSpace);
        }
        let landing = loop {
            if let Some(root) = self.find_root(space, key)? {
                return Ok(root);
            }
            match self.shared.flights.take_off(key) {
                Ok(landing) => break landing,
                Err(flight) => flight.wait()?,
            }
        };
        // The flight before may have ended after this thread looked.
        if let Some(root) = self.find_root(space, key)? {
            return Ok(root);
        }
        let loaded = load().map_err(LoadError::Load)?;
        let root = space.try_exclusive_within(Wait::Forever, |cx| {
            // Before the object is made: it would be for nothing.
            self.shared.table.try_get(cx)?;
            let object = make(cx, loaded);
            self.insert(cx, key.clone(), object);
            Ok::<_, WrongSpace>(cx.root(object))
        })??;
        drop(landing);
        Ok(root)
    }

    fn find_root(&self, space: &Space, key: &K) -> Result<Option<GcRoot<R>>, FindError> {
        let found = space.try_shared_within(Wait::Forever, |cx| {
            Ok::<_, WrongSpace>(self.try_get(cx, key)?.map(|object| cx.root(object)))
        })??;
        Ok(found)
    }
}

impl<E> From<Circular> for LoadError<E> {
    fn from(_: Circular) -> LoadError<E> {
        LoadError::Reentered
    }
}

/// Why a look for an object failed.
enum FindError {
    Lock(LockError),
    WrongSpace(WrongSpace),
}

impl From<LockError> for FindError {
    fn from(error: LockError) -> FindError {
        FindError::Lock(error)
    }
}

impl From<WrongSpace> for FindError {
    fn from(error: WrongSpace) -> FindError {
        FindError::WrongSpace(error)
    }
}

impl<E> From<FindError> for LoadError<E> {
    fn from(error: FindError) -> LoadError<E> {
        match error {
            FindError::Lock(error) => LoadError::Lock(error),
            FindError::WrongSpace(error) => LoadError::WrongSpace(error),
        }
    }
}

impl<K: Send + Sync + 'static, R: Rootable> Clone for EvictableCache<K, R> {
    fn clone(&self) -> Self {
        EvictableCache { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Send + Sync + 'static, R: Rootable> fmt::Debug for EvictableCache<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvictableCache")
            .field("loading", &self.shared.flights.len())
            .finish_non_exhaustive()
    }
}
