//! The family of a type: its identity, with the brand taken out.
//!
//! A type that is the same under every brand is its own family. For any other the expansion
//! declares a type with the type's own parameters, in which each object parameter stands for the
//! family of an object. It has no bounds, and no values; it is invariant in every parameter (by
//! `fn(T) -> T`), so that no two instances of it are subtypes of each other, and always
//! `Send + Sync`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, ToTokens};
use syn::{
    parse_quote, DeriveInput, GenericParam, Result, TypeParam, TypeParamBound, Visibility,
    WherePredicate,
};

use crate::attributes::TypeAttributes;
use crate::bounds::{is_maybe, FamilyBounds};
use crate::parameters::{fresh_name, Parameters};

/// What the expansion needs to declare and to mention a family.
pub(crate) struct Family<'a> {
    type_name: &'a Ident,
    visibility: &'a Visibility,
    parameters: &'a Parameters,
    attributes: &'a TypeAttributes,
    bounds: FamilyBounds,
    /// Name of the declared type; `None` if the type is its own family.
    name: Option<Ident>,
}

impl<'a> Family<'a> {
    /// Chooses the family of a type.
    pub(crate) fn new(
        input: &'a DeriveInput,
        parameters: &'a Parameters,
        attributes: &'a TypeAttributes,
    ) -> Result<Self> {
        let name = (!parameters.is_own_family()).then(|| {
            let type_name = syn::ext::IdentExt::unraw(&input.ident);
            // Inside the expansion the name hides one of the author's that a field may mention.
            let name = fresh_name(&format!("{type_name}Family"), &input.to_token_stream());
            Ident::new(&name, Span::mixed_site())
        });
        let bounds = FamilyBounds::new(parameters, &input.ident, &attributes.crate_path)?;
        Ok(Self {
            type_name: &input.ident,
            visibility: &input.vis,
            parameters,
            attributes,
            bounds,
            name,
        })
    }

    /// The family as seen from the type: what to write for `type R`.
    pub(crate) fn of_self(&self) -> TokenStream {
        let Some(name) = &self.name else {
            return quote!(Self);
        };
        let crate_path = &self.attributes.crate_path;
        let brand = &self.parameters.brand;
        let arguments =
            self.arguments(|object| quote!(<#object as #crate_path::IObject<#brand>>::R));
        quote!(#name <#(#arguments),*>)
    }

    /// What the impl of `IObject` has to assume so that `of_self` is a family: that it is the
    /// family of the type. Needed only if there are bounds that one brand cannot vouch for.
    pub(crate) fn assumption(&self) -> Option<WherePredicate> {
        if !self.bounds.bounds_objects {
            return None;
        }
        let family = self.of_self();
        let crate_path = &self.attributes.crate_path;
        let brand = &self.parameters.brand;
        let type_name = self.type_name;
        let (_, type_arguments, _) = self.parameters.generics.split_for_impl();
        Some(parse_quote! {
            #family: #crate_path::Rootable<At<#brand> = #type_name #type_arguments>
        })
    }

    /// Declares the family, if it is not the type itself, and implements `Rootable` for it.
    pub(crate) fn expand(&self) -> TokenStream {
        let crate_path = &self.attributes.crate_path;
        let type_name = self.type_name;
        let any = &self.parameters.any;
        let predicates = &self.bounds.predicates;

        let declaration = self.declaration();
        let parameters = self.impl_parameters();
        let own_arguments = self.arguments(|object| object.to_token_stream());
        let brand_argument = self.parameters.branded.then(|| quote!(#any,));
        let type_arguments =
            self.arguments(|object| quote!(<#object as #crate_path::Rootable>::At<#any>));
        let family = self.name.as_ref().unwrap_or(type_name);
        quote! {
            #declaration

            #[automatically_derived]
            impl<#(#parameters),*> #crate_path::Rootable for #family<#(#own_arguments),*>
            where #(#predicates),*
            {
                type At<#any> = #type_name<#brand_argument #(#type_arguments),*>;
            }
        }
    }

    /// The declaration of the family: no bounds, no values, invariant.
    fn declaration(&self) -> Option<TokenStream> {
        let name = self.name.as_ref()?;
        let visibility = self.visibility;
        let parameters = self.parameters.generics.params.iter();
        let parameters = parameters.filter_map(|parameter| match parameter {
            GenericParam::Lifetime(_) => None,
            GenericParam::Type(TypeParam { ident, .. }) => {
                Some(quote!(#ident: ?::core::marker::Sized))
            }
            GenericParam::Const(constant) => Some(const_parameter(constant)),
        });
        let types = self.parameters.types.iter().map(|(name, _)| name);
        let description = format!("The family of `{}`.", self.type_name);
        Some(quote! {
            #[doc = #description]
            #[doc(hidden)]
            #[allow(dead_code)]
            #visibility struct #name<#(#parameters),*>(
                ::core::marker::PhantomData<(#(fn(#types) -> #types,)*)>
            );
        })
    }

    /// The parameters of the impl for the family, with the bounds that cannot be predicates.
    fn impl_parameters(&self) -> Vec<TokenStream> {
        let crate_path = &self.attributes.crate_path;
        let parameters = self.parameters.generics.params.iter();
        parameters
            .filter_map(|parameter| match parameter {
                GenericParam::Lifetime(_) => None,
                GenericParam::Type(TypeParam { ident, .. }) if self.parameters.is_object(ident) => {
                    Some(quote!(#ident: #crate_path::Rootable))
                }
                GenericParam::Type(TypeParam { ident, bounds, .. }) => {
                    let maybe = bounds.iter().filter(
                        |bound| matches!(bound, TypeParamBound::Trait(bound) if is_maybe(bound)),
                    );
                    Some(quote!(#ident: #(#maybe)+*))
                }
                GenericParam::Const(constant) => Some(const_parameter(constant)),
            })
            .collect()
    }

    /// The arguments after the brand, with `object` written for each object parameter.
    fn arguments(&self, object: impl Fn(&Ident) -> TokenStream) -> Vec<TokenStream> {
        let parameters = self.parameters.generics.params.iter();
        parameters
            .filter_map(|parameter| match parameter {
                GenericParam::Lifetime(_) => None,
                GenericParam::Type(TypeParam { ident, .. }) if self.parameters.is_object(ident) => {
                    Some(object(ident))
                }
                GenericParam::Type(TypeParam { ident, .. }) => Some(ident.to_token_stream()),
                GenericParam::Const(constant) => Some(constant.ident.to_token_stream()),
            })
            .collect()
    }
}

/// A const parameter without its default.
fn const_parameter(constant: &syn::ConstParam) -> TokenStream {
    let (name, ty) = (&constant.ident, &constant.ty);
    quote!(const #name: #ty)
}
