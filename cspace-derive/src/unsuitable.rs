//! Field types that are known not to fit, refused by name.
//!
//! The compiler would refuse them too: as a type that is not `Send`, in two dozen errors about impls that nobody wrote. What
//! is wrong is known from the name of the type, so it is said here, once for each field, with the way out. A type of the
//! author's own that happens to have such a name, and one type argument as the standard library's has, is written
//! with its path.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Error, GenericArgument, Path, PathArguments, PathSegment, Type, TypeParamBound};

use crate::parameters::{mentions, Parameters};

/// Where a type stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a field that is visited.
    Visited,
    /// In a `Static`, or in a field that is skipped: anything that is `'static`, `Send` and `Sync` will do.
    Static,
}

/// Why a type does not fit, and what to do.
struct Reason {
    ty: TokenStream,
    reason: &'static str,
    way_out: &'static str,
    /// The name by which it was recognised, if it may be that of another type.
    name: Option<String>,
}

/// The error for a field whose type does not fit, if that is known.
pub(crate) fn refuse(field: &str, ty: &Type, skip: bool, parameters: &Parameters) -> Option<Error> {
    let place = if skip { Place::Static } else { Place::Visited };
    let found = find(ty, place, parameters)?;
    let shown = found.ty.to_string().replace(' ', "").replace("dyn", "dyn ").replace("mut", "mut ");
    let shown = shown.replace("const", "const ").replace("->", " -> ").replace('+', " + ");
    let shown = shown.replace(',', ", ").replace(", >", ">");
    let own = found.name.map_or(String::new(), |name| {
        format!(" (if `{name}` is a type of your own, write `self::{name}`)")
    });
    let message = format!(
        "field `{field}`: `{shown}` cannot be a part of an object: {}; {}{own}",
        found.reason, found.way_out
    );
    Some(Error::new_spanned(ty, message))
}

const NOT_SEND: &str = "it is not `Send`, and the collector drops objects on a thread of its own";

/// The first part of a type that does not fit where it stands.
fn find(ty: &Type, place: Place, parameters: &Parameters) -> Option<Reason> {
    let reason =
        |reason, way_out| Some(Reason { ty: ty.to_token_stream(), reason, way_out, name: None });
    match ty {
        Type::Path(path) if path.qself.is_none() => of_path(ty, &path.path, place, parameters),
        Type::Ptr(_) => reason(
            "a raw pointer is not `Send`, and the collector cannot follow it",
            "refer to objects by `Gc<'gc, T>`; for memory outside of the space put a type of your own, which is `Send` \
             and `Sync`, into a `Static`",
        ),
        Type::BareFn(_) if place == Place::Visited => reason(
            "a function pointer is no object",
            "put it into a `Static`: `Static<fn(…)>`, or `Static<for<'gc> fn(…)>` if its arguments have the brand",
        ),
        Type::BareFn(function) if mentions(function.to_token_stream(), &parameters.brand.ident.to_string()) =>
        {
            let is_own = function.lifetimes.as_ref().is_some_and(|own| {
                mentions(own.to_token_stream(), &parameters.brand.ident.to_string())
            });
            if is_own {
                return None;
            }
            reason(
                "with this object's brand in its type the function pointer is not `'static`",
                "write `for<'gc> fn(…)`, which takes any brand",
            )
        }
        Type::Array(array) => find(&array.elem, place, parameters),
        Type::Slice(slice) => find(&slice.elem, place, parameters),
        Type::Group(group) => find(&group.elem, place, parameters),
        Type::Paren(paren) => find(&paren.elem, place, parameters),
        Type::Tuple(tuple) => tuple.elems.iter().find_map(|part| find(part, place, parameters)),
        _ => None,
    }
}

/// As [`find`], for a type that is a path.
fn of_path(ty: &Type, path: &Path, place: Place, parameters: &Parameters) -> Option<Reason> {
    let segment = path.segments.last()?;
    let first = path.segments.first()?;
    let is_std = ["std", "core", "alloc"].iter().any(|name| first.ident == name);
    let arguments = type_arguments(segment);
    if path.segments.len() == 1 || is_std {
        let name = segment.ident.to_string();
        let reason = |reason, way_out| {
            let name = (!is_std).then(|| name.clone());
            Some(Reason { ty: ty.to_token_stream(), reason, way_out, name })
        };
        // With one type argument and no lifetime, as the standard library has them.
        if let [argument] = arguments[..] {
            let is_whole = has_one_argument(segment);
            match (name.as_str(), place) {
                ("Rc", Place::Visited) if is_whole => {
                    return reason(
                        NOT_SEND,
                        "share objects by `Gc<'gc, T>`, and data outside of the space by `Static<Arc<T>>`",
                    )
                }
                ("Rc", Place::Static) if is_whole => {
                    return reason(NOT_SEND, "share data outside of the space by `Arc<T>`")
                }
                ("Cell" | "RefCell" | "UnsafeCell" | "OnceCell", Place::Visited) if is_whole => {
                    return reason(
                        "it would change without the collector's knowing, and is not `Sync`",
                        "use `Slot<'gc, T>` for what is `Copy` and replaced whole, `GcCell<'gc, T>` for what is changed \
                         in place",
                    )
                }
                ("Cell" | "RefCell" | "UnsafeCell" | "OnceCell", Place::Static) if is_whole => {
                    return reason(
                        "it is not `Sync`, and several threads may read an object at once",
                        "use `GcCell<'gc, T>` in place of the `Static`, or an atomic or a `Mutex` in it",
                    )
                }
                ("Box", _) => {
                    if let Type::TraitObject(object) = argument {
                        return of_trait_object(ty, &object.bounds, place);
                    }
                }
                ("Static", _) => return find(argument, Place::Static, parameters),
                _ => {}
            }
        }
        if name == "Static" {
            return arguments.iter().find_map(|part| find(part, Place::Static, parameters));
        }
    }
    arguments.iter().find_map(|part| find(part, place, parameters))
}

