//! The parameters of a type: its brand, its object parameters and its static ones.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    DeriveInput, Error, Generics, Lifetime, LifetimeParam, Result, Type, TypeParam, TypeParamBound,
    WherePredicate,
};

/// What a type parameter may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ParameterKind {
    /// An object with the brand of the type. In the family, the family of that object.
    Object,
    /// Something `'static`, the same in the type and in the family.
    Static,
}

/// The parameters of a type, sorted.
pub(crate) struct Parameters {
    /// The parameters as the author wrote them.
    pub(crate) generics: Generics,
    /// The lifetime that `IObject` is implemented for.
    pub(crate) brand: Lifetime,
    /// Whether the brand is a parameter of the type, rather than made up here.
    pub(crate) branded: bool,
    /// A lifetime that occurs nowhere in the input, for quantified bounds.
    pub(crate) any: Lifetime,
    /// The type parameters, in order.
    pub(crate) types: Vec<(Ident, ParameterKind)>,
}

impl Parameters {
    /// Sorts the parameters of `input`; fails if it has more lifetimes than the brand.
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let generics = input.generics.clone();
        let mut lifetimes = generics.lifetimes();
        let brand = lifetimes.next().cloned();
        if let Some(second) = lifetimes.next() {
            return Err(Error::new_spanned(
                &second.lifetime,
                format!(
                    "an object has at most one lifetime parameter, the brand; remove `{}`: own \
                     the data, or hold it as a `Gc` with the same brand",
                    second.lifetime
                ),
            ));
        }
        if let Some(brand) = &brand {
            refuse_bounds(brand, &generics)?;
        }

        let used = input.to_token_stream();
        let types = generics
            .type_params()
            .map(|parameter| (parameter.ident.clone(), kind(parameter, &generics)))
            .collect();
        Ok(Self {
            branded: brand.is_some(),
            brand: brand.map_or_else(|| fresh_lifetime("gc", &used), |brand| brand.lifetime),
            any: fresh_lifetime("any", &used),
            types,
            generics,
        })
    }

    /// The type parameters that are objects.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Ident> {
        self.types.iter().filter(|(_, kind)| *kind == ParameterKind::Object).map(|(name, _)| name)
    }

    /// Whether `name` is a type parameter that is an object.
    pub(crate) fn is_object(&self, name: &Ident) -> bool {
        self.objects().any(|object| object == name)
    }

    /// Whether the type is the same under every brand, and so can be its own family.
    pub(crate) fn is_own_family(&self) -> bool {
        !self.branded && self.objects().next().is_none()
    }
}

/// A family stands for the type under every brand, so the brand cannot be restricted.
fn refuse_bounds(brand: &LifetimeParam, generics: &Generics) -> Result<()> {
    let message = "the brand of an object cannot have bounds; remove them";
    if !brand.bounds.is_empty() {
        return Err(Error::new_spanned(brand, message));
    }
    let predicates = generics.where_clause.iter().flat_map(|w| &w.predicates);
    for predicate in predicates {
        if let WherePredicate::Lifetime(bounded) = predicate {
            if !bounded.bounds.is_empty() {
                return Err(Error::new_spanned(bounded, message));
            }
        }
    }
    Ok(())
}

/// A parameter is static if a bound on it, inline or not, says `'static`.
fn kind(parameter: &TypeParam, generics: &Generics) -> ParameterKind {
    let elsewhere = generics
        .where_clause
        .iter()
        .flat_map(|w| &w.predicates)
        .filter_map(|predicate| match predicate {
            WherePredicate::Type(bounded)
                if is_parameter(&bounded.bounded_ty, &parameter.ident) =>
            {
                Some(&bounded.bounds)
            }
            _ => None,
        })
        .flatten();
    let mut bounds = parameter.bounds.iter().chain(elsewhere);
    let is_static =
        bounds.any(|bound| matches!(bound, TypeParamBound::Lifetime(l) if l.ident == "static"));
    if is_static {
        ParameterKind::Static
    } else {
        ParameterKind::Object
    }
}

/// Whether `ty` is the parameter `name` and nothing else.
pub(crate) fn is_parameter(ty: &Type, name: &Ident) -> bool {
    match ty {
        Type::Path(path) => path.qself.is_none() && path.path.is_ident(name),
        Type::Group(group) => is_parameter(&group.elem, name),
        Type::Paren(paren) => is_parameter(&paren.elem, name),
        _ => false,
    }
}

/// A lifetime that `used` does not mention. Lifetimes have no hygiene in procedural macros.
fn fresh_lifetime(stem: &str, used: &TokenStream) -> Lifetime {
    let name = fresh_name(&format!("__cspace_{stem}"), used);
    Lifetime::new(&format!("'{name}"), Span::mixed_site())
}

/// `stem`, with as many underscores after it as make it a word that `used` does not mention.
pub(crate) fn fresh_name(stem: &str, used: &TokenStream) -> String {
    let mut name = stem.to_owned();
    while mentions(used.clone(), &name) {
        name.push('_');
    }
    name
}

/// Whether `word` occurs in `tokens` as a name of any kind.
pub(crate) fn mentions(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => mentions(group.stream(), word),
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn read(input: DeriveInput) -> Parameters {
        Parameters::read(&input).unwrap()
    }

    #[test]
    fn a_static_bound_makes_a_static_parameter_wherever_it_is_written() {
        let found = read(parse_quote! {
            struct S<'a, A, B: 'static, C: Clone + 'static, D>(A) where D: Send + 'static, A: 'a;
        });
        let kinds: Vec<_> = found.types.iter().map(|(_, kind)| *kind).collect();
        use ParameterKind::{Object, Static};
        assert_eq!(kinds, [Object, Static, Static, Static]);
    }

    #[test]
    fn the_brand_keeps_its_name_and_a_made_up_one_is_not_in_use() {
        assert_eq!(
            read(parse_quote!(
                struct S<'x>(&'x u8);
            ))
            .brand
            .to_string(),
            "'x"
        );
        let made_up = read(parse_quote!(
            struct S(for<'__cspace_gc> fn(&'__cspace_gc u8));
        ));
        assert_eq!(made_up.brand.to_string(), "'__cspace_gc_");
        assert!(!made_up.branded && made_up.is_own_family());
    }

    #[test]
    fn a_second_lifetime_and_a_bounded_brand_are_refused() {
        let two = Parameters::read(&parse_quote!(
            struct S<'a, 'b>(&'a u8, &'b u8);
        ));
        assert!(two.err().unwrap().to_string().contains("remove `'b`"));
        let inline = Parameters::read(&parse_quote!(
            struct S<'a: 'static>(&'a u8);
        ));
        assert!(inline.is_err());
        let clause = Parameters::read(&parse_quote!(
            struct S<'a>(&'a u8)
            where
                'a: 'static;
        ));
        assert!(clause.is_err());
    }
}
