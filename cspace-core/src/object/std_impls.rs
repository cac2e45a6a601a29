//! `IObject` for the standard library's types, and behind features for three popular crates.
//!
//! Hashers and allocators must be `'static`: one of them may own a handle and have a `Drop` that
//! uses it.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};

use super::{IObject, Rootable};
use crate::brand::Family;
use crate::hooks::Hooks;
use crate::nesting::{Depth, Drops, Owner};
use crate::type_info::TypesSeen;
use crate::visitor::Visitor;

macro_rules! leaf {
    ($($type:ty),* $(,)?) => { $(
        impl Rootable for $type {
            type At<'gc> = $type;
        }
        // SAFETY: the type holds no handle, owns no memory and has no drop glue; it is its own
        // family, having no lifetime.
        unsafe impl<'gc> IObject<'gc> for $type {
            type R = $type;
            const NEEDS_VISIT: bool = false;
            const MAY_CHANGE: bool = false;
            #[inline(always)]
            fn visit_objects(&self, _: &mut Visitor<'_>) {}
        }
    )* };
}

leaf!(
    (),
    bool,
    char,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    f32,
    f64,
    core::num::NonZeroU8,
    core::num::NonZeroU16,
    core::num::NonZeroU32,
    core::num::NonZeroU64,
    core::num::NonZeroUsize,
    core::time::Duration,
    std::time::Instant,
    core::cmp::Ordering,
    &'static str,
);

macro_rules! text {
    ($($type:ty, $bytes:ident);* $(;)?) => { $(
        impl Rootable for $type {
            type At<'gc> = $type;
        }
        // SAFETY: the type holds no handle and its drop touches none; it has no lifetime.
        unsafe impl<'gc> IObject<'gc> for $type {
            type R = $type;
            #[inline]
            fn visit_objects(&self, visitor: &mut Visitor<'_>) {
                visitor.report_bytes(self.$bytes());
            }
            fn may_run_user_code(_: &mut TypesSeen) -> bool {
                false
            }
        }
    )* };
}

text!(String, capacity; Box<str>, len);

/// Families of generic types with one object parameter, told apart by a marker.
pub struct Of<K: 'static, R>(Family<K>, Family<R>);

/// Families of generic types with two object parameters.
pub struct Of2<K: 'static, R, S>(Family<K>, Family<R>, Family<S>);

/// Visits the elements of a collection. Of those without size there may be more than can be counted, and none owns
/// anything, so one stands for all.
macro_rules! visit_each {
    ($element:ty, $all:expr, $visitor:expr) => {
        if <$element>::NEEDS_VISIT {
            for element in $all {
                element.visit_objects($visitor);
                if size_of::<$element>() == 0 {
                    break;
                }
            }
        }
    };
}

/// Calls the hooks of elements: of each where it is, or of each after it was taken out.
macro_rules! hooks {
    (each, $taken:expr, $all:expr, $hooks:expr) => {
        for element in $all {
            element.on_condemned($hooks);
        }
    };
    (drained, $taken:expr, $all:expr, $hooks:expr) => {
        $hooks.hook_taken($taken.into_iter())
    };
}

/// What the implementation for a type that owns its parts through an allocation says of depth, hooks and drops. Its
/// `HAS_HOOKS` and `MAY_NEST` do not go by its parts, as one may be of the type itself.
macro_rules! owner {
    ($($part:ident),+ $(; $hasher:ident)?) => {
        fn may_run_user_code(types: &mut TypesSeen) -> bool {
            $($part::may_run_user_code(types))||+ $(|| core::mem::needs_drop::<$hasher>())?
        }
        const HAS_HOOKS: bool = true;
        fn on_condemned(&mut self, hooks: &mut Hooks<'_>) {
            if $($part::HAS_HOOKS)||+ {
                hooks.hook_owner(self);
            }
        }
        const MAY_NEST: bool = true;
        #[inline]
        fn is_deeper_than(&self, depth: Depth) -> bool {
            ($(may_nest::<$part>())||+) && self.has_parts_below(depth)
        }
        #[inline]
        unsafe fn drop_parts(this: *mut Self, drops: &mut Drops<'_>) {
            // SAFETY: the caller's promise, for both.
            unsafe {
                if $(may_nest::<$part>())||+ {
                    drops.drop_owner(this);
                } else {
                    drops.drop_part(this);
                }
            }
        }
    };
}

/// Whether parts of a type may nest. What has no size owns nothing, and there may be more of it than can be counted.
#[inline(always)]
fn may_nest<'gc, T: IObject<'gc>>() -> bool {
    T::MAY_NEST && size_of::<T>() != 0
}

/// Whether any of some parts are below a depth, if they are owned by what is at it.
#[inline]
fn any_below<'a, 'gc: 'a, T: IObject<'gc> + 'a>(
    depth: Depth,
    parts: impl IntoIterator<Item = &'a T>,
) -> bool {
    let mut parts = parts.into_iter();
    match depth.below() {
        None => parts.next().is_some(),
        Some(depth) => may_nest::<T>() && parts.any(|part| part.is_deeper_than(depth)),
    }
}

