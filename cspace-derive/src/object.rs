//! The whole expansion of the derive, and what it promises.
//!
//! `IObject` is an unsafe trait; these are its conditions and what in the expansion keeps them.
//!
//! - **D1 (all visited).** `visit_objects` passes on every field that could hold a reference into
//!   the space. Each field is named in a pattern without `..` and is visited through its own impl
//!   for the brand, and for no other lifetime; a skipped one is proved to be `'static`, and a
//!   reference into a space is not. `Fields::check` has the proof, and that the types which the
//!   derive was given are those which the fields have.
//! - **D2 (no `Drop`).** The type has no destructor of its own: the impl of `MustNotImplDrop`
//!   would overlap with the one for everything that implements `Drop`. It has exactly the bounds of
//!   the type, which are the bounds a `Drop` impl must have. Destructors of fields are the business
//!   of the fields' types, each of which is an object or `'static`.
//! - **D3 (identity).** `R` belongs to the type alone: `R::At<'gc>` is the type, and the `R` of
//!   every `R::At` is `R`. The compiler checks both, as bounds of `IObject::R` and `Rootable::At`.
//! - **D4 (leaf).** `NEEDS_VISIT` is false only if it is false for every visited field; so are `MAY_CHANGE` and
//!   `CHANGES_UNSEEN`.
//! - **D5 (hooks).** A hook sees the data of a `Static` field, and no other part of a dead object: `Hooks::call`
//!   takes nothing else, by a sealed trait, and is a method of the type that the trait's signature names.
//!
//! - **D6 (parts).** `drop_parts` drops every field once, in order, and skipped ones too, as drop glue would.
//!
//! Every token of the expansion that does not come from the author carries the macro's own place.
//! That is what makes the `unsafe impl` acceptable under `#![forbid(unsafe_code)]`: the lint does
//! not look into the expansion of another crate's macro.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{parse_quote, DeriveInput, Error, GenericParam, Generics, Result, WherePredicate};

use crate::attributes::{packed_span, TypeAttributes};
use crate::family::Family;
use crate::fields::Fields;
use crate::parameters::Parameters;

