//! Which limits are limits: none that is taken away, none that nobody lives to see, none that is set only now and then.

use crate::lint::chain::{Chain, diverges, given_name, leaves, tails, variable, ways};
use crate::lint::known::{Bounding, bounding, is_bounding_field};
use std::collections::HashSet;
use syn::visit::{self, Visit};
use syn::{Block, Expr, ExprLit, ExprMethodCall, Item, Lit};

/// What the calls of a chain, or those on a variable, say of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// None of them sets one.
    Unset,
    /// `.timeout(None)`, `.timeout(Duration::MAX)`: one that never ends anything.
    Endless,
    /// One that is there in some cases.
    Sometimes,
    Set,
}

/// A wait that is longer counts as one without an end.
const YEAR: u64 = 366 * 24 * 60 * 60;

/// Names of durations that never pass: constants, and variables of a function.
pub(crate) type Endless = HashSet<String>;

impl Chain<'_> {
    /// Whether one of the calls sets a limit: `.timeout(Duration::from_secs(30))`, but not `.timeout(None)`.
    pub(crate) fn limit(&self, endless: &Endless) -> Limit {
        self.calls.iter().fold(Limit::Unset, |limit, call| limit.max(Limit::of(call, endless)))
    }
}

impl Limit {
    /// What this call alone sets.
    pub(crate) fn of(call: &ExprMethodCall, endless: &Endless) -> Limit {
        match (bounding(&call.method.to_string()), call.args.last()) {
            (None, _) | (Some(Bounding::Duration), None) => Limit::Unset,
            (Some(Bounding::Client), _) => Limit::Set,
            (Some(Bounding::Duration), Some(arg)) if is_endless(arg, endless) => Limit::Endless,
            (Some(Bounding::Duration), Some(_)) => Limit::Set,
        }
    }

    pub(crate) fn max(self, other: Limit) -> Limit {
        if other as u8 > self as u8 { other } else { self }
    }
}

/// What is said of the body of the response in a variable, and of the future in it.
pub(crate) fn body_of(name: &str) -> String {
    format!("body of {name}")
}

pub(crate) fn future_of(name: &str) -> String {
    format!("future of {name}")
}

/// Whether a limit of this length, or without one, ends nothing.
pub(crate) fn is_endless(expr: &Expr, endless: &Endless) -> bool {
    let any = |expr: &Expr| is_endless(expr, endless);
    match expr {
        Expr::Path(path) => {
            let names: Vec<String> = path.path.segments.iter().map(|s| s.ident.to_string()).collect();
            match names.as_slice() {
                [.., of, last] if of == "Duration" => last == "MAX",
                [.., last] => last == "None" || endless.contains(last),
                [] => false,
            }
        }
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => {
                let of = |n: usize| path.path.segments.iter().rev().nth(n).map(|s| s.ident.to_string());
                let name = of(0).unwrap_or_default();
                match (of(1).as_deref(), call.args.first()) {
                    (Some("Duration"), Some(arg)) => is_endless_number(arg, &name),
                    (_, Some(arg)) if matches!(&*name, "Some" | "Ok" | "from" | "new") => any(arg),
                    _ => false,
                }
            }
            _ => false,
        },
        Expr::MethodCall(call) => {
            let args = || call.args.iter().any(any);
            match call.method.to_string().as_str() {
                "min" => any(&call.receiver) && args(),
                "unwrap_or" | "unwrap_or_else" | "max" | "or" => any(&call.receiver) || args(),
                "map_or" | "map_or_else" => call.args.first().is_some_and(any),
                "into" | "clone" | "saturating_add" | "saturating_mul" => any(&call.receiver),
                _ => false,
            }
        }
        Expr::Closure(closure) => any(&closure.body),
        Expr::If(_) | Expr::Match(_) | Expr::Block(_) => {
            // Every way out is one of these, except where there is nothing to look into.
            tails(expr).into_iter().any(|tail| !std::ptr::eq(tail, expr) && any(tail))
        }
        Expr::Group(expr) => any(&expr.expr),
        Expr::Paren(expr) => any(&expr.expr),
        Expr::Reference(expr) => any(&expr.expr),
        _ => false,
    }
}

