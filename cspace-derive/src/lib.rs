//! `#[derive(IObject)]` for cspace.
//!
//! The derive turns a plain struct or enum into an *object*: a type whose values live in a space
//! and whose references the collector can follow. This crate contains the macros only; the traits,
//! and the crates to depend on, are `cspace` and `cspace-core`, which re-export everything here.
//!
//! The files follow the parts of the expansion:
//!
//! - `attributes` reads `#[cspace(...)]`;
//! - `parameters` finds the brand and sorts the type parameters into objects and static ones;
//! - `bounds` carries the author's bounds over to the family;
//! - `fields` writes what looks at the fields: visiting, leaf test, names, check of skipped ones;
//! - `family` writes the family, which is the identity of the type;
//! - `unsuitable` refuses field types that are known not to fit, by name;
//! - `object` puts the parts together;
//! - `rootable` is the other macro, the expansion of `Rootable![...]`.
//!
//! Everything the expansion promises to the collector is listed in `object`.

mod attributes;
mod bounds;
mod family;
mod fields;
mod object;
mod parameters;
mod rootable;
mod unsuitable;

use proc_macro::TokenStream;

/// Makes a struct or an enum an object of a space: implements `IObject`, and `Rootable` for its
/// family.
///
/// Use it on every type that is allocated in a space or is part of one that is. There is no need
/// to write `IObject` by hand, and code that derives it needs no `unsafe`: the expansion is
/// accepted under `#![forbid(unsafe_code)]`.
///
/// A macro crate cannot depend on the traits that it implements, so this example is not run. Those in the
/// documentation of the facade crate, `cspace`, are.
///
/// ```text
/// use cspace::{Gc, IObject, Slot};
///
/// #[derive(IObject)]
/// struct Node<'gc> {
///     label: String,
///     next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
/// }
///
/// #[derive(IObject)]
/// enum Value<'gc> {
///     Nil,
///     Number(f64),
///     Node(Gc<'gc, Node<'gc>>),
/// }
/// ```
///
/// # What may be derived
///
/// - Structs and enums of any form, recursive or not. Not unions, not `#[repr(packed)]`.
/// - **At most one lifetime parameter, the brand**, under any name. A type without one is an
///   object in every space.
/// - **Every field is an object**, or is marked `#[cspace(skip)]`. Data that has nothing to do with
///   the space goes in `Static<T>`.
/// - **No `Drop`** on the type itself; put the part that needs one in a `Static<T>` field, which may
///   have any destructor since it cannot hold a reference into the space.
/// - **Type parameters** are objects themselves, `T: IObject<'gc> + 'gc`, which is added for you.
///   A parameter whose bounds include a literal `'static`, inline or in the where clause, is a
///   *static parameter*: it is carried through unchanged, so that fields can hold `Static<T>`.
/// - **Const parameters**, and defaults of parameters, as usual.
///
/// # Attributes
///
/// | where | attribute | meaning |
/// | --- | --- | --- |
/// | field | `#[cspace(skip)]` | The field is not visited. Its type must be `'static`, hence without references into the space, and `Send + Sync`. |
/// | field of type `Static<T>` | `#[cspace(on_collect = "path")]` | `path`, a `fn(&mut T)`, is called once when the object has been found dead, before its fields are dropped: see below. |
/// | type | `#[cspace(name = "…")]` | The name in dumps and statistics; without it, the name of the type. |
/// | type | `#[cspace(crate = path)]` | The crate with the traits, or a module that re-exports all of it; without it, `::cspace`. |
///
/// # Hooks
///
/// A collection that finds an object dead calls the hooks of its fields, and so does the end of its space: on the
/// thread that reclaims, with no space held. A hook sees the data of its own field, which has no way to another
/// object, since those may be gone already. It may do what a `Drop` may there.
///
/// ```text
/// #[derive(IObject)]
/// struct Connection<'gc> {
///     peer: Gc<'gc, Peer>,
///     #[cspace(on_collect = "Socket::say_goodbye")]      // fn say_goodbye(&mut self)
///     socket: Static<Socket>,
/// }
/// ```
///
/// Fields that are objects by value have their own hooks called too: a derived type in a field, in an `Option`,
/// `Box`, array, tuple, cell or collection of the standard library, as keys too, or in a tail. So each hook is
/// called for each value that is dropped with a dead object. It is **not** called for values that leave the heap in
/// another way: replaced or removed from a cell, taken out by value, never allocated, owned by an `OwnedRoot`;
/// nor for what is inside of a `Static<T>` or of a skipped field. Those are only dropped.
///
/// A hook that panics stops neither the others nor the drops; the panic is reported like that of a drop.
///
/// # What it expands to
///
/// `visit_objects` visits the fields in the order of their declaration, and `FIELDS` has their names
/// in the same order: `next`, `0`, or `Variant.next` in an enum. Skipped fields are in neither.
///
/// A *family* is a type without lifetimes that stands for an object type with the brand taken out;
/// its `TypeId` is the identity of the object type, and root handles are parameterized by it. A
/// type without a brand and without object parameters is its own family. Otherwise the expansion
/// declares one, which cannot be named but is reached as `Rootable![Node<'_>]`, or as `T::R`.
///
/// ```text
/// struct NodeFamily(());
/// impl Rootable for NodeFamily { type At<'gc> = Node<'gc>; }
/// unsafe impl<'gc> IObject<'gc> for Node<'gc> { type R = NodeFamily; /* … */ }
/// impl<'gc> MustNotImplDrop for Node<'gc> {}
/// ```
///
/// # Bounds on type parameters
///
/// A family stands for the type under *every* brand, so a bound on an object parameter has to hold
/// under every brand too. The derive restates each of your bounds that way, and whoever uses the
/// type with a concrete argument sees no difference:
///
/// ```text
/// struct Table<'gc, K: Hash> { /* … */ }      // what you write
///
/// impl<K: Rootable> Rootable for TableFamily<K>
/// where for<'a> K::At<'a>: Hash { /* … */ }
/// unsafe impl<'gc, K: Hash + IObject<'gc> + 'gc> IObject<'gc> for Table<'gc, K>
/// where TableFamily<K::R>: Rootable<At<'gc> = Table<'gc, K>> { /* … */ }
/// ```
///
/// Some limits follow. All are avoided by bounds on methods in place of bounds on the type, as for
/// the standard library's `HashMap`.
///
/// - Code that is itself generic in `K` has to ask for `Table<'gc, K>: IObject<'gc>`, as a bound
///   for one brand does not imply it for all. The derive does so for fields of such a type.
/// - Two generic types with bounds on object parameters cannot contain each other. One that
///   contains itself is fine, as are types without bounds.
/// - An associated type of a parameter is written in full in bounds, `<K as Trait>::Item` instead
///   of `K::Item`, because the parameter is replaced by a projection.
/// - A bound cannot set an associated type to something that depends on the brand, as in
///   `K: Iterator<Item = V>`, unless the trait itself has the brand as an argument.
///
/// # Errors
///
/// | message | what to do |
/// | --- | --- |
/// | *an object has at most one lifetime parameter, the brand* | Own the data, or hold it as a `Gc` with the same brand; `Static<&'static T>` holds constants. |
/// | *the brand of an object cannot have bounds* | Remove the bound on the lifetime. |
/// | *a union cannot be an object* | Use an enum. |
/// | *a packed type cannot be an object* | Remove `packed`; the collector needs references to the fields. |
/// | *write `<T as Trait>::Name`* | Spell out the trait of an associated type in a bound. |
/// | *the value of an associated type cannot depend on the brand* | Move the bound from the type to the functions that need it. |
/// | *`#[cspace(on_collect = "…")]` is for fields of type `Static<…>`* | Put the data that the hook needs in a `Static<T>` field, and the attribute there. |
/// | *mismatched types*, at a hook | The hook is a `fn(&mut T)` for a field of type `Static<T>`. |
/// | *a skipped field has no hook* | Make it a `Static<T>`, and remove `skip`. |
/// | *`cspace` attribute …* | The attribute is unknown, repeated, or in the wrong place; the text says which exist there. |
/// | *overflow evaluating the requirement*, with bounds on type parameters | Two generic types with bounds contain each other: move the bounds to the functions that need them. |
/// | *does not fulfill the required lifetime*, at a skipped field | The field can hold references into the space: remove `skip`. |
/// | *conflicting implementations of trait `MustNotImplDrop`* | The type implements `Drop`: move the destructor to a type in a `Static<T>` field. |
/// | *field … cannot be a part of an object* | As the message says. |
/// | *cannot be part of an object*, at a field | The type of the field is not an object: derive it there, or wrap `'static` data in `Static<T>`. |
#[proc_macro_derive(IObject, attributes(cspace))]
pub fn derive_object(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    object::expand(input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// The expansion of `Rootable![Type<'_>]`: the family of an object type.
///
/// Takes the path of the crate with the traits, a semicolon, and a type. Not for direct use;
/// `cspace` wraps it in a macro that fills in the path.
///
/// Every `'_` becomes `'static`, which stands for no lifetime in particular: the result is
/// `<Type<'static> as IObject<'static>>::R`, and families have no lifetimes.
#[doc(hidden)]
#[proc_macro]
pub fn __rootable(input: TokenStream) -> TokenStream {
    rootable::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
