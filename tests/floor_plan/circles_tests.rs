//! Circles on small inputs: each way to import is seen, and what only looks like a circle is not.

use crate::circles;
use crate::floors_tests::{library, none, one};

fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    circles::broken(&library(files))
}

#[test]
fn two_files_that_import_each_other_are_found_in_every_spelling() {
    for (parent, child) in [
        ("mod kind; use kind::Kind;", "use super::Error;"),
        ("mod kind; pub use kind::Kind; fn f() -> Kind { todo!() }", "use crate::error::Error;"),
        ("mod kind; use self::kind::{Kind};", "use crate::{error::Error};"),
        ("mod kind; fn f() -> kind::Kind { todo!() }", "fn f(e: &super::Error) {}"),
        ("mod kind; fn f() { kind::f() }", "use super::*;"),
        ("mod kind; fn f() { a!(kind::f()) }", "mod inner { use super::super::Error; }"),
        ("mod kind; use crate::error::kind;", "macro_rules! m { () => { $crate::error::go() } }"),
        ("mod kind; use kind::Kind;", "fn f() -> crate::Error { todo!() }"),
        ("mod kind; use kind::Kind;", "use crate::ErrorKind as K;"),
    ] {
        let files = [("error/mod.rs", parent), ("error/kind.rs", child)];
        let broken = circles_of(&files);
        one(&broken, "src/error/kind.rs -> src/error/mod.rs -> src/error/kind.rs: a circle of imports");
    }
}

#[test]
fn a_longer_circle_over_modules_is_found_and_shown_whole() {
    let files = [
        ("error.rs", "use crate::origin::Origin;"),
        ("origin.rs", "mod part; use part::Part;"),
        ("origin/part.rs", "fn f() { crate::sync::lock() }"),
        ("sync.rs", "use crate::Error;"),
        ("retry.rs", "use crate::sync::lock;"),
    ];
    let whole = "src/error.rs -> src/origin.rs -> src/origin/part.rs -> src/sync.rs -> src/error.rs";
    one(&circles_of(&files), whole);
}

#[test]
fn each_circle_is_told_once() {
    let files = [
        ("error.rs", "use crate::origin::Origin;"),
        ("origin.rs", "use crate::error::Error;"),
        ("retry.rs", "use crate::breaker::Breaker;"),
        ("breaker.rs", "use crate::retry::Backoff;"),
    ];
    assert_eq!(circles_of(&files).len(), 2, "{:#?}", circles_of(&files));
}

#[test]
fn a_tree_of_imports_is_no_circle() {
    none(&circles_of(&[
        ("error.rs", "mod kind; mod text; pub use kind::Kind; use std::fmt; use http::error::Error as E;"),
        (
            "error/kind.rs",
            "pub enum Kind { A } impl Kind { fn f(self) -> Self { Self::A } } use self::b::C; mod b {}",
        ),
        ("error/text.rs", "use super::kind::Kind; use crate::error::kind; // super::Error"),
        ("origin.rs", "mod kind; use crate::error::Kind; use kind::X;"),
        ("origin/kind.rs", "use crate::error::Kind;"),
    ]));
}

#[test]
fn a_re_export_is_a_door_and_no_use() {
    none(&circles_of(&[
        ("error.rs", "pub mod kind; mod text; pub use kind::Kind; pub struct Error;"),
        ("error/kind.rs", "use crate::Error; pub use super::text::Text;"),
        ("error/text.rs", "use crate::error::Error;"),
    ]));
    let files = [
        ("error.rs", "mod kind; pub use kind::Kind;"),
        ("error/kind.rs", "use crate::origin::Origin;"),
        ("origin.rs", "use crate::ErrorKind;"),
    ];
    one(&circles_of(&files), "src/error/kind.rs -> src/origin.rs -> src/error/kind.rs");
}

#[test]
fn what_tests_import_closes_no_circle() {
    none(&circles_of(&[
        ("error/mod.rs", "mod kind; use kind::Kind; #[cfg(test)] mod tests;"),
        (
            "error/kind.rs",
            "#[cfg(test)] use super::Error; #[cfg(test)] mod tests { use crate::error::Error; }",
        ),
        ("error/tests.rs", "use super::*;"),
        ("origin.rs", "use crate::error::Error; #[test] fn f() { crate::stack::go() }"),
        ("stack.rs", "use crate::origin::Origin;"),
    ]));
}
