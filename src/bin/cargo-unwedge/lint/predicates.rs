//! Questions to an error that are answered no, whatever happened: a middleware of reqwest wraps the errors of the stack, and
//! `is_timeout()` of such an error knows nothing of them.

use crate::lint::chain::{Chain, given_name, holder, pattern_name, variable};
use crate::lint::check::Check;
use crate::lint::defaults::{behind, made_by_default};
use crate::lint::known::Known;
use crate::lint::names::{Path, segments, type_path};
use crate::lint::report::Rule;
use syn::{Expr, ExprMethodCall, FnArg, Pat, Type};

/// What is asked, and what to ask in its place.
const QUESTIONS: [(&str, &str); 2] = [("is_timeout", "was_timeout"), ("is_connect", "was_connect")];

impl Check<'_> {
    /// `error.is_timeout()`
    pub(crate) fn ask(&mut self, call: &ExprMethodCall) {
        let method = call.method.to_string();
        let Some((_, ours)) = QUESTIONS.iter().find(|(name, _)| *name == method) else { return };
        if !self.beside_ours || !self.is_of_middleware(&call.receiver) {
            return;
        }
        let what = format!("reqwest_middleware::Error::{method}");
        let at = call.method.span();
        if !self.is_seen(at) {
            let advice = format!(
                "false for each error of the stack: use unwedge::reqwest::ErrorExt and ask {ours}() instead"
            );
            self.add(Rule::NeverTrue, what, at, None, advice);
        }
    }

    fn is_of_middleware(&self, error: &Expr) -> bool {
        match error {
            Expr::MethodCall(call) => {
                matches!(call.method.to_string().as_str(), "unwrap_err" | "expect_err" | "as_ref")
                    && self.fails(&call.receiver)
            }
            Expr::Paren(error) => self.is_of_middleware(&error.expr),
            error => variable(error).is_some_and(|name| {
                self.errors.iter().rev().find(|(known, _)| *known == name).is_some_and(|(_, of)| *of)
            }),
        }
    }

    /// Whether this is the result of a request under middlewares.
    pub(crate) fn fails(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Await(expr) => self.fails(&expr.base),
            Expr::Call(call) => match &*call.func {
                Expr::Path(path) => {
                    let name = path.path.segments.last().map(|last| last.ident.to_string());
                    let ours = matches!(self.named(expr), Some((Known::Middleware, path)) if path.ends_with(&["get".to_owned()]));
                    ours || name.is_some_and(|name| self.function_fails(&name))
                }
                _ => false,
            },
            Expr::MethodCall(call) => match call.method.to_string().as_str() {
                "send" | "execute" | "execute_with_extensions" => self.is_middleware_client(&call.receiver),
                "as_ref" | "as_mut" | "map" | "inspect" | "inspect_err" => self.fails(&call.receiver),
                name => self.function_fails(name),
            },
            Expr::Paren(expr) => self.fails(&expr.expr),
            Expr::Reference(expr) => self.fails(&expr.expr),
            // A variable that holds a result is remembered like an error.
            expr => variable(expr).is_some_and(|name| {
                let name = format!("Result {name}");
                self.errors.iter().rev().find(|(known, _)| *known == name).is_some_and(|(_, of)| *of)
            }),
        }
    }

    fn function_fails(&self, name: &str) -> bool {
        let fails = self.types.failure(name).and_then(|path| self.full(path));
        fails.is_some_and(|path| is_error(&path) || path == ["reqwest_middleware", "Result"])
    }

    /// Whether a request that begins like this is one under middlewares.
    fn is_middleware_client(&self, expr: &Expr) -> bool {
        let chain = Chain::of(expr);
        if matches!(self.named(chain.root), Some((Known::Middleware, _))) {
            return !self.is_without_stack(&chain);
        }
        let Some(name) = holder(expr) else { return false };
        if let Some((known, _)) = self.made.get(&name) {
            return *known == Known::Middleware;
        }
        self.type_of(&name).is_some_and(|path| path == ["reqwest_middleware", "ClientWithMiddleware"])
    }

    /// Whether a client that begins like this has evidently no stack of this crate: the inner client alone, or one under
    /// middlewares of others.
    pub(crate) fn is_without_stack(&self, chain: &Chain<'_>) -> bool {
        match self.named(chain.root) {
            Some((_, path)) if path.first().is_some_and(|krate| krate == "unwedge") => {
                chain.calls("inner_client")
            }
            Some(_) => {
                let with = |call: &&ExprMethodCall| call.method == "with" || call.method == "with_arc";
                let mut middlewares = chain.calls.iter().copied().filter(with).flat_map(|call| &call.args);
                chain.calls("build") && middlewares.all(|middleware| self.is_of_others(middleware))
            }
            None => false,
        }
    }

    /// `TracingMiddleware::default()`, `Arc::new(Retry::new(policy))`: a type of another crate.
    fn is_of_others(&self, middleware: &Expr) -> bool {
        let path = match Chain::of(middleware).root {
            Expr::Call(call) => match (&*call.func, call.args.first()) {
                (Expr::Path(made), Some(inside)) if type_name(&segments(&made.path), 1) == "Arc" => {
                    return self.is_of_others(inside);
                }
                (Expr::Path(made), _) => segments(&made.path)[..made.path.segments.len() - 1].to_vec(),
                _ => return false,
            },
            Expr::Path(path) => segments(&path.path),
            Expr::Struct(made) => segments(&made.path),
            _ => return false,
        };
        type_name(&path, 0).starts_with(char::is_uppercase)
            && self.full(&path).is_none()
            && !self.is_own(&path)
    }

    /// The name that a pattern gives to the error of a result which is, or is not, one of a middleware.
    pub(crate) fn name_error(&mut self, pat: &Pat, fails: bool) {
        match pat {
            Pat::Guard(guarded) => self.name_error(&guarded.pat, fails),
            Pat::Or(or) => or.cases.iter().for_each(|pat| self.name_error(pat, fails)),
            Pat::Paren(pat) => self.name_error(&pat.pat, fails),
            Pat::Reference(pat) => self.name_error(&pat.pat, fails),
            Pat::TupleStruct(pat) => {
                let name = pat.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
                let inside = name == "Err" || (fails && name == "Reqwest");
                for pat in &pat.elems {
                    self.name_error(pat, fails && inside);
                }
            }
            Pat::Ident(pat) => self.errors.push((pat.ident.to_string(), fails)),
            _ => {}
        }
    }

    /// `let error = client.get(url).send().await.unwrap_err()`, `let result = ..send().await`
    pub(crate) fn remember_error(&mut self, local: &syn::Local) {
        let Some(init) = &local.init else { return };
        if init.diverge.is_some() || !matches!(&local.pat, Pat::Ident(_) | Pat::Type(_)) {
            let fails = self.fails(&init.expr);
            self.name_error(&local.pat, fails);
            return;
        }
        let Some(name) = given_name(local) else { return };
        let typed = match &local.pat {
            Pat::Type(typed) => self.is_error_type(&typed.ty),
            _ => false,
        };
        let (error, result) = (typed || self.is_of_middleware(&init.expr), self.fails(&init.expr));
        self.errors.push((format!("Result {name}"), result));
        self.errors.push((name, error));
    }

    /// Arguments of a function whose type says so.
    pub(crate) fn name_arguments<'a>(&mut self, args: impl Iterator<Item = &'a FnArg>) {
        for arg in args {
            if let FnArg::Typed(arg) = arg {
                let Some(name) = pattern_name(&arg.pat) else { continue };
                let ty = made_by_default(behind(&arg.ty)).and_then(|path| self.full(&path));
                self.arguments.push((name.clone(), ty));
                self.errors.push((name, self.is_error_type(&arg.ty)));
            }
        }
    }

    /// Arguments of a closure that is given the error of a result.
    pub(crate) fn name_inputs(&mut self, call: &ExprMethodCall) {
        let given = matches!(
            call.method.to_string().as_str(),
            "inspect_err" | "is_err_and" | "map_err" | "map_or_else" | "or_else" | "unwrap_or_else"
        );
        let Some(Expr::Closure(closure)) = call.args.first() else { return };
        let fails = given && self.fails(&call.receiver);
        for input in &closure.inputs {
            let typed = matches!(input, Pat::Type(typed) if self.is_error_type(&typed.ty));
            self.errors.extend(pattern_name(input).map(|name| (name, fails || typed)));
        }
    }

    fn is_error_type(&self, ty: &Type) -> bool {
        let path = type_path(behind(ty)).and_then(|path| self.full(&path));
        path.is_some_and(|path| is_error(&path))
    }
}

/// A segment of a path, from its end.
fn type_name(path: &Path, behind: usize) -> &str {
    path.iter().rev().nth(behind).map_or("", String::as_str)
}

fn is_error(path: &Path) -> bool {
    path == &["reqwest_middleware", "Error"]
}
