//! Configurations and contexts: memory whose layout is known before it is needed.
//!
//! What TxnBox does for transactions: while a configuration is loaded, whoever will need memory in each transaction
//! reserves it; then each context is one block with everything at its place. The names of both:
//!
//! | TxnBox | here |
//! |---|---|
//! | `Config` while it is loaded | [`ConfigBuilder`] |
//! | `Config` | [`Config`], shared by `Arc` |
//! | `reserve_ctx_storage` | [`ConfigBuilder::reserve`], [`Config::reserve_late`] |
//! | `ReservedSpan` | [`SlotKey`] |
//! | `Context` | [`Context`] |
//! | `storage_for` | [`Context::slot`] |
//! | `initialized_storage_for` | [`Context::slot_or_init`] |
//! | overflow list | what slots reserved by [`Config::reserve_late`] use |
//! | `alloc_span`, `make` | [`Context::alloc_span`], [`Context::make`] |
//! | `localize` | [`ConfigBuilder::localize`], [`Context::localize`] |
//! | `obtain_named_object`, `named_object` | the same, with checked types |
//! | `drtv_info` | [`ConfigBuilder::class_data`] |
//! | `mark_for_cleanup` | the same, in reverse order |
//! | `transient_buffer`, `require`, `finalize`, `commit`, `discard` | [`Context::transient_buffer`] and [`Transient`] |
//! | reload of the configuration | [`ConfigCell`] |

mod cell;
mod config;
mod context;
mod handle;
mod slot;
mod store;
mod transient;

pub use cell::ConfigCell;
pub use config::{Config, ConfigBuilder};
pub use context::{Context, Initializer};
pub use handle::{ContextHandle, WrongContext};
pub use slot::{ReserveError, SlotError, SlotKey};
pub use store::{MakeError, TypeMismatch};
pub use transient::{Transient, TransientError};
