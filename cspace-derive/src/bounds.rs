//! The author's bounds, restated for a family.
//!
//! A bound on a type parameter holds for the type under one brand. The family stands for the type
//! under all of them, so its bounds are quantified: in each predicate the brand becomes a fresh
//! lifetime `'any`, each object parameter `T`, which now is a family, becomes `T::At<'any>`, and
//! `for<'any>` goes in front.
//!
//! The impl of `IObject` for the type has to know that the family has what it requires. It cannot
//! repeat the quantified predicates for `T::R`: the compiler knows that `T::R::At<'gc>` is `T`, and
//! takes that for the value of `T::R::At<'any>` too. It asks for the conclusion instead, that the
//! type's family is the type's family: `Family<T::R>: Rootable<At<'gc> = Type<'gc, T>>`. See
//! `object`.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{
    parse_quote, Error, GenericArgument, Lifetime, Path, PathArguments, PredicateType, Result,
    Token, TraitBound, TraitBoundModifier, Type, TypeParamBound, TypePath, WherePredicate,
};

use crate::parameters::{is_parameter, mentions, Parameters};

/// The bounds of a type, restated for its family.
pub(crate) struct FamilyBounds {
    /// Every bound, inline or in the where clause.
    pub(crate) predicates: Vec<WherePredicate>,
    /// Whether any of them is about what an object parameter is under any brand.
    pub(crate) bounds_objects: bool,
}

