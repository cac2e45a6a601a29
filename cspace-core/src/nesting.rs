//! Values that own values that own values: how they are visited, hooked and dropped, however deep they are.
//!
//! A list made of boxes, or vectors in vectors, may be as deep as there is memory. Whoever walks such a value by
//! calling itself needs as much stack, and a thread that runs out of stack takes the process along. So the walks of
//! the collector go by the calls of the types until they are [`DEPTH_MAX`] *owners* deep, which is deeper than nearly
//! all values are. What is deeper is left for later: it goes onto a list, and the outermost owner, when it is done,
//! takes what is on the list in turn. An *owner* is a type that has its parts in an allocation of its own: only through
//! one can a value contain another of its own type.
//!
//! Drops are the compiler's as a rule. A value that is deeper than [`DEPTH_MAX`], which a look at it tells, is taken
//! apart instead, part by part.
//!
//! - **DN1 (borrowed).** What waits in a list of visits or hooks is a part of the value that the outermost owner is, and
//!   stays where it is until the list is empty, which is before the outermost call returns.
//! - **DN2 (owned).** What waits in a list of drops is in a box of its own, which the list owns.
//!
//! The list may fail to grow. Then the walk goes deeper after all, up to [`DEPTH_FULL`], and what is deeper still is left
//! out: a visit says so, and the cycle is given up; a drop leaks, and says so. A list that is as deep as anything takes
//! one entry at a time, so that takes a value that is both deep and wide, and no memory.

use core::mem::ManuallyDrop;

use crate::batch::guarded;
use crate::hooks::Hooks;
use crate::list::{has_room, try_box};
use crate::object::IObject;
use crate::visitor::Visitor;

/// How many owners deep a walk goes by calls. Frames of a level are some hundred bytes without optimisation.
const DEPTH_MAX: u32 = 32;
/// The same while there is no memory to leave anything for later.
const DEPTH_FULL: u32 = 256;

