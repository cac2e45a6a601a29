//! `#[cspace(...)]`: what the author may say about a type and about a field.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, DeriveInput, Error, ExprPath, LitStr, Path, Result};

/// The attributes of a type.
pub(crate) struct TypeAttributes {
    /// Path of the crate that has the traits.
    pub(crate) crate_path: Path,
    /// Name of the type in dumps.
    pub(crate) name: String,
}

impl TypeAttributes {
    /// Reads the attributes of the type itself; fields and variants have their own.
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let mut crate_path: Option<Path> = None;
        let mut name: Option<LitStr> = None;
        for_each(&input.attrs, |meta| {
            if meta.path.is_ident("crate") {
                let path = meta.value()?.call(Path::parse_mod_style)?;
                set_once(&mut crate_path, path, &meta)
            } else if meta.path.is_ident("name") {
                let text = meta.value()?.parse()?;
                set_once(&mut name, text, &meta)
            } else {
                Err(meta.error(
                    "unknown `cspace` attribute of a type; there are `name = \"…\"` and \
                     `crate = path`, and `skip` and `on_collect = \"…\"` for fields",
                ))
            }
        })?;
        Ok(Self {
            crate_path: crate_path.unwrap_or_else(default_crate_path),
            name: name.map_or_else(
                || syn::ext::IdentExt::unraw(&input.ident).to_string(),
                |text| text.value(),
            ),
        })
    }
}

/// The attributes of a field.
#[derive(Default)]
pub(crate) struct FieldAttributes {
    /// The collector does not look at the field.
    pub(crate) skip: bool,
    /// The function to call with the field's data when the object is dead.
    pub(crate) on_collect: Option<ExprPath>,
}

impl FieldAttributes {
    /// Reads the attributes of one field.
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut skip = None;
        let mut on_collect: Option<LitStr> = None;
        for_each(attributes, |meta| {
            if meta.path.is_ident("skip") {
                set_once(&mut skip, (), &meta)
            } else if meta.path.is_ident("on_collect") {
                let path = meta.value()?.parse()?;
                set_once(&mut on_collect, path, &meta)
            } else {
                Err(meta.error(
                    "unknown `cspace` attribute of a field; there are `skip` and `on_collect = \"…\"`",
                ))
            }
        })?;
        if let (Some(_), Some(hook)) = (skip, &on_collect) {
            return Err(Error::new_spanned(
                hook,
                "a skipped field has no hook; make the field a `Static<…>`, which is not visited anyway, and \
                 remove `skip`",
            ));
        }
        let on_collect = on_collect.as_ref().map(Self::path).transpose()?;
        Ok(Self { skip: skip.is_some(), on_collect })
    }

    /// The path in a text.
    fn path(text: &LitStr) -> Result<ExprPath> {
        text.parse().map_err(|_| {
            Error::new_spanned(
                text,
                "the hook of a field is the path of a `fn(&mut T)`, as in `on_collect = \"close\"` or \
                 `on_collect = \"Self::close\"`",
            )
        })
    }
}

/// Refuses every attribute of ours at a place that has none: on a variant.
pub(crate) fn refuse_on_variant(attributes: &[Attribute]) -> Result<()> {
    for_each(attributes, |meta| {
        Err(meta.error(
            "`cspace` attributes belong on the fields of a variant or on the type, not on a \
             variant",
        ))
    })
}

/// Whether the type is laid out with `#[repr(packed)]`.
pub(crate) fn packed_span(attributes: &[Attribute]) -> Option<Span> {
    let mut found = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("repr")) {
        // What does not parse is for the compiler to report.
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("packed") {
                found = meta.path.get_ident().map(syn::Ident::span);
            }
            if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<proc_macro2::TokenStream>()?;
            }
            Ok(())
        });
    }
    found
}

/// Calls `read` for every entry of every `#[cspace(...)]`.
fn for_each(
    attributes: &[Attribute],
    mut read: impl FnMut(ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cspace"))
        .try_for_each(|attribute| attribute.parse_nested_meta(&mut read))
}

/// Stores a value that may be given once.
fn set_once<T>(place: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    if place.replace(value).is_some() {
        return Err(meta.error("`cspace` attribute given twice; remove one"));
    }
    Ok(())
}

/// `::cspace`, the facade.
fn default_crate_path() -> Path {
    let cspace = syn::Ident::new("cspace", Span::mixed_site());
    syn::parse_quote!(::#cspace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::ToTokens;
    use syn::parse_quote;

    fn error_of(input: DeriveInput) -> String {
        match TypeAttributes::read(&input) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_type_is_called_by_its_own_name_without_the_raw_mark() {
        let read = TypeAttributes::read(&parse_quote!(
            struct r#Loop;
        ))
        .unwrap();
        assert_eq!(read.name, "Loop");
        assert_eq!(read.crate_path.to_token_stream().to_string(), ":: cspace");
    }

    #[test]
    fn name_and_crate_are_read_from_several_attributes() {
        let input = parse_quote! {
            #[cspace(name = "list node")] #[cspace(crate = crate::inner)] struct Node;
        };
        let read = TypeAttributes::read(&input).unwrap();
        assert_eq!(read.name, "list node");
        assert_eq!(read.crate_path.to_token_stream().to_string(), "crate :: inner");
    }

    #[test]
    fn unknown_and_repeated_attributes_are_refused() {
        let unknown = error_of(parse_quote!(
            #[cspace(nome = "x")]
            struct Node;
        ));
        assert!(unknown.contains("unknown `cspace` attribute of a type"));
        let repeated = error_of(parse_quote!(
            #[cspace(name = "x", name = "y")]
            struct Node;
        ));
        assert!(repeated.contains("given twice"));
    }

    #[test]
    fn packed_is_found_among_other_layouts() {
        let packed: DeriveInput = parse_quote!(
            #[repr(C, align(8))]
            #[repr(packed(2))]
            struct P;
        );
        assert!(packed_span(&packed.attrs).is_some());
        let aligned: DeriveInput = parse_quote!(
            #[repr(C, align(8))]
            struct P;
        );
        assert!(packed_span(&aligned.attrs).is_none());
    }
}
