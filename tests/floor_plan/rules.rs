//! The rules. Each gives what breaks it, as lines that say where and what to do.

use crate::lexer::{Kind, Token, step};
use crate::source::{File, Tree};
use std::collections::BTreeSet;

/// What the rules are asked to hold; the tables themselves stand in `floor_plan.rs`.
pub(crate) struct Plan {
    /// Lowest first.
    pub(crate) floors: &'static [&'static [&'static str]],
    /// Modules that hold documentation and are used by nothing.
    pub(crate) pages: &'static [&'static str],
    /// Who may use whom on its own floor, and why.
    pub(crate) neighbours: &'static [(&'static str, &'static str, &'static str)],
    pub(crate) pure: &'static [&'static str],
    /// The one module that may name the `metrics` crate, as the start of its paths.
    pub(crate) metrics: &'static str,
    /// Files of floors 2 and 3 that may box a future, and why.
    pub(crate) boxes: &'static [(&'static str, &'static str)],
    pub(crate) longest: usize,
}

impl Plan {
    pub(crate) fn floor(&self, module: &str) -> Option<usize> {
        self.floors.iter().position(|f| f.contains(&module))
    }
}

/// A line of a report.
pub(crate) fn at(file: &File, line: usize, what: impl std::fmt::Display) -> String {
    format!("{}:{line}: {what}", file.path)
}

/// Decisions are values: a pure file reads no clock, does not wait, lock, spawn, log or do I/O.
pub(crate) fn pure(plan: &Plan, tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for file in tree.library() {
        let module = file.module().join("/");
        let part_of = |pure: &&&str| module == **pure || module.starts_with(&format!("{pure}/"));
        if plan.pure.iter().find(part_of).is_none() {
            continue;
        }
        let mut complain = |line, what: String| {
            broken.push(at(file, line, format!("{what}: this is a pure file")));
        };
        for named in file.names.iter().filter(|n| !n.test) {
            if let Some(what) = impure_path(&named.segments) {
                complain(named.line, format!("`{}` {what}", named.segments.join("::")));
            }
        }
        let tokens: Vec<&Token> = file.shipped().collect();
        for (index, token) in tokens.iter().enumerate() {
            let next = tokens.get(index + 1).map_or("", |t| t.text.as_str());
            let before = index.checked_sub(1).map_or("", |i| tokens[i].text.as_str());
            if let Some(what) = impure_token(before, token, next) {
                complain(token.line, format!("`{}` {what}", token.text));
            }
        }
    }
    broken
}

fn impure_path(segments: &[String]) -> Option<&'static str> {
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["tokio", "time", "Instant" | "Duration"] => None,
        [_, .., "now"] => Some("reads a clock"),
        ["tokio", ..] => Some("needs a runtime"),
        ["tracing" | "metrics", ..] => Some("is a report to somebody"),
        ["std", "fs" | "net" | "env" | "process", ..] => Some("is I/O"),
        ["std", "thread", ..] => Some("is about threads"),
        _ => None,
    }
}

fn impure_token(before: &str, token: &Token, next: &str) -> Option<&'static str> {
    if token.kind != Kind::Ident {
        return None;
    }
    match token.text.as_str() {
        "elapsed" if before == "." && next == "(" => Some("reads a clock"),
        "sleep" | "sleep_until" => Some("waits"),
        "async" | "await" => Some("waits"),
        "Mutex" | "RwLock" | "Condvar" => Some("locks"),
        "lock" if next == "(" => Some("locks"),
        "spawn" | "spawn_blocking" | "spawn_local" => Some("spawns"),
        "println" | "eprintln" | "print" | "eprint" | "dbg" if next == "!" => Some("is I/O"),
        _ => None,
    }
}

/// One module says `metrics::`, so that all names stand in one place.
pub(crate) fn metrics(plan: &Plan, tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for file in tree.library().filter(|f| !f.path.starts_with(plan.metrics)) {
        for named in file.names.iter().filter(|n| !n.test) {
            if named.segments[0] == "metrics" {
                let what = format!("`{}` belongs into {}", named.segments.join("::"), plan.metrics);
                broken.push(at(file, named.line, what));
            }
        }
    }
    broken
}

