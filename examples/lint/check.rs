//! One file, place by place: what waits without a limit, and the reason if one is given.

use crate::chain::{Chain, begins, bounded_variables, given_name, variable};
use crate::defaults::{Types, derives_default, holder, made_by_default, starts};
use crate::known::{Known, is_default_unbounded};
use crate::macros::{Piece, pieces};
use crate::names::{Meaning, Module, Path, Place, World, segments, type_path};
use crate::reasons::{
    given, of_expr, of_impl_item, of_item, of_stmt, of_trait_item, only_tests, said, texts,
};
use crate::report::{Finding, Rule};
use proc_macro2::{LineColumn, Span};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Stmt};

/// What a path stands for, and its full name.
type Found = (Known, Path);

/// What is known where the visitor stands.
pub(crate) struct Check<'w> {
    world: &'w World,
    root: &'w str,
    renames: &'w HashMap<String, String>,
    file: &'w str,
    types: Types,
    /// Text constants of the file: a reason may be one.
    texts: HashMap<String, String>,
    module: Path,
    blocks: Vec<Module>,
    /// Of the attributes around, and of whoever vouches.
    reasons: Vec<String>,
    /// Names that get a limit somewhere in the function around.
    bounded: HashSet<String>,
    in_function: bool,
    in_tests: u32,
    /// Arguments of a layer with a deadline.
    in_stack: u32,
    /// Arguments of a timeout.
    in_scope: u32,
    seen: HashSet<(usize, usize)>,
    /// What paths mean in a module, outside of blocks with names of their own.
    meanings: RefCell<HashMap<(Path, Path), Option<Found>>>,
    pub(crate) findings: Vec<Finding>,
}

