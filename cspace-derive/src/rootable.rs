//! The expansion of `Rootable![...]`: from a type to its family.

use proc_macro2::{Group, Ident, Punct, Spacing, TokenStream, TokenTree};
use quote::quote;
use syn::visit_mut::{self, VisitMut};
use syn::{BoundLifetimes, Error, Lifetime, Result, Type};

/// Expands `crate path ; type` to the family of the type.
pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let mut tokens = input.into_iter();
    let crate_path: TokenStream =
        tokens.by_ref().take_while(|token| !is_punct(token, ';')).collect();
    let ty = erase_elided(tokens.collect());
    if ty.is_empty() {
        return Err(Error::new(
            proc_macro2::Span::call_site(),
            "expected an object type, as in `Rootable![Node<'_>]`",
        ));
    }
    refuse_named_lifetimes(syn::parse2(ty.clone())?)?;
    Ok(quote!(<#ty as #crate_path::IObject<'static>>::R))
}

/// Replaces every `'_` by `'static`.
///
/// Works on tokens rather than on the type, to reach into the arguments of macros.
fn erase_elided(tokens: TokenStream) -> TokenStream {
    let mut after_quote = false;
    tokens
        .into_iter()
        .map(|token| {
            let quoted = std::mem::replace(&mut after_quote, is_lifetime_quote(&token));
            match token {
                TokenTree::Group(group) => {
                    let mut erased = Group::new(group.delimiter(), erase_elided(group.stream()));
                    erased.set_span(group.span());
                    TokenTree::Group(erased)
                }
                TokenTree::Ident(name) if quoted && name == "_" => {
                    TokenTree::Ident(Ident::new("static", name.span()))
                }
                other => other,
            }
        })
        .collect()
}

/// Whether `token` is `'`, which begins a lifetime.
fn is_lifetime_quote(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if is_joint_quote(punct))
}

fn is_joint_quote(punct: &Punct) -> bool {
    punct.as_char() == '\'' && punct.spacing() == Spacing::Joint
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Refuses lifetimes other than `'_`, `'static` and those that the type itself binds.
fn refuse_named_lifetimes(mut ty: Type) -> Result<()> {
    let mut named = Named::default();
    named.visit_type_mut(&mut ty);
    named.error.map_or(Ok(()), Err)
}

/// Looks for a named lifetime. It changes nothing; the crate does without `syn`'s other visitor.
#[derive(Default)]
struct Named {
    bound: Vec<Ident>,
    error: Option<Error>,
}

impl VisitMut for Named {
    fn visit_bound_lifetimes_mut(&mut self, binder: &mut BoundLifetimes) {
        // A name stays bound to the end of the type: too generous, and the compiler is not.
        for parameter in &binder.lifetimes {
            if let syn::GenericParam::Lifetime(parameter) = parameter {
                self.bound.push(parameter.lifetime.ident.clone());
            }
        }
        visit_mut::visit_bound_lifetimes_mut(self, binder);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        let name = &lifetime.ident;
        if name != "static" && !self.bound.contains(name) {
            self.error.get_or_insert_with(|| {
                Error::new_spanned(
                    &*lifetime,
                    format!("a family has no brand; write `'_` instead of `{lifetime}`"),
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expansion(input: TokenStream) -> String {
        expand(input).unwrap().to_string()
    }

    fn family(ty: TokenStream) -> String {
        quote!(<#ty as ::cspace::IObject<'static>>::R).to_string()
    }

    #[test]
    fn every_elided_lifetime_is_replaced() {
        assert_eq!(expansion(quote!(::cspace; Node<'_>)), family(quote!(Node<'static>)));
        assert_eq!(
            expansion(quote!(::cspace; (Vec<Gc<'_, Node<'_>>>, [A<'_>; 3], u64))),
            family(quote!((Vec<Gc<'static, Node<'static>>>, [A<'static>; 3], u64)))
        );
        assert_eq!(
            expansion(quote!(::cspace; macro_type!['_ in Vec<'_>])),
            family(quote!(macro_type!['static in Vec<'static>]))
        );
    }

    #[test]
    fn inferred_types_and_bound_lifetimes_stay() {
        let ty = quote!(Static<for<'a> fn(&'a u8, &'static str) -> Option<_>>);
        assert_eq!(expansion(quote!(::cspace; #ty)), family(ty));
    }

    #[test]
    fn a_named_lifetime_or_no_type_is_refused() {
        let error = expand(quote!(::cspace; Node<'gc>)).unwrap_err();
        assert!(error.to_string().contains("instead of `'gc`"));
        assert!(expand(quote!(::cspace;)).is_err());
        assert!(expand(quote!(::cspace; 1 + 1)).is_err());
    }
}
