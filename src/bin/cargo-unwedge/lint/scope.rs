//! What bounds a future: a timeout around it, a deadline, or a timer beside it.

use crate::lint::chain::{Chain, begins, holder, inner_name, variable, ways};
use crate::lint::check::{Check, Found};
use crate::lint::known::Known;
use crate::lint::limits::{Bounded, Limit, body_of, future_of, is_endless};
use crate::lint::macros::{Piece, pieces};
use crate::lint::select::Select;
use syn::visit::Visit;
use syn::{Arm, Block, Expr, ExprCall, ExprIf, ExprMatch, ExprMethodCall, Stmt, token};

/// Methods that read the body of a response to its end.
const READ: [&str; 4] = ["bytes", "json", "text", "text_with_charset"];

impl Check<'_> {
    /// Whether this bounds the future that it is given: `timeout(limit, future)`.
    pub(crate) fn is_scope(&self, call: &ExprCall) -> bool {
        let (Some(first), Some((known, path))) = (call.args.first(), self.named(&call.func)) else {
            return false;
        };
        match known {
            Known::Scope => !is_endless(first, &self.endless),
            Known::Deadline => {
                path.last().is_some_and(|last| last == "scope") && self.is_made(first, Known::Deadline)
            }
            _ => false,
        }
    }

    /// The same for `deadline.scope(future)`.
    pub(crate) fn is_deadline(&self, call: &ExprMethodCall) -> bool {
        call.method == "scope" && self.is_made(&call.receiver, Known::Deadline)
    }

    /// Whether this is one of these, with an end: made here, or a variable.
    fn is_made(&self, expr: &Expr, wanted: Known) -> bool {
        let root = Chain::of(expr).root;
        if let Some((known, _)) = self.named(root) {
            return known == wanted && !self.never_passes(root);
        }
        let Some(name) = holder(expr) else { return false };
        match self.made.get(&name) {
            Some((known, _)) => *known == wanted,
            None => self.type_of(&name).is_some_and(|path| Known::of(&path) == Some(wanted)),
        }
    }

    /// `Deadline::after(Duration::MAX)`
    pub(crate) fn never_passes(&self, expr: &Expr) -> bool {
        let Expr::Call(call) = expr else { return false };
        call.args.first().is_some_and(|limit| is_endless(limit, &self.endless))
    }

    /// `pin!(sleep(limit))`, `Box::pin(sleep(limit))`
    pub(crate) fn pinned(&self, expr: &Expr) -> Option<Found> {
        let found = match expr {
            Expr::Call(call) if is_pin(&call.func) => {
                let arg = call.args.first()?;
                self.named(arg).filter(|_| !self.never_passes(arg))
            }
            Expr::Macro(mac) if mac.mac.path.segments.last()?.ident == "pin" => {
                let arg: Expr = syn::parse2(mac.mac.tokens.clone()).ok()?;
                self.named(&arg).filter(|_| !self.never_passes(&arg))
            }
            _ => None,
        }?;
        (found.0 == Known::Timer).then_some(found)
    }

    /// What a variable is that begins as this.
    pub(crate) fn as_held(&self, known: Known, chain: &Chain<'_>) -> Known {
        let plain = match known {
            Known::Deadline | Known::Timer => self.never_passes(chain.root),
            Known::Middleware => self.is_without_stack(chain),
            _ => false,
        };
        if plain { Known::Plain } else { known }
    }

    /// Whether a timer ends this as well: `_ = sleep(limit) => ..`, without a condition.
    fn is_timed(&self, select: &Select) -> bool {
        select.branches.iter().any(|branch| !branch.guarded && self.is_timer(&branch.future))
    }

    /// `sleep(limit)`, or a block that begins by waiting for it.
    fn is_timer(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Async(of) => match of.block.stmts.first() {
                Some(Stmt::Expr(Expr::Await(first), _)) => self.is_made(&first.base, Known::Timer),
                _ => false,
            },
            expr => self.is_made(expr, Known::Timer),
        }
    }

    /// Looks into the branches; what stands beside a timer is bounded until it is ready.
    pub(crate) fn select(&mut self, select: &Select) {
        let scope = self.in_scope;
        self.in_scope += u32::from(self.is_timed(select));
        select.branches.iter().for_each(|branch| self.visit_expr(&branch.future));
        self.in_scope = scope;
        select.others.iter().for_each(|expr| self.visit_expr(expr));
    }

    /// Whether this begins work that nothing around it ends: `tokio::spawn(future)`.
    pub(crate) fn leaves_scope(expr: &Expr) -> bool {
        let name = match expr {
            Expr::Call(call) => match &*call.func {
                Expr::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
                _ => None,
            },
            Expr::MethodCall(call) => Some(call.method.to_string()),
            _ => None,
        };
        name.is_some_and(|name| name == "spawn" || name.starts_with("spawn_"))
    }

    /// Whether this is under a scope that ends it.
    pub(crate) fn is_scoped(&self, known: Known, path: &[String], chain: &Chain<'_>) -> bool {
        match known {
            Known::Connect => self.in_scope > 0,
            // The scope ends the wait for the head; that for the body where it is read in there too.
            Known::Call if is_async(path) => {
                let read = || reads(chain) || self.read_later.contains(&place(chain.root));
                let then = |call: &&ExprMethodCall| match call.args.first() {
                    Some(Expr::Closure(next)) => {
                        (call.method == "and_then" || call.method == "then") && reads(&Chain::of(&next.body))
                    }
                    _ => false,
                };
                (self.in_future > 0 && read())
                    || (self.in_scope > 0 && chain.calls.iter().copied().any(|call| then(&call)))
            }
            _ => false,
        }
    }

    /// What the statements of a block do with the futures and responses that it begins.
    pub(crate) fn held_in(&self, block: &Block) -> Option<Bounded> {
        let any = block.stmts.iter().any(|stmt| match stmt {
            Stmt::Local(local) => local.init.as_ref().is_some_and(|init| self.begins(&init.expr)),
            _ => false,
        });
        any.then(|| self.held(block))
    }

    fn held(&self, block: &Block) -> Bounded {
        Bounded::of(block, &self.endless, &|expr| self.given_to_scope(expr))
    }

    /// Whether a variable that begins like this may be a future, or a response.
    fn begins(&self, init: &Expr) -> bool {
        let mut begins = Begins { check: self, found: false };
        begins.visit_expr(init);
        begins.found || self.answer(init).is_some()
    }

    /// What a variable of this name begins as: bounded where all of the block goes on with it under a scope. A response is
    /// remembered where the block reads its body.
    pub(crate) fn holds(&mut self, name: Option<String>, init: &Expr) -> bool {
        let (Some(name), Some(held)) = (name, self.held.last()) else { return false };
        let scoped = held.limit(&future_of(&name)) == Limit::Set;
        if held.limit(&body_of(&name)) == Limit::Set {
            self.is_read(init);
        }
        scoped
    }

    /// `if let Ok(response) = reqwest::get(url).await { response.text().await }`
    pub(crate) fn reads_if(&mut self, branch: &ExprIf) {
        let Expr::Let(of) = &*branch.cond else { return };
        let Some(name) = inner_name(&of.pat) else { return };
        if self.answer(&of.expr).is_some()
            && self.held(&branch.then_branch).limit(&body_of(&name)) == Limit::Set
        {
            self.is_read(&of.expr);
        }
    }

    /// The same by a `match`.
    pub(crate) fn reads_arms(&mut self, of: &ExprMatch) {
        if self.answer(&of.expr).is_none() {
            return;
        }
        let reads = |arm: &Arm| {
            let Some(name) = inner_name(&arm.pat) else { return false };
            let stmts = vec![Stmt::Expr(Expr::clone(&arm.body), None)];
            self.held(&Block { brace_token: token::Brace::default(), stmts }).limit(&body_of(&name))
                == Limit::Set
        };
        if of.arms.iter().any(reads) {
            self.is_read(&of.expr);
        }
    }

    fn is_read(&mut self, init: &Expr) {
        if let Some(root) = self.answer(init) {
            let at = place(root);
            self.read_later.insert(at);
        }
    }

    /// The call in `reqwest::get(url).await?`, whose response this is.
    fn answer<'a>(&self, init: &'a Expr) -> Option<&'a Expr> {
        let root = Chain::of(init).root;
        matches!(self.named(root), Some((Known::Call, path)) if is_async(&path)).then_some(root)
    }

    /// The variables whose futures are given to a scope here, by value: what is lent goes on after its end. And those
    /// whose bodies are read.
    fn given_to_scope(&self, expr: &Expr) -> Vec<String> {
        match expr {
            Expr::Call(call) if self.is_scope(call) => {
                call.args.iter().skip(1).flat_map(futures_in).collect()
            }
            Expr::Macro(mac) => match Select::of(&mac.mac) {
                Some(select) if self.is_timed(&select) => {
                    select.branches.iter().flat_map(|branch| futures_in(&branch.future)).collect()
                }
                _ => Vec::new(),
            },
            Expr::MethodCall(call) if self.is_deadline(call) => {
                call.args.iter().flat_map(futures_in).collect()
            }
            // By an extension of futures.
            Expr::MethodCall(call) if call.method == "timeout" => match Limit::of(call, &self.endless) {
                Limit::Set => futures_in(&call.receiver),
                _ => Vec::new(),
            },
            Expr::MethodCall(call) if READ.iter().any(|method| call.method == method) => {
                variable(Chain::of(expr).root).map(|name| body_of(&name)).into_iter().collect()
            }
            // `while let Some(chunk) = response.chunk().await?`
            Expr::While(repeat) => match &*repeat.cond {
                Expr::Let(next) => {
                    let chain = Chain::of(&next.expr);
                    let name = variable(chain.root).filter(|_| chain.calls("chunk"));
                    name.map(|name| body_of(&name)).into_iter().collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// `(match proxy { Some(proxy) => builder.proxy(proxy), None => builder }).timeout(limit)`: the limit is there on each
    /// way.
    pub(crate) fn spread(&mut self, call: &ExprMethodCall) {
        let limit = Limit::of(call, &self.endless);
        if limit == Limit::Unset {
            return;
        }
        let own = Chain::of(&call.receiver).root;
        for root in ways(&call.receiver).into_iter().filter(|root| !std::ptr::eq(*root, own)) {
            let known = self.around.entry(place(root)).or_insert(Limit::Unset);
            *known = known.max(limit);
        }
    }

    /// What the calls around a branch set on all that it may come to.
    pub(crate) fn limit_around(&self, root: &Expr) -> Limit {
        self.around.get(&place(root)).copied().unwrap_or(Limit::Unset)
    }
}

/// Where this begins, which no other root of a chain does.
fn place(root: &Expr) -> (usize, usize) {
    let start = begins(root).start();
    (start.line, start.column)
}

fn reads(chain: &Chain<'_>) -> bool {
    READ.iter().any(|method| chain.calls(method))
}

/// A variable that is given as it is, or awaited by a block that is.
fn futures_in(arg: &Expr) -> Vec<String> {
    let mut names = match arg {
        Expr::Path(_) => variable(arg).into_iter().collect(),
        _ => Vec::new(),
    };
    if let Expr::Async(of) = arg {
        let mut awaited = Awaited(Vec::new());
        awaited.visit_block(&of.block);
        names.extend(awaited.0);
    }
    names.iter().map(|name| future_of(name)).collect()
}

/// The variables that are awaited.
struct Awaited(Vec<String>);

impl<'ast> Visit<'ast> for Awaited {
    fn visit_expr_await(&mut self, of: &'ast syn::ExprAwait) {
        self.0.extend(if let Expr::Path(_) = &*of.base { variable(&of.base) } else { None });
        syn::visit::visit_expr_await(self, of);
    }
}

/// Looks for a future that nobody awaits here.
struct Begins<'a, 'w> {
    check: &'a Check<'w>,
    found: bool,
}

impl<'ast> Visit<'ast> for Begins<'_, '_> {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Async(_) => self.found = true,
            Expr::Await(_) => {}
            Expr::Macro(mac) => {
                let args = pieces(mac.mac.tokens.clone());
                for piece in args {
                    if let Piece::Expr(expr) = piece {
                        let mut inside = Begins { check: self.check, found: false };
                        inside.visit_expr(&expr);
                        self.found |= inside.found;
                    }
                }
            }
            Expr::Path(_) => {
                self.found |= matches!(self.check.named(expr), Some((Known::Call | Known::Connect, _)));
            }
            expr => syn::visit::visit_expr(self, expr),
        }
    }
}

/// A timeout ends no call that blocks its thread.
fn is_async(path: &[String]) -> bool {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["reqwest", "get"] => true,
        ["isahc", name] => name.ends_with("_async"),
        ["std" | "ureq" | "isahc", ..] => false,
        ["tungstenite", ..] | [_, "tungstenite", ..] => false,
        _ => true,
    }
}

/// `Box::pin`, `Pin::new`
fn is_pin(func: &Expr) -> bool {
    let Expr::Path(path) = func else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "pin")
}