macro_rules! sequence {
    ($($marker:ident, $type:ident, $capacity:expr, $hooks:ident);* $(;)?) => { $(
        #[doc(hidden)]
        pub struct $marker;
        impl<R: Rootable> Rootable for Of<$marker, R> {
            type At<'gc> = $type<R::At<'gc>>;
        }
        // SAFETY: every element is visited; the collection's drop drops the elements and nothing
        // else; the family carries the element's family.
        unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for $type<T> {
            type R = Of<$marker, T::R>;
            fn visit_objects(&self, visitor: &mut Visitor<'_>) {
                visitor.report_bytes($capacity(self) * size_of::<T>());
                if T::NEEDS_VISIT {
                    visitor.visit_owner(self);
                }
            }
            owner!(T);
        }
        impl<'gc, T: IObject<'gc> + 'gc> Owner<'gc> for $type<T> {
            fn visit_parts(&self, visitor: &mut Visitor<'_>) {
                visit_each!(T, self, visitor);
            }
            fn hook_parts(&mut self, hooks: &mut Hooks<'_>) {
                hooks!($hooks, core::mem::take(self), self, hooks);
            }
            fn has_parts_below(&self, depth: Depth) -> bool {
                any_below(depth, self)
            }
            fn take_apart(self, drops: &mut Drops<'_>) {
                take_apart!($hooks, self, drops);
            }
        }
    )* };
}

/// Drops elements where they are, or one after the other as they are taken out.
macro_rules! take_apart {
    (each, $all:expr, $drops:expr) => {
        $drops.drop_all(Vec::from($all))
    };
    (drained, $all:expr, $drops:expr) => {
        for element in $all {
            $drops.drop_one(element);
        }
    };
}

sequence!(
    OfVec, Vec, Vec::capacity, each;
    OfVecDeque, VecDeque, VecDeque::capacity, each;
    OfBinaryHeap, BinaryHeap, BinaryHeap::capacity, drained;
    OfBTreeSet, BTreeSet, BTreeSet::len, drained;
);

#[doc(hidden)]
pub struct OfBox;
impl<R: Rootable> Rootable for Of<OfBox, R> {
    type At<'gc> = Box<R::At<'gc>>;
}
// SAFETY: the content is visited, and dropping the box drops it and nothing else.
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for Box<T> {
    type R = Of<OfBox, T::R>;
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        visitor.report_bytes(size_of::<T>());
        if T::NEEDS_VISIT {
            visitor.visit_owner(self);
        }
    }
    owner!(T);
}
impl<'gc, T: IObject<'gc> + 'gc> Owner<'gc> for Box<T> {
    fn visit_parts(&self, visitor: &mut Visitor<'_>) {
        (**self).visit_objects(visitor);
    }
    fn hook_parts(&mut self, hooks: &mut Hooks<'_>) {
        (**self).on_condemned(hooks);
    }
    fn has_parts_below(&self, depth: Depth) -> bool {
        any_below(depth, [&**self])
    }
    fn take_apart(self, drops: &mut Drops<'_>) {
        let content = Box::into_raw(self);
        // SAFETY: the content is dropped once, and its memory freed as that of a type that needs no drop.
        unsafe {
            T::drop_parts(content, drops);
            drop(Box::from_raw(content.cast::<ManuallyDrop<T>>()));
        }
    }
}