/// The number of `Duration::from_secs(u64::MAX)`, or one that is above a year.
fn is_endless_number(expr: &Expr, unit: &str) -> bool {
    let year = match unit {
        "from_secs" | "from_secs_f32" | "from_secs_f64" | "new" => YEAR,
        "from_millis" => YEAR * 1000,
        "from_micros" => YEAR * 1_000_000,
        "from_mins" => YEAR / 60,
        "from_hours" => YEAR / 3600,
        "from_days" => YEAR / 86_400,
        "from_weeks" => YEAR / (7 * 86_400),
        _ => return false,
    };
    match expr {
        Expr::Cast(cast) => is_endless_number(&cast.expr, unit),
        Expr::Paren(paren) => is_endless_number(&paren.expr, unit),
        Expr::Path(path) => {
            path.path.segments.last().is_some_and(|s| s.ident == "MAX" || s.ident == "INFINITY")
        }
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => {
            number.base10_parse().is_ok_and(|n: u64| n > year)
        }
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => {
            number.base10_parse().is_ok_and(|n: f64| n > year as f64)
        }
        _ => false,
    }
}

/// Constants of a file that never pass, also by way of each other.
pub(crate) fn endless_constants(items: &[Item], found: &mut Endless) {
    for item in items {
        match item {
            Item::Const(item) if is_endless(&item.expr, found) => drop(found.insert(item.ident.to_string())),
            Item::Static(item) if is_endless(&item.expr, found) => drop(found.insert(item.ident.to_string())),
            Item::Mod(item) => {
                endless_constants(item.content.as_ref().map_or(&[], |(_, items)| items), found);
            }
            _ => {}
        }
    }
}

/// The variables of a block on which a limit is set: on every way through it, and on some.
#[derive(Debug, Default)]
pub(crate) struct Bounded {
    always: HashSet<String>,
    anywhere: HashSet<String>,
    endless: HashSet<String>,
    layered: HashSet<String>,
}

impl Bounded {
    /// `stands_in` names the variables that are given to a layer with a deadline in an expression.
    pub(crate) fn of(block: &Block, endless: &Endless, stands_in: &dyn Fn(&Expr) -> Vec<String>) -> Bounded {
        let mut walk =
            Walk { endless, stands_in, now: HashSet::new(), found: Bounded::default(), from: Vec::new() };
        walk.visit_block(block);
        let mut bounded = walk.found;
        bounded.always = walk.now;
        // `let b = a.header(..)`: what bounds b bounds what a began. Later names come from earlier ones.
        for (name, of) in walk.from.iter().rev() {
            for names in
                [&mut bounded.always, &mut bounded.anywhere, &mut bounded.endless, &mut bounded.layered]
            {
                for said in [String::new(), body_of(""), future_of("")] {
                    if names.contains(&(said.clone() + name)) {
                        names.insert(said + of);
                    }
                }
            }
        }
        bounded
    }

    /// Whether a layer with a deadline is put around it.
    pub(crate) fn is_layered(&self, name: &str) -> bool {
        self.layered.contains(name)
    }

    pub(crate) fn limit(&self, name: &str) -> Limit {
        match () {
            () if self.always.contains(name) => Limit::Set,
            () if self.anywhere.contains(name) => Limit::Sometimes,
            () if self.endless.contains(name) => Limit::Endless,
            () => Limit::Unset,
        }
    }
}

struct Walk<'a> {
    endless: &'a Endless,
    stands_in: &'a dyn Fn(&Expr) -> Vec<String>,
    /// On the way that is walked.
    now: HashSet<String>,
    found: Bounded,
    /// A name, and the one that it is made from.
    from: Vec<(String, String)>,
}

