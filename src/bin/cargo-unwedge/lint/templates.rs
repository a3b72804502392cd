//! Macros that make a client of the type that they are given: `make!(reqwest::Client)`.

use crate::lint::known::bounding;
use crate::lint::names::Path;
use proc_macro2::{Span, TokenStream, TokenTree};
use std::collections::HashMap;
use syn::ItemMacro;

/// By the name of a macro: the functions that it calls on a type which it is given.
pub(crate) type Templates = HashMap<String, Vec<String>>;

/// Remembers what a `macro_rules!` calls on its arguments.
pub(crate) fn learn(item: &ItemMacro, known: &mut Templates) {
    let Some(name) = item.ident.as_ref().filter(|_| item.mac.path.is_ident("macro_rules")) else { return };
    let mut called = Vec::new();
    // One that sets a limit, or puts a layer around, is not judged: what it sets it on cannot be told.
    if !mentions_a_limit(&item.mac.tokens) {
        look_into(&item.mac.tokens, &mut called);
    }
    if !called.is_empty() {
        known.entry(name.to_string()).or_default().extend(called);
    }
}

fn mentions_a_limit(tokens: &TokenStream) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Group(group) => mentions_a_limit(&group.stream()),
        TokenTree::Ident(name) => {
            let name = name.to_string();
            matches!(&*name, "GrpcLayer" | "ResilienceMiddleware" | "StackLayer") || bounding(&name).is_some()
        }
        _ => false,
    })
}

/// `$t::new(..)`, `<$t>::builder()`, `<$t as Default>::default()`.
fn look_into(tokens: &TokenStream, called: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => look_into(&group.stream(), called),
            TokenTree::Punct(dollar) if dollar.as_char() == '$' => {
                called.extend(called_on(&tokens[at + 1..]))
            }
            _ => {}
        }
    }
}

/// The function behind the name of an argument.
fn called_on(tokens: &[TokenTree]) -> Option<String> {
    let is = |at: usize, wanted: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == wanted);
    let name = |at: usize| match tokens.get(at) {
        Some(TokenTree::Ident(name)) => Some(name.to_string()),
        _ => None,
    };
    name(0)?;
    let mut at = 1;
    // `as Default>`, as far as it is a path.
    if name(at).is_some_and(|word| word == "as") {
        at += 1;
        while name(at).is_some() || is(at, ':') {
            at += 1;
        }
    }
    at += usize::from(is(at, '>'));
    (is(at, ':') && is(at + 1, ':')).then(|| name(at + 2)).flatten()
}

/// The paths among the arguments of a macro, each with its place.
pub(crate) fn paths(tokens: &TokenStream) -> Vec<(Path, Span)> {
    let mut found = Vec::new();
    add_paths(tokens, &mut found);
    found
}

fn add_paths(tokens: &TokenStream, found: &mut Vec<(Path, Span)>) {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let colons = |at: usize| {
        let is = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
        is(at) && is(at + 1)
    };
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => add_paths(&group.stream(), found),
            TokenTree::Ident(first) => {
                let (span, mut path) = (first.span(), vec![first.to_string()]);
                while let (true, Some(TokenTree::Ident(next))) = (colons(at + 1), tokens.get(at + 3)) {
                    path.push(next.to_string());
                    at += 3;
                }
                found.push((path, span));
            }
            _ => {}
        }
        at += 1;
    }
}
