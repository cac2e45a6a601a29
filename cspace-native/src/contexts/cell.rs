//! The configuration that is in force.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::config::Config;

/// The configuration that new contexts are made of, which another one can replace at any time (TxnBox's reload).
///
/// Contexts that are in use keep the one that they were made of, which ends with the last of them.
///
/// ```
/// use cspace_core::Ledger;
/// use cspace_native::{ConfigBuilder, ConfigCell, Context};
///
/// let ledger = Ledger::default();
/// let current = ConfigCell::new(ConfigBuilder::new(&ledger)?.freeze());
/// let running = Context::new(&current.load())?;
/// let old = current.replace(ConfigBuilder::new(&ledger)?.freeze());
/// assert!(std::sync::Arc::ptr_eq(running.config(), &old));
/// assert!(!std::sync::Arc::ptr_eq(&current.load(), &old));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ConfigCell {
    current: ArcSwap<Config>,
}

impl ConfigCell {
    /// A first configuration.
    pub fn new(config: Arc<Config>) -> ConfigCell {
        ConfigCell { current: ArcSwap::new(config) }
    }

    /// The configuration in force. Waits for nobody.
    pub fn load(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Puts another one in force; returns the one before.
    pub fn replace(&self, config: Arc<Config>) -> Arc<Config> {
        self.current.swap(config)
    }
}
