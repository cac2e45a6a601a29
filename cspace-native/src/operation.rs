//! Memory of asynchronous operations: kept for the next one, and released before the handler runs.
//!
//! What Asio calls *per-operation stable memory* (POSM) and its *recycling allocator*.

mod charged;
mod future;
mod handler;
mod recycling;
mod started;

pub use charged::Charged;
pub use future::OperationFuture;
pub use handler::{bind_allocator, Bound, Handler};
pub use recycling::{Purpose, RecyclingAllocator};
pub use started::{Operation, StartError};
