//! The floors on small inputs: each way to name a module is seen, and what only looks like one is not.

use crate::floors;
use crate::rules::Plan;
use crate::source::Tree;

pub(crate) const PLAN: Plan = Plan {
    floors: &[
        ("words", &["error", "origin", "sync"]),
        ("parts", &["breaker", "retry"]),
        ("composition", &["stack"]),
        ("edges", &["client"]),
    ],
    pages: &["manual"],
    neighbours: &[("breaker", "retry", "the open wait is a back-off")],
    pure: &["retry/backoff"],
    metrics: "src/telemetry.rs",
    boxes: &[("src/breaker.rs", "a listener of the user's")],
    longest: 5,
    longest_function: 3,
};

/// A library of these files; its root declares every top-level module and re-exports two names.
pub(crate) fn library(files: &[(&str, &str)]) -> Tree {
    let mut root = String::from("pub use error::{Error, Kind as ErrorKind};\npub use crate::client::get;\n");
    for module in ["error", "origin", "sync", "breaker", "retry", "stack", "client", "manual", "new"] {
        root.push_str(&format!("mod {module};\n"));
    }
    let mut sources = vec![("src/lib.rs".to_owned(), root)];
    sources.extend(files.iter().map(|(path, source)| (format!("src/{path}"), (*source).to_owned())));
    Tree::new(sources)
}

fn floors_of_all(files: &[(&str, &str)]) -> Vec<String> {
    floors::broken(&PLAN, &library(files))
}

/// What the floors say of one file.
fn floors_of(path: &str, source: &str) -> Vec<String> {
    let broken = floors_of_all(&[(path, source)]);
    broken.into_iter().filter(|line| line.starts_with("src/")).collect()
}

#[track_caller]
pub(crate) fn one(broken: &[String], part: &str) {
    assert!(broken.len() == 1 && broken[0].contains(part), "{part:?} in {broken:#?}");
}

#[track_caller]
pub(crate) fn none(broken: &[String]) {
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_use_of_a_floor_above_is_found_in_every_spelling() {
    for source in [
        "use crate::stack::Stack;",
        "use crate::{error::Error, stack::{self, Stack}};",
        "use crate::{stack};",
        "use crate::stack as s;",
        "use super::stack::Stack;",
        "fn f() { crate::stack::go() }",
        "fn f(s: &super::stack::Stack) {}",
        "mod inner { use super::super::stack::Stack; }",
        "mod inner { fn f() -> crate::stack::Stack { todo!() } }",
        "macro_rules! m { () => { $crate::stack::go() } }",
        "fn f() { crate::get() }",
    ] {
        let broken = floors_of("retry.rs", source);
        assert!(!broken.is_empty() && broken.iter().all(|b| b.contains("above it")), "{source}: {broken:?}");
        assert!(broken[0].starts_with("src/retry.rs:1: "), "{broken:?}");
    }
}

#[test]
fn a_file_below_a_module_directory_counts_as_its_module() {
    let files = [("retry/mod.rs", "mod budget;"), ("retry/budget.rs", "use super::super::stack::Stack;")];
    one(&floors_of_all(&files), "`retry` on the floor of parts uses");
    let files = [
        ("retry/mod.rs", "mod budget;"),
        ("retry/budget.rs", "use super::Settings; use crate::retry::after;"),
    ];
    none(&floors_of_all(&files));
}

#[test]
fn floors_below_and_other_crates_are_free() {
    none(&floors_of(
        "retry.rs",
        "use crate::{Error, ErrorKind, origin}; use std::sync::Arc; use self::inner::A;",
    ));
    none(&floors_of("stack.rs", "use crate::retry::Settings; fn f() { http::header::stack::x() }"));
}

#[test]
fn a_neighbour_needs_a_line_in_the_table_and_the_line_a_use() {
    one(&floors_of("retry.rs", "use crate::breaker::Phase;"), "add (\"retry\", \"breaker\", \"why\")");
    none(&floors_of_all(&[("breaker.rs", "use crate::retry::Backoff;")]));
    one(&floors_of_all(&[("breaker.rs", "")]), "breaker -> retry is used no more");
}

#[test]
fn a_re_export_leads_to_the_module_it_comes_from() {
    one(&floors_of("origin.rs", "use crate::Error;"), "`error` on its own floor");
    one(&floors_of("origin.rs", "use crate::ErrorKind;"), "`error` on its own floor");
    one(&floors_of("origin.rs", "use crate::Nothing;"), "cannot tell whose `Nothing` is");
}

#[test]
fn a_macro_leads_to_the_module_that_defines_it() {
    let files = [("stack.rs", "macro_rules! wait { () => {} }"), ("retry.rs", "fn f() { crate::wait!() }")];
    one(&floors_of_all(&files), "of `stack` on that of composition above it");
}

#[test]
fn a_glob_of_the_crate_root_is_refused() {
    one(&floors_of("retry.rs", "use crate::*;"), "takes everything");
    one(&floors_of("retry.rs", "use super::*;"), "takes everything");
    none(&floors_of("retry.rs", "mod a { use super::*; }"));
}

#[test]
fn a_module_without_a_floor_is_told_where_to_stand() {
    one(&floors_of("new.rs", ""), "add it to FLOORS in tests/floor_plan.rs");
    one(&floors_of("stack.rs", "use crate::manual::order;"), "stands on no floor");
    none(&floors_of("manual.rs", "use crate::stack::Stack;"));
}

#[test]
fn comments_strings_and_tests_are_no_use() {
    none(&floors_of(
        "retry.rs",
        r####"
        //! [`crate::stack`]
        /* crate::stack /* nested */ crate::stack::x */
        const A: &str = "crate::stack::x \" crate::stack::y";
        const B: &str = r#"crate::stack::x " "#;
        const C: (char, char, u8) = ('"', '\'', b'"');
        fn f<'a>(x: &'a str) {}
        #[cfg(test)]
        use crate::stack::Stack;
        #[cfg(test)]
        #[allow(dead_code)]
        mod tests { use crate::stack::Stack; fn f() { crate::stack::go() } }
        #[cfg(all(test, unix))]
        pub(crate) fn g() { crate::stack::go() }
        #[test]
        fn h() { crate::stack::go() }
        struct S { #[cfg(test)] a: crate::stack::Stack, b: u8 }
        "####,
    ));
    let files = [("retry/mod.rs", "#[cfg(test)] mod tests;"), ("retry/tests.rs", "use crate::stack::Stack;")];
    none(&floors_of_all(&files));
}

#[test]
fn code_beside_tests_is_still_seen() {
    for source in [
        "#[cfg(test)] mod tests { fn f() {} }\nuse crate::stack::Stack;",
        "#[cfg(test)] use a::{b, c};\nuse crate::stack::Stack;",
        "#[cfg(not(test))]\nuse crate::stack::Stack;",
        "#[cfg(any(test, feature = \"testing\"))]\nuse crate::stack::Stack;",
        "struct S { #[cfg(test)] a: u8,\nb: crate::stack::Stack }",
        "const A: &str = \"/*\";\nuse crate::stack::Stack; // */",
    ] {
        one(&floors_of("retry.rs", source), "src/retry.rs:2: ");
    }
}
