//! An operation that is under way: its handler and its state, at an address that does not change.

use core::fmt;
use core::pin::Pin;

use allocator_api2::alloc::{AllocError, Allocator};
use allocator_api2::boxed::Box;

use super::handler::Handler;
use super::recycling::RecyclingAllocator;

/// There was no memory for an operation; what it was to be made of comes back.
pub struct StartError<H, S> {
    /// The handler.
    pub handler: H,
    /// The state.
    pub state: S,
}

impl<H, S> fmt::Debug for StartError<H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartError").finish_non_exhaustive()
    }
}

impl<H, S> fmt::Display for StartError<H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no memory for the operation")
    }
}

impl<H, S> std::error::Error for StartError<H, S> {}

/// The memory of one asynchronous operation.
///
/// It lies in one block that the handler's [allocator](Handler::allocator_or) gives, at an address that stays the same
/// from the start to the end, for the system to write to if need be. State that is written to from elsewhere while the
/// `Operation` is moved must not be `Unpin` (give it a `PhantomPinned`): to move a box of what is, is to claim it all
/// for oneself. What else the operation needs, its state allocates
/// by [`allocator`](Operation::allocator): nothing, one block, several at a time or one after the other, of sizes that
/// are known when it runs. Calls to the allocator for one operation never overlap, but may come from several threads.
///
/// [`complete`](Operation::complete) releases all of it *before* the handler is called, so the operation that the handler
/// starts gets the same memory. An operation that is dropped releases its memory, too, and its handler is not called.
///
/// ```
/// use cspace_native::{Operation, Purpose, RecyclingAllocator};
///
/// let default = RecyclingAllocator::new(Purpose::Operation);
/// let handler = |read: usize| assert_eq!(read, 42);
/// let operation = Operation::start(handler, default, [0u8; 64])?;
/// operation.complete(42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Operation<H, S, A: Allocator = RecyclingAllocator> {
    parts: Pin<Box<Parts<H, S>, A>>,
    allocator: A,
}

struct Parts<H, S> {
    handler: Option<H>,
    /// Stays where it is until it is dropped.
    state: Option<S>,
}

impl<H, S, A: Allocator + Clone + 'static> Operation<H, S, A> {
    /// Begins an operation with the handler's allocator, or `default` if it has none.
    ///
    /// # Errors
    ///
    /// If there is no memory; handler and state come back.
    pub fn start<Args, D>(
        handler: H,
        default: D,
        state: S,
    ) -> Result<Operation<H, S, A>, StartError<H, S>>
    where
        H: Handler<Args, Alloc<D> = A>,
        D: Allocator + Clone,
    {
        let allocator = handler.allocator_or(default);
        match Box::try_new_uninit_in(allocator.clone()) {
            Ok(place) => {
                let parts = Parts { handler: Some(handler), state: Some(state) };
                Ok(Operation { parts: Box::into_pin(Box::write(place, parts)), allocator })
            }
            Err(AllocError) => Err(StartError { handler, state }),
        }
    }

    /// The operation is complete: drops the state, releases the memory, and then calls the handler.
    ///
    /// # Panics
    ///
    /// As the state's drop, in which case the handler is dropped and not called, or as the handler. The memory is
    /// released in both cases.
    pub fn complete<Args>(mut self, args: Args)
    where
        H: Handler<Args>,
    {
        // SAFETY: the handler is not pinned: no pinned reference to it is ever given out.
        let handler = unsafe { self.parts.as_mut().get_unchecked_mut() }.handler.take();
        let handler = handler.expect("taken here only, by value");
        // The state is dropped where it is; then the memory goes, and the allocator.
        drop(self);
        handler.handle(args);
    }
}

impl<H, S, A: Allocator> Drop for Operation<H, S, A> {
    fn drop(&mut self) {
        // SAFETY: the state is dropped in its place, not moved; the handler is not pinned.
        let parts = unsafe { self.parts.as_mut().get_unchecked_mut() };
        // One by one, and replaced by nothing even if the drop panics, so that the box has nothing left to drop but
        // its memory, which it would leak in a panic.
        parts.state = None;
        parts.handler = None;
    }
}

impl<H, S, A: Allocator> Operation<H, S, A> {
    /// The state. It does not move until it is dropped.
    pub fn state(&mut self) -> Pin<&mut S> {
        // SAFETY: the state is pinned with the parts: it is neither moved nor taken out, only dropped in its place.
        unsafe {
            self.parts.as_mut().map_unchecked_mut(|parts| {
                parts.state.as_mut().expect("there until the parts are dropped")
            })
        }
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        self.parts.handler.as_ref().expect("there until the operation is complete")
    }

    /// The allocator, for what the state needs beside.
    pub fn allocator(&self) -> &A {
        &self.allocator
    }
}

impl<H, S, A: Allocator> fmt::Debug for Operation<H, S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").finish_non_exhaustive()
    }
}