#[doc(hidden)]
pub struct OfBoxedSlice;
impl<R: Rootable> Rootable for Of<OfBoxedSlice, R> {
    type At<'gc> = Box<[R::At<'gc>]>;
}
// SAFETY: every element is visited, and dropping the box drops them and nothing else.
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for Box<[T]> {
    type R = Of<OfBoxedSlice, T::R>;
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        visitor.report_bytes(size_of_val::<[T]>(self));
        if T::NEEDS_VISIT {
            visitor.visit_owner(self);
        }
    }
    owner!(T);
}
impl<'gc, T: IObject<'gc> + 'gc> Owner<'gc> for Box<[T]> {
    fn visit_parts(&self, visitor: &mut Visitor<'_>) {
        visit_each!(T, self, visitor);
    }
    fn hook_parts(&mut self, hooks: &mut Hooks<'_>) {
        self.iter_mut().for_each(|element| element.on_condemned(hooks));
    }
    fn has_parts_below(&self, depth: Depth) -> bool {
        any_below(depth, self.iter())
    }
    fn take_apart(self, drops: &mut Drops<'_>) {
        drops.drop_all(self.into_vec());
    }
}

#[doc(hidden)]
pub struct OfOption;
impl<R: Rootable> Rootable for Of<OfOption, R> {
    type At<'gc> = Option<R::At<'gc>>;
}
// SAFETY: the content, if any, is visited.
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for Option<T> {
    type R = Of<OfOption, T::R>;
    const NEEDS_VISIT: bool = T::NEEDS_VISIT;
    const MAY_CHANGE: bool = T::MAY_CHANGE;
    const CHANGES_UNSEEN: bool = T::CHANGES_UNSEEN;
    #[inline(always)]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        if let Some(content) = self {
            content.visit_objects(visitor);
        }
    }
    fn may_run_user_code(types: &mut TypesSeen) -> bool {
        T::may_run_user_code(types)
    }
    const HAS_HOOKS: bool = T::HAS_HOOKS;
    #[inline]
    fn on_condemned(&mut self, hooks: &mut Hooks<'_>) {
        if let Some(content) = self {
            content.on_condemned(hooks);
        }
    }
    const MAY_NEST: bool = T::MAY_NEST;
    #[inline]
    fn is_deeper_than(&self, depth: Depth) -> bool {
        T::MAY_NEST && self.as_ref().is_some_and(|content| content.is_deeper_than(depth))
    }
    #[inline]
    unsafe fn drop_parts(this: *mut Self, drops: &mut Drops<'_>) {
        // SAFETY: the caller's promise, for the content if there is any.
        unsafe {
            if let Some(content) = &mut *this {
                T::drop_parts(content, drops);
            }
        }
    }
}

#[doc(hidden)]
pub struct OfResult;
impl<R: Rootable, S: Rootable> Rootable for Of2<OfResult, R, S> {
    type At<'gc> = Result<R::At<'gc>, S::At<'gc>>;
}
// SAFETY: either content is visited.
unsafe impl<'gc, T: IObject<'gc> + 'gc, E: IObject<'gc> + 'gc> IObject<'gc> for Result<T, E> {
    type R = Of2<OfResult, T::R, E::R>;
    const NEEDS_VISIT: bool = T::NEEDS_VISIT || E::NEEDS_VISIT;
    const MAY_CHANGE: bool = T::MAY_CHANGE || E::MAY_CHANGE;
    const CHANGES_UNSEEN: bool = T::CHANGES_UNSEEN || E::CHANGES_UNSEEN;
    #[inline]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        match self {
            Ok(content) => content.visit_objects(visitor),
            Err(error) => error.visit_objects(visitor),
        }
    }
    fn may_run_user_code(types: &mut TypesSeen) -> bool {
        T::may_run_user_code(types) || E::may_run_user_code(types)
    }
    const HAS_HOOKS: bool = T::HAS_HOOKS || E::HAS_HOOKS;
    #[inline]
    fn on_condemned(&mut self, hooks: &mut Hooks<'_>) {
        match self {
            Ok(content) => content.on_condemned(hooks),
            Err(error) => error.on_condemned(hooks),
        }
    }
    const MAY_NEST: bool = T::MAY_NEST || E::MAY_NEST;
    #[inline]
    fn is_deeper_than(&self, depth: Depth) -> bool {
        match self {
            Ok(content) => content.is_deeper_than(depth),
            Err(error) => error.is_deeper_than(depth),
        }
    }
    #[inline]
    unsafe fn drop_parts(this: *mut Self, drops: &mut Drops<'_>) {
        // SAFETY: the caller's promise, for either content.
        unsafe {
            match &mut *this {
                Ok(content) => T::drop_parts(content, drops),
                Err(error) => E::drop_parts(error, drops),
            }
        }
    }
}

