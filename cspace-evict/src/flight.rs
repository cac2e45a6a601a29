//! Flights: the loads that are under way, one for each key.
//!
//! - **U1 (one).** Whoever loads has put a flight for the key into the table and takes it out when the load has ended,
//!   however it ends; nobody else loads the key meanwhile.
//! - **U2 (bare).** A thread waits for a flight only while it holds no space: the load may need it.
//! - **U3 (acyclic).** A thread does not wait for a flight of its own, nor for one whose thread waits, by way of others
//!   or not, for such a one. Flights of all caches count: loads of several may wait for each other.
//! - **U4 (users).** No hash, comparison, clone or drop of a key runs while a mutex of this module is held: it may do
//!   what it likes, panic or load. What is taken out of the table is found by its address, so a flight ends even if
//!   its key no longer hashes and compares as it did.

use std::collections::hash_map::RandomState;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, LazyLock};
use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};

/// The flights of a cache.
pub(crate) struct Flights<K> {
    hasher: RandomState,
    /// As many as there are threads that load: few enough to look through.
    table: Mutex<Vec<Entry<K>>>,
}

/// A flight and its key.
struct Entry<K> {
    hash: u64,
    key: Arc<K>,
    flight: Arc<Flight>,
}

/// A load that is under way.
pub(crate) struct Flight {
    thread: ThreadId,
    /// Written by its thread, once.
    has_ended: Mutex<bool>,
    ended: Condvar,
}

/// A flight of this thread, which ends with this (U1).
pub(crate) struct Landing<'a, K> {
    flights: &'a Flights<K>,
    flight: Arc<Flight>,
}

/// A load waits for itself (U3).
#[derive(Debug)]
pub(crate) struct Circular;

/// Which threads wait for which flights, of all caches. A thread takes its entry out when it no longer waits, which
/// may be after the flight has ended.
static WAITS: LazyLock<Mutex<HashMap<ThreadId, Arc<Flight>>>> = LazyLock::new(Mutex::default);

impl<K: Hash + Eq + Clone> Flights<K> {
    pub(crate) fn new() -> Flights<K> {
        Flights { hasher: RandomState::new(), table: Mutex::default() }
    }

    /// Begins a flight for a key, or returns the one that there is.
    pub(crate) fn take_off(&self, key: &K) -> Result<Landing<'_, K>, Arc<Flight>> {
        let hash = self.hasher.hash_one(key);
        let own = Flight {
            thread: thread::current().id(),
            has_ended: Mutex::new(false),
            ended: Condvar::new(),
        };
        let own = Entry { hash, key: Arc::new(key.clone()), flight: Arc::new(own) };
        let flight = Arc::clone(&own.flight);
        // Flights of other keys. They are kept, so that their addresses mean nothing else.
        let mut others: Vec<(Arc<K>, Arc<Flight>)> = Vec::new();
        loop {
            let next = {
                let mut table = self.table.lock();
                let is_new = |entry: &&Entry<K>| {
                    entry.hash == hash
                        && !others.iter().any(|(_, other)| Arc::ptr_eq(other, &entry.flight))
                };
                match table.iter().find(is_new) {
                    Some(entry) => (Arc::clone(&entry.key), Arc::clone(&entry.flight)),
                    None => {
                        table.push(own);
                        break;
                    }
                }
            };
            if *next.0 == *key {
                return Err(next.1);
            }
            others.push(next);
        }
        Ok(Landing { flights: self, flight })
    }
}

impl<K> Flights<K> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().len()
    }
}

impl<K> Drop for Landing<'_, K> {
    fn drop(&mut self) {
        let entry = {
            let mut table = self.flights.table.lock();
            let is_it = |entry: &Entry<K>| Arc::ptr_eq(&entry.flight, &self.flight);
            table.iter().position(is_it).map(|at| table.swap_remove(at))
        };
        *self.flight.has_ended.lock() = true;
        self.flight.ended.notify_all();
        // The key with it, after all else is done (U4).
        drop(entry);
    }
}

impl Flight {
    /// Whether it is one of this thread's.
    pub(crate) fn is_of_this_thread(&self) -> bool {
        self.thread == thread::current().id()
    }

    /// Waits for the flight to end. By a thread that holds no space (U2).
    pub(crate) fn wait(self: Arc<Flight>) -> Result<(), Circular> {
        let this = thread::current().id();
        {
            let mut waits = WAITS.lock();
            if self.waits_for(this, &waits) {
                return Err(Circular);
            }
            waits.insert(this, Arc::clone(&self));
        }
        let mut has_ended = self.has_ended.lock();
        while !*has_ended {
            self.ended.wait(&mut has_ended);
        }
        drop(has_ended);
        WAITS.lock().remove(&this);
        Ok(())
    }

    /// Whether the flight's end waits for what `thread` does.
    fn waits_for(&self, thread: ThreadId, waits: &HashMap<ThreadId, Arc<Flight>>) -> bool {
        let mut flight = self;
        // One that has ended is waited for no longer, though its waiters may not have noticed yet.
        while !*flight.has_ended.lock() {
            if flight.thread == thread {
                return true;
            }
            match waits.get(&flight.thread) {
                Some(next) => flight = next,
                None => return false,
            }
        }
        false
    }
}
