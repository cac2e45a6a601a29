//! Shapes: which fields an instance has, and in which order.
//!
//! Instances of a class that got the same fields in the same order share a shape. A shape knows the
//! shapes that follow it by the name of the field that is added, so the shapes of a class are a
//! tree, whose root is that of an instance without fields. An inline cache compares the shape and
//! knows the rest.
//!
//! - **F1 (prefix).** A layout numbers names in the order in which they came. A shape's fields are
//!   the first `count` of its layout; a shape and the one that extends it usually share one.
//! - **F2 (shared).** A shared shape never changes, but for the shapes that follow it.
//!
//! A program could make a shape for each instance, by adding fields in ever new orders. So when a
//! class has [`SHAPES_MAX`] of them, an instance that needs a new one gets a shape of its own,
//! which is not shared, changes with it, and is not cached.

use cspace::{Alloc, Exclusive, Gc, GcCell, HeapFull, IObject, Slot};

use crate::object::{Class, LoxString, NameMap};

/// How many shared shapes a class may have.
const SHAPES_MAX: u32 = 4096;

/// Which fields an instance has.
#[derive(IObject)]
pub(crate) struct Shape<'gc> {
    pub(crate) class: Gc<'gc, Class<'gc>>,
    layout: Gc<'gc, Layout<'gc>>,
    /// The number of fields.
    count: Slot<'gc, u32>,
    pub(crate) is_shared: bool,
    /// The shared shapes with one field more, by its name.
    following: GcCell<'gc, NameMap<'gc, Gc<'gc, Shape<'gc>>>>,
}

/// Names of fields, numbered.
#[derive(IObject)]
struct Layout<'gc> {
    indices: GcCell<'gc, NameMap<'gc, u32>>,
}

impl<'gc> Shape<'gc> {
    /// The shape of an instance of `class` that has no fields.
    pub(crate) fn empty(
        cx: &Alloc<'gc>,
        class: Gc<'gc, Class<'gc>>,
    ) -> Result<Gc<'gc, Shape<'gc>>, HeapFull> {
        let layout = Layout::create(cx, NameMap::default())?;
        Shape::create(cx, class, layout, 0, true)
    }

    fn create(
        cx: &Alloc<'gc>,
        class: Gc<'gc, Class<'gc>>,
        layout: Gc<'gc, Layout<'gc>>,
        count: u32,
        is_shared: bool,
    ) -> Result<Gc<'gc, Shape<'gc>>, HeapFull> {
        let shape = Shape {
            class,
            layout,
            count: Slot::new(count),
            is_shared,
            following: GcCell::new(NameMap::default()),
        };
        cx.try_alloc(shape).map_err(|error| error.cause)
    }

    /// The number of a field, if there is one with this name.
    pub(crate) fn index_of(&self, cx: &Exclusive<'gc>, name: Gc<'gc, LoxString>) -> Option<u32> {
        let index = self.layout.indices.borrow(cx).get(&name).copied()?;
        (index < self.count.get(cx)).then_some(index)
    }

    /// How many slots an instance needs for this field to be certainly in one.
    pub(crate) fn room(&self, cx: &Exclusive<'gc>, index: u32) -> u32 {
        let is_last = index + 1 == self.count.get(cx);
        if is_last {
            index + 1
        } else {
            index + 2
        }
    }

    /// The number of fields, which is the number that a new one gets.
    pub(crate) fn count(&self, cx: &Exclusive<'gc>) -> u32 {
        self.count.get(cx)
    }

    /// Adds a field to a shape that is not shared.
    pub(crate) fn append(&self, cx: &mut Exclusive<'gc>, name: Gc<'gc, LoxString>) {
        debug_assert!(!self.is_shared);
        let count = self.count.get(cx);
        self.layout.indices.borrow_mut(cx).insert(name, count);
        self.count.set(cx, count + 1);
    }

