//! Reads one file with `syn`.

use crate::source::{Declared, File, Named, What};
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, GenericArgument, Ident, PathArguments, Type, UseTree, Visibility};

/// Reads a file. What does not parse is no Rust.
pub(crate) fn read(path: String, source: &str) -> File {
    let parsed = syn::parse_file(source).unwrap_or_else(|e| panic!("{path}: {e}"));
    let file = File { path, lines: source.lines().count(), test: is_test(&parsed.attrs), ..File::default() };
    let mut reader = Reader { test: file.test, file, within: Vec::new(), is_door: false };
    reader.visit_file(&parsed);
    reader.file
}

/// Whether only tests compile what has these attributes.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if !attribute.path().is_ident("cfg") {
            return attribute.path().segments.last().is_some_and(|s| s.ident == "test");
        }
        attribute.parse_args::<syn::Meta>().is_ok_and(|condition| demands_test(&condition))
    })
}

/// `test`, or `all(..)` with it.
fn demands_test(condition: &syn::Meta) -> bool {
    let all = |list: &syn::MetaList| {
        let parse = syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated;
        list.path.is_ident("all") && list.parse_args_with(parse).is_ok_and(|all| all.iter().any(demands_test))
    };
    condition.path().is_ident("test") || condition.require_list().is_ok_and(all)
}

/// Walks over a file.
struct Reader {
    file: File,
    within: Vec<String>,
    test: bool,
    is_door: bool,
}

impl Reader {
    fn name(&mut self, what: What, segments: Vec<String>, name: String, line: usize) {
        if !self.test && !segments.is_empty() {
            let within = self.within.clone();
            let is_door = self.is_door && what == What::Import;
            self.file.names.push(Named { what, segments, name, line, within, is_door });
        }
    }

    fn one(&mut self, what: What, name: &str, line: usize) {
        self.name(what, vec![name.to_owned()], name.to_owned(), line);
    }

    fn use_tree(&mut self, tree: &UseTree, mut prefix: Vec<String>) {
        let line = tree.span().start().line;
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.use_tree(&path.tree, prefix);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, prefix.clone());
                }
            }
            UseTree::Glob(_) => {
                prefix.push("*".to_owned());
                self.name(What::Import, prefix, "*".to_owned(), line);
            }
            UseTree::Name(name) => self.import(prefix, &name.ident, &name.ident, line),
            UseTree::Rename(rename) => self.import(prefix, &rename.ident, &rename.rename, line),
        }
    }

    fn import(&mut self, mut path: Vec<String>, of: &Ident, called: &Ident, line: usize) {
        // `a::{self}` is `a`.
        if of != "self" || path.is_empty() {
            path.push(of.to_string());
        }
        self.name(What::Import, path, called.to_string(), line);
    }

    /// What a macro is given, or made of, is no syntax yet: paths are idents with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let colons = |at: usize| {
            let is = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
            is(at) && is(at + 1)
        };
        let punct = |at: usize, c: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == c && p.spacing() == Spacing::Alone);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let (start, mut segments) = (at, vec![first.to_string()]);
                    while let (true, Some(TokenTree::Ident(next))) = (colons(at + 1), tokens.get(at + 3)) {
                        segments.push(next.to_string());
                        at += 3;
                    }
                    let called = matches!(tokens.get(at + 1), Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis);
                    let what = match start.checked_sub(1) {
                        Some(before) if punct(before, '.') && called => What::Method,
                        _ if ["async", "await"].contains(&segments[0].as_str()) => What::Keyword,
                        _ if punct(at + 1, '!') => What::Macro,
                        _ => What::Path,
                    };
                    let name = segments[segments.len() - 1].clone();
                    self.name(what, segments, name, first.span().start().line);
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn function(&mut self, name: &Ident, whole: impl Spanned) {
        let (first, last) = (whole.span().start().line, whole.span().end().line);
        self.file.functions.push((name.to_string(), first, last + 1 - first));
    }

    fn condition(&mut self, condition: &Expr) {
        if lets(condition) && !matches!(condition, Expr::Let(_)) {
            self.file.let_chains.push(condition.span().start().line);
        }
    }
}

/// Whether a `let` is one of the terms.
fn lets(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(both) => lets(&both.left) || lets(&both.right),
        _ => false,
    }
}

