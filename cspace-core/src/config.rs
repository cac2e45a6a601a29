//! How a space is built.

use std::sync::Arc;
use std::time::Duration;

use crate::collector::Collector;
use crate::error::SettingError;
use crate::event::{Event, Listener};
use crate::eviction::EvictionPolicy;
use crate::space::Space;

/// What a panic in an exclusive access does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PanicPolicy {
    /// The space is poisoned: later locks fail until [`clear_poison`](Space::clear_poison). Memory
    /// safety holds regardless, and collections go on.
    #[default]
    Poison,
    /// The process is aborted, as ceda does: rather stop than persist a bad state.
    Abort,
}

/// The longest name of a space, in bytes.
const NAME_MAX: usize = 64;

pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) heap_bytes_max: usize,
    pub(crate) memory_limit: Option<usize>,
    pub(crate) memory_soft_limit: Option<usize>,
    pub(crate) budget_floor: usize,
    pub(crate) budget_factor: f64,
    pub(crate) minor_cycles: bool,
    pub(crate) incremental_marks: bool,
    pub(crate) stress: bool,
    pub(crate) poison_freed: bool,
    pub(crate) panic_policy: PanicPolicy,
    pub(crate) turn: Duration,
    pub(crate) collector: Option<Arc<dyn Collector>>,
    pub(crate) eviction: Option<Arc<dyn EvictionPolicy>>,
    pub(crate) listeners: Vec<Listener>,
}

/// Configures a [`Space`]. Every setting has a default.
///
/// ```
/// use cspace_core::Space;
///
/// let space = Space::builder().name("interpreter").max_heap_bytes(256 << 20).build()?;
/// assert_eq!(space.name(), "interpreter");
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder(Config);

impl Default for Builder {
    fn default() -> Self {
        Builder(Config {
            name: "space".to_string(),
            heap_bytes_max: usize::MAX,
            memory_limit: None,
            memory_soft_limit: None,
            budget_floor: 32 << 20,
            budget_factor: 1.0,
            minor_cycles: true,
            incremental_marks: true,
            stress: false,
            poison_freed: false,
            panic_policy: PanicPolicy::default(),
            turn: Duration::from_millis(1),
            collector: None,
            eviction: None,
            listeners: Vec::new(),
        })
    }
}