impl FamilyBounds {
    /// Restates all bounds of the type, inline and in the where clause, for every brand.
    pub(crate) fn new(
        parameters: &Parameters,
        type_name: &Ident,
        crate_path: &Path,
    ) -> Result<Self> {
        let (_, type_arguments, _) = parameters.generics.split_for_impl();
        let mut quantify = Quantify {
            parameters,
            crate_path,
            self_type: parse_quote!(#type_name #type_arguments),
            met_object: false,
            error: None,
        };
        let mut predicates = Vec::new();
        for mut predicate in all_predicates(parameters) {
            remove_implied(&mut predicate, parameters);
            if predicate.bounds.is_empty() {
                continue;
            }
            refuse_brand_in_outputs(&predicate, parameters)?;
            quantify.visit_predicate_type_mut(&mut predicate);
            let any = &parameters.any;
            if mentions(predicate.to_token_stream(), &any.ident.to_string()) {
                let quantifier = predicate.lifetimes.get_or_insert_with(|| parse_quote!(for<>));
                quantifier.lifetimes.insert(0, parse_quote!(#any));
            }
            predicates.push(WherePredicate::Type(predicate));
        }
        match quantify.error {
            Some(error) => Err(error),
            None => Ok(Self { predicates, bounds_objects: quantify.met_object }),
        }
    }
}

/// Every bound on a type, inline ones as predicates. `?Sized` is not a predicate: it stays inline.
fn all_predicates(parameters: &Parameters) -> impl Iterator<Item = PredicateType> + '_ {
    let generics = &parameters.generics;
    let inline = generics.type_params().map(|parameter| {
        let name = &parameter.ident;
        PredicateType {
            lifetimes: None,
            bounded_ty: parse_quote!(#name),
            colon_token: <Token![:]>::default(),
            bounds: parameter.bounds.clone(),
        }
    });
    let clause = generics.where_clause.iter().flat_map(|w| &w.predicates);
    let clause = clause.filter_map(|predicate| match predicate {
        WherePredicate::Type(predicate) => Some(predicate.clone()),
        // Lifetimes are the brand only, and its bounds were refused.
        _ => None,
    });
    inline.chain(clause)
}

/// Removes the bounds that hold of every object, or of every static parameter, anyway.
///
/// Besides being noise, a restated `IObject<'any>` would compete with the one that `Rootable::At`
/// promises, which also says what `R` is.
fn remove_implied(predicate: &mut PredicateType, parameters: &Parameters) {
    let bounds_object = predicate.lifetimes.is_none()
        && parameters.objects().any(|name| is_parameter(&predicate.bounded_ty, name));
    predicate.bounds = std::mem::take(&mut predicate.bounds)
        .into_iter()
        .filter(|bound| match bound {
            TypeParamBound::Trait(bound) if is_maybe(bound) => false,
            TypeParamBound::Trait(bound) if bounds_object => !is_object_trait(bound),
            TypeParamBound::Lifetime(lifetime) => !(bounds_object && *lifetime == parameters.brand),
            _ => true,
        })
        .collect();
}

/// Whether a bound is `?Trait`.
pub(crate) fn is_maybe(bound: &TraitBound) -> bool {
    matches!(bound.modifier, TraitBoundModifier::Maybe(_))
}

/// Whether a bound is plainly `IObject<'_>`, by whatever path.
fn is_object_trait(bound: &TraitBound) -> bool {
    bound.lifetimes.is_none()
        && bound.path.segments.last().is_some_and(|segment| segment.ident == "IObject")
        && !mentions(bound.path.to_token_stream(), "R")
}

/// Refuses `T: Trait<Item = U>` with an object `U`, and the like.
///
/// Quantified, it says that the item depends on `'any`. The language allows that only if `'any` is
/// written among the inputs of the trait, and there a projection such as `T::At<'any>` is not enough.
fn refuse_brand_in_outputs(predicate: &PredicateType, parameters: &Parameters) -> Result<()> {
    let has_brand = |tokens: TokenStream| mentions(tokens, &parameters.brand.ident.to_string());
    let depends_on_brand = |tokens: TokenStream| {
        let mut objects = parameters.objects();
        has_brand(tokens.clone()) || objects.any(|name| mentions(tokens.clone(), &name.to_string()))
    };
    let subject_has_brand = has_brand(predicate.bounded_ty.to_token_stream());
    for bound in &predicate.bounds {
        let TypeParamBound::Trait(bound) = bound else {
            continue;
        };
        let arguments = bound.path.segments.iter().map(|segment| &segment.arguments);
        let arguments = arguments.filter_map(|arguments| match arguments {
            PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
            _ => None,
        });
        let (outputs, inputs): (Vec<_>, Vec<_>) = arguments
            .flatten()
            .partition(|argument| matches!(argument, GenericArgument::AssocType(_)));
        if subject_has_brand || inputs.iter().any(|input| has_brand(input.to_token_stream())) {
            continue;
        }
        if let Some(output) =
            outputs.into_iter().find(|output| depends_on_brand(output.to_token_stream()))
        {
            return Err(Error::new_spanned(
                output,
                "in the bounds of an object, the value of an associated type cannot depend on \
                 the brand; put this bound on the functions that need it",
            ));
        }
    }
    Ok(())
}

/// Replaces, in a bound, what depends on the brand by what it is under any brand.
struct Quantify<'a> {
    parameters: &'a Parameters,
    crate_path: &'a Path,
    /// The type itself, which `Self` means in the bounds of its declaration.
    self_type: Type,
    /// Whether an object parameter was replaced.
    met_object: bool,
    error: Option<Error>,
}

impl Quantify<'_> {
    /// Refuses `T::Name`, which has no meaning once `T` is a projection.
    fn refuse_shorthand(&mut self, path: &TypePath) {
        let name = &path.path.segments[0].ident;
        let item = &path.path.segments[1].ident;
        self.error.get_or_insert_with(|| {
            Error::new_spanned(
                path,
                format!(
                    "write `<{name} as Trait>::{item}`: in the bounds of an object, name the \
                     trait of an associated type"
                ),
            )
        });
    }
}

impl VisitMut for Quantify<'_> {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if *lifetime == self.parameters.brand {
            *lifetime = self.parameters.any.clone();
        }
    }

    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::Path(path) = ty {
            if path.qself.is_none() && path.path.leading_colon.is_none() {
                let first = &path.path.segments[0].ident;
                let is_object = self.parameters.is_object(first);
                if is_object || first == "Self" {
                    if path.path.segments.len() > 1 {
                        self.refuse_shorthand(path);
                    } else if is_object {
                        let (crate_path, any) = (self.crate_path, &self.parameters.any);
                        self.met_object = true;
                        *ty = parse_quote!(<#first as #crate_path::Rootable>::At<#any>);
                    } else {
                        *ty = self.self_type.clone();
                        visit_mut::visit_type_mut(self, ty);
                    }
                    return;
                }
            }
        }
        visit_mut::visit_type_mut(self, ty);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::DeriveInput;

    fn restated(input: DeriveInput) -> Result<FamilyBounds> {
        let parameters = Parameters::read(&input)?;
        FamilyBounds::new(&parameters, &input.ident, &parse_quote!(::cspace))
    }

    fn assert_restated(input: DeriveInput, bounds_objects: bool, expected: &[WherePredicate]) {
        let found = restated(input).unwrap();
        let text = |predicates: &[WherePredicate]| -> Vec<String> {
            let texts = predicates.iter().map(|p| p.to_token_stream().to_string());
            texts.collect()
        };
        assert_eq!(text(&found.predicates), text(expected));
        assert_eq!(found.bounds_objects, bounds_objects);
    }

    #[test]
    fn a_bound_on_an_object_holds_under_every_brand() {
        assert_restated(
            parse_quote!(
                struct S<'gc, T: Hash + Tr<'gc>>(T)
                where
                    Vec<T>: Debug;
            ),
            true,
            &[
                parse_quote! {
                    for<'__cspace_any> <T as ::cspace::Rootable>::At<'__cspace_any>:
                        Hash + Tr<'__cspace_any>
                },
                parse_quote! {
                    for<'__cspace_any> Vec< <T as ::cspace::Rootable>::At<'__cspace_any> >: Debug
                },
            ],
        );
    }

    #[test]
    fn bounds_that_hold_of_every_object_are_left_out() {
        let input = parse_quote! {
            struct S<'gc, T: ?Sized + IObject<'gc> + 'gc>(T) where T: cspace::IObject<'gc>;
        };
        assert_restated(input, false, &[]);
    }

    #[test]
    fn static_parameters_keep_their_bounds_as_they_are() {
        let input = parse_quote!(
            struct S<P: ?Sized + Clone + 'static>(Static<P>);
        );
        assert_restated(input, false, &[parse_quote!(P: Clone + 'static)]);
    }

    #[test]
    fn self_is_the_type_and_own_quantifiers_are_kept() {
        assert_restated(
            parse_quote!(
                struct S<'gc, T>(T)
                where
                    for<'b> Self: PartialEq<X<'b>>;
            ),
            true,
            &[parse_quote! {
                for<'__cspace_any, 'b>
                    S<'__cspace_any, <T as ::cspace::Rootable>::At<'__cspace_any> >:
                    PartialEq<X<'b> >
            }],
        );
    }

    #[test]
    fn the_trait_of_an_associated_type_must_be_named() {
        let short = restated(parse_quote!(
            struct S<T: Iterator>(T)
            where
                T::Item: Debug;
        ));
        let message = short.err().unwrap().to_string();
        assert!(message.starts_with("write `<T as Trait>::Item`"), "{message}");
        let full = parse_quote!(
            struct S<T: Iterator>(T)
            where
                <T as Iterator>::Item: Debug;
        );
        assert!(restated(full).is_ok());
    }

    #[test]
    fn an_associated_type_may_depend_on_the_brand_only_if_the_trait_does() {
        let hidden = restated(parse_quote!(
            struct S<T: Iterator<Item = U>, U>(T, U);
        ));
        assert!(hidden.err().unwrap().to_string().contains("put this bound"));
        let constant = parse_quote!(
            struct S<T: Iterator<Item = u8>>(T);
        );
        assert!(restated(constant).is_ok());
        let visible = parse_quote!(
            struct S<'gc, T: Tr<'gc, O = &'gc u8>>(T);
        );
        assert!(restated(visible).is_ok());
    }
}
