//! Chains of method calls, and where an expression begins and ends.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Block, Expr, ExprMethodCall, Local, Member, Pat, Stmt};

/// `root.a(..).b(..)`: what it begins with, and the calls behind it, the last one first.
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
}

/// What an expression comes to: the ends of all its branches.
pub(crate) fn tails(expr: &Expr) -> Vec<&Expr> {
    let mut found = Vec::new();
    add_tails(expr, &mut found);
    found
}

fn add_tails<'a>(expr: &'a Expr, found: &mut Vec<&'a Expr>) {
    match expr {
        Expr::Block(block) => add_tail(&block.block, found),
        Expr::Group(group) => add_tails(&group.expr, found),
        Expr::If(branch) => {
            add_tail(&branch.then_branch, found);
            if let Some((_, other)) = &branch.else_branch {
                add_tails(other, found);
            }
        }
        Expr::Match(branch) => branch.arms.iter().for_each(|arm| add_tails(&arm.body, found)),
        Expr::Paren(paren) => add_tails(&paren.expr, found),
        expr => found.push(expr),
    }
}

fn add_tail<'a>(block: &'a Block, found: &mut Vec<&'a Expr>) {
    if let Some(Stmt::Expr(last, None)) = block.stmts.last() {
        add_tails(last, found);
    }
}

/// All that an expression may begin with: on each way of a branch, and where a fallback gives it.
pub(crate) fn ways(expr: &Expr) -> Vec<&Expr> {
    let mut found = Vec::new();
    add_ways(expr, &mut found);
    found
}

fn add_ways<'a>(expr: &'a Expr, found: &mut Vec<&'a Expr>) {
    for tail in tails(expr) {
        let chain = Chain::of(tail);
        let gives = |call: &&&ExprMethodCall| {
            let name = call.method.to_string();
            matches!(name.as_str(), "fold" | "map_or" | "map_or_else" | "unwrap_or" | "unwrap_or_else")
        };
        for arg in chain.calls.iter().filter(gives).flat_map(|call| &call.args) {
            match arg {
                Expr::Closure(closure) => add_ways(&closure.body, found),
                arg => add_ways(arg, found),
            }
        }
        match chain.root {
            root @ (Expr::Block(_) | Expr::If(_) | Expr::Match(_)) => add_ways(root, found),
            root => found.push(root),
        }
    }
}

/// The name of a plain variable.
pub(crate) fn variable(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        Expr::Reference(expr) => variable(&expr.expr),
        _ => None,
    }
}

/// The name that a `let` gives.
pub(crate) fn given_name(local: &Local) -> Option<String> {
    pattern_name(&local.pat)
}

/// The name of a pattern that is nothing but one.
pub(crate) fn pattern_name(pat: &Pat) -> Option<String> {
    match pat {
        Pat::Ident(pat) => Some(pat.ident.to_string()),
        Pat::Paren(pat) => pattern_name(&pat.pat),
        Pat::Reference(pat) => pattern_name(&pat.pat),
        Pat::Type(pat) => pattern_name(&pat.pat),
        _ => None,
    }
}

/// The one name in `Ok(name)`, or in a pattern that is nothing but one.
pub(crate) fn inner_name(pat: &Pat) -> Option<String> {
    match pat {
        Pat::Guard(of) => inner_name(&of.pat),
        Pat::TupleStruct(of) if of.elems.len() == 1 => of.elems.first().and_then(pattern_name),
        pat => pattern_name(pat),
    }
}

/// The name of what a chain is called on: of the variable, or of the field nearest to the calls.
pub(crate) fn holder(receiver: &Expr) -> Option<String> {
    match receiver {
        Expr::Await(expr) => holder(&expr.base),
        Expr::Field(field) => match &field.member {
            Member::Named(name) => Some(name.to_string()),
            Member::Unnamed(_) => None,
        },
        Expr::MethodCall(call) => holder(&call.receiver),
        Expr::Paren(expr) => holder(&expr.expr),
        Expr::Reference(expr) => holder(&expr.expr),
        Expr::Try(expr) => holder(&expr.expr),
        other => variable(other),
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

/// Whether this leaves the function or the loop, so that nothing behind it hangs on what it set.
pub(crate) fn leaves(expr: &Expr) -> bool {
    match expr {
        Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) => true,
        Expr::Block(block) => diverges(&block.block),
        Expr::Macro(mac) => is_the_end(&mac.mac),
        _ => false,
    }
}

/// Whether the end of this block leaves it for good.
pub(crate) fn diverges(block: &Block) -> bool {
    match block.stmts.last() {
        Some(Stmt::Expr(expr, _)) => leaves(expr),
        Some(Stmt::Macro(stmt)) => is_the_end(&stmt.mac),
        _ => false,
    }
}

fn is_the_end(mac: &syn::Macro) -> bool {
    let name = mac.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default();
    matches!(&*name, "panic" | "unreachable" | "todo" | "unimplemented" | "bail")
}