/// A type that owns its parts through an allocation.
pub(crate) trait Owner<'gc>: Sized {
    /// Visits the parts.
    fn visit_parts(&self, visitor: &mut Visitor<'_>);

    /// Calls the hooks of the parts.
    fn hook_parts(&mut self, hooks: &mut Hooks<'_>);

    /// Whether there are parts that are more than so many owners deep.
    fn has_parts_below(&self, depth: Depth) -> bool;

    /// Drops the parts, each by [`IObject::drop_parts`], and then what held them.
    fn take_apart(self, drops: &mut Drops<'_>);
}

/// What is to be done with a place later.
type Task<C> = (*const (), unsafe fn(*const (), &mut C));

/// How deep a walk is, and what it has left for later. `C` is the walk.
pub(crate) struct Nesting<C> {
    depth: u32,
    later: Vec<Task<C>>,
}

/// What to do with an owner.
enum Turn {
    Now,
    Later,
    /// There is no memory to leave it for later, and it is too deep to go on.
    Never,
}

impl<C> Nesting<C> {
    pub(crate) const fn new() -> Self {
        Nesting { depth: 0, later: Vec::new() }
    }

    #[cold]
    fn turn_deep(&mut self) -> Turn {
        if has_room(&mut self.later, 1) {
            return Turn::Later;
        }
        if self.depth < DEPTH_FULL {
            Turn::Now
        } else {
            Turn::Never
        }
    }

    #[inline(always)]
    fn turn(&mut self) -> Turn {
        if self.depth < DEPTH_MAX {
            Turn::Now
        } else {
            self.turn_deep()
        }
    }
}

/// A walk that has a nesting.
pub(crate) trait Walk: Sized {
    fn nesting(&mut self) -> &mut Nesting<Self>;
}

/// Goes one owner deeper, and back; then does what is left for later, if that was the outermost one.
#[inline(always)]
fn descend<C: Walk>(walk: &mut C, parts: impl FnOnce(&mut C)) {
    walk.nesting().depth += 1;
    parts(walk);
    let nesting = walk.nesting();
    nesting.depth -= 1;
    if nesting.depth == 0 && !nesting.later.is_empty() {
        do_later(walk);
    }
}

#[cold]
#[inline(never)]
fn do_later<C: Walk>(walk: &mut C) {
    walk.nesting().depth = 1;
    while let Some((place, task)) = walk.nesting().later.pop() {
        // SAFETY: pushed together; the place is there by DN1, or the list's own by DN2, and was taken out of it.
        unsafe { task(place, walk) };
    }
    let nesting = walk.nesting();
    nesting.depth = 0;
    nesting.later = Vec::new();
}

impl Walk for Visitor<'_> {
    #[inline(always)]
    fn nesting(&mut self) -> &mut Nesting<Self> {
        &mut self.nesting
    }
}

impl Visitor<'_> {
    /// Visits the parts of an owner, now or before the outermost owner's visit ends.
    #[inline]
    pub(crate) fn visit_owner<'gc, O: Owner<'gc>>(&mut self, owner: &O) {
        /// # Safety
        ///
        /// `owner` is an `O` (DN1).
        unsafe fn later<'gc, O: Owner<'gc>>(owner: *const (), visitor: &mut Visitor<'_>) {
            // SAFETY: the caller's promise.
            unsafe { &*owner.cast::<O>() }.visit_parts(visitor);
        }
        match self.nesting.turn() {
            Turn::Now => descend(self, |visitor| owner.visit_parts(visitor)),
            Turn::Later => {
                self.nesting.later.push((core::ptr::from_ref(owner).cast(), later::<O>));
            }
            Turn::Never => self.fail(),
        }
    }

    /// Visits what the visited value owns through a pointer of its own: as `content.visit_objects(visitor)`, but
    /// without recursion if values own values to any depth.
    ///
    /// For implementations by hand, of a smart pointer or a container that is neither the standard library's nor
    /// derived. Like everything that is visited, `content` must stay where it is until the collection ends.
    ///
    /// ```
    /// use cspace_core::{IObject, Rootable, Visitor};
    ///
    /// struct Boxed<T>(Box<T>);
    /// # struct BoxedFamily<R>(std::marker::PhantomData<fn(R) -> R>);
    /// # impl<R: Rootable> Rootable for BoxedFamily<R> {
    /// #     type At<'gc> = Boxed<R::At<'gc>>;
    /// # }
    ///
    /// // SAFETY: the content is visited, and dropping the box drops it and nothing else.
    /// unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for Boxed<T> {
    ///     type R = BoxedFamily<T::R>;
    ///     fn visit_objects(&self, visitor: &mut Visitor<'_>) {
    ///         visitor.visit_owned(&*self.0);
    ///     }
    /// }
    /// ```
    #[inline]
    pub fn visit_owned<'gc, T: IObject<'gc>>(&mut self, content: &T) {
        if !T::NEEDS_VISIT {
            return;
        }
        /// # Safety
        ///
        /// `content` is a `T` (DN1).
        unsafe fn later<'gc, T: IObject<'gc>>(content: *const (), visitor: &mut Visitor<'_>) {
            // SAFETY: the caller's promise.
            unsafe { &*content.cast::<T>() }.visit_objects(visitor);
        }
        match self.nesting.turn() {
            Turn::Now => descend(self, |visitor| content.visit_objects(visitor)),
            Turn::Later => {
                self.nesting.later.push((core::ptr::from_ref(content).cast(), later::<T>));
            }
            Turn::Never => self.fail(),
        }
    }

    /// Forgets how deep it is: a visit panicked.
    pub(crate) fn forget_nesting(&mut self) {
        self.nesting = Nesting::new();
    }
}

impl Walk for Hooks<'_> {
    #[inline(always)]
    fn nesting(&mut self) -> &mut Nesting<Self> {
        &mut self.nesting
    }
}

