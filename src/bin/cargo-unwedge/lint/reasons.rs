//! What attributes say: the reason for an exception, and what is compiled into tests alone.

use std::collections::HashMap;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Item, Lit, Meta, Stmt, Token};

/// The reason of an `expect` or `allow` of the lints that refuse raw clients.
pub(crate) fn given(attrs: &[Attribute]) -> Option<String> {
    attrs.iter().find_map(|attr| {
        let list = match &attr.meta {
            Meta::List(list) if list.path.is_ident("expect") || list.path.is_ident("allow") => list,
            _ => return None,
        };
        let entries = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
        entries.iter().any(is_ours).then_some(())?;
        entries.iter().find_map(|entry| match entry {
            Meta::NameValue(pair) if pair.path.is_ident("reason") => said(&pair.value),
            _ => None,
        })
    })
}

fn is_ours(lint: &Meta) -> bool {
    let path = lint.path();
    let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
    names.len() == 2
        && names[0] == "clippy"
        && matches!(&*names[1], "disallowed_methods" | "disallowed_types")
}

/// A literal that says something.
pub(crate) fn said(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()).filter(|text| !text.trim().is_empty()),
            _ => None,
        },
        Expr::Group(group) => said(&group.expr),
        Expr::Paren(paren) => said(&paren.expr),
        _ => None,
    }
}

/// Whether this is compiled into tests alone.
pub(crate) fn only_tests(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args::<Meta>().is_ok_and(|condition| never_without_test(&condition))
        }
        // `#[test]`, and those of runtimes: `#[tokio::test]`.
        meta => meta.path().segments.last().is_some_and(|segment| segment.ident == "test"),
    })
}

/// Whether this condition of `cfg` cannot hold without `test`.
fn never_without_test(condition: &Meta) -> bool {
    let list = match condition {
        Meta::Path(path) => return path.is_ident("test"),
        Meta::NameValue(_) => return false,
        Meta::List(list) => list,
    };
    let Ok(parts) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else {
        return false;
    };
    if list.path.is_ident("all") {
        parts.iter().any(never_without_test)
    } else {
        list.path.is_ident("any") && !parts.is_empty() && parts.iter().all(never_without_test)
    }
}

/// The attributes of a statement. Of an assignment or an operation the parser has put them on the left side.
pub(crate) fn of_stmt(stmt: &Stmt) -> &[Attribute] {
    match stmt {
        Stmt::Local(local) => &local.attrs,
        Stmt::Macro(mac) => &mac.attrs,
        // An item is visited with its own.
        Stmt::Item(_) => &[],
        Stmt::Expr(expr, _) => {
            let mut expr = expr;
            loop {
                match expr {
                    Expr::Assign(assign) if assign.attrs.is_empty() => expr = &assign.left,
                    Expr::Binary(binary) if binary.attrs.is_empty() => expr = &binary.left,
                    other => return of_expr(other),
                }
            }
        }
    }
}

/// The attributes of an expression.
pub(crate) fn of_expr(expr: &Expr) -> &[Attribute] {
    macro_rules! attrs {
        ($($kind:ident)*) => {
            match expr {
                $(Expr::$kind(expr) => &expr.attrs,)*
                _ => &[],
            }
        };
    }
    attrs!(Array Assign Async Await Binary Block Break Call Cast Closure Field ForLoop If Index Let Loop Macro Match
        MethodCall Paren Path Range Reference Repeat Return Struct Try Tuple Unary Unsafe While)
}

/// The attributes of an item.
pub(crate) fn of_item(item: &Item) -> &[Attribute] {
    macro_rules! attrs {
        ($($kind:ident)*) => {
            match item {
                $(Item::$kind(item) => &item.attrs,)*
                _ => &[],
            }
        };
    }
    attrs!(Const Enum ExternCrate Fn ForeignMod Impl Macro Mod Static Struct Trait TraitAlias Type Union Use)
}

pub(crate) fn of_impl_item(item: &syn::ImplItem) -> &[Attribute] {
    match item {
        syn::ImplItem::Const(item) => &item.attrs,
        syn::ImplItem::Fn(item) => &item.attrs,
        syn::ImplItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

pub(crate) fn of_trait_item(item: &syn::TraitItem) -> &[Attribute] {
    match item {
        syn::TraitItem::Const(item) => &item.attrs,
        syn::TraitItem::Fn(item) => &item.attrs,
        syn::TraitItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

/// Text constants by their names: a reason may be one.
pub(crate) fn texts(items: &[Item], found: &mut HashMap<String, String>) {
    for item in items {
        match item {
            Item::Const(item) => found.extend(said(&item.expr).map(|text| (item.ident.to_string(), text))),
            Item::Mod(item) => texts(item.content.as_ref().map_or(&[], |(_, items)| items), found),
            _ => {}
        }
    }
}
