//! [`Evictor`]: least recently used, by bytes and by number.

use core::fmt;
use std::sync::Arc;

use cspace_core::collector::{Candidate, EvictionNotice, EvictionPolicy, Residents, Tally};
use cspace_core::{CollectError, Exclusive, GcAny, Space};
use parking_lot::{Mutex, RwLock};

use crate::oldest::take_oldest;

type OnEvict = Arc<dyn for<'gc> Fn(&mut Exclusive<'gc>, GcAny<'gc>) + Send + Sync>;

/// Lets go of the least recently touched evictable objects of a space when all that are resident are more than a
/// threshold.
///
/// Made with the space by the facade, whose `CSpace` has its methods under ceda's names. By hand:
///
/// ```
/// use cspace_core::Space;
/// use cspace_evict::Evictor;
/// use cspace_gc::MarkSweep;
///
/// let evictor = Evictor::new();
/// let space = Space::builder()
///     .collector(MarkSweep::new())
///     .eviction_policy(evictor.clone())
///     .build()?;
/// evictor.set_eviction_threshold(Some(100));
/// let pages = space.exclusive(|cx| {
///     let pages: Vec<_> = (0..3u64).map(|page| cx.evictable_with_size(cx.alloc(page), 50)).collect();
///     pages[0].set_touched(cx);
///     cx.own_root(pages)
/// });
/// space.synchronous_gc()?;
/// let kept: Vec<_> = space.shared(|cx| {
///     pages.get(cx).iter().filter_map(|page| page.peek(cx)).map(|page| *page).collect()
/// });
/// assert_eq!(kept, [0, 2]);
/// assert_eq!(evictor.eviction_stats().bytes_resident, 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// One for each space: thresholds and statistics are of the objects of one.
#[derive(Default)]
pub struct Evictor {
    state: Mutex<State>,
    callback: RwLock<Option<OnEvict>>,
    /// Of the space that this is given to.
    notices: Mutex<Vec<EvictionNotice>>,
}

#[derive(Default)]
struct State {
    threshold: Option<usize>,
    objects_max: Option<usize>,
    /// Bytes to let go of that were asked for and no collection has begun to let go of.
    asked: usize,
    /// Those of the collection that is under way.
    serving: usize,
    stats: EvictionStats,
}

/// What is resident, and what was let go of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EvictionStats {
    /// Evictable references whose objects were kept by the last collection, those included whose objects something
    /// else holds.
    pub objects_resident: usize,
    /// Bytes that these stand for.
    pub bytes_resident: usize,
    /// Of those, the ones whose objects something else holds.
    pub objects_held: usize,
    /// Bytes that these stand for.
    pub bytes_held: usize,
    /// Evictable references let go of so far.
    pub objects_evicted: u64,
    /// Bytes that these stood for.
    pub bytes_evicted: u64,
    /// Evictable references that the last collection let go of.
    pub last_objects_evicted: usize,
    /// Bytes that these stood for.
    pub last_bytes_evicted: usize,
}

/// What was let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Evictable references.
    pub objects: u64,
    /// Bytes that they stood for.
    pub bytes: u64,
}

impl State {
    /// What must go of so much: a number, and bytes.
    fn excess(&mut self, residents: &Residents, candidate_bytes: u128) -> (usize, u128) {
        self.serving = self.serving.max(core::mem::take(&mut self.asked));
        let resident = residents.resident();
        let count = match (self.threshold, self.objects_max) {
            // None at all, also of those that stand for no bytes.
            (Some(0), _) => residents.candidates.count,
            (_, max) => max.map_or(0, |max| resident.count.saturating_sub(max)),
        };
        let bytes = residents.strong.bytes as u128 + candidate_bytes;
        let over = self.threshold.map_or(0, |max| bytes.saturating_sub(max as u128));
        let asked = self.serving.max(residents.lacking);
        let asked = asked.saturating_sub(residents.evicted.bytes) as u128;
        (count, over.max(asked))
    }
}