impl Hooks<'_> {
    /// Calls the hooks of the parts of an owner, now or before the outermost owner's are done.
    pub(crate) fn hook_owner<'gc, O: Owner<'gc>>(&mut self, owner: &mut O) {
        /// # Safety
        ///
        /// `owner` is an `O` that nobody else uses (DN1).
        unsafe fn later<'gc, O: Owner<'gc>>(owner: *const (), hooks: &mut Hooks<'_>) {
            // SAFETY: the caller's promise.
            unsafe { &mut *owner.cast_mut().cast::<O>() }.hook_parts(hooks);
        }
        match self.nesting.turn() {
            Turn::Now => descend(self, |hooks| owner.hook_parts(hooks)),
            Turn::Later => {
                let place = core::ptr::from_mut(owner).cast_const().cast();
                self.nesting.later.push((place, later::<O>));
            }
            Turn::Never => self.note_no_memory(),
        }
    }

    /// Calls the hooks of parts that were taken out of an owner, and drops the parts when nothing that was left for
    /// later is in them any more.
    pub(crate) fn hook_taken<'gc, T: IObject<'gc>>(&mut self, taken: impl Iterator<Item = T>) {
        /// # Safety
        ///
        /// `held` is the list's own (DN2), of `T`s.
        unsafe fn drop_held<'gc, T: IObject<'gc>>(held: *const (), hooks: &mut Hooks<'_>) {
            // SAFETY: the caller's promise.
            let held = unsafe { Box::from_raw(held.cast_mut().cast::<Vec<T>>()) };
            Drops::new(hooks.panics).drop_all(*held);
        }
        debug_assert!(self.nesting.depth > 0, "the outermost owner drops what was taken");
        let mut held = Vec::new();
        let has_memory =
            has_room(&mut held, taken.size_hint().0) && has_room(&mut self.nesting.later, 1);
        if !has_memory {
            self.note_no_memory();
            return taken.for_each(|part| Drops::new(self.panics).drop_one(part));
        }
        held.extend(taken);
        let held = match try_box(held) {
            Ok(held) => Box::into_raw(held),
            Err(held) => {
                self.note_no_memory();
                return Drops::new(self.panics).drop_all(held);
            }
        };
        // Below what the hooks leave for later, which is done first.
        self.nesting.later.push((held.cast_const().cast(), drop_held::<T>));
        // SAFETY: the list's own, and it is not looked at before the outermost owner is done.
        for part in unsafe { &mut *held } {
            part.on_condemned(self);
        }
    }

    fn note_no_memory(&mut self) {
        self.panics
            .push("there was no memory to call the hooks of a value that is deep".to_string());
    }
}

/// How many owners deep a value may be. Only this module makes one, to ask about values that nobody changes meanwhile.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Depth(u32);

impl Depth {
    /// What is left of it for the parts of an owner.
    #[inline]
    pub(crate) fn below(self) -> Option<Depth> {
        self.0.checked_sub(1).map(Depth)
    }
}

/// Takes deep values apart. Only the derive's expansion and the implementations here use it.
#[doc(hidden)]
pub struct Drops<'p> {
    /// What the drops that panicked said.
    panics: &'p mut Vec<String>,
    nesting: Nesting<Drops<'p>>,
}

impl Walk for Drops<'_> {
    #[inline(always)]
    fn nesting(&mut self) -> &mut Nesting<Self> {
        &mut self.nesting
    }
}