#[doc(hidden)]
pub struct OfPhantom;
impl<R: Rootable> Rootable for Of<OfPhantom, R> {
    type At<'gc> = PhantomData<R::At<'gc>>;
}
// SAFETY: there is nothing to visit. Only for objects: a phantom of anything else could carry a
// lifetime that the family does not.
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for PhantomData<T> {
    type R = Of<OfPhantom, T::R>;
    const NEEDS_VISIT: bool = false;
    const MAY_CHANGE: bool = false;
    #[inline(always)]
    fn visit_objects(&self, _: &mut Visitor<'_>) {}
}

#[doc(hidden)]
pub struct OfArray<const N: usize>;
impl<R: Rootable, const N: usize> Rootable for Of<OfArray<N>, R> {
    type At<'gc> = [R::At<'gc>; N];
}
// SAFETY: every element is visited.
unsafe impl<'gc, T: IObject<'gc> + 'gc, const N: usize> IObject<'gc> for [T; N] {
    type R = Of<OfArray<N>, T::R>;
    const NEEDS_VISIT: bool = N > 0 && T::NEEDS_VISIT;
    const MAY_CHANGE: bool = N > 0 && T::MAY_CHANGE;
    const CHANGES_UNSEEN: bool = N > 0 && T::CHANGES_UNSEEN;
    #[inline]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        visit_each!(T, self, visitor);
    }
    fn may_run_user_code(types: &mut TypesSeen) -> bool {
        N > 0 && T::may_run_user_code(types)
    }
    const HAS_HOOKS: bool = N > 0 && T::HAS_HOOKS;
    #[inline]
    fn on_condemned(&mut self, hooks: &mut Hooks<'_>) {
        if T::HAS_HOOKS {
            self.iter_mut().for_each(|element| element.on_condemned(hooks));
        }
    }
    const MAY_NEST: bool = T::MAY_NEST;
    #[inline]
    fn is_deeper_than(&self, depth: Depth) -> bool {
        T::MAY_NEST && self.iter().any(|element| element.is_deeper_than(depth))
    }
    #[inline]
    unsafe fn drop_parts(this: *mut Self, drops: &mut Drops<'_>) {
        // SAFETY: the caller's promise, for each element.
        unsafe { (0..N).for_each(|i| T::drop_parts(this.cast::<T>().add(i), drops)) };
    }
}

/// The family of a tuple.
pub struct OfTuple<R>(PhantomData<fn(R) -> R>);

macro_rules! tuple {
    ($(($($part:ident),+));* $(;)?) => { $(
        impl<$($part: Rootable),+> Rootable for OfTuple<($($part,)+)> {
            type At<'gc> = ($($part::At<'gc>,)+);
        }
        // SAFETY: every part is visited; the family carries each part's.
        unsafe impl<'gc, $($part: IObject<'gc> + 'gc),+> IObject<'gc> for ($($part,)+) {
            type R = OfTuple<($($part::R,)+)>;
            const NEEDS_VISIT: bool = $($part::NEEDS_VISIT)||+;
            const MAY_CHANGE: bool = $($part::MAY_CHANGE)||+;
            const CHANGES_UNSEEN: bool = $($part::CHANGES_UNSEEN)||+;
            #[inline]
            #[allow(non_snake_case)]
            fn visit_objects(&self, visitor: &mut Visitor<'_>) {
                let ($($part,)+) = self;
                $($part.visit_objects(visitor);)+
            }
            fn may_run_user_code(types: &mut TypesSeen) -> bool {
                $($part::may_run_user_code(types))||+
            }
            const HAS_HOOKS: bool = $($part::HAS_HOOKS)||+;
            #[inline]
            #[allow(non_snake_case)]
            fn on_condemned(&mut self, hooks: &mut Hooks<'_>) {
                let ($($part,)+) = self;
                $($part.on_condemned(hooks);)+
            }
            const MAY_NEST: bool = $($part::MAY_NEST)||+;
            #[inline]
            #[allow(non_snake_case)]
            fn is_deeper_than(&self, depth: Depth) -> bool {
                let ($($part,)+) = self;
                $($part.is_deeper_than(depth))||+
            }
            #[inline]
            #[allow(non_snake_case)]
            unsafe fn drop_parts(this: *mut Self, drops: &mut Drops<'_>) {
                // SAFETY: the caller's promise, for each part.
                unsafe {
                    let ($($part,)+) = &mut *this;
                    $(IObject::drop_parts($part, drops);)+
                }
            }
        }
    )* };
}