/// A boxed trait object.
fn of_trait_object<'a>(
    ty: &Type,
    bounds: impl IntoIterator<Item = &'a TypeParamBound>,
    place: Place,
) -> Option<Reason> {
    let names: Vec<String> = bounds
        .into_iter()
        .filter_map(|bound| match bound {
            TypeParamBound::Trait(bound) => Some(bound.path.segments.last()?.ident.to_string()),
            _ => None,
        })
        .collect();
    let has = |name: &str| names.iter().any(|bound| bound == name);
    // Of others it is not known what they imply.
    let implies_nothing = ["Fn", "FnMut", "FnOnce", "Any"].iter().any(|name| has(name));
    let (reason, way_out) = match place {
        Place::Visited => (
            "the collector cannot look into a trait object",
            "put what holds no `Gc` into a `Static<Box<dyn … + Send + Sync>>`; for objects of several types use an \
             enum, `GcAny<'gc>` or `GcDyn`",
        ),
        Place::Static if implies_nothing && !(has("Send") && has("Sync")) => (
            "it may hold what is not `Send` and `Sync`",
            "say that it does not: `Box<dyn … + Send + Sync>`",
        ),
        Place::Static => return None,
    };
    Some(Reason { ty: ty.to_token_stream(), reason, way_out, name: None })
}

/// The type arguments of a segment.
fn type_arguments(segment: &PathSegment) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return Vec::new() };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

/// Whether a segment has a single argument, of whatever kind.
fn has_one_argument(segment: &PathSegment) -> bool {
    matches!(&segment.arguments, PathArguments::AngleBracketed(arguments) if arguments.args.len() == 1)
}

#[cfg(test)]
mod tests {
    use syn::{parse_quote, DeriveInput};

    use super::*;

    fn message(ty: Type) -> Option<String> {
        let input: DeriveInput = parse_quote!(
            struct S<'gc>(Gc<'gc, u8>);
        );
        let parameters = Parameters::read(&input).unwrap();
        refuse("f", &ty, false, &parameters).map(|error| error.to_string())
    }

    #[test]
    fn unsuitable_types_are_found_wherever_they_stand() {
        let types: [Type; 12] = [
            parse_quote!(Rc<u32>),
            parse_quote!(std::rc::Rc<u32>),
            parse_quote!(Vec<Option<Rc<u32>>>),
            parse_quote!(Static<Rc<u32>>),
            parse_quote!(cspace::Static<(u8, RefCell<u32>)>),
            parse_quote!(Cell<u32>),
            parse_quote!(*const u8),
            parse_quote!(Static<[*mut u8; 2]>),
            parse_quote!(fn(u32) -> u32),
            parse_quote!(Static<fn(Gc<'gc, u8>)>),
            parse_quote!(Box<dyn Fn(u32)>),
            parse_quote!(Static<Box<dyn FnMut() + Send>>),
        ];
        for ty in types {
            let shown = ty.to_token_stream().to_string();
            let message = message(ty).unwrap_or_else(|| panic!("`{shown}` passes"));
            assert!(message.starts_with("field `f`: `"), "{message}");
        }
    }

    #[test]
    fn what_fits_or_may_fit_passes() {
        let types: [Type; 11] = [
            parse_quote!(Static<Arc<Mutex<u32>>>),
            parse_quote!(Gc<'gc, u8>),
            parse_quote!(Cell),
            parse_quote!(Cell<'gc>),
            parse_quote!(Cell<'gc, u8>),
            parse_quote!(self::Cell<u8>),
            parse_quote!(Static<fn(u32) -> u32>),
            parse_quote!(Static<for<'gc> fn(Gc<'gc, u8>)>),
            parse_quote!(Static<Box<dyn Fn(u32) + Send + Sync>>),
            parse_quote!(Static<Box<dyn Own>>),
            parse_quote!(Box<Vec<u8>>),
        ];
        for ty in types {
            let shown = ty.to_token_stream().to_string();
            assert_eq!(message(ty), None, "{shown}");
        }
    }

    #[test]
    fn the_message_names_field_reason_and_way_out() {
        let found = message(parse_quote!(Rc<u32>)).unwrap();
        assert_eq!(
            found,
            "field `f`: `Rc<u32>` cannot be a part of an object: it is not `Send`, and the collector drops objects \
             on a thread of its own; share objects by `Gc<'gc, T>`, and data outside of the space by \
             `Static<Arc<T>>` (if `Rc` is a type of your own, write `self::Rc`)"
        );
    }
}