impl<'w> Check<'w> {
    pub(crate) fn new(world: &'w World, place: Place<'w>, file: &'w str, test: bool) -> Check<'w> {
        Check {
            world,
            root: place.root,
            renames: place.renames,
            file,
            types: Types::default(),
            texts: HashMap::new(),
            module: place.module.to_vec(),
            blocks: Vec::new(),
            reasons: Vec::new(),
            bounded: HashSet::new(),
            in_function: false,
            in_tests: u32::from(test),
            in_stack: 0,
            in_scope: 0,
            seen: HashSet::new(),
            meanings: RefCell::default(),
            findings: Vec::new(),
        }
    }

    pub(crate) fn file(mut self, file: &syn::File) -> Vec<Finding> {
        self.types = Types::of(file);
        texts(&file.items, &mut self.texts);
        self.under(&file.attrs, |check| visit::visit_file(check, file));
        self.findings
    }

    fn meaning(&self, path: &[String]) -> Option<Found> {
        let at = Place { root: self.root, module: &self.module, renames: self.renames };
        let ask = || match self.world.meaning(at, &self.blocks, path) {
            Meaning::Known(path) => Some((Known::of(&path)?, path)),
            Meaning::Own | Meaning::Unknown => None,
        };
        if !self.blocks.is_empty() {
            return ask();
        }
        let key = (self.module.clone(), path.to_vec());
        self.meanings.borrow_mut().entry(key).or_insert_with(ask).clone()
    }

    /// What is called or named here, with `<T>::f` and `<T as Trait>::f` as `T::f`.
    fn named(&self, expr: &Expr) -> Option<Found> {
        let path = match expr {
            Expr::Macro(mac) => segments(&mac.mac.path),
            Expr::Path(expr) => match &expr.qself {
                None => segments(&expr.path),
                Some(of) => {
                    let mut path = type_path(&of.ty)?;
                    path.push(expr.path.segments.last()?.ident.to_string());
                    path
                }
            },
            Expr::Call(call) => return self.named(&call.func),
            _ => return None,
        };
        self.meaning(&path)
    }

    fn is_default_unbounded(&self, path: &[String]) -> Option<Path> {
        let at = Place { root: self.root, module: &self.module, renames: self.renames };
        match self.world.meaning(at, &self.blocks, path) {
            Meaning::Known(path) if is_default_unbounded(&path) => Some(path),
            _ => None,
        }
    }

    fn under(&mut self, attrs: &[Attribute], inner: impl FnOnce(&mut Self)) {
        let (test, reason) = (only_tests(attrs), given(attrs));
        let depth = self.reasons.len();
        self.in_tests += u32::from(test);
        self.reasons.extend(reason);
        inner(self);
        self.reasons.truncate(depth);
        self.in_tests -= u32::from(test);
    }

    fn found(&mut self, rule: Rule, what: impl Into<String>, span: Span, reason: Option<String>) {
        let LineColumn { line, column } = span.start();
        self.seen.insert((line, column));
        self.findings.push(Finding {
            file: self.file.to_owned(),
            line,
            column: column + 1,
            rule,
            what: what.into(),
            reason: reason.or_else(|| self.reasons.last().cloned()),
            test: self.in_tests > 0,
        });
    }

    fn is_seen(&mut self, span: Span) -> bool {
        let LineColumn { line, column } = span.start();
        !self.seen.insert((line, column))
    }

    /// A place that stands for this, with the calls behind it.
    fn judge(&mut self, expr: &Expr, chain: &Chain<'_>) {
        let Some((known, path)) = self.named(expr) else { return };
        let scoped = self.in_scope > 0;
        let rule = match known {
            Known::Client | Known::Builder => Rule::UnboundedClient,
            Known::Call | Known::Connect => Rule::UnboundedCall,
            Known::LongPoll | Known::Unbounded => Rule::LongPoll,
            Known::Vouch => Rule::Vouch,
            Known::Scope | Known::Stack => return,
        };
        let at = begins(expr);
        if self.is_seen(at) {
            return;
        }
        let reason = match rule {
            Rule::LongPoll | Rule::Vouch => self.said_in(expr),
            _ if chain.is_bounded() || self.in_stack > 0 || (known == Known::Connect && scoped) => return,
            _ => None,
        };
        let what = match known {
            Known::LongPoll if chain.calls("unbounded") => "unwedge::LongPoll::unbounded".to_owned(),
            Known::LongPoll if matches!(expr, Expr::Macro(_)) => "unwedge::long_poll!".to_owned(),
            _ => path.join("::"),
        };
        self.found(rule, what, at, reason);
    }

    /// The reason among these arguments: a text, the name of one, or what makes it at run time.
    fn said_in(&self, expr: &Expr) -> Option<String> {
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

    /// Whether a layer with a deadline is named in this chain, so that what is passed to it is bounded.
    fn is_stack(&self, chain: &Chain<'_>) -> bool {
        let layered =
            |call: &&syn::ExprMethodCall| ["layer", "service", "with"].iter().any(|name| call.method == name);
        let mut parts = std::iter::once(chain.root).chain(chain.calls.iter().flat_map(|call| &call.args));
        chain.calls.iter().any(layered)
            && parts.any(|part| matches!(self.named(Chain::of(part).root), Some((Known::Stack, _))))
    }

    fn default_of(&mut self, path: &[String], span: Span, how: &str) {
        if let Some(known) = self.is_default_unbounded(path) {
            self.found(Rule::UnboundedClient, format!("{}::default{how}", known.join("::")), span, None);
        }
    }

    /// A bare default whose type its place tells: `static CLIENT: LazyLock<Client> = LazyLock::new(Default::default)`.
    fn bare_default(&mut self, expr: &Expr) {
        if let Some(path) = self.types.made.remove(&starts(expr)) {
            self.default_of(&path, expr.span(), "");
        }
    }

    fn chain(&mut self, expr: &Expr) {
        let chain = Chain::of(expr);
        self.judge(chain.root, &chain);
        if let Some(call) = chain.calls.first().filter(|call| call.method == "unwrap_or_default") {
            let held = holder(&call.receiver).and_then(|name| self.types.optional.get(&name).cloned());
            if let Some(path) = held {
                self.default_of(&path, call.method.span(), " (unwrap_or_default)");
            }
        }
    }

    fn pieces(&mut self, tokens: proc_macro2::TokenStream) {
        for piece in pieces(tokens) {
            match piece {
                Piece::Expr(expr) => self.visit_expr(&expr),
                Piece::Stmt(stmt) => self.visit_stmt(&stmt),
                Piece::Item(item) => self.visit_item(&item),
            }
        }
    }
}

impl<'ast> Visit<'ast> for Check<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        self.under(of_item(item), |check| match item {
            Item::Mod(module) => {
                // A module sees nothing of the block around it.
                let blocks = std::mem::take(&mut check.blocks);
                check.module.push(module.ident.to_string());
                visit::visit_item(check, item);
                check.module.pop();
                check.blocks = blocks;
            }
            Item::Struct(item) if derives_default(&item.attrs) => {
                for field in &item.fields {
                    if let Some(path) = made_by_default(&field.ty) {
                        check.under(&field.attrs, |check| {
                            check.default_of(
                                &path,
                                field.ty.span(),
                                &format!(" (derived by {})", item.ident),
                            );
                        });
                    }
                }
            }
            _ => visit::visit_item(check, item),
        });
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        self.under(of_impl_item(item), |check| visit::visit_impl_item(check, item));
    }

