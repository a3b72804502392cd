//! The source tree, read with `syn`: which file is which module, and what it names.

use crate::reader::read;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What stands in a file, as far as a rule asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// From a `use`.
    Import,
    /// A path in code.
    Path,
    Macro,
    Method,
    Keyword,
}

/// A name in code that is no test.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) what: What,
    /// `use a::{b as c}` is `["a", "b"]`; a glob ends in `*`.
    pub(crate) segments: Vec<String>,
    /// What it is called here: the last segment, or the alias.
    pub(crate) name: String,
    pub(crate) line: usize,
    /// The inline modules it stands in.
    pub(crate) within: Vec<String>,
    /// Whether it is a `use` that others may go through.
    pub(crate) is_door: bool,
}

impl Named {
    pub(crate) fn path(&self) -> String {
        self.segments.join("::")
    }
}

/// `mod name;`
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) path: Option<String>,
    pub(crate) test: bool,
    pub(crate) within: Vec<String>,
}

#[derive(Default)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) lines: usize,
    pub(crate) names: Vec<Named>,
    pub(crate) declared: Vec<Declared>,
    /// The macros that it defines.
    pub(crate) macros: Vec<String>,
    /// Name, first line and number of lines of each function.
    pub(crate) functions: Vec<(String, usize, usize)>,
    /// The lines of `if let .. && ..`.
    pub(crate) let_chains: Vec<usize>,
    /// Whether it is compiled into tests alone.
    pub(crate) test: bool,
}

/// All Rust files of the package, by path from its root.
pub(crate) struct Tree(pub(crate) BTreeMap<String, File>);

impl Tree {
    pub(crate) fn new<P: Into<String>, S: AsRef<str>>(sources: impl IntoIterator<Item = (P, S)>) -> Tree {
        let files = sources.into_iter().map(|(path, source)| {
            let path = path.into();
            (path.clone(), read(path, source.as_ref()))
        });
        let mut tree = Tree(files.collect());
        let shipped = tree.reached(false);
        for file in tree.0.values_mut() {
            file.test |= !shipped.contains(&file.path);
        }
        tree
    }

    /// Reads the directories of the package that hold code. A directory with a manifest of its own is another package.
    pub(crate) fn read(root: &Path) -> Tree {
        let mut sources = Vec::new();
        for dir in ["src", "examples", "tests", "benches"] {
            read_dir(root, &root.join(dir), &mut sources);
        }
        Tree::new(sources)
    }

    /// Files that a crate root reaches by `mod`, with or without those that only tests reach.
    pub(crate) fn reached(&self, tests: bool) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut todo: Vec<String> = self.0.keys().filter(|p| is_root(p)).cloned().collect();
        while let Some(path) = todo.pop() {
            let Some(file) = self.0.get(&path) else { continue };
            if reached.insert(path) {
                let declared = file.declared.iter().filter(|d| tests || !d.test);
                todo.extend(declared.flat_map(|d| d.candidates(&file.path)));
            }
        }
        reached
    }

    /// Files of the library without its root, leaving out those of tests and of programs.
    pub(crate) fn library(&self) -> impl Iterator<Item = &File> {
        let shipped = |f: &&File| {
            f.path.starts_with("src/") && !f.path.starts_with("src/bin/") && f.path != "src/lib.rs" && !f.test
        };
        self.0.values().filter(shipped)
    }
}

fn read_dir(root: &Path, dir: &Path, sources: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() && !path.join("Cargo.toml").exists() {
            read_dir(root, &path, sources);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let relative = path.strip_prefix(root).expect("it was found below the root");
            let parts: Vec<_> = relative.iter().map(|p| p.to_string_lossy()).collect();
            let source = fs::read_to_string(&path).expect("a source file is UTF-8");
            sources.push((parts.join("/"), source));
        }
    }
}

/// What cargo finds by itself.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts.as_slice(),
        ["src", "lib.rs" | "main.rs"]
            | ["src", "bin", _]
            | ["src", "bin", _, "main.rs"]
            | ["examples" | "tests" | "benches", _]
            | ["examples" | "tests" | "benches", _, "main.rs"]
    )
}

impl Declared {
    /// Where the file of the module may be, seen from the file that declares it.
    fn candidates(&self, from: &str) -> Vec<String> {
        let (dir, file) = from.rsplit_once('/').unwrap_or(("", from));
        let mut parts: Vec<&str> = dir.split('/').collect();
        if let Some(path) = self.path.as_deref() {
            parts.extend(self.within.iter().map(String::as_str));
            for part in path.split('/') {
                match part {
                    ".." => drop(parts.pop()),
                    "." => {}
                    part => parts.push(part),
                }
            }
            return vec![parts.join("/")];
        }
        if file != "mod.rs" && !is_root(from) {
            parts.push(file.trim_end_matches(".rs"));
        }
        parts.extend(self.within.iter().map(String::as_str));
        let base = format!("{}/{}", parts.join("/"), self.name);
        vec![format!("{base}.rs"), format!("{base}/mod.rs")]
    }
}

impl File {
    /// `src/retry/backoff.rs` is `["retry", "backoff"]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').filter(|p| *p != "lib").collect()
    }

    /// A path from the root of the crate: `super::a` in `src/b/c.rs` is `["b", "a"]`. None for other crates and local
    /// names.
    pub(crate) fn absolute(&self, named: &Named) -> Option<Vec<String>> {
        // A variable that is called like a module, and `pub(super)` of a macro.
        if named.what != What::Import && named.segments.len() == 1 {
            return None;
        }
        let mut here: Vec<String> = self.module().into_iter().map(str::to_owned).collect();
        here.extend(named.within.iter().cloned());
        let mut rest = named.segments.as_slice();
        match rest.first()?.as_str() {
            "crate" => {
                here.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {}
            // A module of its own that was declared in the same place.
            first if self.declared.iter().any(|d| d.name == first && d.within == named.within) => {}
            _ => return None,
        }
        while rest.first().is_some_and(|s| s == "super") {
            here.pop();
            rest = &rest[1..];
        }
        here.extend(rest.iter().cloned());
        Some(here)
    }
}