    /// The shape that follows a shared one with one field more, made if there is none.
    pub(crate) fn extend(
        this: Gc<'gc, Shape<'gc>>,
        cx: &mut Exclusive<'gc>,
        name: Gc<'gc, LoxString>,
    ) -> Result<Gc<'gc, Shape<'gc>>, HeapFull> {
        if let Some(following) = this.following.borrow(cx).get(&name) {
            return Ok(*following);
        }
        let count = this.count.get(cx);
        let class = this.class;
        let shape_count = class.shape_count.get(cx);
        let is_shared = shape_count < SHAPES_MAX;
        let is_longest = this.layout.indices.borrow(cx).len() == count as usize;
        let layout = if is_shared && is_longest {
            this.layout
        } else {
            let indices = this.layout.indices.borrow(cx).iter();
            let indices = indices.filter(|(_, index)| **index < count);
            Layout::create(cx, indices.map(|(name, index)| (*name, *index)).collect())?
        };
        let extended = Shape::create(cx, class, layout, count + 1, is_shared)?;
        layout.indices.borrow_mut(cx).insert(name, count);
        if is_shared {
            this.following.borrow_mut(cx).insert(name, extended);
            class.shape_count.set(cx, shape_count + 1);
        }
        Ok(extended)
    }
}

impl<'gc> Layout<'gc> {
    fn create(
        cx: &Alloc<'gc>,
        indices: NameMap<'gc, u32>,
    ) -> Result<Gc<'gc, Layout<'gc>>, HeapFull> {
        let layout = Layout { indices: GcCell::new(indices) };
        cx.try_alloc(layout).map_err(|error| error.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::StringTable;
    use cspace::CSpace;

    fn indices<'gc, const N: usize>(
        cx: &Exclusive<'gc>,
        shape: Gc<'gc, Shape<'gc>>,
        names: [Gc<'gc, LoxString>; N],
    ) -> [Option<u32>; N] {
        names.map(|name| shape.index_of(cx, name))
    }

    #[test]
    fn the_same_fields_in_the_same_order_give_the_same_shape() {
        CSpace::new().exclusive(|cx| {
            let mut strings = StringTable::new();
            let class = strings.intern(cx, b"Class").unwrap();
            let class = Class::create(cx, class, 0).unwrap();
            let [a, b, c] = [b"a", b"b", b"c"].map(|name| strings.intern(cx, name).unwrap());

            let empty = class.empty_shape(cx);
            let with_a = Shape::extend(empty, cx, a).unwrap();
            let with_ab = Shape::extend(with_a, cx, b).unwrap();
            let with_ac = Shape::extend(with_a, cx, c).unwrap();
            assert!(Gc::ptr_eq(with_ab, Shape::extend(with_a, cx, b).unwrap()));
            assert!(!Gc::ptr_eq(with_ab, with_ac));
            let names = [a, b, c];
            assert_eq!(indices(cx, empty, names), [None, None, None]);
            assert_eq!(indices(cx, with_a, names), [Some(0), None, None]);
            assert_eq!(indices(cx, with_ab, names), [Some(0), Some(1), None]);
            assert_eq!(indices(cx, with_ac, names), [Some(0), None, Some(1)]);
            assert_eq!((with_ab.room(cx, 0), with_ab.room(cx, 1)), (2, 2));
        });
    }

    #[test]
    fn a_class_with_very_many_shapes_gives_instances_their_own() {
        CSpace::new().exclusive(|cx| {
            let mut strings = StringTable::new();
            let class = strings.intern(cx, b"Class").unwrap();
            let class = Class::create(cx, class, 0).unwrap();
            let empty = class.empty_shape(cx);
            for i in 0..SHAPES_MAX {
                let name = strings.intern(cx, i.to_string().as_bytes()).unwrap();
                assert!(Shape::extend(empty, cx, name).unwrap().is_shared);
            }
            let [a, b] = [b"a", b"b"].map(|name| strings.intern(cx, name).unwrap());
            let own = Shape::extend(empty, cx, a).unwrap();
            let other = Shape::extend(empty, cx, a).unwrap();
            assert!(!own.is_shared && !Gc::ptr_eq(own, other));
            own.append(cx, b);
            assert_eq!(own.index_of(cx, b), Some(1));
            assert_eq!(other.index_of(cx, b), None);
        });
    }
}
