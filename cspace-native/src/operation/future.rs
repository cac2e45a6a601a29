//! Futures whose state lies in memory of an operation.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use allocator_api2::alloc::{AllocError, Allocator};
use allocator_api2::boxed::Box;

use super::recycling::{Purpose, RecyclingAllocator};

/// A boxed future whose state comes from an allocator and is released as soon as it is ready: before whoever awaits it
/// goes on, so what that one begins next gets the same memory.
///
/// For futures that are boxed because they are large, recursive, or kept in a list. Dropped before it is ready, it
/// releases the state too.
///
/// ```
/// use cspace_native::OperationFuture;
/// use std::future::Future;
/// use std::task::{Context, Poll, Waker};
///
/// let mut future = OperationFuture::recycled(async { 40 + 2 });
/// let mut context = Context::from_waker(Waker::noop());
/// let poll = std::pin::Pin::new(&mut future).poll(&mut context);
/// assert_eq!(poll, Poll::Ready(42));
/// ```
pub struct OperationFuture<F, A: Allocator + 'static = RecyclingAllocator> {
    /// None when it was ready.
    frame: Option<Frame<F, A>>,
}

/// The memory of a future. It is there until the frame is dropped.
///
/// An `Option` also because it is never of no bytes, not even for a future that is: a box of none frees what it never
/// allocated, which only an allocator that ignores such blocks puts up with.
struct Frame<F, A: Allocator + 'static>(Pin<Box<Option<F>, A>>);

impl<F, A: Allocator + 'static> Drop for Frame<F, A> {
    fn drop(&mut self) {
        // Replaced by nothing even if the drop panics, so that the box has nothing left to drop but its memory, which
        // it would leak in a panic.
        self.0.as_mut().set(None);
    }
}

impl<F: Future> OperationFuture<F> {
    /// In memory that this thread keeps for frames.
    ///
    /// # Panics
    ///
    /// If the system has no memory; [`try_new_in`](OperationFuture::try_new_in) gives the future back instead.
    #[track_caller]
    pub fn recycled(future: F) -> OperationFuture<F> {
        let allocator = RecyclingAllocator::new(Purpose::CoroutineFrame);
        match OperationFuture::try_new_in(future, allocator) {
            Ok(future) => future,
            Err(_) => panic!("there is no memory for the state of a future"),
        }
    }
}

impl<F: Future, A: Allocator + 'static> OperationFuture<F, A> {
    /// In memory of an allocator.
    ///
    /// # Errors
    ///
    /// If there is no memory; the future comes back.
    pub fn try_new_in(future: F, allocator: A) -> Result<OperationFuture<F, A>, F> {
        match Box::try_new_uninit_in(allocator) {
            Ok(place) => {
                let frame = Frame(Box::into_pin(Box::write(place, Some(future))));
                Ok(OperationFuture { frame: Some(frame) })
            }
            Err(AllocError) => Err(future),
        }
    }
}

// The state is pinned in its box, so the handle on it moves freely.
impl<F, A: Allocator + 'static> Unpin for OperationFuture<F, A> {}

impl<F: Future, A: Allocator + 'static> Future for OperationFuture<F, A> {
    type Output = F::Output;

    /// # Panics
    ///
    /// After it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let frame = self.frame.as_mut().expect("a future is not polled after it was ready");
        let future = frame.0.as_mut().as_pin_mut().expect("there until the frame is dropped");
        let output = core::task::ready!(future.poll(context));
        self.frame = None;
        Poll::Ready(output)
    }
}

impl<F, A: Allocator + 'static> fmt::Debug for OperationFuture<F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationFuture").field("is_ready", &self.frame.is_none()).finish()
    }
}
