//! A place, and whether it waits without a limit.

use crate::lint::chain::{Chain, begins, given_name, holder, tails, variable};
use crate::lint::check::{Check, Found};
use crate::lint::defaults::{is_bare_default, names_default, starts};
use crate::lint::known::{Known, client_of};
use crate::lint::limits::{Bounded, Limit};
use crate::lint::macros::{Piece, pieces};
use crate::lint::names::Path;
use crate::lint::reasons::said;
use crate::lint::report::Rule;
use crate::lint::templates::paths;
use proc_macro2::{Span, TokenStream};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Expr, Stmt};

impl Check<'_> {
    /// A place that stands for this, with the calls behind it.
    pub(crate) fn judge(&mut self, expr: &Expr, chain: &Chain<'_>) {
        let Some((known, path)) = self.named(expr) else { return };
        let rule = match known {
            Known::Client | Known::Builder | Known::Tame => Rule::UnboundedClient,
            Known::Call | Known::Connect => Rule::UnboundedCall,
            Known::LongPoll | Known::Unbounded => Rule::LongPoll,
            Known::Vouch => Rule::Vouch,
            Known::Deadline
            | Known::Middleware
            | Known::Plain
            | Known::Scope
            | Known::Settings
            | Known::Stack
            | Known::Timer => return,
        };
        let at = begins(expr);
        if self.is_seen(at) {
            return;
        }
        let mut limit = Limit::Unset;
        let mut reason = None;
        if matches!(rule, Rule::LongPoll | Rule::Vouch) {
            reason = self.said_in(expr);
        } else {
            limit = chain.limit(&self.endless).max(self.limit_of_settings(expr)).max(self.limit_around(expr));
            let scoped = self.is_scoped(known, &path, chain);
            if self.ends(known, limit) || self.in_stack > 0 || scoped {
                return;
            }
        }
        let what = match known {
            Known::LongPoll if chain.calls("unbounded") => "unwedge::LongPoll::unbounded".to_owned(),
            Known::LongPoll if matches!(expr, Expr::Macro(_)) => "unwedge::long_poll!".to_owned(),
            _ => path.join("::"),
        };
        self.found_with(rule, what, at, reason, limit);
    }

    /// Whether something with this limit ends.
    fn ends(&self, known: Known, limit: Limit) -> bool {
        match limit {
            Limit::Set => true,
            Limit::Unset => known == Known::Tame,
            // What is there by default is there where nothing else is set.
            Limit::Sometimes => known == Known::Tame,
            Limit::Endless => false,
        }
    }

    /// `Client::try_from(config)`, where `config` has a limit.
    fn limit_of_settings(&self, expr: &Expr) -> Limit {
        let Expr::Call(call) = expr else { return Limit::Unset };
        let name = call.args.first().and_then(|arg| variable(Chain::of(arg).root));
        let made = name.filter(|name| matches!(self.made.get(name), Some((Known::Settings, _))));
        made.map_or(Limit::Unset, |name| self.limit_of(&name))
    }

    /// `let builder = Client::builder();`: judged by all that the block around does with the name.
    pub(crate) fn begun(&mut self, name: Option<String>, init: &Expr) {
        let Some(name) = name else { return };
        for tail in tails(init) {
            let chain = Chain::of(tail);
            let found = self.named(chain.root).or_else(|| self.made.get(&variable(chain.root)?).cloned());
            let Some((known, path)) = found else { continue };
            self.made.insert(name.clone(), (self.as_held(known, &chain), path.clone()));
            let own = chain.limit(&self.endless);
            let limit = own.max(self.limit_of(&name)).max(self.limit_of_settings(chain.root));
            let here =
                matches!(chain.root, Expr::Call(_) | Expr::Path(_)) && self.named(chain.root).is_some();
            match known {
                Known::Builder | Known::Client | Known::Tame if here => {}
                _ => continue,
            }
            let at = begins(chain.root);
            let bound = known != Known::Client && self.ends(known, limit);
            if bound || self.is_layered(&name) {
                self.is_seen(at);
            } else if own == Limit::Unset && limit != Limit::Unset && self.in_stack == 0 && !self.is_seen(at)
            {
                self.found_with(Rule::UnboundedClient, path.join("::"), at, None, limit);
            }
        }
    }

    /// What the statements of a block do with clients that begin in it, if any does.
    pub(crate) fn bounded_in(&self, block: &syn::Block) -> Option<Bounded> {
        let begins_one = |expr: &Expr| {
            let known = |found: Option<Found>| {
                matches!(found, Some((Known::Builder | Known::Client | Known::Settings | Known::Tame, _)))
            };
            tails(expr).into_iter().any(|tail| known(self.named(Chain::of(tail).root)))
        };
        let any = block.stmts.iter().any(|stmt| match stmt {
            Stmt::Local(local) => local.init.as_ref().is_some_and(|init| begins_one(&init.expr)),
            Stmt::Expr(Expr::Assign(assign), _) => begins_one(&assign.right),
            _ => false,
        });
        any.then(|| Bounded::of(block, &self.endless, &|expr| self.layered(expr)))
    }

    /// The variables that are given to a layer with a deadline here.
    fn layered(&self, expr: &Expr) -> Vec<String> {
        match expr {
            Expr::Call(call) if self.applies_stack(call) => call.args.iter().filter_map(variable).collect(),
            Expr::MethodCall(_) => {
                let chain = Chain::of(expr);
                let args = chain.calls.iter().flat_map(|call| &call.args).filter_map(variable);
                let all = args.chain(variable(chain.root)).chain(self.given_to_middleware(chain.root));
                if self.is_stack(&chain) { all.collect() } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    /// `reqwest_middleware::ClientBuilder::new(client)`
    fn given_to_middleware(&self, root: &Expr) -> Option<String> {
        match (root, self.named(root)) {
            (Expr::Call(call), Some((Known::Middleware, _))) => call.args.first().and_then(variable),
            _ => None,
        }
    }

    /// Whether a layer with a deadline is named in this chain, so that what is passed to it is bounded.
    pub(crate) fn is_stack(&self, chain: &Chain<'_>) -> bool {
        let layers = ["layer", "service", "with", "with_layer"];
        let mut parts = chain.calls.iter().flat_map(|call| call.args.iter().chain([&*call.receiver]));
        layers.iter().any(|name| chain.calls(name)) && parts.any(|part| self.names_stack(part))
    }

    /// `Layer::layer(&stack, client)`
    pub(crate) fn applies_stack(&self, call: &syn::ExprCall) -> bool {
        let Expr::Path(path) = &*call.func else { return false };
        path.path.segments.last().is_some_and(|name| name.ident == "layer")
            && call.args.first().is_some_and(|layer| self.names_stack(layer))
    }

    fn names_stack(&self, expr: &Expr) -> bool {
        let chain = Chain::of(expr);
        if matches!(self.named(chain.root), Some((Known::Stack, _))) || self.gives_stack(&chain) {
            return true;
        }
        let Some(name) = holder(expr) else { return false };
        if let Some((known, _)) = self.made.get(&name) {
            return *known == Known::Stack;
        }
        self.type_of(&name).is_some_and(|path| Known::of(&path) == Some(Known::Stack))
    }

    /// `layer()?`, `self.layer()`: by what a function of that name in this file gives.
    fn gives_stack(&self, chain: &Chain<'_>) -> bool {
        let function = match (chain.calls.first(), chain.root) {
            (Some(call), _) => Some(call.method.to_string()),
            (None, Expr::Call(call)) => match &*call.func {
                Expr::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
                _ => None,
            },
            (None, _) => None,
        };
        let given = function.and_then(|name| self.full(self.types.given_by(&name)?));
        given.is_some_and(|path| Known::of(&path) == Some(Known::Stack))
    }

    /// The reason among these arguments: a text, the name of one, or what makes it at run time.
    pub(crate) fn said_in(&self, expr: &Expr) -> Option<String> {
        let argument = match expr {
            Expr::Call(call) => call.args.last().cloned(),
            Expr::Macro(mac) => syn::parse2(mac.mac.tokens.clone()).ok(),
            _ => None,
        }?;
        if let Expr::Lit(_) = argument {
            return said(&argument);
        }
        let known = variable(&argument).and_then(|name| self.texts.get(&name).cloned());
        known.or_else(|| {
            let source = argument.span().source_text().unwrap_or_else(|| "an expression".to_owned());
            Some(format!("made at run time: {}", source.split_whitespace().collect::<Vec<_>>().join(" ")))
        })
    }

    pub(crate) fn default_of(&mut self, path: &[String], span: Span, how: &str) {
        if let Some(known) = self.is_default_unbounded(path) {
            self.found(Rule::UnboundedClient, format!("{}::default{how}", known.join("::")), span, None);
        }
    }

    /// A bare default whose type its place tells: `static CLIENT: LazyLock<Client> = LazyLock::new(Default::default)`.
    pub(crate) fn bare_default(&mut self, expr: &Expr) {
        if let Some(path) = self.types.made.remove(&starts(expr)) {
            self.default_of(&path, expr.span(), "");
        }
    }

    pub(crate) fn chain(&mut self, expr: &Expr) {
        let chain = Chain::of(expr);
        self.judge(chain.root, &chain);
        let Some(call) = chain.calls.first() else { return };
        let how = call.method.to_string();
        let falls_back = match how.as_str() {
            "unwrap_or_default" => true,
            "unwrap_or_else" | "map_or_else" => call.args.first().is_some_and(|arg| match arg {
                Expr::Closure(closure) => is_bare_default(&closure.body),
                arg => names_default(arg),
            }),
            "unwrap_or" | "map_or" => call.args.first().is_some_and(is_bare_default),
            _ => false,
        };
        if !falls_back || self.in_stack > 0 {
            return;
        }
        let how = format!(" ({how})");
        if let Some(client) = self.built(&chain) {
            self.found(
                Rule::UnboundedClient,
                format!("{}::default{how}", client.join("::")),
                call.method.span(),
                None,
            );
        } else if let Some(path) =
            holder(&call.receiver).and_then(|name| self.types.optional.get(&name).cloned())
        {
            self.default_of(&path, call.method.span(), &how);
        }
    }

    /// The client that a builder in this chain makes, which may fail.
    fn built(&self, chain: &Chain<'_>) -> Option<Path> {
        let made = |name: String| self.made.get(&name).cloned();
        let (known, path) = self.named(chain.root).or_else(|| variable(chain.root).and_then(made))?;
        let begun_here = matches!(chain.root, Expr::Call(_));
        let builds = chain.calls("build") || !begun_here;
        (known == Known::Builder && builds).then(|| client_of(&path)).flatten()
    }

    /// A type that a macro makes clients of: `make!(reqwest::Client)`.
    pub(crate) fn made_by(&mut self, mac: &syn::Macro) {
        let Some(name) = mac.path.segments.last().map(|last| last.ident.to_string()) else { return };
        let Some(called) = self.world.templates.get(&name) else { return };
        for (path, span) in paths(&mac.tokens) {
            for function in called {
                let mut whole = path.clone();
                whole.push(function.clone());
                if let Some((Known::Client | Known::Builder, found)) = self.meaning(&whole) {
                    if !self.is_seen(span) {
                        let what = format!("{} (by {name}!)", found.join("::"));
                        self.found(Rule::UnboundedClient, what, span, None);
                    }
                }
            }
        }
    }

    pub(crate) fn pieces(&mut self, tokens: TokenStream) {
        for piece in pieces(tokens) {
            match piece {
                Piece::Expr(expr) => self.visit_expr(&expr),
                Piece::Stmt(stmt) => self.visit_stmt(&stmt),
                Piece::Item(item) => self.visit_item(&item),
            }
        }
    }

    /// Layers and clients that the variables of a function hold.
    pub(crate) fn learn_variables(&mut self, block: &syn::Block) {
        self.made.clear();
        let mut locals = Locals(Vec::new());
        locals.visit_block(block);
        for (name, init) in locals.0 {
            for tail in tails(init) {
                let chain = Chain::of(tail);
                let of_function = || self.gives_stack(&chain).then(|| (Known::Stack, Path::new()));
                let found = self.named(chain.root).or_else(of_function).or_else(|| self.pinned(chain.root));
                if let Some((known, path)) = found {
                    self.made.insert(name.clone(), (self.as_held(known, &chain), path));
                }
            }
        }
    }
}

/// The variables of a function, with what they begin as.
struct Locals<'a>(Vec<(String, &'a Expr)>);

impl<'ast> Visit<'ast> for Locals<'ast> {
    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let (Some(name), Some(init)) = (given_name(local), &local.init) {
            self.0.push((name, &init.expr));
        }
        syn::visit::visit_local(self, local);
    }
}
