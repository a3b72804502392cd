//! The walk through a file: what surrounds a place, and what is looked at there.

use crate::lint::chain::{Chain, given_name, inner_name, variable};
use crate::lint::check::Check;
use crate::lint::defaults::{derives_default, made_by_default};
use crate::lint::known::Known;
use crate::lint::names::Module;
use crate::lint::reasons::{of_expr, of_impl_item, of_item, of_stmt, of_trait_item};
use crate::lint::select::Select;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Stmt};

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
                            check.beginning(field, |check| {
                                let how = format!(" (derived by {})", item.ident);
                                check.default_of(&path, field.ty.span(), &how);
                            });
                        });
                    }
                }
            }
            Item::Const(_) | Item::Static(_) | Item::Macro(_) => {
                check.beginning(item, |check| visit::visit_item(check, item));
            }
            Item::Fn(function) => check.function(&function.sig, |check| visit::visit_item(check, item)),
            _ => visit::visit_item(check, item),
        });
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        self.under(of_impl_item(item), |check| match item {
            syn::ImplItem::Fn(function) => {
                check.function(&function.sig, |check| visit::visit_impl_item(check, item));
            }
            _ => visit::visit_impl_item(check, item),
        });
    }

    fn visit_trait_item(&mut self, item: &'ast syn::TraitItem) {
        self.under(of_trait_item(item), |check| match item {
            syn::TraitItem::Fn(function) => {
                check.function(&function.sig, |check| visit::visit_trait_item(check, item));
            }
            _ => visit::visit_trait_item(check, item),
        });
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let items = block.stmts.iter().filter_map(|stmt| match stmt {
            Stmt::Item(item) => Some(item),
            _ => None,
        });
        let names = Module::of(items, &mut |_, _| {});
        let (named, outermost) = (!names.is_empty(), !std::mem::replace(&mut self.in_function, true));
        self.blocks.extend(named.then_some(names));
        if outermost {
            self.learn_variables(block);
        }
        let (bounded, held) = (self.bounded_in(block), self.held_in(block));
        let (depth, holds, errors) = (self.bounded.len(), self.held.len(), self.errors.len());
        self.bounded.extend(bounded);
        self.held.extend(held);
        visit::visit_block(self, block);
        self.bounded.truncate(depth);
        self.held.truncate(holds);
        self.errors.truncate(errors);
        if named {
            self.blocks.pop();
        }
        self.in_function = !outermost;
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        self.under(of_stmt(stmt), |check| {
            check.beginning(stmt, |check| {
                if let Stmt::Macro(stmt) = stmt {
                    let expr = Expr::Macro(syn::ExprMacro { attrs: Vec::new(), mac: stmt.mac.clone() });
                    check.judge(&expr, &Chain::of(&expr));
                }
                visit::visit_stmt(check, stmt);
            });
        });
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let scope = self.in_scope;
        if let Some(init) = &local.init {
            self.begun(given_name(local), &init.expr);
            self.in_scope += u32::from(self.holds(inner_name(&local.pat), &init.expr));
        }
        visit::visit_local(self, local);
        self.in_scope = scope;
        self.remember_error(local);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let errors = self.errors.len();
        let fails = self.matches.last().copied().unwrap_or(false);
        self.name_error(&arm.pat, fails);
        self.under(&arm.attrs, |check| {
            check.beginning(arm, |check| visit::visit_arm(check, arm));
        });
        self.errors.truncate(errors);
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        self.beginning(field, |check| visit::visit_field_value(check, field));
    }

    fn visit_expr_let(&mut self, expr: &'ast syn::ExprLet) {
        visit::visit_expr_let(self, expr);
        // What is named here is known until the end of what is done then.
        let fails = self.fails(&expr.expr);
        self.name_error(&expr.pat, fails);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        self.under(of_expr(expr), |check| {
            let (stack, scope, future) = (check.in_stack, check.in_scope, check.in_future);
            let reasons = check.reasons.len();
            let (errors, matches) = (check.errors.len(), check.matches.len());
            match expr {
                Expr::MethodCall(call) => {
                    check.in_stack += u32::from(check.is_stack(&Chain::of(expr)));
                    check.in_scope += u32::from(check.is_deadline(call));
                    check.spread(call);
                    check.chain(expr);
                    check.ask(call);
                    check.name_inputs(call);
                }
                Expr::Call(_) | Expr::Path(_) | Expr::Macro(_) => {
                    check.judge(expr, &Chain::of(expr));
                    check.bare_default(expr);
                }
                Expr::Async(_) => check.in_future += u32::from(check.in_scope > 0),
                Expr::Closure(closure) if closure.asyncness.is_some() => {
                    check.in_future += u32::from(check.in_scope > 0);
                }
                // Over before the scope around it begins.
                Expr::Await(_) if check.in_future == 0 => check.in_scope = 0,
                Expr::If(branch) => check.reads_if(branch),
                Expr::Assign(assign) => check.begun(variable(&assign.left), &assign.right),
                Expr::Match(of) => {
                    check.reads_arms(of);
                    let fails = check.fails(&of.expr);
                    check.matches.push(fails);
                }
                _ => {}
            }
            if let Expr::Call(call) = expr {
                check.in_scope += u32::from(check.is_scope(call));
                check.in_stack += u32::from(check.applies_stack(call));
                // Who vouches for a service has said why for all that is in it.
                let vouches = matches!(check.named(expr), Some((Known::Vouch, _)));
                check.reasons.extend(vouches.then(|| check.said_in(expr)).flatten());
            }
            if Check::leaves_scope(expr) {
                (check.in_scope, check.in_future) = (0, 0);
            }
            visit::visit_expr(check, expr);
            (check.in_stack, check.in_scope, check.in_future) = (stack, scope, future);
            check.reasons.truncate(reasons);
            check.matches.truncate(matches);
            // A condition names what its branch knows: `if let Err(error) = ..`.
            if !matches!(expr, Expr::Let(_) | Expr::Binary(_) | Expr::Paren(_)) {
                check.errors.truncate(errors);
            }
        });
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.made_by(mac);
        match Select::of(mac) {
            Some(select) => self.select(&select),
            None => self.pieces(mac.tokens.clone()),
        }
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

impl Check<'_> {
    fn function(&mut self, signature: &syn::Signature, inner: impl FnOnce(&mut Self)) {
        let (errors, arguments) = (self.errors.len(), self.arguments.len());
        self.name_arguments(signature.inputs.iter());
        inner(self);
        self.errors.truncate(errors);
        self.arguments.truncate(arguments);
    }
}
