//! What the collector knows about a type, and the process-wide registry that makes it unique.
//!
//! The identity of an object type is the `TypeId` of its family. The address of a [`TypeInfo`]
//! stands for it only because the registry makes one for each identity: the linker is free to
//! merge equal constants of different types and to split those of one.

use core::any::TypeId;
use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::RwLock;

use crate::hooks::Hooks;
use crate::object::IObject;
use crate::visitor::Visitor;

/// A description of an object type: its name, its fields, its size in bytes.
///
/// From [`GcAny::type_info`](crate::GcAny::type_info), for reports and heap dumps.
#[derive(Debug)]
pub struct TypeInfo {
    pub(crate) type_id: TypeId,
    index: TypeIndex,
    name: &'static str,
    fields: &'static [&'static str],
    size: usize,
    align: usize,
    pub(crate) tail: Option<usize>,
    pub(crate) visit: Option<unsafe fn(*const u8, &mut Visitor<'_>)>,
    /// Whether the edges of an object may change after it was made.
    pub(crate) may_change: bool,
    /// Whether they may otherwise than through a slot; or what a visit shows is not edges alone.
    pub(crate) changes_unseen: bool,
    /// The `on_collect` hooks of the object.
    pub(crate) hooks: Option<unsafe fn(*mut u8, &mut Hooks<'_>)>,
    pub(crate) drop: Option<unsafe fn(*mut u8)>,
    /// Whether hooks or drop may run code of the embedder's.
    pub(crate) may_run_user_code: bool,
}

/// Types that were asked a question about their parts, so that one that contains itself is asked once.
#[doc(hidden)]
#[derive(Default)]
pub struct TypesSeen(Vec<TypeId>);

impl TypesSeen {
    /// Whether the type of a family is asked for the first time.
    pub fn is_new<R: crate::Rootable>(&mut self) -> bool {
        let id = TypeId::of::<R>();
        let is_new = !self.0.contains(&id);
        if is_new {
            self.0.push(id);
        }
        is_new
    }
}

/// A small number that stands for an object type in this process, to `match` on or to index by.
///
/// Numbers are given out in the order in which types are first used, so they differ from run to
/// run; look yours up once with [`TypeIndex::of`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TypeIndex(u32);

impl TypeIndex {
    /// The index of a type, given out now if it has none yet.
    pub fn of<'gc, T: IObject<'gc>>() -> TypeIndex {
        register::<T>().index
    }

    /// The number, below the number of object types used so far.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TypeInfo {
    /// The type's name: what the derive was told, else what the compiler calls it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The names of the fields; those of a tuple are numbers, those of an enum its variants'.
    pub fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    /// The size of a value in bytes, elements of a tail not counted.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The alignment of a value in bytes.
    pub fn align(&self) -> usize {
        self.align
    }

    /// The size of one element in bytes if objects of this type end in a tail of elements.
    pub fn element_size(&self) -> Option<usize> {
        self.tail
    }

    /// The type's number.
    pub fn index(&self) -> TypeIndex {
        self.index
    }

    /// Whether objects of this type refer to no others and own no memory outside of the heap.
    pub fn is_leaf(&self) -> bool {
        self.visit.is_none()
    }
}

static REGISTRY: LazyLock<RwLock<HashMap<TypeId, &'static TypeInfo>>> =
    LazyLock::new(RwLock::default);

/// The one description of a type.
#[cold]
pub(crate) fn register<'gc, T: IObject<'gc>>() -> &'static TypeInfo {
    let type_id = TypeId::of::<T::R>();
    if let Some(info) = REGISTRY.read().get(&type_id) {
        return info;
    }
    let may_run_user_code = T::may_run_user_code(&mut TypesSeen::default());
    let mut registry = REGISTRY.write();
    let next = TypeIndex(registry.len().try_into().expect("fewer than 2^32 object types"));
    registry.entry(type_id).or_insert_with(|| {
        Box::leak(Box::new(TypeInfo {
            type_id,
            index: next,
            name: if T::NAME.is_empty() { core::any::type_name::<T>() } else { T::NAME },
            fields: T::FIELDS,
            size: size_of::<T>(),
            align: align_of::<T>(),
            tail: T::TAIL,
            visit: if T::NEEDS_VISIT { Some(T::visit_at) } else { None },
            may_change: T::NEEDS_VISIT && T::MAY_CHANGE,
            changes_unseen: T::NEEDS_VISIT && T::MAY_CHANGE && T::CHANGES_UNSEEN,
            // A hook is the embedder's code.
            hooks: if T::HAS_HOOKS && may_run_user_code { Some(T::hooks_at) } else { None },
            drop: if T::NEEDS_DROP { Some(T::drop_at) } else { None },
            may_run_user_code,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IObject;

    #[derive(IObject)]
    #[cspace(crate = cspace_core)]
    struct Tree<'gc> {
        name: String,
        children: Vec<Tree<'gc>>,
        table: crate::GcCell<'gc, std::collections::HashMap<u64, Option<Box<Tree<'gc>>>>>,
    }

    #[derive(IObject)]
    #[cspace(crate = cspace_core)]
    struct Opaque<'gc> {
        tree: Tree<'gc>,
        rest: Box<crate::Static<Vec<String>>>,
    }

    #[derive(IObject)]
    #[cspace(crate = cspace_core)]
    struct Hooked {
        #[cspace(on_collect = "drop_nothing")]
        number: crate::Static<u64>,
    }

    fn drop_nothing(_: &mut u64) {}

    #[test]
    fn what_the_standard_library_owns_runs_no_user_code_when_it_is_dropped() {
        let tree = register::<Tree<'_>>();
        assert!(tree.drop.is_some() && tree.hooks.is_none() && !tree.may_run_user_code);
        assert!(register::<Opaque<'_>>().may_run_user_code);
        assert!(register::<Vec<Opaque<'_>>>().may_run_user_code);
        let hooked = register::<Hooked>();
        assert!(hooked.may_run_user_code && hooked.hooks.is_some());
        assert!(!register::<u64>().may_run_user_code);
        assert!(!register::<crate::Str>().may_run_user_code);
    }

    #[test]
    fn equal_looking_types_have_identities_of_their_own() {
        let of_u64 = register::<u64>();
        let of_i64 = register::<i64>();
        assert_ne!(of_u64.index(), of_i64.index());
        assert!(core::ptr::eq(of_u64, register::<u64>()));
        assert_ne!(TypeIndex::of::<Vec<u64>>(), TypeIndex::of::<Vec<i64>>());
        assert_ne!(TypeIndex::of::<Option<u64>>(), TypeIndex::of::<Vec<u64>>());
    }
}
