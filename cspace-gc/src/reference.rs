//! [`ReferenceQueue`]: tells a thread which objects have died.
//!
//! A reference is a cleaner whose action sends a token of the embedder's. So a token is sent once at most, by the
//! batch that condemned the object, by hand, or never if the reference was cleared; and when it arrives, the
//! reference shows nothing any more: the finish has emptied it, or the cleaner is taken before its action runs.
//!
//! A channel is what carries the tokens. Its sending half is in each reference, the receiving one in the queue: when
//! the queue is gone, what is sent is dropped by the sender, and what was pending with the queue.

use core::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use cspace_core::{Access, Alloc, Cleaner, Gc, GcAny, IObject, Rootable, WeakRoot, WrongSpace};
use parking_lot::Mutex;

/// A queue that tokens come out of when objects have died.
///
/// For tables outside of the heap that have something for each object, and have to know when to let go of it: make
/// a [`weak`](ReferenceQueue::weak) or a [`phantom`](ReferenceQueue::phantom) reference with a token of yours that
/// says which it is, and [`poll`](ReferenceQueue::poll) the queue where it suits you, or
/// [`wait`](ReferenceQueue::wait) on a thread of its own. A [`Cleaner`] runs code on the collector's thread instead.
///
/// Tokens of one collection come in no particular order. The queue is `Sync`, takes tokens of objects of any number
/// of spaces, and outlives them: at the end of a space all its objects have died, and their tokens arrive. If the
/// space ends on a thread that holds another one, or in a drop of a sweep, they arrive when that is over. Without a
/// collection, and before the end of the space, none do: in a space with a period one comes when the period is over,
/// though nothing be allocated, else when enough was, or somebody asks. When the queue is dropped, the tokens that are pending in
/// it are dropped with it, and those that are sent later by whoever sends them.
///
/// ```
/// use std::collections::HashMap;
/// use cspace_core::Space;
/// use cspace_gc::{MarkSweep, ReferenceQueue};
///
/// let space = Space::builder().collector(MarkSweep::new()).build()?;
/// let queue = ReferenceQueue::new();
/// let mut sizes = HashMap::new();
/// space.exclusive(|cx| {
///     let object = cx.alloc("text".to_string());
///     sizes.insert(1, (queue.weak(cx, object, 1), object.len()));
/// });
/// space.synchronous_gc()?;
/// while let Some(token) = queue.poll() {
///     let (reference, size) = sizes.remove(&token).unwrap();
///     assert_eq!(size, 4);
///     assert!(space.shared(|cx| reference.get(cx).is_none()));
/// }
/// assert!(sizes.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ReferenceQueue<K> {
    sender: Sender<K>,
    receiver: Receiver<K>,
}

impl<K: Send + 'static> ReferenceQueue<K> {
    /// An empty queue, without a bound.
    pub fn new() -> ReferenceQueue<K> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        ReferenceQueue { sender, receiver }
    }

    /// A reference that does not keep the object alive, and whose token comes when the object has died.
    ///
    /// # Panics
    ///
    /// As [`Alloc::alloc`]: a weak reference takes 16 bytes of the heap.
    #[track_caller]
    pub fn weak<'gc, T: IObject<'gc>>(
        &self,
        cx: &Alloc<'gc>,
        object: Gc<'gc, T>,
        token: K,
    ) -> WeakReference<T::R, K> {
        let target = cx.weak_root(object);
        WeakReference { target, ticket: self.ticket(cx, GcAny::new(object), token) }
    }

    /// A reference that shows nothing: its token comes when the object has died.
    pub fn phantom<'gc>(
        &self,
        cx: &impl Access<'gc>,
        object: impl Into<GcAny<'gc>>,
        token: K,
    ) -> PhantomReference<K> {
        PhantomReference { ticket: self.ticket(cx, object.into(), token) }
    }

    fn ticket<'gc>(&self, cx: &impl Access<'gc>, object: GcAny<'gc>, token: K) -> Ticket<K> {
        let token = Arc::new(Mutex::new(Some(token)));
        let (sender, in_action) = (self.sender.clone(), Arc::clone(&token));
        let action = move || {
            let token = in_action.lock().take();
            // Without a queue the token is dropped here, with nothing locked.
            drop(token.map(|token| sender.send(token)));
        };
        Ticket { cleaner: cx.register_action(object, Box::new(action)), token }
    }

    /// The next token, if there is one.
    pub fn poll(&self) -> Option<K> {
        self.receiver.try_recv().ok()
    }

    /// The next token, waiting for it for at most `timeout`; none if the time is over. Waiting asks for no collection:
    /// give the space a period, or [ask](cspace_core::Space::request_gc).
    ///
    /// Not inside of an access to the space whose objects are waited for, nor in a drop or cleaner of its sweep, nor on
    /// the thread that runs its collections, where its listeners are called: none of its objects is found dead meanwhile.
    pub fn wait(&self, timeout: Duration) -> Option<K> {
        self.receiver.recv_timeout(timeout).ok()
    }

    /// The tokens that are there, without waiting for more.
    pub fn try_iter(&self) -> impl Iterator<Item = K> + '_ {
        self.receiver.try_iter()
    }

    /// How many tokens are there.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether no token is there.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

