//! Does the derive answer every input, with an expansion that parses and visits each field once, or with an error, and
//! refuse what cannot be an object?
//!
//! The first byte says how the others are read: as source text, or as numbers of words of a vocabulary in which more
//! of what is made up gets past the parser. The derive's modules are included here, as a macro crate has no library.
#![no_main]

#[path = "../../cspace-derive/src/attributes.rs"]
mod attributes;
#[path = "../../cspace-derive/src/bounds.rs"]
mod bounds;
#[path = "../../cspace-derive/src/family.rs"]
mod family;
#[path = "../../cspace-derive/src/fields.rs"]
mod fields;
#[path = "../../cspace-derive/src/object.rs"]
mod object;
#[path = "../../cspace-derive/src/parameters.rs"]
mod parameters;
#[path = "../../cspace-derive/src/rootable.rs"]
mod rootable;
#[path = "../../cspace-derive/src/unsuitable.rs"]
mod unsuitable;

use libfuzzer_sys::fuzz_target;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

/// Deeper nesting is the parser's matter: it takes stack for each level.
const DEPTH_MAX: usize = 40;

const WORDS: &[&str] = &[
    "struct",
    "enum",
    "union",
    "S",
    "E",
    "T",
    "U",
    "'gc",
    "'a",
    "'static",
    "<",
    ">",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ":",
    "::",
    ",",
    ";",
    "=",
    "+",
    "?",
    "#",
    "&",
    "*",
    "->",
    "|",
    "!",
    "where",
    "for",
    "const",
    "dyn",
    "impl",
    "fn",
    "mut",
    "pub",
    "crate",
    "self",
    "Self",
    "as",
    "N",
    "usize",
    "u8",
    "0",
    "1",
    "\"x\"",
    "\"S::hook\"",
    "'_",
    "Gc",
    "Slot",
    "Option",
    "Static",
    "Vec",
    "Box",
    "Clone",
    "Iterator",
    "Item",
    "Sized",
    "a",
    "b",
    "r#type",
    "cspace",
    "skip",
    "on_collect",
    "name",
    "repr",
    "packed",
    "C",
    "align",
    // Whole pieces, so that what is made up has a chance.
    "struct S<'gc> {",
    "struct S<'gc, T: Clone> where T: 'static {",
    "enum E<'gc> { A, B(",
    "#[cspace(skip)]",
    "#[cspace(name = \"n\")]",
    "#[cspace(crate = a::b)]",
    "#[cspace(on_collect = \"S::hook\")]",
    "#[repr(packed)]",
    "f: Gc<'gc, S<'gc>>,",
    "t: Static<T>,",
    "T: Iterator<Item = U>,",
    "for<'b> T: Fn(&'b u8) -> U,",
    "[T; N]",
    "<T as Iterator>::Item",
    "const N: usize = 1,",
];

fn text(bytes: &[u8]) -> String {
    match bytes.split_first() {
        Some((0..=127, words)) => {
            let word = |byte: &u8| WORDS[usize::from(*byte) % WORDS.len()];
            words.iter().map(word).collect::<Vec<_>>().join(" ")
        }
        Some((_, text)) => String::from_utf8_lossy(text).into_owned(),
        None => String::new(),
    }
}

/// Whether brackets are nested, and prefixes repeated, at most [`DEPTH_MAX`] times.
fn is_shallow(text: &str) -> bool {
    let (mut depth, mut prefixes, mut before) = (0usize, 0, ' ');
    text.chars().filter(|c| !c.is_whitespace()).all(|c| {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if before == '-' => {}
            ')' | ']' | '}' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        prefixes = if matches!(c, '&' | '*' | '!' | '-') { prefixes + 1 } else { 0 };
        before = c;
        depth.max(prefixes) <= DEPTH_MAX
    })
}

/// The types in source text: one, or those among the items of a file.
fn types(tokens: &TokenStream) -> Vec<syn::DeriveInput> {
    if let Ok(input) = syn::parse2(tokens.clone()) {
        return vec![input];
    }
    let items = syn::parse2::<syn::File>(tokens.clone()).map_or(Vec::new(), |file| file.items);
    let of_type = items.into_iter().filter_map(|item| match item {
        syn::Item::Struct(item) => Some(item.into()),
        syn::Item::Enum(item) => Some(item.into()),
        syn::Item::Union(item) => Some(item.into()),
        _ => None,
    });
    of_type.collect()
}

/// Whether a type can be no object, whatever else it is: known here without the derive's own means.
fn must_be_refused(input: &syn::DeriveInput) -> bool {
    let is_packed = |attribute: &syn::Attribute| {
        let list = attribute.meta.require_list().ok().filter(|list| list.path.is_ident("repr"));
        list.is_some_and(|list| {
            let mut words = list.tokens.clone().into_iter();
            words.any(|word| word.to_string() == "packed")
        })
    };
    matches!(input.data, syn::Data::Union(_)) || input.attrs.iter().any(is_packed)
}

/// How often a word is among tokens, at any depth.
fn count(word: &str, tokens: TokenStream) -> usize {
    let each = tokens.into_iter().map(|token| match token {
        TokenTree::Group(group) => count(word, group.stream()),
        TokenTree::Ident(ident) => usize::from(ident == word),
        _ => 0,
    });
    each.sum()
}

/// How many fields a type has that are not skipped: each is to be visited, once.
fn visited(input: &syn::DeriveInput) -> usize {
    let is_skipped = |field: &syn::Field| {
        field.attrs.iter().any(|attribute| match &attribute.meta {
            syn::Meta::List(list) => {
                list.path.is_ident("cspace") && count("skip", list.tokens.clone()) > 0
            }
            _ => false,
        })
    };
    let of = |fields: &syn::Fields| fields.iter().filter(|field| !is_skipped(field)).count();
    match &input.data {
        syn::Data::Struct(data) => of(&data.fields),
        syn::Data::Enum(data) => data.variants.iter().map(|variant| of(&variant.fields)).sum(),
        syn::Data::Union(_) => 0,
    }
}

/// The word that says that something is visited.
const VISIT: &str = "visit_objects";

fuzz_target!(|bytes: &[u8]| {
    let text = text(bytes);
    if !is_shallow(&text) {
        return;
    }
    let Ok(tokens) = text.parse::<TokenStream>() else { return };
    for input in types(&tokens) {
        let is_forbidden = must_be_refused(&input);
        // Its own words count too, and may be there several times in what becomes of it.
        let has_the_word = count(VISIT, input.to_token_stream()) > 0;
        let visited = visited(&input);
        match object::expand(input) {
            Ok(expansion) => {
                assert!(!is_forbidden, "{text} cannot be an object and was expanded");
                let shown = expansion.to_string();
                let visits = count(VISIT, expansion.clone());
                assert!(
                    has_the_word || visits == 1 + visited,
                    "{text}: {visited} fields, in {shown}"
                );
                let parsed = syn::parse2::<syn::File>(expansion);
                assert!(parsed.is_ok(), "the expansion of {text} is no items: {shown}");
            }
            Err(error) => assert!(!error.into_compile_error().is_empty()),
        }
    }
    let path: TokenStream = "::cspace;".parse().expect("a path");
    match rootable::expand(path.into_iter().chain(tokens).collect()) {
        Ok(expansion) => {
            let parsed = syn::parse2::<syn::Type>(expansion);
            assert!(parsed.is_ok(), "the expansion of Rootable![{text}] is no type");
        }
        Err(error) => assert!(!error.into_compile_error().is_empty()),
    }
});
