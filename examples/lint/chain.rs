//! Chains of method calls, and what the names in a function are bounded by.

use crate::known::bounds;
use proc_macro2::Span;
use std::collections::HashSet;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, ExprMethodCall, Local, Pat};

/// `root.a(..).b(..)`: what it begins with, and the calls behind it.
pub(crate) struct Chain<'a> {
    pub(crate) root: &'a Expr,
    pub(crate) calls: Vec<&'a ExprMethodCall>,
}

impl<'a> Chain<'a> {
    pub(crate) fn of(expr: &'a Expr) -> Chain<'a> {
        let (mut root, mut calls) = (expr, Vec::new());
        loop {
            root = match root {
                Expr::MethodCall(call) => {
                    calls.push(call);
                    &call.receiver
                }
                Expr::Await(expr) => &expr.base,
                Expr::Field(expr) => &expr.base,
                Expr::Group(expr) => &expr.expr,
                Expr::Paren(expr) => &expr.expr,
                Expr::Reference(expr) => &expr.expr,
                Expr::Try(expr) => &expr.expr,
                _ => return Chain { root, calls },
            };
        }
    }

    pub(crate) fn calls(&self, name: &str) -> bool {
        self.calls.iter().any(|call| call.method == name)
    }

    /// Whether one of the calls sets a limit: `.timeout(Duration::from_secs(30))`, but not `.timeout(None)`.
    pub(crate) fn is_bounded(&self) -> bool {
        self.calls
            .iter()
            .any(|call| bounds(&call.method.to_string()) && call.args.last().is_some_and(|arg| !is_none(arg)))
    }
}

fn is_none(expr: &Expr) -> bool {
    matches!(expr, Expr::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == "None"))
}

/// The name of a plain variable.
pub(crate) fn variable(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        _ => None,
    }
}

/// The name that a `let` gives.
pub(crate) fn given_name(local: &Local) -> Option<String> {
    let mut pat = &local.pat;
    if let Pat::Type(typed) = pat {
        pat = &typed.pat;
    }
    match pat {
        Pat::Ident(pat) => Some(pat.ident.to_string()),
        _ => None,
    }
}

/// The variables of a function on which a limit is set somewhere in it.
pub(crate) fn bounded_variables(block: &syn::Block) -> HashSet<String> {
    let mut found = Bounded(HashSet::new());
    found.visit_block(block);
    found.0
}

struct Bounded(HashSet<String>);

impl<'ast> Visit<'ast> for Bounded {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        if matches!(expr, Expr::MethodCall(_)) {
            let chain = Chain::of(expr);
            if chain.is_bounded() {
                self.0.extend(variable(chain.root));
            }
        }
        visit::visit_expr(self, expr);
    }
}

/// Where the path of a call begins: attributes before it are no part of it.
pub(crate) fn begins(expr: &Expr) -> Span {
    match expr {
        Expr::Call(call) => begins(&call.func),
        Expr::Macro(mac) => mac.mac.path.span(),
        Expr::Path(path) => path.qself.as_ref().map_or_else(|| path.path.span(), |of| of.lt_token.span()),
        other => other.span(),
    }
}