impl<K: Send + 'static> Default for ReferenceQueue<K> {
    fn default() -> Self {
        ReferenceQueue::new()
    }
}

impl<K> fmt::Debug for ReferenceQueue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReferenceQueue").field("len", &self.receiver.len()).finish()
    }
}

/// A token that waits for its object to die.
struct Ticket<K> {
    cleaner: Cleaner,
    /// Taken by whoever took the cleaner's action.
    token: Arc<Mutex<Option<K>>>,
}

impl<K> Clone for Ticket<K> {
    fn clone(&self) -> Self {
        Ticket { cleaner: self.cleaner.clone(), token: Arc::clone(&self.token) }
    }
}

impl<K> Ticket<K> {
    fn clear(&self) -> Option<K> {
        if self.cleaner.unregister() {
            self.token.lock().take()
        } else {
            None
        }
    }

    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name).field("is_cleared", &self.cleaner.is_taken()).finish()
    }
}

/// A reference that does not keep its object alive and whose token enters a [`ReferenceQueue`] when the object has
/// died. When the token comes out of the queue, [`get`](WeakReference::get) shows nothing any more.
///
/// Made by [`ReferenceQueue::weak`]. `Send` and `Sync`; clones are the same reference. Dropping it changes nothing:
/// the token still comes. To have it never come, [`clear`](WeakReference::clear) it.
pub struct WeakReference<R: Rootable, K> {
    target: WeakRoot<R>,
    ticket: Ticket<K>,
}

impl<R: Rootable, K> WeakReference<R, K> {
    /// The object, unless a collection found it dead, or the reference was cleared or enqueued by hand.
    ///
    /// # Panics
    ///
    /// If the object belongs to another space; [`try_get`](WeakReference::try_get) returns that as an error.
    #[inline]
    #[track_caller]
    pub fn get<'gc>(&self, cx: &impl Access<'gc>) -> Option<Gc<'gc, R::At<'gc>>> {
        let target = self.target.upgrade(cx);
        target.filter(|_| !self.is_cleared())
    }

    /// As [`get`](WeakReference::get), or an error if the object belongs to another space.
    #[inline]
    pub fn try_get<'gc>(
        &self,
        cx: &impl Access<'gc>,
    ) -> Result<Option<Gc<'gc, R::At<'gc>>>, WrongSpace> {
        let target = self.target.try_upgrade(cx)?;
        Ok(target.filter(|_| !self.is_cleared()))
    }

    /// Clears the reference by hand: its token comes back and never enters the queue. None if it has entered it, is
    /// about to, or was cleared before.
    pub fn clear(&self) -> Option<K> {
        self.ticket.clear()
    }

    /// Clears the reference and puts its token into the queue, now. False if that was done before, by whomever, or
    /// the reference was cleared.
    pub fn enqueue(&self) -> bool {
        self.ticket.cleaner.clean()
    }

    /// Whether the reference shows nothing any more because it was cleared, or its token sent. An object that a
    /// collection found dead is noticed here when its token is sent, by [`get`](WeakReference::get) before that.
    #[inline]
    pub fn is_cleared(&self) -> bool {
        self.ticket.cleaner.is_taken()
    }
}

impl<R: Rootable, K> Clone for WeakReference<R, K> {
    fn clone(&self) -> Self {
        WeakReference { target: self.target.clone(), ticket: self.ticket.clone() }
    }
}

impl<R: Rootable, K> fmt::Debug for WeakReference<R, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ticket.fmt("WeakReference", f)
    }
}

/// A reference that shows nothing and whose token enters a [`ReferenceQueue`] when its object has died.
///
/// Made by [`ReferenceQueue::phantom`], in a shared access too: it takes nothing of the heap. `Send` and `Sync`;
/// clones are the same reference. Dropping it changes nothing: the token still comes. To have it never come,
/// [`clear`](PhantomReference::clear) it.
pub struct PhantomReference<K> {
    ticket: Ticket<K>,
}

impl<K> PhantomReference<K> {
    /// As [`WeakReference::clear`].
    pub fn clear(&self) -> Option<K> {
        self.ticket.clear()
    }

    /// As [`WeakReference::enqueue`].
    pub fn enqueue(&self) -> bool {
        self.ticket.cleaner.clean()
    }

    /// Whether the reference was cleared, or its token sent.
    #[inline]
    pub fn is_cleared(&self) -> bool {
        self.ticket.cleaner.is_taken()
    }
}

impl<K> Clone for PhantomReference<K> {
    fn clone(&self) -> Self {
        PhantomReference { ticket: self.ticket.clone() }
    }
}

impl<K> fmt::Debug for PhantomReference<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ticket.fmt("PhantomReference", f)
    }
}
