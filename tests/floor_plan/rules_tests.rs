//! The other rules on small inputs: each kind of violation is caught, and what only looks like one is not.

use crate::floors_tests::{PLAN, library, none, one};
use crate::rules;
use crate::source::Tree;

fn pure(source: &str) -> Vec<String> {
    let files = [("retry/mod.rs", "mod backoff;"), ("retry/backoff.rs", source)];
    rules::pure(&PLAN, &library(&files))
}

fn boxes(path: &str, source: &str) -> Vec<String> {
    rules::boxes(&PLAN, &library(&[(path, source)]))
}

fn let_chains(source: &str) -> Vec<String> {
    rules::let_chains(&Tree::new([("tests/a.rs", source)]))
}

#[test]
fn a_pure_file_is_caught_at_each_impurity() {
    for (source, what) in [
        ("fn f() { Instant::now() }", "reads a clock"),
        ("use std::time::SystemTime as T; fn f() { T::now() }", "reads a clock"),
        ("fn f(i: Instant) { i.elapsed() }", "reads a clock"),
        ("fn f() { sleep(d) }", "waits"),
        ("async fn f() {}", "waits"),
        ("struct S(Mutex<u8>);", "locks"),
        ("struct S(parking_lot::RwLock<u8>);", "locks"),
        ("fn f() { x.lock() }", "locks"),
        ("fn f() { x.spawn(y) }", "spawns"),
        ("use tracing::warn;", "is a report"),
        ("fn f() { metrics::counter!(\"a\") }", "is a report"),
        ("use std::{fs, time::Duration};", "is I/O"),
        ("fn f() { std::net::lookup() }", "is I/O"),
        ("use tokio::net::TcpStream;", "needs a runtime"),
        ("fn f() { println!() }", "is I/O"),
    ] {
        one(&pure(source), what);
    }
}

#[test]
fn a_pure_file_may_take_the_time_as_an_argument() {
    none(&pure(
        "use tokio::time::Instant; use std::time::{Duration, SystemTime};
         fn f(now: Instant, wall: SystemTime, elapsed: Duration) -> Lock { now + elapsed }
         #[cfg(test)] mod tests { fn f() { Instant::now(); std::fs::read(x); } }",
    ));
    let broken = rules::pure(&PLAN, &library(&[("stack.rs", "fn f() { Instant::now() }")]));
    none(&broken);
}

#[test]
fn a_pure_module_may_be_a_directory() {
    let files = [
        ("retry/mod.rs", "mod backoff;"),
        ("retry/backoff/mod.rs", "mod jitter;"),
        ("retry/backoff/jitter.rs", "fn f() { Instant::now() }"),
    ];
    one(&rules::pure(&PLAN, &library(&files)), "src/retry/backoff/jitter.rs:1: ");
}

#[test]
fn metrics_outside_their_file_are_found() {
    let metrics = |path, source| rules::metrics(&PLAN, &library(&[(path, source)]));
    one(&metrics("stack.rs", "fn f() { metrics::counter!(\"a\") }"), "belongs into src/telemetry.rs");
    one(&metrics("stack.rs", "use metrics::counter;"), "belongs into");
    none(&metrics("stack.rs", "use crate::sync::metrics; #[cfg(test)] use metrics::counter;"));
}

#[test]
fn a_boxed_future_needs_a_reason_and_the_reason_a_box() {
    for source in
        ["fn f() { Box::pin(x) }", "type F = Pin<Box<dyn Future>>;", "type F = BoxFuture<'static, ()>;"]
    {
        one(&boxes("stack.rs", source), "a boxed future");
        none(&boxes("breaker.rs", source));
        none(&boxes("client.rs", source));
    }
    one(&boxes("breaker.rs", ""), "boxes nothing any more");
    none(&boxes("stack.rs", "struct S(Box<dyn Error>); // Box::pin"));
}

#[test]
fn a_long_file_is_found_in_source_and_examples_alone() {
    let lines = |n| "//\n".repeat(n);
    let of = |path: &str, n| rules::length(&PLAN, &Tree::new([(path, lines(n))]));
    none(&of("src/a.rs", 5));
    one(&of("src/a.rs", 6), "6 lines, at most 5");
    one(&of("src/a/tests.rs", 6), "split it");
    one(&of("examples/a.rs", 6), "split it");
    none(&of("tests/a.rs", 6));
}

#[test]
fn a_long_function_is_found_wherever_it_stands() {
    let of = |source: &str| rules::length(&PLAN, &Tree::new([("src/a.rs", source)]));
    none(&of("fn f() {\n\n}"));
    one(&of("fn f() {\n\n\n}"), "src/a.rs:1: `f` has 4 lines, at most 3");
    one(&of("impl S { fn f() {\n\n\n} }"), "`f` has 4 lines");
    one(&of("trait T { fn f() {\n\n\n} }"), "`f` has 4 lines");
    one(&of("#[test]\nfn f() {\n\n}"), "`f` has 4 lines");
}

#[test]
fn a_file_that_no_mod_reaches_is_found() {
    let orphans = |files: &[(&'static str, &'static str)]| rules::orphans(&Tree::new(files.iter().copied()));
    one(&orphans(&[("src/lib.rs", "mod a;"), ("src/a.rs", ""), ("src/b.rs", "")]), "src/b.rs: no `mod`");
    one(&orphans(&[("src/lib.rs", "// mod a;"), ("src/a.rs", "")]), "src/a.rs");
    one(&orphans(&[("tests/it/main.rs", ""), ("tests/it/a.rs", "")]), "tests/it/a.rs");
    none(&orphans(&[
        ("src/lib.rs", "mod a; pub mod b { mod c; }"),
        ("src/a.rs", "#[cfg(test)] mod tests; mod d;"),
        ("src/a/tests.rs", ""),
        ("src/a/d/mod.rs", "mod e;"),
        ("src/a/d/e.rs", ""),
        ("src/b/c.rs", ""),
        ("examples/drill.rs", "#[path = \"common/mod.rs\"] mod common;"),
        ("examples/runner/main.rs", "#[path = \"../common/mod.rs\"] mod common; mod own;"),
        ("examples/runner/own.rs", ""),
        ("examples/common/mod.rs", "mod args;"),
        ("examples/common/args.rs", ""),
    ]));
}

#[test]
fn a_let_chain_is_found() {
    for source in [
        "fn f() { if let Some(a) = b && c {} }",
        "fn f() { if c && let Some(a) = b {} }",
        "fn f() { while let Some(a) = b.c(|d| d && e)? && f() {} }",
        "fn f() { if let S { a, .. } = b && a {} }",
        "fn f() { if x {} else if let Ok(a) = b && let Ok(c) = a {} }",
        "fn f() { match a { b if let Some(c) = d && e => {} } }",
    ] {
        one(&let_chains(source), "tests/a.rs:1: a let chain");
    }
}

#[test]
fn a_plain_condition_is_no_let_chain() {
    for source in [
        "fn f() { if let Some(a) = b { if c && d {} } }",
        "fn f() { if a && b { let c = d; } }",
        "fn f() { if let Some(a) = &&b {} }",
        "fn f() { if let true = (a && b) {} }",
        "fn f() { if let Some(a) = b.filter(|c| c.d && c.e) { x && y; } }",
        "fn f() { match a { b if c && d => { let e = f; } } }",
        "fn f() { if let S { a: 0..=9, .. } = b {} c && d; }",
        "fn f() { let Some(a) = b else { return c && d }; }",
    ] {
        none(&let_chains(source));
    }
}
