//! Completion handlers, and the allocators that they bring along.

use allocator_api2::alloc::Allocator;

/// What is called with the results `Args` of an operation, and which allocator its operation is to use.
///
/// Every closure that takes `Args` as one argument is a handler and brings no allocator: its operations use the one that
/// the operation has for the case. [`bind_allocator`] gives it one. A wrapper of yours passes the question on to what it
/// wraps:
///
/// ```
/// use allocator_api2::alloc::Allocator;
/// use cspace_native::Handler;
///
/// /// Calls a handler, and says so.
/// struct Logged<H>(H);
///
/// impl<Args, H: Handler<Args>> Handler<Args> for Logged<H> {
///     type Alloc<D: Allocator + Clone> = H::Alloc<D>;
///     fn allocator_or<D: Allocator + Clone>(&self, default: D) -> H::Alloc<D> {
///         self.0.allocator_or(default)
///     }
///     fn handle(self, args: Args) {
///         println!("done");
///         self.0.handle(args);
///     }
/// }
/// ```
pub trait Handler<Args>: Sized {
    /// The type of its allocator, if `D` is that of the default.
    type Alloc<D: Allocator + Clone>: Allocator + Clone;

    /// The associated allocator: its own, or of what it wraps, or the default.
    fn allocator_or<D: Allocator + Clone>(&self, default: D) -> Self::Alloc<D>;

    /// The operation is complete, and its memory released.
    fn handle(self, args: Args);
}

impl<Args, F: FnOnce(Args)> Handler<Args> for F {
    type Alloc<D: Allocator + Clone> = D;

    #[inline]
    fn allocator_or<D: Allocator + Clone>(&self, default: D) -> D {
        default
    }

    #[inline]
    fn handle(self, args: Args) {
        self(args);
    }
}

/// A handler with an allocator: see [`bind_allocator`].
#[derive(Clone, Debug)]
pub struct Bound<A, H> {
    allocator: A,
    handler: H,
}

/// A handler whose operations use an allocator (Asio's `bind_allocator`). Of several around each other the outermost
/// counts.
pub fn bind_allocator<A: Allocator + Clone, H>(allocator: A, handler: H) -> Bound<A, H> {
    Bound { allocator, handler }
}

impl<Args, A: Allocator + Clone, H: Handler<Args>> Handler<Args> for Bound<A, H> {
    type Alloc<D: Allocator + Clone> = A;

    #[inline]
    fn allocator_or<D: Allocator + Clone>(&self, _: D) -> A {
        self.allocator.clone()
    }

    #[inline]
    fn handle(self, args: Args) {
        self.handler.handle(args);
    }
}
