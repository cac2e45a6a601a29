//! Keys whose hash, comparison and drop do what a test says.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

type Act = Arc<dyn Fn() + Send + Sync>;

/// Equal to those with its number.
#[derive(Clone, Default)]
pub struct Key {
    number: u32,
    on_hash: Option<Act>,
    on_eq: Option<Act>,
    on_drop: Option<Act>,
    /// How often it was hashed, which then goes into the hash.
    unsteady: Option<Arc<AtomicUsize>>,
}

impl Key {
    pub fn new(number: u32) -> Key {
        let mut key = Key::default();
        key.number = number;
        key
    }

    /// Hashes differently each time, which keys must not.
    pub fn unsteady(mut self) -> Key {
        self.unsteady = Some(Arc::default());
        self
    }

    pub fn on_hash(mut self, act: impl Fn() + Send + Sync + 'static) -> Key {
        self.on_hash = Some(Arc::new(act));
        self
    }

    pub fn on_eq(mut self, act: impl Fn() + Send + Sync + 'static) -> Key {
        self.on_eq = Some(Arc::new(act));
        self
    }

    pub fn on_drop(mut self, act: impl Fn() + Send + Sync + 'static) -> Key {
        self.on_drop = Some(Arc::new(act));
        self
    }
}

fn run(act: &Option<Act>) {
    if let Some(act) = act {
        act();
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        run(&self.on_hash);
        self.number.hash(state);
        if let Some(count) = &self.unsteady {
            count.fetch_add(1, SeqCst).hash(state);
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        run(&self.on_eq);
        run(&other.on_eq);
        self.number == other.number
    }
}
impl Eq for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        run(&self.on_drop);
    }
}
