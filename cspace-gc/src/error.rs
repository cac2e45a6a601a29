//! What can go wrong when collections are started and stopped.

use std::io;

/// A collector thread could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The calling thread holds a space.
    #[error("the collector of space `{space}` cannot be started by a thread that holds a space: leave the access first, as one that is just being stopped may wait for it")]
    HoldsSpace {
        /// The space's name.
        space: String,
    },
    /// The call came from a `Drop` that a sweep runs.
    #[error("the collector of space `{space}` cannot be started by a drop that a sweep runs")]
    InSweep {
        /// The space's name.
        space: String,
    },
    /// The call came from a thread that runs collections, of this space or of another.
    #[error("the collector of space `{space}` cannot be started by a thread that runs collections (a listener or a drop called), as one that is just being stopped may wait for that thread")]
    FromCollector {
        /// The space's name.
        space: String,
    },
    /// Somebody runs the collections already.
    #[error("the collections of space `{space}` are run by a thread already: `stop_gc` first")]
    Occupied {
        /// The space's name.
        space: String,
    },
    /// The system gave no thread.
    #[error("the collector's thread of space `{space}` could not be started: {source}; the space is usable, and collected by explicit calls until `start_gc` succeeds")]
    Thread {
        /// The space's name.
        space: String,
        /// What the system said.
        source: io::Error,
    },
    /// The space was built without a collector.
    #[error("space `{space}` has no collector: it was built with `GcMode::Off`")]
    NoCollector {
        /// The space's name.
        space: String,
    },
}

/// A collector thread could not be stopped. It goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// The calling thread holds a space.
    #[error("the collector of space `{space}` cannot be stopped by a thread that holds a space: it is waited for, and a drop that it runs may wait for that thread; leave the access first")]
    HoldsSpace {
        /// The space's name.
        space: String,
    },
    /// The call came from a `Drop` that a sweep runs.
    #[error("the collector of space `{space}` cannot be stopped by a drop that a sweep runs, as it is waited for and may wait for the end of that sweep")]
    InSweep {
        /// The space's name.
        space: String,
    },
    /// The call came from a thread that runs collections, of this space or of another.
    #[error("the collector of space `{space}` cannot be stopped by a thread that runs collections (a listener or a drop called): it is waited for, and may be that thread, or wait for it in turn")]
    FromCollector {
        /// The space's name.
        space: String,
    },
}

/// A pool could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// It was to have no threads.
    #[error("a pool of collector threads needs at least one thread")]
    NoThreads,
    /// The system gave no thread.
    #[error("a thread of the pool could not be started: {0}")]
    Thread(#[from] io::Error),
}
