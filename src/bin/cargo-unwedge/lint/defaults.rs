//! Clients that come out of `Default`, which no method names: fields and variables whose type is one.

use crate::lint::names::{Path, type_path};
use std::collections::HashMap;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Expr, FnArg, GenericArgument, Member, Meta, Pat, PathArguments, ReturnType, Stmt, Type,
};

/// The type inside of what makes a default of its content: `Arc<Mutex<T>>`.
pub(crate) fn made_by_default(ty: &Type) -> Option<Path> {
    let path = type_path(ty)?;
    let wrapper =
        matches!(path.last()?.as_str(), "Arc" | "Rc" | "Box" | "Mutex" | "RwLock" | "Cell" | "RefCell");
    if wrapper { made_by_default(argument(ty)?) } else { Some(path) }
}

/// `T` of `Option<T>` and of `Result<T, E>`.
fn optional(ty: &Type) -> Option<Path> {
    let name = type_path(ty)?;
    if matches!(name.last()?.as_str(), "Option" | "Result") { type_path(argument(ty)?) } else { None }
}

/// `E` of `Result<T, E>`, or the alias of a result as it stands.
fn failure(ty: &Type) -> Option<Path> {
    let Type::Path(path) = ty else { return None };
    let PathArguments::AngleBracketed(generics) = &path.path.segments.last()?.arguments else {
        return None;
    };
    match generics.args.iter().nth(1) {
        Some(GenericArgument::Type(error)) => type_path(error),
        _ => type_path(ty),
    }
}

/// The type behind references.
pub(crate) fn behind(ty: &Type) -> &Type {
    match ty {
        Type::Reference(reference) => behind(&reference.elem),
        ty => ty,
    }
}

fn argument(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let PathArguments::AngleBracketed(generics) = &path.path.segments.last()?.arguments else {
        return None;
    };
    generics.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// Whether `Default` is derived.
pub(crate) fn derives_default(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        Meta::List(list) if list.path.is_ident("derive") => {
            let parser = syn::punctuated::Punctuated::<syn::Path, syn::Token![,]>::parse_terminated;
            let derived = list.parse_args_with(parser);
            derived.is_ok_and(|paths| {
                paths.iter().any(|path| path.segments.last().is_some_and(|s| s.ident == "Default"))
            })
        }
        _ => false,
    })
}

/// `Default::default()`, whose type only its place tells.
pub(crate) fn is_bare_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(call) if call.args.is_empty() && names_default(&call.func))
}

/// `Default::default` itself.
pub(crate) fn names_default(expr: &Expr) -> bool {
    let Expr::Path(path) = expr else { return false };
    let names: Vec<String> = path.path.segments.iter().map(|s| s.ident.to_string()).collect();
    path.qself.is_none() && names.ends_with(&["Default".to_owned(), "default".to_owned()])
}

/// What a file says of the types of fields, arguments and variables. Names of one file stand for one thing here.
#[derive(Debug, Default)]
pub(crate) struct Types {
    /// `Option<T>` by the name that holds it.
    pub(crate) optional: HashMap<String, Path>,
    /// By struct and field.
    fields: HashMap<(String, String), Path>,
    /// Fields that are given a bare default, and where.
    given: Vec<((String, String), (usize, usize))>,
    /// Types by the names of what is of them; nothing where one name stands for several.
    typed: HashMap<String, Option<Path>>,
    /// What functions give, by their names: the content of a result or an option too.
    returns: HashMap<String, Option<Path>>,
    /// What functions fail with, by their names.
    failures: HashMap<String, Option<Path>>,
    /// What a bare default makes, by the line and column where it stands.
    pub(crate) made: HashMap<(usize, usize), Path>,
}

impl Types {
    pub(crate) fn of(file: &syn::File) -> Types {
        let mut types = Types::default();
        types.visit_file(file);
        types.typed.retain(|_, path| path.is_some());
        for (field, at) in std::mem::take(&mut types.given) {
            let ty = types.fields.get(&field).cloned();
            types.made.extend(ty.map(|ty| (at, ty)));
        }
        types
    }
}

/// One name for one type; for none where there are several.
fn note(known: &mut HashMap<String, Option<Path>>, name: String, path: Option<Path>) {
    let same = known.entry(name).or_insert_with(|| path.clone());
    if *same != path {
        *same = None;
    }
}

