//! One file, place by place: what is known where the visitor stands, and what was found so far.

use crate::lint::accepted::Accepted;
use crate::lint::advice::advice;
use crate::lint::defaults::Types;
use crate::lint::known::{Known, is_default_unbounded};
use crate::lint::limits::{Bounded, Endless, Limit, endless_constants};
use crate::lint::names::{Meaning, Module, Path, Place, World, segments, type_path};
use crate::lint::reasons::{given, only_tests, texts};
use crate::lint::report::{Finding, Rule};
use proc_macro2::{LineColumn, Span};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use syn::spanned::Spanned;
use syn::visit;
use syn::{Attribute, Expr};

/// What a path stands for, and its full name.
pub(crate) type Found = (Known, Path);

/// What is known where the visitor stands.
pub(crate) struct Check<'w> {
    pub(crate) world: &'w World,
    root: &'w str,
    renames: &'w HashMap<String, String>,
    file: &'w str,
    pub(crate) types: Types,
    accepted: Accepted,
    /// Whether its package depends on this crate.
    pub(crate) beside_ours: bool,
    /// Text constants of the file: a reason may be one.
    pub(crate) texts: HashMap<String, String>,
    /// Durations that never pass, by their names.
    pub(crate) endless: Endless,
    pub(crate) module: Path,
    pub(crate) blocks: Vec<Module>,
    /// Of the attributes around, and of whoever vouches.
    pub(crate) reasons: Vec<String>,
    /// On which line the statement around begins.
    pub(crate) statement: usize,
    /// What the blocks around set limits on, innermost last.
    pub(crate) bounded: Vec<Bounded>,
    /// Variables of the function around, by what they were made from.
    pub(crate) made: HashMap<String, Found>,
    pub(crate) in_function: bool,
    in_tests: u32,
    /// Arguments of a layer with a deadline.
    pub(crate) in_stack: u32,
    /// Arguments of a timeout.
    pub(crate) in_scope: u32,
    /// Blocks `async` in them.
    pub(crate) in_future: u32,
    /// What the blocks around do with futures and responses, innermost last.
    pub(crate) held: Vec<Bounded>,
    /// Where calls begin whose response is read by its variable.
    pub(crate) read_later: HashSet<(usize, usize)>,
    /// What is set on all that a branch may come to, by where those begin.
    pub(crate) around: HashMap<(usize, usize), Limit>,
    /// Arguments of the functions around, innermost last, and their types where those are of known crates.
    pub(crate) arguments: Vec<(String, Option<Path>)>,
    /// Names for errors, innermost last, and whether a middleware of reqwest made them.
    pub(crate) errors: Vec<(String, bool)>,
    /// Whether the matches around are of results of a middleware, innermost last.
    pub(crate) matches: Vec<bool>,
    seen: HashSet<(usize, usize)>,
    /// What paths mean in a module, outside of blocks with names of their own.
    meanings: RefCell<HashMap<(Path, Path), Option<Path>>>,
    findings: Vec<Finding>,
}

impl<'w> Check<'w> {
    pub(crate) fn new(world: &'w World, place: Place<'w>, file: &'w str, test: bool) -> Check<'w> {
        Check {
            world,
            root: place.root,
            renames: place.renames,
            file,
            types: Types::default(),
            accepted: Accepted::default(),
            beside_ours: false,
            texts: HashMap::new(),
            endless: Endless::new(),
            module: place.module.to_vec(),
            blocks: Vec::new(),
            reasons: Vec::new(),
            statement: 0,
            bounded: Vec::new(),
            made: HashMap::new(),
            in_function: false,
            in_tests: u32::from(test),
            in_stack: 0,
            in_scope: 0,
            in_future: 0,
            held: Vec::new(),
            read_later: HashSet::new(),
            around: HashMap::new(),
            arguments: Vec::new(),
            errors: Vec::new(),
            matches: Vec::new(),
            seen: HashSet::new(),
            meanings: RefCell::default(),
            findings: Vec::new(),
        }
    }

    /// The source, whose comments accept places.
    pub(crate) fn in_text(mut self, text: &str) -> Check<'w> {
        self.accepted = Accepted::of(text);
        self
    }

