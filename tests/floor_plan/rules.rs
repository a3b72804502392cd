//! The rules. Each gives what breaks it, as lines that say where and what to do.

use crate::source::{File, Named, Tree, What};
use std::collections::BTreeSet;

/// Its name, and the modules on it.
pub(crate) type Floor = (&'static str, &'static [&'static str]);

/// What the rules are asked to hold; the tables themselves stand in `floor_plan.rs`.
pub(crate) struct Plan {
    /// Lowest first.
    pub(crate) floors: &'static [Floor],
    /// Modules that hold documentation and are used by nothing.
    pub(crate) pages: &'static [&'static str],
    /// Who may use whom on its own floor, and why.
    pub(crate) neighbours: &'static [(&'static str, &'static str, &'static str)],
    pub(crate) pure: &'static [&'static str],
    /// The one module that may name the `metrics` crate, as the start of its paths.
    pub(crate) metrics: &'static str,
    /// Files of parts and composition that may box a future, and why.
    pub(crate) boxes: &'static [(&'static str, &'static str)],
    /// The most lines of a file, and of a function.
    pub(crate) longest: usize,
    pub(crate) longest_function: usize,
}

impl Plan {
    pub(crate) fn floor(&self, module: &str) -> Option<usize> {
        self.floors.iter().position(|(_, modules)| modules.contains(&module))
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
        for named in &file.names {
            if let Some(what) = impure(named) {
                broken.push(at(file, named.line, format!("`{}` {what}: this is a pure file", named.path())));
            }
        }
    }
    broken
}

fn impure(named: &Named) -> Option<&'static str> {
    let path: Vec<&str> = named.segments.iter().map(String::as_str).collect();
    match (named.what, path.as_slice()) {
        (_, ["tokio", "time", "Instant" | "Duration"]) => None,
        // An address is a value; what connects to it is not.
        (_, ["std", "net", "IpAddr" | "Ipv4Addr" | "Ipv6Addr" | "SocketAddr"]) => None,
        (What::Method, ["elapsed"]) | (_, [_, .., "now"]) => Some("reads a clock"),
        (What::Keyword, _) | (_, [.., "sleep" | "sleep_until"]) => Some("waits"),
        (_, [.., "Mutex" | "RwLock" | "Condvar"]) => Some("locks"),
        (What::Method, ["lock"]) => Some("locks"),
        (_, [.., "spawn" | "spawn_blocking" | "spawn_local"]) => Some("spawns"),
        (_, ["tokio", ..]) => Some("needs a runtime"),
        (_, ["tracing" | "metrics", _, ..]) => Some("is a report to somebody"),
        (_, ["std", "fs" | "net" | "env" | "process", ..]) => Some("is I/O"),
        (_, ["std", "thread", ..]) => Some("is about threads"),
        (What::Macro, [.., "println" | "eprintln" | "print" | "eprint" | "dbg"]) => Some("is I/O"),
        _ => None,
    }
}

/// One module says `metrics::`, so that all names stand in one place.
pub(crate) fn metrics(plan: &Plan, tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    for file in tree.library().filter(|f| !f.path.starts_with(plan.metrics)) {
        for named in file.names.iter().filter(|n| n.segments.len() > 1 && n.segments[0] == "metrics") {
            broken.push(at(file, named.line, format!("`{}` belongs into {}", named.path(), plan.metrics)));
        }
    }
    broken
}

/// Parts and composition box no future, except where the table says why.
pub(crate) fn boxes(plan: &Plan, tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    let mut boxing = BTreeSet::new();
    for file in tree.library() {
        let floor = plan.floor(file.module()[0]).map(|floor| plan.floors[floor].0);
        if !matches!(floor, Some("parts" | "composition")) {
            continue;
        }
        for named in file.names.iter().filter(|named| boxes_a_future(named)) {
            boxing.insert(file.path.as_str());
            if !plan.boxes.iter().any(|(path, _)| *path == file.path) {
                let what = "a boxed future: if it must be, add the file with the reason to BOXES in tests/floor_plan.rs";
                broken.push(at(file, named.line, what));
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

fn boxes_a_future(named: &Named) -> bool {
    let path: Vec<&str> = named.segments.iter().map(String::as_str).collect();
    matches!(
        (named.what, path.as_slice()),
        (What::Method, ["boxed"])
            | (_, [.., "Box", "pin"] | ["Pin<Box>"])
            | (
                _,
                [
                    ..,
                    "BoxFuture" | "LocalBoxFuture" | "BoxService" | "BoxCloneService" | "BoxCloneSyncService"
                ]
            )
    )
}

/// A file that is too long is two things, and so is a function.
pub(crate) fn length(plan: &Plan, tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    let counted = |f: &&File| f.path.starts_with("src/") || f.path.starts_with("examples/");
    for file in tree.0.values().filter(counted) {
        if file.lines > plan.longest {
            broken.push(format!("{}: {} lines, at most {}: split it", file.path, file.lines, plan.longest));
        }
        for (name, line, lines) in file.functions.iter().filter(|(.., lines)| *lines > plan.longest_function)
        {
            let what = format!("`{name}` has {lines} lines, at most {}: split it", plan.longest_function);
            broken.push(at(file, *line, what));
        }
    }
    broken
}

/// A file that nothing declares is not compiled, and rots.
pub(crate) fn orphans(tree: &Tree) -> Vec<String> {
    let reached = tree.reached(true);
    let lost = tree.0.keys().filter(|path| !reached.contains(*path));
    lost.map(|path| format!("{path}: no `mod` leads here")).collect()
}

/// `if let .. && ..` needs a newer compiler than Cargo.toml promises, and no lint says so.
pub(crate) fn let_chains(tree: &Tree) -> Vec<String> {
    let what = "a let chain needs Rust 1.88: nest it, or use `matches!` or a tuple";
    let all = tree.0.values().flat_map(|file| file.let_chains.iter().map(move |line| at(file, *line, what)));
    all.collect()
}