/// Nodes that may be for tests alone.
macro_rules! perhaps_tests {
    ($($visit:ident: $node:ident $(, $also:expr)?;)*) => {$(
        fn $visit(&mut self, node: &'ast syn::$node) {
            let before = self.test;
            self.test |= is_test(&node.attrs);
            $({
                let also: fn(&mut Reader, &syn::$node) = $also;
                also(self, node);
            })?
            visit::$visit(self, node);
            self.test = before;
        }
    )*};
}

impl<'ast> Visit<'ast> for Reader {
    perhaps_tests! {
        visit_item_const: ItemConst;
        visit_item_enum: ItemEnum;
        visit_item_impl: ItemImpl;
        visit_item_static: ItemStatic;
        visit_item_struct: ItemStruct;
        visit_item_trait: ItemTrait;
        visit_item_type: ItemType;
        visit_item_use: ItemUse, |reader, item| {
            reader.is_door = !matches!(item.vis, Visibility::Inherited);
            reader.use_tree(&item.tree, Vec::new());
        };
        visit_item_fn: ItemFn, |reader, item| reader.function(&item.sig.ident, item);
        visit_impl_item_fn: ImplItemFn, |reader, item| reader.function(&item.sig.ident, item);
        visit_trait_item_fn: TraitItemFn, |reader, item| reader.function(&item.sig.ident, item);
        visit_item_macro: ItemMacro, |reader, item| {
            if let (Some(name), true) = (&item.ident, item.mac.path.is_ident("macro_rules")) {
                reader.file.macros.push(name.to_string());
            }
        };
        visit_impl_item_const: ImplItemConst;
        visit_impl_item_type: ImplItemType;
        visit_field: Field;
        visit_variant: Variant;
        visit_field_value: FieldValue;
        visit_field_pat: FieldPat;
        visit_arm: Arm;
        visit_pat_guard: PatGuard, |reader, pattern| reader.condition(&pattern.guard);
        visit_local: Local;
        visit_stmt_macro: StmtMacro;
        visit_expr_block: ExprBlock;
        visit_expr_call: ExprCall;
        visit_expr_if: ExprIf, |reader, expr| reader.condition(&expr.cond);
        visit_expr_while: ExprWhile, |reader, expr| reader.condition(&expr.cond);
        visit_expr_await: ExprAwait, |reader, expr| reader.one(What::Keyword, "await", expr.span().start().line);
        visit_expr_async: ExprAsync, |reader, expr| reader.one(What::Keyword, "async", expr.span().start().line);
        visit_expr_method_call: ExprMethodCall, |reader, call| {
            reader.one(What::Method, &call.method.to_string(), call.method.span().start().line);
        };
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let before = self.test;
        self.test |= is_test(&item.attrs);
        let name = item.ident.to_string();
        if item.content.is_some() {
            self.within.push(name);
            visit::visit_item_mod(self, item);
            self.within.pop();
        } else {
            let path = item.attrs.iter().find(|a| a.path().is_ident("path")).map(|attribute| {
                let value = attribute.meta.require_name_value().map(|m| &m.value);
                match value {
                    Ok(Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. })) => path.value(),
                    _ => panic!("{}: `#[path]` without a text", self.file.path),
                }
            });
            let within = self.within.clone();
            self.file.declared.push(Declared { name, path, test: self.test, within });
        }
        self.test = before;
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(keyword) = signature.asyncness {
            self.one(What::Keyword, "async", keyword.span.start().line);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let line = path.span().start().line;
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if boxes(path) {
            self.one(What::Path, "Pin<Box>", line);
        }
        let name = segments.last().cloned().unwrap_or_default();
        self.name(What::Path, segments, name, line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let segments: Vec<String> = mac.path.segments.iter().map(|s| s.ident.to_string()).collect();
        let name = segments.last().cloned().unwrap_or_default();
        self.name(What::Macro, segments, name, mac.path.span().start().line);
        self.tokens(mac.tokens.clone());
    }

    /// Neither `pub(in crate::a)` nor `#[derive(a::B)]` is a use.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// `Pin<Box<..>>`.
fn boxes(path: &syn::Path) -> bool {
    let Some(last) = path.segments.last().filter(|s| s.ident == "Pin") else { return false };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return false };
    arguments.args.iter().any(|argument| {
        matches!(argument, GenericArgument::Type(Type::Path(inner))
            if inner.path.segments.last().is_some_and(|s| s.ident == "Box"))
    })
}