impl Builder {
    /// A name for messages and threads. Default: `space`.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.0.name = name.into();
        self
    }

    /// The most bytes that objects may take, those that are unreachable but not yet collected included.
    /// Allocations that would pass it fail. Collections begin when the room is nearly used up. Default: no limit.
    pub fn max_heap_bytes(mut self, bytes: usize) -> Builder {
        self.0.heap_bytes_max = bytes;
        self
    }

    /// The most bytes that objects and what is charged to the [`Ledger`](crate::Ledger) may take together. Allocations
    /// and charges that would pass it fail. Default: no limit. [`Ledger::set_limit`](crate::Ledger::set_limit) changes
    /// it later.
    pub fn memory_limit(mut self, bytes: usize) -> Builder {
        self.0.memory_limit = Some(bytes);
        self
    }

    /// With more bytes of objects and charges than these, collections are asked for that evict what is over.
    /// Default: no such limit. [`Ledger::set_soft_limit`](crate::Ledger::set_soft_limit) changes it later.
    pub fn memory_soft_limit(mut self, bytes: usize) -> Builder {
        self.0.memory_soft_limit = Some(bytes);
        self
    }

    /// The least number of bytes to allocate between two collections of a heap of some size. Larger: fewer
    /// collections, more memory. A heap with little alive is collected sooner, after 4 MiB and twice
    /// what is alive: that costs little and stays in the cache. Default: 32 MiB.
    pub fn gc_budget_floor(mut self, bytes: usize) -> Builder {
        self.0.budget_floor = bytes;
        self
    }

    /// How many bytes to allocate between two collections, as a multiple of those alive. Larger: fewer
    /// collections, more memory. Before a [minor](Builder::minor_collections) collection it is a quarter of that, but
    /// not less than the floor. Default: 1.0; 0.5 to 4 are sensible.
    pub fn gc_budget_factor(mut self, factor: f64) -> Builder {
        self.0.budget_factor = factor;
        self
    }

    /// Whether collections that come of allocation may be *minor*: they take everything to be alive that the one
    /// before found alive, and mark what was allocated since. They are made where most objects are of types that do
    /// not change (no slot, no cell), of which none is looked at again. What dies old waits for the next full
    /// collection: that is every one that is asked for or due by time, the next one
    /// after an allocation was denied, and when what is alive seems to
    /// have grown by half. Default: on.
    pub fn minor_collections(mut self, on: bool) -> Builder {
        self.0.minor_cycles = on;
        self
    }

    /// Whether the mark of a large heap is done in parts, between which writers go on, when a full collection comes
    /// of allocation: each keeps writers out for some milliseconds rather than the whole for as long as it takes.
    /// It is done so where most objects change through slots alone. What dies meanwhile may wait for the next
    /// full collection. Collections that are asked for, due by time, or
    /// follow an allocation that was denied mark at once. Default: on.
    pub fn incremental_marking(mut self, on: bool) -> Builder {
        self.0.incremental_marks = on;
        self
    }

    /// Collect at every safepoint, and check the order in which spaces are locked: to find objects
    /// that nobody keeps alive. Slow; after some hundred collections, and in a large heap,
    /// safepoints are passed over in between, so that long programs end. Default: off.
    pub fn stress(mut self, on: bool) -> Builder {
        self.0.stress = on;
        self
    }

    /// Overwrite reclaimed memory with the byte `0xDB`: to find uses of dead objects by unsafe code.
    /// Default: off.
    pub fn poison_freed(mut self, on: bool) -> Builder {
        self.0.poison_freed = on;
        self
    }

    /// What a panic in an exclusive access does. Default: [`PanicPolicy::Poison`].
    pub fn panic_policy(mut self, policy: PanicPolicy) -> Builder {
        self.0.panic_policy = policy;
        self
    }

    /// How long a thread that waits for the lock leaves the holder undisturbed, before it wants it handed over
    /// at the next safepoint. Longer: interpreters that share a space switch less often. Shorter: a thread
    /// that wants in gets in sooner. The collector does not wait for this. Default: 1 ms.
    pub fn turn(mut self, duration: Duration) -> Builder {
        self.0.turn = duration;
        self
    }

    /// Calls `listener` for every [`Event`], on the thread where it happens, with no lock held. May be
    /// given several times.
    ///
    /// What happens while the thread that runs the collections is stuck in a cleaner, a drop or a listener waits until it is
    /// done. Of collections that leave nothing else to run 1,024 wait to be told of; what comes beyond that is dropped, and
    /// counted in [`GcStats::events_dropped`](crate::GcStats::events_dropped).
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Builder {
        self.0.listeners.push(Box::new(listener));
        self
    }

    /// The collector, of this space alone. The facade crate `cspace` gives one; without, nothing is ever
    /// collected.
    pub fn collector(mut self, collector: Arc<dyn Collector>) -> Builder {
        self.0.collector = Some(collector);
        self
    }

    /// Chooses which evictable objects collections let go of. The facade crate `cspace` gives one; without, all
    /// are kept.
    pub fn eviction_policy(mut self, policy: Arc<dyn EvictionPolicy>) -> Builder {
        self.0.eviction = Some(policy);
        self
    }

    /// Builds the space.
    ///
    /// # Errors
    ///
    /// If a setting makes no sense; the error says which.
    pub fn build(self) -> Result<Space, SettingError> {
        let config = self.0;
        if config.name.len() > NAME_MAX {
            return Err(SettingError::NameTooLong { len: config.name.len(), max: NAME_MAX });
        }
        if !(config.budget_factor.is_finite() && config.budget_factor > 0.0) {
            return Err(SettingError::BudgetFactor(config.budget_factor));
        }
        Ok(Space::from_config(config))
    }
}