impl<'ast> Visit<'ast> for Types {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        for field in &item.fields {
            let Some(name) = &field.ident else { continue };
            note(&mut self.typed, name.to_string(), made_by_default(behind(&field.ty)));
            if let Some(path) = optional(&field.ty) {
                self.optional.insert(name.to_string(), path);
            } else if let Some(path) = made_by_default(&field.ty) {
                self.fields.insert((item.ident.to_string(), name.to_string()), path);
            }
        }
        visit::visit_item_struct(self, item);
    }

    fn visit_expr_struct(&mut self, expr: &'ast syn::ExprStruct) {
        let name = expr.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default();
        for field in &expr.fields {
            if let (Member::Named(member), true) = (&field.member, is_bare_default(&field.expr)) {
                self.given.push(((name.clone(), member.to_string()), starts(&field.expr)));
            }
        }
        visit::visit_expr_struct(self, expr);
    }

    fn visit_fn_arg(&mut self, arg: &'ast FnArg) {
        if let FnArg::Typed(arg) = arg {
            self.named(&arg.pat, &arg.ty);
        }
        visit::visit_fn_arg(self, arg);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let Pat::Type(typed) = &local.pat {
            self.named(&typed.pat, &typed.ty);
            if let Some(init) = &local.init {
                self.expect(&typed.ty, &init.expr);
            }
        }
        visit::visit_local(self, local);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.expect(&item.ty, &item.expr);
        visit::visit_item_static(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.returned(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.returned(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

impl Types {
    /// The type of what has this name.
    pub(crate) fn typed(&self, name: &str) -> Option<&Path> {
        self.typed.get(name)?.as_ref()
    }

    /// What a function of this name gives.
    pub(crate) fn given_by(&self, function: &str) -> Option<&Path> {
        self.returns.get(function)?.as_ref()
    }

    /// What a function of this name fails with.
    pub(crate) fn failure(&self, function: &str) -> Option<&Path> {
        self.failures.get(function)?.as_ref()
    }

    fn named(&mut self, pat: &Pat, ty: &Type) {
        if let Pat::Ident(name) = pat {
            note(&mut self.typed, name.ident.to_string(), made_by_default(behind(ty)));
        }
        if let (Pat::Ident(name), Some(path)) = (pat, optional(ty)) {
            self.optional.insert(name.ident.to_string(), path);
        }
    }

    fn returned(&mut self, signature: &syn::Signature, block: &syn::Block) {
        if let ReturnType::Type(_, ty) = &signature.output {
            let name = signature.ident.to_string();
            note(&mut self.returns, name.clone(), optional(ty).or_else(|| made_by_default(behind(ty))));
            note(&mut self.failures, name, failure(ty));
        }
        if let (ReturnType::Type(_, ty), Some(Stmt::Expr(last, None))) =
            (&signature.output, block.stmts.last())
        {
            self.expect(ty, last);
        }
    }

    /// This has to be of that type.
    fn expect(&mut self, ty: &Type, expr: &Expr) {
        match expr {
            Expr::Block(block) => {
                if let Some(Stmt::Expr(last, None)) = block.block.stmts.last() {
                    self.expect(ty, last);
                }
            }
            // `LazyLock::new(..)`: what it is given makes the content.
            Expr::Call(call) if is_lazy(ty) => {
                if let (Some(content), Some(maker)) = (argument(ty), call.args.first()) {
                    match maker {
                        Expr::Closure(closure) => self.expect(content, &closure.body),
                        maker if names_default(maker) => self.makes(content, maker),
                        _ => {}
                    }
                }
            }
            expr if is_bare_default(expr) => self.makes(ty, expr),
            _ => {}
        }
    }

    fn makes(&mut self, ty: &Type, expr: &Expr) {
        self.made.extend(made_by_default(ty).map(|path| (starts(expr), path)));
    }
}

/// The line and column where this begins.
pub(crate) fn starts(expr: &Expr) -> (usize, usize) {
    let start = expr.span().start();
    (start.line, start.column)
}

/// Whether this is made at its first use.
fn is_lazy(ty: &Type) -> bool {
    let name = type_path(ty).and_then(|path| path.last().cloned());
    name.is_some_and(|name| matches!(name.as_str(), "LazyLock" | "LazyCell" | "Lazy"))
}
