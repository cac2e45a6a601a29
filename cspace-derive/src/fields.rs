//! What the expansion does with the fields: visit them, or prove that skipping them is right; call their hooks.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned, ToTokens};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, ExprPath, Index, Member, Result, Type};

use crate::attributes::{refuse_on_variant, FieldAttributes};
use crate::parameters::{is_parameter, mentions, Parameters};
use crate::unsuitable;

/// All fields of a type, by variant; a struct has one variant.
pub(crate) struct Fields {
    variants: Vec<Variant>,
}

/// One way to be a value of the type.
struct Variant {
    /// `None` for a struct.
    name: Option<Ident>,
    fields: Vec<Field>,
}

/// A field, and how the expansion refers to it.
struct Field {
    member: Member,
    ty: Type,
    skip: bool,
    /// The function that sees the field's data when the object is dead.
    hook: Option<ExprPath>,
    /// The variable that borrows the field while its value is visited.
    variable: Ident,
}

impl Fields {
    /// Collects the fields of a struct or of an enum.
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let variants =
            match &input.data {
                Data::Struct(data) => vec![Variant::read(None, &data.fields)?],
                Data::Enum(data) => data
                    .variants
                    .iter()
                    .map(|variant| {
                        refuse_on_variant(&variant.attrs)?;
                        Variant::read(Some(variant.ident.clone()), &variant.fields)
                    })
                    .collect::<Result<_>>()?,
                Data::Union(data) => return Err(Error::new_spanned(
                    data.union_token,
                    "a union cannot be an object: the collector cannot know which field holds a \
                     value; use an enum",
                )),
            };
        Ok(Self { variants })
    }

    /// Refuses fields whose types are known not to fit, all in one error.
    pub(crate) fn refuse_unsuitable(&self, parameters: &Parameters) -> Result<()> {
        let fields = self.variants.iter().flat_map(|variant| {
            variant.fields.iter().map(move |field| (variant.name_of(field), field))
        });
        let errors = fields.filter_map(|(name, field)| {
            unsuitable::refuse(&name, &field.ty, field.skip, parameters)
        });
        let all = errors.reduce(|mut all, error| {
            all.combine(error);
            all
        });
        all.map_or(Ok(()), Err)
    }

    /// The fields that are visited, in the order of visits.
    fn visited(&self) -> impl Iterator<Item = (&Variant, &Field)> {
        let all = self.variants.iter();
        all.flat_map(|variant| variant.fields.iter().map(move |field| (variant, field)))
            .filter(|(_, field)| !field.skip)
    }

    /// The types of visited fields that have an object parameter inside, but not the type itself.
    pub(crate) fn types_with_parameters<'a>(
        &'a self,
        type_name: &'a Ident,
        parameters: &'a Parameters,
    ) -> impl Iterator<Item = &'a Type> {
        self.visited().map(|(_, field)| &field.ty).filter(|ty| {
            let mentions = |word: &Ident| mentions(ty.to_token_stream(), &word.to_string());
            let mut objects = parameters.objects();
            objects.any(|object| mentions(object) && !is_parameter(ty, object))
                && !mentions(type_name)
                && !mentions(&Ident::new("Self", Span::call_site()))
        })
    }

    /// The value of `NEEDS_VISIT`: whether any field needs a visit.
    pub(crate) fn needs_visit(
        &self,
        parameters: &Parameters,
        crate_path: &syn::Path,
    ) -> TokenStream {
        self.any(&format_ident!("NEEDS_VISIT"), parameters, crate_path)
    }

    /// The value of `MAY_CHANGE`: whether any field may change.
    pub(crate) fn may_change(
        &self,
        parameters: &Parameters,
        crate_path: &syn::Path,
    ) -> TokenStream {
        self.any(&format_ident!("MAY_CHANGE"), parameters, crate_path)
    }

    /// The value of `CHANGES_UNSEEN`: whether any field may change otherwise than through a slot.
    pub(crate) fn changes_unseen(
        &self,
        parameters: &Parameters,
        crate_path: &syn::Path,
    ) -> TokenStream {
        self.any(&format_ident!("CHANGES_UNSEEN"), parameters, crate_path)
    }

    /// Whether a constant is true for the type of any field that is visited.
    fn any(&self, of: &Ident, parameters: &Parameters, crate_path: &syn::Path) -> TokenStream {
        let brand = &parameters.brand;
        let visited = self.visited().map(|(_, field)| {
            let (ty, crate_path) = (&field.ty, locate(crate_path, &field.ty));
            quote_spanned!(mixed(ty)=> <#ty as #crate_path::IObject<#brand>>::#of)
        });
        quote!(false #(|| #visited)*)
    }

    /// The value of `FIELDS`: the names of the fields that are visited, in order.
    pub(crate) fn names(&self) -> TokenStream {
        let names = self.visited().map(|(variant, field)| variant.name_of(field));
        quote!(&[#(#names),*])
    }

    /// The body of `visit_objects`.
    ///
    /// Every pattern names every field, without `..`: should another macro add a field behind the
    /// derive's back, the expansion stops compiling instead of leaving the field unvisited.
    pub(crate) fn visit(
        &self,
        type_name: &Ident,
        parameters: &Parameters,
        crate_path: &syn::Path,
        visitor: &Ident,
    ) -> TokenStream {
        let brand = &parameters.brand;
        if self.variants.is_empty() {
            return quote!(match *self {});
        }
        let arms = self.variants.iter().map(|variant| {
            let bindings = variant.fields.iter().map(Field::binding);
            let visits = variant.fields.iter().filter(|f| !f.skip).map(|field| {
                let (ty, variable) = (&field.ty, &field.variable);
                let crate_path = locate(crate_path, ty);
                quote_spanned! {mixed(ty)=>
                    <#ty as #crate_path::IObject<#brand>>::visit_objects(#variable, #visitor);
                }
            });
            let path = variant.path(type_name);
            quote!(#path { #(#bindings),* } => { #(#visits)* })
        });
        quote! {
            match self { #(#arms)* }
        }
    }

    /// The value of `MAY_NEST`: whether any field may.
    pub(crate) fn may_nest(&self, parameters: &Parameters, crate_path: &syn::Path) -> TokenStream {
        self.any(&format_ident!("MAY_NEST"), parameters, crate_path)
    }

    /// The body of `is_deeper_than`.
    pub(crate) fn is_deeper_than(
        &self,
        type_name: &Ident,
        parameters: &Parameters,
        crate_path: &syn::Path,
        depth: &Ident,
    ) -> TokenStream {
        let brand = &parameters.brand;
        if self.variants.is_empty() {
            return quote!(match *self {});
        }
        let arms = self.variants.iter().map(|variant| {
            let bindings = variant.fields.iter().map(Field::binding);
            let asks = variant.fields.iter().filter(|f| !f.skip).map(|field| {
                let (ty, variable) = (&field.ty, &field.variable);
                let crate_path = locate(crate_path, ty);
                quote_spanned! {mixed(ty)=>
                    <#ty as #crate_path::IObject<#brand>>::is_deeper_than(#variable, #depth)
                }
            });
            let path = variant.path(type_name);
            quote!(#path { #(#bindings),* } => false #(|| #asks)*)
        });
        quote! {
            match self { #(#arms,)* }
        }
    }

    /// The body of `drop_parts`, which does what drop glue does, in the same order: the type has no destructor of its own
    /// (D2). In a block that may be unsafe.
    pub(crate) fn drop_parts(
        &self,
        type_name: &Ident,
        parameters: &Parameters,
        crate_path: &syn::Path,
        (this, drops): (&Ident, &Ident),
    ) -> TokenStream {
        let brand = &parameters.brand;
        if self.variants.is_empty() {
            return quote!(match *#this {});
        }
        let arms = self.variants.iter().map(|variant| {
            let bindings = variant.fields.iter().map(Field::borrow);
            let calls = variant.fields.iter().map(|field| {
                let (ty, variable) = (&field.ty, &field.variable);
                let crate_path = locate(crate_path, ty);
                if field.skip {
                    return quote_spanned!(mixed(ty)=> #drops.drop_part(#variable););
                }
                quote_spanned! {mixed(ty)=>
                    <#ty as #crate_path::IObject<#brand>>::drop_parts(#variable, #drops);
                }
            });
            let path = variant.path(type_name);
            quote!(#path { #(#bindings),* } => { #(#calls)* })
        });
        quote! {
            match &mut *#this { #(#arms)* }
        }
    }

    /// The value of `HAS_HOOKS`: whether any field has one, or may have one inside.
    pub(crate) fn has_hooks(&self, parameters: &Parameters, crate_path: &syn::Path) -> TokenStream {
        if self.visited().any(|(_, field)| field.hook.is_some()) {
            return quote!(true);
        }
        let brand = &parameters.brand;
        let visited = self.visited().map(|(_, field)| {
            let (ty, crate_path) = (&field.ty, locate(crate_path, &field.ty));
            quote_spanned!(mixed(ty)=> <#ty as #crate_path::IObject<#brand>>::HAS_HOOKS)
        });
        quote!(false #(|| #visited)*)
    }

    /// Whether a hook, or the drop of any field, may run code of the embedder's.
    pub(crate) fn may_run_user_code(
        &self,
        parameters: &Parameters,
        crate_path: &syn::Path,
        types: &Ident,
    ) -> TokenStream {
        let brand = &parameters.brand;
        let all = self.variants.iter().flat_map(|variant| &variant.fields);
        let fields = all.map(|field| {
            let (ty, crate_path) = (&field.ty, locate(crate_path, &field.ty));
            if field.hook.is_some() {
                quote!(true)
            } else if field.skip {
                quote_spanned!(mixed(ty)=> ::core::mem::needs_drop::<#ty>())
            } else {
                quote_spanned! {mixed(ty)=>
                    <#ty as #crate_path::IObject<#brand>>::may_run_user_code(#types)
                }
            }
        });
        quote!(false #(|| #fields)*)
    }

    /// The body of `on_condemned`. A field with a hook is a `Static`, which has nothing inside to pass on to.
    pub(crate) fn call_hooks(
        &self,
        type_name: &Ident,
        parameters: &Parameters,
        crate_path: &syn::Path,
        hooks: &Ident,
    ) -> TokenStream {
        let brand = &parameters.brand;
        if self.variants.is_empty() {
            return quote!(match *self {});
        }
        let arms = self.variants.iter().map(|variant| {
            let bindings = variant.fields.iter().map(Field::binding);
            let calls = variant.fields.iter().filter(|f| !f.skip).map(|field| {
                let (ty, variable) = (&field.ty, &field.variable);
                let crate_path = locate(crate_path, ty);
                match &field.hook {
                    Some(hook) => quote_spanned!(mixed(ty)=> #hooks.call(#variable, #hook);),
                    None => quote_spanned! {mixed(ty)=>
                        <#ty as #crate_path::IObject<#brand>>::on_condemned(#variable, #hooks);
                    },
                }
            });
            let path = variant.path(type_name);
            quote!(#path { #(#bindings),* } => { #(#calls)* })
        });
        quote! {
            match self { #(#arms)* }
        }
    }

    /// Proves what the rest of the expansion takes for granted: that the types of skipped fields are
    /// `'static`, and that every field has the type that the derive was given.
    ///
    /// The proof of the first is that a type is well-formed, asked for as an associated type of a
    /// local trait: there `Self` means what it means in the declaration, and nothing is added to the
    /// impl of `IObject`, where a bound that does not hold would be assumed instead of refused. The
    /// second fails if another macro changes a type after the derive; it is checked apart from the
    /// visit, where the address of a field would be coerced, and is never run.
    pub(crate) fn check(&self, type_name: &Ident, parameters: &Parameters) -> TokenStream {
        let fields = self.variants.iter().flat_map(|variant| &variant.fields);
        let skipped = fields.filter(|field| field.skip).map(|field| &field.ty);
        let (names, types): (Vec<_>, Vec<_>) = skipped
            .enumerate()
            .map(|(index, ty)| {
                let name = format_ident!("Field{index}", span = mixed(ty));
                let proof = quote_spanned! {mixed(ty)=>
                    type #name = SkippedFieldMustBeStatic<#ty>;
                };
                (name, proof)
            })
            .unzip();
        let arms = self.variants.iter().map(|variant| {
            let path = variant.path(type_name);
            let fields = variant.fields.iter();
            let bindings = fields.clone().map(Field::borrow);
            let checks = fields.map(|field| {
                let (ty, variable) = (&field.ty, &field.variable);
                quote!(same(#variable, ::core::marker::PhantomData::<fn(#ty) -> #ty>);)
            });
            quote!(#path { #(#bindings),* } => { #(#checks)* })
        });
        let value = if self.variants.is_empty() { quote!(*self) } else { quote!(self) };
        let (parameters, arguments, clause) = parameters.generics.split_for_impl();
        quote! {
            // Local, as a path that the user gives may lead to another type of the name.
            #[allow(dead_code)]
            struct SkippedFieldMustBeStatic<T: 'static>(::core::marker::PhantomData<T>);
            #[doc(hidden)]
            trait __CspaceFields {
                #(type #names;)*
                fn have_declared_types(&self);
            }
            #[automatically_derived]
            impl #parameters __CspaceFields for #type_name #arguments #clause {
                #(#types)*
                fn have_declared_types(&self) {
                    fn same<T>(_: &T, _: ::core::marker::PhantomData<fn(T) -> T>) {}
                    match #value { #(#arms)* }
                }
            }
        }
    }
}

impl Variant {
    /// Collects the fields of a struct or of one variant.
    fn read(name: Option<Ident>, fields: &syn::Fields) -> Result<Self> {
        let fields = fields
            .iter()
            .enumerate()
            .map(|(index, field)| Field::read(index, field))
            .collect::<Result<_>>()?;
        Ok(Self { name, fields })
    }

    /// The name of one of its fields, for reports.
    fn name_of(&self, field: &Field) -> String {
        let member = match &field.member {
            Member::Named(name) => name.unraw().to_string(),
            Member::Unnamed(index) => index.index.to_string(),
        };
        match &self.name {
            Some(name) => format!("{}.{member}", name.unraw()),
            None => member,
        }
    }

    /// The path of the variant, for patterns.
    ///
    /// It begins with the type's name since `Self::R`, for a variant called `R`, is ambiguous in an
    /// impl of `IObject`.
    fn path(&self, type_name: &Ident) -> TokenStream {
        match &self.name {
            Some(name) => quote!(#type_name::#name),
            None => quote!(#type_name),
        }
    }
}

impl Field {
    /// Reads the field at `index`.
    fn read(index: usize, field: &syn::Field) -> Result<Self> {
        let attributes = FieldAttributes::read(&field.attrs)?;
        Ok(Self {
            member: match &field.ident {
                Some(name) => Member::Named(name.clone()),
                None => Member::Unnamed(Index::from(index)),
            },
            ty: field.ty.clone(),
            skip: attributes.skip,
            hook: attributes.on_collect,
            variable: format_ident!("field_{index}", span = Span::mixed_site()),
        })
    }

    /// The part of a pattern that borrows the field if it is visited.
    fn binding(&self) -> TokenStream {
        let member = &self.member;
        if self.skip {
            quote!(#member: _)
        } else {
            self.borrow()
        }
    }

    /// The part of a pattern that borrows the field.
    fn borrow(&self) -> TokenStream {
        let (member, variable) = (&self.member, &self.variable);
        quote!(#member: #variable)
    }
}

/// The place of the field's type, for errors, with the expansion's hygiene.
fn mixed(ty: &Type) -> Span {
    Span::mixed_site().located_at(ty.span())
}

/// A path that is reported at the place of the field's type, and means what it meant.
fn locate(path: &syn::Path, ty: &Type) -> TokenStream {
    let tokens = path.to_token_stream().into_iter();
    tokens
        .map(|mut token| {
            token.set_span(token.span().located_at(ty.span()));
            token
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn names_follow_the_visits_and_leave_out_skipped_fields() {
        let record = parse_quote!(
            struct S {
                r#type: u8,
                #[cspace(skip)]
                b: u8,
                c: u8,
            }
        );
        let names = Fields::read(&record).unwrap().names();
        assert_eq!(names.to_string(), quote!(&["type", "c"]).to_string());

        let choice = parse_quote!(
            enum E {
                A(u8, u8),
                B { x: u8 },
                C,
            }
        );
        let names = Fields::read(&choice).unwrap().names();
        assert_eq!(names.to_string(), quote!(&["A.0", "A.1", "B.x"]).to_string());
    }

    #[test]
    fn patterns_name_every_field() {
        let field = Field::read(3, &parse_quote!(#[cspace(skip)] x: u8)).unwrap();
        assert_eq!(field.binding().to_string(), "x : _");
        let field = Field::read(3, &parse_quote!(u8)).unwrap();
        assert_eq!(field.binding().to_string(), "3 : field_3");
    }

    #[test]
    fn unions_and_attributes_on_variants_are_refused() {
        assert!(Fields::read(&parse_quote!(union U { a: u8 })).is_err());
        assert!(Fields::read(&parse_quote!(
            enum E {
                #[cspace(skip)]
                A(u8),
            }
        ))
        .is_err());
    }
}
