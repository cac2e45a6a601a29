//! Memory of asynchronous operations: kept for the next one, and released before the handler runs.
//!
//! What Asio calls *per-operation stable memory* (POSM) and its *recycling allocator*. The names of both:
//!
//! | Asio | here |
//! |---|---|
//! | recycling allocator, `thread_info_base` | [`RecyclingAllocator`] |
//! | its purpose tags | [`Purpose`] |
//! | `associated_allocator<H, Candidate>` | [`Handler::allocator_or`] |
//! | `bind_allocator(a, h)` | [`bind_allocator`] |
//! | the operation's memory | [`Operation`]: its state, and what the state allocates by [`Operation::allocator`] |
//! | release, then upcall | [`Operation::complete`] |
//! | coroutine frame | [`OperationFuture`] |

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