    /// Whether errors may be of this crate.
    pub(crate) fn beside_ours(mut self, beside: bool) -> Check<'w> {
        self.beside_ours = beside;
        self
    }

    pub(crate) fn file(mut self, file: &syn::File) -> Vec<Finding> {
        self.types = Types::of(file);
        texts(&file.items, &mut self.texts);
        endless_constants(&file.items, &mut self.endless);
        self.under(&file.attrs, |check| visit::visit_file(check, file));
        for (line, column) in self.accepted.blank() {
            self.findings.push(Finding {
                file: self.file.to_owned(),
                line,
                column: column + 1,
                rule: Rule::Vouch,
                what: "// unwedge: bounded by".to_owned(),
                reason: None,
                advice: "a comment without a reason: say what bounds the wait".to_owned(),
                test: self.in_tests > 0,
            });
        }
        self.findings
    }

    /// The full path of what this means, where it is of a known crate.
    pub(crate) fn full(&self, path: &[String]) -> Option<Path> {
        let at = Place { root: self.root, module: &self.module, renames: self.renames };
        let ask = || match self.world.meaning(at, &self.blocks, path) {
            Meaning::Known(path) => Some(path),
            Meaning::Own | Meaning::Unknown => None,
        };
        if !self.blocks.is_empty() {
            return ask();
        }
        let key = (self.module.clone(), path.to_vec());
        self.meanings.borrow_mut().entry(key).or_insert_with(ask).clone()
    }

    /// Whether this is defined in the code itself.
    pub(crate) fn is_own(&self, path: &[String]) -> bool {
        let at = Place { root: self.root, module: &self.module, renames: self.renames };
        self.world.meaning(at, &self.blocks, path) == Meaning::Own
    }

    pub(crate) fn meaning(&self, path: &[String]) -> Option<Found> {
        let path = self.full(path)?;
        Some((Known::of(&path)?, path))
    }

    /// What is called or named here, with `<T>::f` and `<T as Trait>::f` as `T::f`.
    pub(crate) fn named(&self, expr: &Expr) -> Option<Found> {
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

    pub(crate) fn is_default_unbounded(&self, path: &[String]) -> Option<Path> {
        self.full(path).filter(|path| is_default_unbounded(path))
    }

    pub(crate) fn under(&mut self, attrs: &[Attribute], inner: impl FnOnce(&mut Self)) {
        let (test, reason) = (only_tests(attrs), given(attrs));
        let depth = self.reasons.len();
        self.in_tests += u32::from(test);
        self.reasons.extend(reason);
        inner(self);
        self.reasons.truncate(depth);
        self.in_tests -= u32::from(test);
    }

    /// Within what begins at this place, a comment above which is one for all of it.
    pub(crate) fn beginning(&mut self, with: &impl Spanned, inner: impl FnOnce(&mut Self)) {
        // A span is made of all tokens that are in it.
        let line = if self.accepted.is_empty() { 0 } else { with.span().start().line };
        let around = std::mem::replace(&mut self.statement, line);
        inner(self);
        self.statement = around;
    }

    pub(crate) fn found(&mut self, rule: Rule, what: impl Into<String>, span: Span, reason: Option<String>) {
        self.found_with(rule, what.into(), span, reason, Limit::Unset);
    }

    pub(crate) fn found_with(
        &mut self,
        rule: Rule,
        what: String,
        span: Span,
        reason: Option<String>,
        limit: Limit,
    ) {
        let advice = advice(rule, &what, limit);
        self.add(rule, what, span, reason, advice);
    }

    pub(crate) fn add(
        &mut self,
        rule: Rule,
        what: String,
        span: Span,
        reason: Option<String>,
        advice: String,
    ) {
        let LineColumn { line, column } = span.start();
        self.seen.insert((line, column));
        let reason = reason.or_else(|| self.reasons.last().cloned());
        let reason = reason.or_else(|| self.accepted.reason([line, self.statement]).flatten());
        let (file, test) = (self.file.to_owned(), self.in_tests > 0);
        self.findings.push(Finding { file, line, column: column + 1, rule, what, reason, advice, test });
    }

    pub(crate) fn is_seen(&mut self, span: Span) -> bool {
        let LineColumn { line, column } = span.start();
        !self.seen.insert((line, column))
    }

    /// The type of an argument, or of whatever else in this file has that name.
    pub(crate) fn type_of(&self, name: &str) -> Option<Path> {
        match self.arguments.iter().rev().find(|(argument, _)| argument == name) {
            Some((_, ty)) => ty.clone(),
            None => self.full(self.types.typed(name)?),
        }
    }

    /// What the block around sets on a variable.
    pub(crate) fn limit_of(&self, name: &str) -> Limit {
        self.bounded.last().map_or(Limit::Unset, |bounded| bounded.limit(name))
    }

    /// Whether the block around puts a layer with a deadline around what has this name.
    pub(crate) fn is_layered(&self, name: &str) -> bool {
        self.bounded.last().is_some_and(|bounded| bounded.is_layered(name))
    }
}
