//! What stands in the arguments of a macro: whatever of it reads as Rust.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Block, Expr, Item, Stmt, Token};

/// A piece of code that a macro was given.
pub(crate) enum Piece {
    Expr(Expr),
    Stmt(Stmt),
    Item(Item),
}

/// All pieces that can be read: the whole as expressions, statements or items, else what is found in between.
pub(crate) fn pieces(tokens: TokenStream) -> Vec<Piece> {
    let exprs = Punctuated::<Expr, Token![,]>::parse_terminated;
    if let Ok(exprs) = exprs.parse2(tokens.clone()) {
        return exprs.into_iter().map(Piece::Expr).collect();
    }
    if let Ok(stmts) = Block::parse_within.parse2(tokens.clone()) {
        return stmts.into_iter().map(Piece::Stmt).collect();
    }
    if let Ok(Items(items)) = syn::parse2(tokens.clone()) {
        return items.into_iter().map(Piece::Item).collect();
    }
    let mut found = Vec::new();
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        let end = call(&tokens, at);
        if end > at {
            let code: TokenStream = tokens[at..end].iter().cloned().collect();
            if let Ok(expr) = syn::parse2(code) {
                found.push(Piece::Expr(expr));
                at = end;
                continue;
            }
        }
        if let TokenTree::Group(group) = &tokens[at] {
            found.extend(pieces(group.stream()));
        }
        at += 1;
    }
    found
}

/// Where a path and the calls behind it end, if one begins here: `a::b(..).c(..)`.
fn call(tokens: &[TokenTree], start: usize) -> usize {
    let is = |at: usize, wanted: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == wanted);
    let ident = |at: usize| matches!(tokens.get(at), Some(TokenTree::Ident(_)));
    let parens = |at: usize| matches!(tokens.get(at), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
    if !ident(start) {
        return start;
    }
    let mut at = start + 1;
    while is(at, ':') && is(at + 1, ':') && ident(at + 2) {
        at += 3;
    }
    // A macro of its own: `long_poll!("..")`.
    if is(at, '!') && parens(at + 1) {
        at += 1;
    }
    if !parens(at) {
        return start;
    }
    at += 1;
    while is(at, '.') && ident(at + 1) {
        at += if parens(at + 2) { 3 } else { 2 };
    }
    at
}

struct Items(Vec<Item>);

impl Parse for Items {
    fn parse(input: ParseStream<'_>) -> syn::Result<Items> {
        let mut items = Vec::new();
        while !input.is_empty() {
            items.push(input.parse()?);
        }
        Ok(Items(items))
    }
}