/// Expands `#[derive(IObject)]`.
pub(crate) fn expand(input: DeriveInput) -> Result<TokenStream> {
    let attributes = TypeAttributes::read(&input)?;
    if let Some(span) = packed_span(&input.attrs) {
        return Err(Error::new(
            span,
            "a packed type cannot be an object: the collector needs references to its fields; \
             remove `packed`",
        ));
    }
    let fields = Fields::read(&input)?;
    let parameters = Parameters::read(&input)?;
    fields.refuse_unsuitable(&parameters)?;
    let family = Family::new(&input, &parameters, &attributes)?;

    let crate_path = &attributes.crate_path;
    let type_name = &input.ident;
    let name = &attributes.name;
    let (type_parameters, type_arguments, type_clause) = parameters.generics.split_for_impl();
    let object_generics = object_generics(&parameters, &family, &fields, type_name, crate_path);
    let (object_parameters, _, object_clause) = object_generics.split_for_impl();
    let brand = &parameters.brand;
    let visitor = Ident::new("visitor", Span::mixed_site());
    let hooks = Ident::new("hooks", Span::mixed_site());
    let depth = Ident::new("depth", Span::mixed_site());
    let this = Ident::new("this", Span::mixed_site());
    let drops = Ident::new("drops", Span::mixed_site());

    let family_items = family.expand();
    let family_of_self = family.of_self();
    let needs_visit = fields.needs_visit(&parameters, crate_path);
    let may_change = fields.may_change(&parameters, crate_path);
    let changes_unseen = fields.changes_unseen(&parameters, crate_path);
    let field_names = fields.names();
    let visit = fields.visit(type_name, &parameters, crate_path, &visitor);
    let types = Ident::new("types", Span::mixed_site());
    let may_run_user_code = fields.may_run_user_code(&parameters, crate_path, &types);
    let has_hooks = fields.has_hooks(&parameters, crate_path);
    let call_hooks = fields.call_hooks(type_name, &parameters, crate_path, &hooks);
    let may_nest = fields.may_nest(&parameters, crate_path);
    let is_deeper_than = fields.is_deeper_than(type_name, &parameters, crate_path, &depth);
    let drop_parts = fields.drop_parts(type_name, &parameters, crate_path, (&this, &drops));
    let check = fields.check(type_name, &parameters);

    Ok(quote! {
        const _: () = {
            #family_items

            #[automatically_derived]
            unsafe impl #object_parameters #crate_path::IObject<#brand>
                for #type_name #type_arguments #object_clause
            {
                type R = #family_of_self;
                const NEEDS_VISIT: ::core::primitive::bool = #needs_visit;
                const MAY_CHANGE: ::core::primitive::bool = #may_change;
                const CHANGES_UNSEEN: ::core::primitive::bool = #changes_unseen;
                const NAME: &'static ::core::primitive::str = #name;
                const FIELDS: &'static [&'static ::core::primitive::str] = #field_names;

                #[inline]
                fn visit_objects(&self, #visitor: &mut #crate_path::Visitor<'_>) {
                    let _ = &#visitor;
                    #visit
                }

                fn may_run_user_code(
                    #types: &mut #crate_path::__private::TypesSeen
                ) -> ::core::primitive::bool {
                    #types.is_new::<#family_of_self>() && (#may_run_user_code)
                }

                const HAS_HOOKS: ::core::primitive::bool = #has_hooks;

                #[inline]
                fn on_condemned(&mut self, #hooks: &mut #crate_path::__private::Hooks<'_>) {
                    let _ = &#hooks;
                    #call_hooks
                }

                const MAY_NEST: ::core::primitive::bool = #may_nest;

                #[inline]
                fn is_deeper_than(&self, #depth: #crate_path::__private::Depth) -> ::core::primitive::bool {
                    let _ = #depth;
                    #is_deeper_than
                }

                #[inline]
                unsafe fn drop_parts(#this: *mut Self, #drops: &mut #crate_path::__private::Drops<'_>) {
                    let _ = &#drops;
                    // SAFETY: the caller's promise, for each field: D6.
                    unsafe { #drop_parts }
                }
            }

            // Local to the expansion: nothing that a proof rests on comes from a path that the user gives.
            trait MustNotImplDrop {}
            #[allow(drop_bounds)]
            impl<T: ::core::ops::Drop + ?::core::marker::Sized> MustNotImplDrop for T {}
            #[automatically_derived]
            impl #type_parameters MustNotImplDrop
                for #type_name #type_arguments #type_clause {}

            #check
        };
    })
}

/// The generics of the impl of `IObject`: the type's own, the brand, and what makes the object
/// parameters objects.
///
/// If the type has bounds on object parameters, so may the types of its fields, and then they are
/// objects only under assumptions that this impl cannot make itself. It assumes the outcome. A type
/// that mentions itself in a field is left out, as the assumption would go in circles.
fn object_generics(
    parameters: &Parameters,
    family: &Family<'_>,
    fields: &Fields,
    type_name: &Ident,
    crate_path: &syn::Path,
) -> Generics {
    let mut generics = parameters.generics.clone();
    let brand = &parameters.brand;
    if !parameters.branded {
        generics.params.insert(0, parse_quote!(#brand));
    }
    for parameter in &mut generics.params {
        if let GenericParam::Type(parameter) = parameter {
            if parameters.is_object(&parameter.ident) {
                let bounds = &mut parameter.bounds;
                bounds.push(parse_quote!(#crate_path::IObject<#brand>));
                bounds.push(parse_quote!(#brand));
            }
        }
    }
    if let Some(assumption) = family.assumption() {
        let predicates = &mut generics.make_where_clause().predicates;
        predicates.push(assumption);
        let types = fields.types_with_parameters(type_name, parameters);
        predicates.extend(
            types.map(|ty| -> WherePredicate { parse_quote!(#ty: #crate_path::IObject<#brand>) }),
        );
    }
    generics
}