tuple!((A); (A, B); (A, B, C); (A, B, C, D); (A, B, C, D, E); (A, B, C, D, E, F);
    (A, B, C, D, E, F, G); (A, B, C, D, E, F, G, H));

macro_rules! map {
    ($($(#[$attr:meta])* $marker:ident, $($path:ident)::+, [$($hasher:ident)?], $capacity:expr, |$map:ident| $taken:expr);* $(;)?) => { $(
        $(#[$attr])*
        #[doc(hidden)]
        pub struct $marker$(<$hasher>(PhantomData<fn($hasher) -> $hasher>))?;
        $(#[$attr])*
        impl<R: Rootable, S: Rootable $(, $hasher: Send + Sync + 'static)?> Rootable for Of2<$marker$(<$hasher>)?, R, S>
        {
            type At<'gc> = $($path)::+<R::At<'gc>, S::At<'gc> $(, $hasher)?>;
        }
        $(#[$attr])*
        // SAFETY: every key and value is visited; the map's drop drops them and its hasher, which
        // is `'static`; the family carries both families and the hasher's type.
        unsafe impl<'gc, K: IObject<'gc> + 'gc, V: IObject<'gc> + 'gc $(, $hasher: Send + Sync + 'static)?>
            IObject<'gc> for $($path)::+<K, V $(, $hasher)?>
        {
            type R = Of2<$marker$(<$hasher>)?, K::R, V::R>;
            fn visit_objects(&self, visitor: &mut Visitor<'_>) {
                visitor.report_bytes($capacity(self) * size_of::<(K, V)>());
                if K::NEEDS_VISIT || V::NEEDS_VISIT {
                    visitor.visit_owner(self);
                }
            }
            owner!(K, V $(; $hasher)?);
        }
        $(#[$attr])*
        impl<'gc, K: IObject<'gc> + 'gc, V: IObject<'gc> + 'gc $(, $hasher: Send + Sync + 'static)?>
            Owner<'gc> for $($path)::+<K, V $(, $hasher)?>
        {
            fn visit_parts(&self, visitor: &mut Visitor<'_>) {
                for (key, value) in self {
                    key.visit_objects(visitor);
                    value.visit_objects(visitor);
                }
            }
            fn hook_parts(&mut self, hooks: &mut Hooks<'_>) {
                if K::HAS_HOOKS {
                    let $map = self;
                    hooks.hook_taken($taken.into_iter());
                } else {
                    self.values_mut().for_each(|value| value.on_condemned(hooks));
                }
            }
            fn has_parts_below(&self, depth: Depth) -> bool {
                any_below(depth, self.keys()) || any_below(depth, self.values())
            }
            fn take_apart(self, drops: &mut Drops<'_>) {
                let mut this = ManuallyDrop::new(self);
                let $map = &mut *this;
                for (key, value) in $taken {
                    drops.drop_one(key);
                    drops.drop_one(value);
                }
                // SAFETY: not used again. It is empty; its hasher may have a drop.
                unsafe { drops.drop_part(&raw mut *this) };
            }
        }
    )* };
}

map!(
    OfHashMap, HashMap, [H], HashMap::capacity, |map| map.drain();
    OfBTreeMap, BTreeMap, [], BTreeMap::len, |map| core::mem::take(map);
    #[cfg(feature = "hashbrown")]
    OfHashbrownMap, hashbrown::HashMap, [H], hashbrown::HashMap::capacity, |map| map.drain();
    #[cfg(feature = "indexmap")]
    OfIndexMap, indexmap::IndexMap, [H], indexmap::IndexMap::capacity, |map| map.drain(..);
);

macro_rules! set {
    ($($(#[$attr:meta])* $marker:ident, $($path:ident)::+, |$set:ident| $taken:expr);* $(;)?) => { $(
        $(#[$attr])*
        #[doc(hidden)]
        pub struct $marker<H>(PhantomData<fn(H) -> H>);
        $(#[$attr])*
        impl<R: Rootable, H: Send + Sync + 'static> Rootable for Of<$marker<H>, R> {
            type At<'gc> = $($path)::+<R::At<'gc>, H>;
        }
        $(#[$attr])*
        // SAFETY: as for the maps.
        unsafe impl<'gc, T: IObject<'gc> + 'gc, H: Send + Sync + 'static> IObject<'gc> for $($path)::+<T, H> {
            type R = Of<$marker<H>, T::R>;
            fn visit_objects(&self, visitor: &mut Visitor<'_>) {
                visitor.report_bytes(self.capacity() * size_of::<T>());
                if T::NEEDS_VISIT {
                    visitor.visit_owner(self);
                }
            }
            owner!(T; H);
        }
        $(#[$attr])*
        impl<'gc, T: IObject<'gc> + 'gc, H: Send + Sync + 'static> Owner<'gc> for $($path)::+<T, H> {
            fn visit_parts(&self, visitor: &mut Visitor<'_>) {
                visit_each!(T, self, visitor);
            }
            fn hook_parts(&mut self, hooks: &mut Hooks<'_>) {
                let $set = self;
                hooks.hook_taken($taken);
            }
            fn has_parts_below(&self, depth: Depth) -> bool {
                any_below(depth, self)
            }
            fn take_apart(self, drops: &mut Drops<'_>) {
                let mut this = ManuallyDrop::new(self);
                let $set = &mut *this;
                for element in $taken {
                    drops.drop_one(element);
                }
                // SAFETY: not used again. It is empty; its hasher may have a drop.
                unsafe { drops.drop_part(&raw mut *this) };
            }
        }
    )* };
}

set!(
    OfHashSet, HashSet, |set| set.drain();
    #[cfg(feature = "hashbrown")]
    OfHashbrownSet, hashbrown::HashSet, |set| set.drain();
    #[cfg(feature = "indexmap")]
    OfIndexSet, indexmap::IndexSet, |set| set.drain(..);
);

#[cfg(feature = "smallvec")]
#[doc(hidden)]
pub struct OfSmallVec<const N: usize>;
#[cfg(feature = "smallvec")]
impl<R: Rootable, const N: usize> Rootable for Of<OfSmallVec<N>, R> {
    type At<'gc> = smallvec::SmallVec<[R::At<'gc>; N]>;
}
#[cfg(feature = "smallvec")]
// SAFETY: every element is visited; the vector's drop drops them and nothing else.
unsafe impl<'gc, T: IObject<'gc> + 'gc, const N: usize> IObject<'gc>
    for smallvec::SmallVec<[T; N]>
{
    type R = Of<OfSmallVec<N>, T::R>;
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        if self.spilled() {
            visitor.report_bytes(self.capacity() * size_of::<T>());
        }
        if T::NEEDS_VISIT {
            visitor.visit_owner(self);
        }
    }
    owner!(T);
}
#[cfg(feature = "smallvec")]
impl<'gc, T: IObject<'gc> + 'gc, const N: usize> Owner<'gc> for smallvec::SmallVec<[T; N]> {
    fn visit_parts(&self, visitor: &mut Visitor<'_>) {
        visit_each!(T, self, visitor);
    }
    fn hook_parts(&mut self, hooks: &mut Hooks<'_>) {
        self.iter_mut().for_each(|element| element.on_condemned(hooks));
    }
    fn has_parts_below(&self, depth: Depth) -> bool {
        any_below(depth, self)
    }
    fn take_apart(self, drops: &mut Drops<'_>) {
        for element in self {
            drops.drop_one(element);
        }
    }
}
