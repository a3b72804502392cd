//! Clients that come out of `Default`, which no method names: fields and variables whose type is one.

use crate::names::{Path, type_path};
use std::collections::HashMap;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, FnArg, GenericArgument, Member, Meta, Pat, PathArguments, Type};

/// The type inside of what makes a default of its content: `Arc<Mutex<T>>`.
pub(crate) fn made_by_default(ty: &Type) -> Option<Path> {
    let path = type_path(ty)?;
    let wrapper =
        matches!(path.last()?.as_str(), "Arc" | "Rc" | "Box" | "Mutex" | "RwLock" | "Cell" | "RefCell");
    if wrapper { made_by_default(argument(ty)?) } else { Some(path) }
}

/// `T` of `Option<T>`.
fn optional(ty: &Type) -> Option<Path> {
    let name = type_path(ty)?;
    if name.last()? == "Option" { type_path(argument(ty)?) } else { None }
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
    let Expr::Call(call) = expr else { return false };
    let Expr::Path(path) = &*call.func else { return false };
    let names: Vec<String> = path.path.segments.iter().map(|s| s.ident.to_string()).collect();
    path.qself.is_none()
        && call.args.is_empty()
        && names.ends_with(&["Default".to_owned(), "default".to_owned()])
}

/// What a file says of the types of fields, arguments and variables. Names of one file stand for one thing here.
#[derive(Debug, Default)]
pub(crate) struct Types {
    /// `Option<T>` by the name that holds it.
    pub(crate) optional: HashMap<String, Path>,
    /// By struct and field.
    pub(crate) fields: HashMap<(String, String), Path>,
}

impl Types {
    pub(crate) fn of(file: &syn::File) -> Types {
        let mut types = Types::default();
        types.visit_file(file);
        types
    }
}

impl<'ast> Visit<'ast> for Types {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        for field in &item.fields {
            let Some(name) = &field.ident else { continue };
            if let Some(path) = optional(&field.ty) {
                self.optional.insert(name.to_string(), path);
            } else if let Some(path) = made_by_default(&field.ty) {
                self.fields.insert((item.ident.to_string(), name.to_string()), path);
            }
        }
        visit::visit_item_struct(self, item);
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
        }
        visit::visit_local(self, local);
    }
}

impl Types {
    fn named(&mut self, pat: &Pat, ty: &Type) {
        if let (Pat::Ident(name), Some(path)) = (pat, optional(ty)) {
            self.optional.insert(name.ident.to_string(), path);
        }
    }
}

/// The name that a fall-back is asked of: `self.client.clone().unwrap_or_default()`.
pub(crate) fn holder(receiver: &Expr) -> Option<String> {
    match receiver {
        Expr::MethodCall(call) => holder(&call.receiver),
        Expr::Reference(expr) => holder(&expr.expr),
        Expr::Paren(expr) => holder(&expr.expr),
        Expr::Field(field) => match &field.member {
            Member::Named(name) => Some(name.to_string()),
            Member::Unnamed(_) => None,
        },
        other => crate::chain::variable(other),
    }
}
