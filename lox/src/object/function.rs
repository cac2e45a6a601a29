//! Compiled functions, and the inline caches of the places where they use properties.

use cspace::{Alloc, Gc, IObject, Slice, Slot, Static};

use super::{Closure, LoxString};
use crate::bytecode::Word;
use crate::proto::UpvalueSource;
use crate::shape::Shape;
use crate::value::Value;

/// A compiled function. Programs only see closures of it.
#[derive(IObject)]
pub(crate) struct Function<'gc> {
    /// `None` for the program itself.
    pub(crate) name: Option<Gc<'gc, LoxString>>,
    pub(crate) arity: u32,
    /// How many stack slots a call needs at most.
    pub(crate) stack_size: u32,
    pub(crate) code: Gc<'gc, Slice<Word>>,
    pub(crate) constants: Gc<'gc, Slice<Value<'gc>>>,
    pub(crate) sites: Gc<'gc, Slice<Site<'gc>>>,
    /// The source line of each instruction.
    pub(crate) lines: Gc<'gc, Slice<u32>>,
    pub(crate) upvalues: Gc<'gc, Slice<Static<UpvalueSource>>>,
}

/// How many shapes a site remembers.
const SITE_ENTRIES: usize = 4;

/// A place in the code where a property is used, with what was found there the last few times,
/// newest first. The run loop looks at the first entry only.
#[derive(IObject)]
pub(crate) struct Site<'gc> {
    pub(crate) name: Gc<'gc, LoxString>,
    entries: [SiteEntry<'gc>; SITE_ENTRIES],
}

/// What a site knows about instances of one shape:
///
/// - a field to get or set: it is at `index`, inline if the instance has at least `room` inline
///   slots. For an assignment that adds the field `next` is the shape that the instance gets.
/// - a method to get or call: it is `method`, and `room` is `u32::MAX`, so that no field is found.
///
/// Only shared shapes are known: others may change.
#[derive(IObject)]
pub(crate) struct SiteEntry<'gc> {
    shape: Slot<'gc, Option<Gc<'gc, Shape<'gc>>>>,
    index: Slot<'gc, u32>,
    room: Slot<'gc, u32>,
    next: Slot<'gc, Option<Gc<'gc, Shape<'gc>>>>,
    method: Slot<'gc, Option<Gc<'gc, Closure<'gc>>>>,
}

impl<'gc> Site<'gc> {
    pub(crate) fn new(name: Gc<'gc, LoxString>) -> Self {
        let entry = |_| SiteEntry {
            shape: Slot::new(None),
            index: Slot::new(0),
            room: Slot::new(u32::MAX),
            next: Slot::new(None),
            method: Slot::new(None),
        };
        Site { name, entries: std::array::from_fn(entry) }
    }

    /// The newest entry, if it is for this shape.
    #[inline(always)]
    pub(crate) fn newest(
        &self,
        cx: &Alloc<'gc>,
        shape: Gc<'gc, Shape<'gc>>,
    ) -> Option<&SiteEntry<'gc>> {
        let entry = &self.entries[0];
        (entry.shape.get(cx) == Some(shape)).then_some(entry)
    }

    /// The entry for this shape.
    pub(crate) fn find(
        &self,
        cx: &Alloc<'gc>,
        shape: Gc<'gc, Shape<'gc>>,
    ) -> Option<&SiteEntry<'gc>> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.shape.get(cx) == Some(shape))
    }

    /// Remembers a field.
    pub(crate) fn add_field(
        &self,
        cx: &Alloc<'gc>,
        shape: Gc<'gc, Shape<'gc>>,
        index: u32,
        room: u32,
        next: Option<Gc<'gc, Shape<'gc>>>,
    ) {
        self.add(cx, shape, (index, room, next, None));
    }

    /// Remembers a method.
    pub(crate) fn add_method(
        &self,
        cx: &Alloc<'gc>,
        shape: Gc<'gc, Shape<'gc>>,
        method: Gc<'gc, Closure<'gc>>,
    ) {
        self.add(cx, shape, (0, u32::MAX, None, Some(method)));
    }

    fn add(&self, cx: &Alloc<'gc>, shape: Gc<'gc, Shape<'gc>>, mut found: Found<'gc>) {
        debug_assert!(shape.is_shared);
        let mut shape = Some(shape);
        for entry in &self.entries {
            let older = entry.shape.replace(cx, shape);
            found = entry.replace(cx, found);
            shape = older;
        }
    }
}

/// The parts of an entry beside its shape, in order.
type Found<'gc> = (u32, u32, Option<Gc<'gc, Shape<'gc>>>, Option<Gc<'gc, Closure<'gc>>>);

impl<'gc> SiteEntry<'gc> {
    #[inline(always)]
    pub(crate) fn index(&self, cx: &Alloc<'gc>) -> u32 {
        self.index.get(cx)
    }

    #[inline(always)]
    pub(crate) fn room(&self, cx: &Alloc<'gc>) -> u32 {
        self.room.get(cx)
    }

    #[inline(always)]
    pub(crate) fn next(&self, cx: &Alloc<'gc>) -> Option<Gc<'gc, Shape<'gc>>> {
        self.next.get(cx)
    }

    #[inline(always)]
    pub(crate) fn method(&self, cx: &Alloc<'gc>) -> Option<Gc<'gc, Closure<'gc>>> {
        self.method.get(cx)
    }

    fn replace(&self, cx: &Alloc<'gc>, (index, room, next, method): Found<'gc>) -> Found<'gc> {
        (
            self.index.replace(cx, index),
            self.room.replace(cx, room),
            self.next.replace(cx, next),
            self.method.replace(cx, method),
        )
    }
}