impl Evictor {
    /// One that keeps everything, until it is given a threshold.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Arc<Evictor> {
        Arc::new(Evictor::default())
    }

    /// How many bytes of evictable objects may be resident; `None`: all.
    pub fn eviction_threshold(&self) -> Option<usize> {
        self.state.lock().threshold
    }

    /// Sets how many bytes of evictable objects may be resident after a collection, from the next one on. `None`
    /// keeps all, 0 keeps none that nothing else holds.
    ///
    /// Objects that something else holds count, but are not let go of: with enough of them, all others go. One that
    /// stands for more than the threshold by itself goes first, and alone.
    ///
    /// In a space with a period the next collection comes when that is over, though nothing be allocated; without
    /// one, [ask](Space::request_gc) for it if it is urgent.
    pub fn set_eviction_threshold(&self, bytes: Option<usize>) {
        self.state.lock().threshold = bytes;
        self.tell_change();
    }

    /// How many evictable objects may be resident; `None`: any number.
    pub fn max_evictable_objects(&self) -> Option<usize> {
        self.state.lock().objects_max
    }

    /// Sets how many evictable objects may be resident after a collection, from the next one on, whatever their
    /// size.
    pub fn set_max_evictable_objects(&self, count: Option<usize>) {
        self.state.lock().objects_max = count;
        self.tell_change();
    }

    /// Tells the space that there may be something to let go of. With nothing locked: a notice may do more.
    fn tell_change(&self) {
        let notices = self.notices.lock().clone();
        notices.iter().for_each(EvictionNotice::tell);
    }

    /// Calls `f` with each object that is let go of from now on; instead of what was set before.
    ///
    /// It is called in an ordinary exclusive access after the collection that cleared the references, with the
    /// object whole: a dirty one can be written out. What it links back lives on, though not as the evictable that
    /// it was; make a new reference if it is to be one. What it does not goes in the next collection, which the last of
    /// the calls asks for; an explicit collection (`synchronous_gc`) makes that before it returns. What only victims lead
    /// to goes with them, without a call. Victims come in no particular order.
    ///
    /// Where a thread or a pool runs the space's collections, `f` is called there, and on threads that collect
    /// explicitly. If the lock cannot be had, as readers stay, it is tried again until it can. Without such a thread `f`
    /// is called by whoever collects, or at the next safepoint or end of an exclusive access.
    ///
    /// A panic is caught and told by an event ([`EvictionPanicked`](cspace_core::Event::EvictionPanicked)). It may
    /// allocate and request a collection; to wait for one in an access is an error as always. Objects that were
    /// not delivered when the space is destroyed are dropped without a call.
    pub fn on_evict(
        &self,
        f: impl for<'gc> Fn(&mut Exclusive<'gc>, GcAny<'gc>) + Send + Sync + 'static,
    ) {
        let before = self.callback.write().replace(Arc::new(f));
        // Its captures are the user's: dropped with nothing locked.
        drop(before);
    }

    /// Calls nothing any more.
    pub fn clear_on_evict(&self) {
        let before = self.callback.write().take();
        drop(before);
    }

    /// What is resident as of the last collection, and what was let go of so far. Stays with the space when its
    /// objects are merged into another one.
    pub fn eviction_stats(&self) -> EvictionStats {
        self.state.lock().stats.clone()
    }

    /// Collects now and lets go of least recently touched objects, until those resident are at least `bytes` fewer
    /// than they were found to be, or none is left that can go; and as many as the threshold says. Returns how many went since the
    /// call.
    ///
    /// # Errors
    ///
    /// As [`Space::synchronous_gc`]. The next collection will, then.
    pub fn try_evict(&self, space: &Space, bytes: usize) -> Result<Evicted, CollectError> {
        let before = self.ask(bytes);
        space.synchronous_gc()?;
        let stats = self.eviction_stats();
        Ok(Evicted {
            objects: stats.objects_evicted - before.objects_evicted,
            bytes: stats.bytes_evicted.saturating_sub(before.bytes_evicted),
        })
    }

    /// Has the next collection let go of at least `bytes` of evictable objects, and asks for one: for memory
    /// pressure, from any thread, inside of an access too. Of several requests before a collection the largest
    /// counts.
    pub fn request_evict(&self, space: &Space, bytes: usize) {
        self.ask(bytes);
        space.request_gc();
    }

    fn ask(&self, bytes: usize) -> EvictionStats {
        let mut state = self.state.lock();
        state.asked = state.asked.max(bytes);
        state.stats.clone()
    }
}

impl EvictionPolicy for Evictor {
    fn is_over(&self, residents: &Residents) -> bool {
        let bytes = residents.candidates.bytes;
        // A tally that is full may stand for more: `choose` adds up for itself.
        let bytes = bytes as u128 + u128::from(bytes == usize::MAX);
        self.state.lock().excess(residents, bytes) != (0, 0)
    }

    fn choose(&self, residents: &Residents, candidates: &mut [Candidate]) -> usize {
        // Their sum may be more than the tally can say.
        let bytes = candidates.iter().map(|candidate| candidate.size_bytes() as u128).sum();
        let (threshold, (count, bytes)) = {
            let mut state = self.state.lock();
            (state.threshold, state.excess(residents, bytes))
        };
        // What is larger than the threshold by itself goes whatever else does: first, so that nothing else has to.
        let (mut heavy, mut heavy_bytes) = (0, 0);
        for at in 0..candidates.len() {
            let size = candidates[at].size_bytes();
            if threshold.is_some_and(|max| size > max) {
                candidates.swap(at, heavy);
                heavy += 1;
                heavy_bytes += size as u128;
            }
        }
        let (count, bytes) = (count.saturating_sub(heavy), bytes.saturating_sub(heavy_bytes));
        heavy + take_oldest(&mut candidates[heavy..], Candidate::size_bytes, count, bytes)
    }

    fn note(&self, residents: &Residents) {
        let mut state = self.state.lock();
        state.serving = 0;
        let Tally { count, bytes } = residents.resident();
        let stats = &mut state.stats;
        (stats.objects_resident, stats.bytes_resident) = (count, bytes);
        (stats.objects_held, stats.bytes_held) = (residents.strong.count, residents.strong.bytes);
        let Tally { count, bytes } = residents.evicted;
        (stats.last_objects_evicted, stats.last_bytes_evicted) = (count, bytes);
        stats.objects_evicted += count as u64;
        stats.bytes_evicted = stats.bytes_evicted.saturating_add(bytes as u64);
    }

    fn attach(&self, notice: EvictionNotice) {
        let mut notices = self.notices.lock();
        notices.retain(|notice| !notice.is_stale());
        notices.push(notice);
    }

    fn wants_victims(&self) -> bool {
        self.callback.read().is_some()
    }

    fn on_evict<'gc>(&self, cx: &mut Exclusive<'gc>, object: GcAny<'gc>) {
        // Copied out: it may set another one.
        let callback = self.callback.read().clone();
        if let Some(callback) = callback {
            callback(cx, object);
        }
    }
}

impl fmt::Debug for Evictor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Evictor")
            .field("threshold", &state.threshold)
            .field("objects_max", &state.objects_max)
            .field("stats", &state.stats)
            .finish_non_exhaustive()
    }
}