impl Walk<'_> {
    fn set(&mut self, name: Option<String>) {
        if let Some(name) = name {
            self.found.anywhere.insert(name.clone());
            self.now.insert(name);
        }
    }

    /// What a branch alone sets.
    fn apart(&mut self, branch: impl FnOnce(&mut Self)) -> HashSet<String> {
        let before = std::mem::take(&mut self.now);
        branch(self);
        std::mem::replace(&mut self.now, before)
    }

    /// What all of these branches set is set.
    fn either(&mut self, branches: Vec<HashSet<String>>) {
        let mut branches = branches.into_iter();
        if let Some(first) = branches.next() {
            self.now.extend(branches.fold(first, |all, next| all.intersection(&next).cloned().collect()));
        }
    }

    /// `config.read_timeout = Some(..)`
    fn set_field(&mut self, assign: &syn::ExprAssign) {
        let Expr::Field(field) = &*assign.left else { return };
        if matches!(&field.member, syn::Member::Named(name) if is_bounding_field(&name.to_string())) {
            match is_endless(&assign.right, self.endless) {
                true => self.found.endless.extend(variable(&field.base)),
                false => self.set(variable(&field.base)),
            }
        }
    }

    fn made_from(&mut self, name: Option<String>, init: &Expr) {
        let Some(name) = name else { return };
        let of = ways(init).into_iter().filter_map(variable).filter(|of| *of != name);
        self.from.extend(of.map(|of| (name.clone(), of)));
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        for name in (self.stands_in)(expr) {
            self.found.layered.insert(name.clone());
            self.set(Some(name));
        }
        match expr {
            Expr::MethodCall(call) => {
                let names = || ways(&call.receiver).into_iter().filter_map(variable);
                match Limit::of(call, self.endless) {
                    Limit::Set => names().for_each(|name| self.set(Some(name))),
                    Limit::Endless => self.found.endless.extend(names()),
                    Limit::Unset | Limit::Sometimes => {}
                }
                self.visit_expr(&call.receiver);
                let maybe = is_conditional(&call.method.to_string());
                for arg in &call.args {
                    if maybe {
                        self.apart(|walk| walk.visit_expr(arg));
                    } else {
                        self.visit_expr(arg);
                    }
                }
            }
            Expr::If(branch) => {
                self.visit_expr(&branch.cond);
                let mut ways = Vec::new();
                let then = self.apart(|walk| walk.visit_block(&branch.then_branch));
                ways.extend((!diverges(&branch.then_branch)).then_some(then));
                match &branch.else_branch {
                    Some((_, other)) => {
                        let set = self.apart(|walk| walk.visit_expr(other));
                        ways.extend((!leaves(other)).then_some(set));
                    }
                    None => ways.push(HashSet::new()),
                }
                self.either(ways);
            }
            Expr::Match(branch) => {
                self.visit_expr(&branch.expr);
                let mut ways = Vec::new();
                for arm in &branch.arms {
                    let set = self.apart(|walk| walk.visit_expr(&arm.body));
                    ways.extend((!leaves(&arm.body)).then_some(set));
                }
                self.either(ways);
            }
            Expr::While(_) | Expr::ForLoop(_) => {
                self.apart(|walk| visit::visit_expr(walk, expr));
            }
            Expr::Binary(both) if matches!(both.op, syn::BinOp::And(_) | syn::BinOp::Or(_)) => {
                self.visit_expr(&both.left);
                self.apart(|walk| walk.visit_expr(&both.right));
            }
            Expr::Assign(assign) => {
                self.made_from(variable(&assign.left), &assign.right);
                self.set_field(assign);
                visit::visit_expr(self, expr);
            }
            _ => visit::visit_expr(self, expr),
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let Some(init) = &local.init {
            self.made_from(given_name(local), &init.expr);
        }
        visit::visit_local(self, local);
    }

    /// `select!` has the futures that it is given.
    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let expr = Expr::Macro(syn::ExprMacro { attrs: Vec::new(), mac: mac.clone() });
        for name in (self.stands_in)(&expr) {
            self.set(Some(name));
        }
    }

    /// A function inside has names of its own.
    fn visit_item(&mut self, _: &'ast Item) {}
}

/// Methods whose closure is called in some cases, or as often as there is something.
fn is_conditional(method: &str) -> bool {
    matches!(
        method,
        "and_then"
            | "filter_map"
            | "fold"
            | "for_each"
            | "inspect"
            | "is_some_and"
            | "map"
            | "map_or"
            | "map_or_else"
            | "then"
            | "unwrap_or_else"
            | "or_else"
    )
}