/// Parts and composition box no future, except where the table says why.
pub(crate) fn boxes(plan: &Plan, tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    let mut boxing = BTreeSet::new();
    for file in tree.library() {
        if !matches!(plan.floor(file.module()[0]), Some(1 | 2)) {
            continue;
        }
        let tokens: Vec<&Token> = file.shipped().collect();
        for (index, token) in tokens.iter().enumerate() {
            let next: Vec<&str> = tokens[index..].iter().take(3).map(|t| t.text.as_str()).collect();
            let boxed = matches!(
                next.as_slice(),
                ["Box", "::", "pin"]
                    | ["Pin", "<", "Box"]
                    | [".", "boxed", "("]
                    | ["BoxFuture" | "LocalBoxFuture" | "BoxService" | "BoxCloneService", ..]
            );
            if boxed && token.kind != Kind::Text {
                boxing.insert(file.path.as_str());
                if !plan.boxes.iter().any(|(path, _)| *path == file.path) {
                    let what = "a boxed future: if it must be, add the file with the reason to BOXES in tests/floor_plan.rs";
                    broken.push(at(file, token.line, what));
                }
            }
        }
    }
    for (path, why) in plan.boxes {
        if why.trim().is_empty() {
            broken.push(format!("BOXES: {path} has no reason"));
        }
        if tree.0.contains_key(*path) && !boxing.contains(path) {
            broken.push(format!("BOXES: {path} boxes nothing any more: remove the line"));
        }
    }
    broken
}

/// A file that is too long is two things.
pub(crate) fn length(plan: &Plan, tree: &Tree) -> Vec<String> {
    let counted = |f: &&File| f.path.starts_with("src/") || f.path.starts_with("examples/");
    let long = tree.0.values().filter(counted).filter(|f| f.lines > plan.longest);
    long.map(|f| format!("{}: {} lines, at most {}: split it", f.path, f.lines, plan.longest)).collect()
}

/// A file that nothing declares is not compiled, and rots.
pub(crate) fn orphans(tree: &Tree) -> Vec<String> {
    let reached = tree.reached(true);
    let lost = tree.0.keys().filter(|path| !reached.contains(*path));
    lost.map(|path| format!("{path}: no `mod` leads here")).collect()
}

/// `if let .. && ..` needs a newer compiler than Cargo.toml promises, and no lint says so.
pub(crate) fn let_chains(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for file in tree.0.values() {
        for (index, token) in file.tokens.iter().enumerate() {
            let condition = token.is("if") || token.is("while");
            if condition && chained(&file.tokens[index + 1..]) {
                broken.push(at(
                    file,
                    token.line,
                    "a let chain needs Rust 1.88: nest it, or use `matches!` or a tuple",
                ));
            }
        }
    }
    broken
}

/// Whether the condition that starts here joins a `let` with something else.
fn chained(tokens: &[Token]) -> bool {
    let (mut depth, mut lets, mut pattern, mut joined) = (0, false, false, false);
    for (index, token) in tokens.iter().enumerate() {
        // A struct pattern has braces; in what follows its `=` they would open the block.
        if depth == 0 && !pattern && (token.is("{") || token.is("=>") || token.is(";")) {
            break;
        }
        depth += step(token);
        if depth < 0 {
            break;
        }
        if depth == 0 && token.is("let") {
            (lets, pattern) = (true, true);
        } else if depth == 0 && pattern && token.is("=") {
            pattern = false;
        } else if depth == 0 && !pattern && token.is("&&") {
            joined |= index.checked_sub(1).is_some_and(|i| ends_a_value(&tokens[i]));
        }
    }
    lets && joined
}

/// Whether an `&&` behind this token means "and" rather than a reference to a reference.
fn ends_a_value(token: &Token) -> bool {
    match token.kind {
        Kind::Punct => [")", "]", "}", "?"].contains(&token.text.as_str()),
        _ => true,
    }
}