impl<'p> Drops<'p> {
    fn new(panics: &'p mut Vec<String>) -> Drops<'p> {
        Drops { panics, nesting: Nesting::new() }
    }

    /// Drops a part by the compiler's glue. A panic is kept, so that other parts are dropped too.
    ///
    /// # Safety
    ///
    /// As for [`drop_in_place`](core::ptr::drop_in_place).
    #[inline]
    pub unsafe fn drop_part<T>(&mut self, part: *mut T) {
        if core::mem::needs_drop::<T>() {
            // SAFETY: the caller's promise.
            guarded(self.panics, || unsafe { core::ptr::drop_in_place(part) });
        }
    }

    /// Drops an owner and its parts, now or before the outermost owner's drop ends.
    ///
    /// # Safety
    ///
    /// `owner` is initialised, and nobody uses it again.
    pub(crate) unsafe fn drop_owner<'gc, O: Owner<'gc>>(&mut self, owner: *mut O) {
        /// # Safety
        ///
        /// `owner` is the list's own (DN2), an `O`.
        unsafe fn later<'gc, O: Owner<'gc>>(owner: *const (), drops: &mut Drops<'_>) {
            // SAFETY: the caller's promise.
            let owner = unsafe { Box::from_raw(owner.cast_mut().cast::<O>()) };
            (*owner).take_apart(drops);
        }
        // SAFETY: the caller's promise.
        let mut owner = unsafe { owner.read() };
        if self.nesting.depth >= DEPTH_MAX && has_room(&mut self.nesting.later, 1) {
            match try_box(owner) {
                Ok(place) => {
                    let place = Box::into_raw(place).cast_const().cast();
                    return self.nesting.later.push((place, later::<O>));
                }
                Err(back) => owner = back,
            }
        }
        if self.nesting.depth < DEPTH_FULL {
            descend(self, |drops| owner.take_apart(drops));
        } else {
            core::mem::forget(owner);
            self.panics
                .push("there was no memory to drop a value that is deep: it is leaked".to_string());
        }
    }

    /// Drops a part that was taken out of an owner.
    pub(crate) fn drop_one<'gc, T: IObject<'gc>>(&mut self, part: T) {
        let mut part = ManuallyDrop::new(part);
        // SAFETY: not used again.
        unsafe { T::drop_parts(&raw mut *part, self) };
    }

    /// Drops the elements of a vector, and then the vector.
    pub(crate) fn drop_all<'gc, T: IObject<'gc>>(&mut self, mut all: Vec<T>) {
        let len = all.len();
        // SAFETY: nothing is in the vector any more when it is dropped; each element is dropped once.
        unsafe {
            all.set_len(0);
            for i in 0..len {
                T::drop_parts(all.as_mut_ptr().add(i), self);
            }
        }
    }
}

/// Whether drop glue might overflow the stack.
///
/// # Safety
///
/// Nobody changes the value meanwhile.
#[inline]
pub(crate) unsafe fn is_deep<'gc, T: IObject<'gc>>(value: &T) -> bool {
    T::MAY_NEST && value.is_deeper_than(Depth(DEPTH_MAX))
}

/// Drops a value: by the compiler's glue, or, if it is so deep that this might overflow the stack, part by part.
///
/// # Panics
///
/// As the value's drop. All of it that can be dropped is then.
///
/// # Safety
///
/// As for [`drop_in_place`](core::ptr::drop_in_place).
#[inline]
pub(crate) unsafe fn drop_value<'gc, T: IObject<'gc>>(value: *mut T) {
    // SAFETY: the caller's promise, for both.
    unsafe {
        if is_deep(&*value) {
            drop_deep(|drops| T::drop_parts(value, drops));
        } else {
            core::ptr::drop_in_place(value);
        }
    }
}

/// As [`drop_value`], of several.
///
/// # Safety
///
/// As [`drop_value`].
pub(crate) unsafe fn drop_values<'gc, T: IObject<'gc>>(values: *mut [T]) {
    // SAFETY: the caller's promise, for all of them.
    unsafe {
        // What has no size is not deep, and there may be any number of it.
        let may_be = T::MAY_NEST && size_of::<T>() != 0;
        if may_be && (*values).iter().any(|value| is_deep(value)) {
            let first = values.cast::<T>();
            drop_deep(|drops| (0..values.len()).for_each(|i| T::drop_parts(first.add(i), drops)));
        } else {
            core::ptr::drop_in_place(values);
        }
    }
}

#[cold]
#[inline(never)]
fn drop_deep(f: impl FnOnce(&mut Drops<'_>)) {
    let mut panics = Vec::new();
    f(&mut Drops::new(&mut panics));
    // Whoever panics first is heard, as in drop glue.
    if let Some(first) = panics.into_iter().next() {
        std::panic::resume_unwind(Box::new(first));
    }
}
