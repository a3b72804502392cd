//! The branches of `select!`, as tokio and futures write them.

use syn::parse::{Parse, ParseStream};
use syn::{Expr, Pat, Token};

/// `pattern = future, if condition => handler`
pub(crate) struct Branch {
    pub(crate) future: Expr,
    /// Whether it is waited for in some cases only.
    pub(crate) guarded: bool,
}

pub(crate) struct Select {
    pub(crate) branches: Vec<Branch>,
    /// Conditions and handlers.
    pub(crate) others: Vec<Expr>,
}

impl Select {
    /// `None` where it is another macro, or one of that name with other branches.
    pub(crate) fn of(mac: &syn::Macro) -> Option<Select> {
        let name = mac.path.segments.last()?.ident.to_string();
        let is_select = matches!(name.as_str(), "select" | "select_biased");
        is_select.then(|| syn::parse2(mac.tokens.clone()).ok()).flatten()
    }
}

impl Parse for Select {
    fn parse(input: ParseStream<'_>) -> syn::Result<Select> {
        let mut select = Select { branches: Vec::new(), others: Vec::new() };
        if input.peek(syn::Ident) && input.peek2(Token![;]) {
            // `biased;`
            input.parse::<syn::Ident>()?;
            input.parse::<Token![;]>()?;
        }
        while !input.is_empty() {
            if input.peek(Token![else]) {
                input.parse::<Token![else]>()?;
            } else {
                let pattern = Pat::parse_multi_with_leading_vert(input)?;
                // `complete => ..` and `default => ..` wait for nothing.
                if !(matches!(pattern, Pat::Ident(_)) && input.peek(Token![=>])) {
                    input.parse::<Token![=]>()?;
                    let future = input.parse()?;
                    let guarded = input.peek(Token![,]) && input.peek2(Token![if]);
                    if guarded {
                        input.parse::<Token![,]>()?;
                        input.parse::<Token![if]>()?;
                        select.others.push(input.parse()?);
                    }
                    select.branches.push(Branch { future, guarded });
                }
            }
            input.parse::<Token![=>]>()?;
            select.others.push(Expr::parse_with_earlier_boundary_rule(input)?);
            if input.peek(Token![,]) {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(select)
    }
}
