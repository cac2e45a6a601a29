//! Configurations and contexts: memory whose layout is known before it is needed.
//!
//! What TxnBox does for transactions: while a configuration is loaded, whoever will need memory in each transaction
//! reserves it; then each context is one block with everything at its place.

mod cell;
mod class;
mod config;
mod context;
mod handle;
mod slot;
mod spans;
mod store;
mod transient;

pub use cell::ConfigCell;
pub use config::{Config, ConfigBuilder};
pub use context::{Context, Initializer};
pub use handle::{ContextHandle, WrongContext};
pub use slot::{ReserveError, SlotError, SlotKey, SpanKey};
pub use store::{MakeError, TypeMismatch};
pub use transient::{Transient, TransientError};