    fn visit_trait_item(&mut self, item: &'ast syn::TraitItem) {
        self.under(of_trait_item(item), |check| visit::visit_trait_item(check, item));
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let items = block.stmts.iter().filter_map(|stmt| match stmt {
            Stmt::Item(item) => Some(item),
            _ => None,
        });
        let names = Module::of(items, &mut |_, _| {});
        let (named, outermost) = (!names.is_empty(), !std::mem::replace(&mut self.in_function, true));
        if outermost {
            self.bounded = bounded_variables(block);
        }
        self.blocks.extend(named.then_some(names));
        visit::visit_block(self, block);
        if named {
            self.blocks.pop();
        }
        self.in_function = !outermost;
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        self.under(of_stmt(stmt), |check| {
            if let Stmt::Macro(stmt) = stmt {
                let expr = Expr::Macro(syn::ExprMacro { attrs: Vec::new(), mac: stmt.mac.clone() });
                check.judge(&expr, &Chain::of(&expr));
            }
            visit::visit_stmt(check, stmt);
        });
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let Some(init) = &local.init {
            let chain = Chain::of(&init.expr);
            let builder = matches!(self.named(chain.root), Some((Known::Builder, _)));
            if builder && given_name(local).is_some_and(|name| self.bounded.contains(&name)) {
                self.is_seen(begins(chain.root));
            }
        }
        visit::visit_local(self, local);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        self.under(of_expr(expr), |check| {
            let (stack, reasons) = (check.in_stack, check.reasons.len());
            let scope = check.in_scope;
            match expr {
                Expr::MethodCall(_) => {
                    check.in_stack += u32::from(check.is_stack(&Chain::of(expr)));
                    check.chain(expr);
                }
                Expr::Call(_) | Expr::Path(_) | Expr::Macro(_) => {
                    check.judge(expr, &Chain::of(expr));
                    check.bare_default(expr);
                }
                _ => {}
            }
            if let (Expr::Call(_), Some((known, _))) = (expr, check.named(expr)) {
                check.in_scope += u32::from(known == Known::Scope);
                // Who vouches for a service has said why for all that is in it.
                check.reasons.extend((known == Known::Vouch).then(|| check.said_in(expr)).flatten());
            }
            visit::visit_expr(check, expr);
            (check.in_stack, check.in_scope) = (stack, scope);
            check.reasons.truncate(reasons);
        });
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.pieces(mac.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}
