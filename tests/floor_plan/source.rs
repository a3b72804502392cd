//! The source tree: which file is which module, and what paths it names.

use crate::lexer::{Kind, Token, attribute, closing, tokens};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A path in code, from a `use` or from an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// `use a::{b as c}` is `["a", "b"]`; a glob ends in `*`.
    pub(crate) segments: Vec<String>,
    /// What it is called here: the last segment, or the alias.
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) test: bool,
    /// The inline modules it stands in.
    pub(crate) within: Vec<String>,
}

/// `mod name;`
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    name: String,
    path: Option<String>,
    test: bool,
    within: Vec<String>,
}

pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) lines: usize,
    pub(crate) tokens: Vec<Token>,
    pub(crate) names: Vec<Named>,
    declared: Vec<Declared>,
    /// Whether it is compiled into tests alone.
    pub(crate) test: bool,
}

/// All Rust files of the package, by path from its root.
pub(crate) struct Tree(pub(crate) BTreeMap<String, File>);

impl Tree {
    pub(crate) fn new<P: Into<String>, S: AsRef<str>>(sources: impl IntoIterator<Item = (P, S)>) -> Tree {
        let files = sources.into_iter().map(|(path, source)| {
            let (path, source) = (path.into(), source.as_ref());
            (path.clone(), File::new(path, source))
        });
        let mut tree = Tree(files.collect());
        let shipped = tree.reached(false);
        for file in tree.0.values_mut() {
            let whole =
                file.tokens.first().is_some_and(|t| t.test) && file.tokens.last().is_some_and(|t| t.test);
            file.test = whole || !shipped.contains(&file.path);
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
            let Some(file) = self.0.get(&path) else {
                continue;
            };
            if reached.insert(path) {
                let declared = file.declared.iter().filter(|d| tests || !d.test);
                todo.extend(declared.flat_map(|d| d.candidates(&file.path)));
            }
        }
        reached
    }

    /// Files of the library without its root, leaving out those of tests.
    pub(crate) fn library(&self) -> impl Iterator<Item = &File> {
        let shipped = |f: &&File| f.path.starts_with("src/") && f.path != "src/lib.rs" && !f.test;
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
            | ["examples" | "tests" | "benches", _]
            | ["examples" | "tests" | "benches", _, "main.rs"]
    )
}

impl Declared {
    /// Where the file of the module may be, seen from the file that declares it.
    fn candidates(&self, from: &str) -> Vec<String> {
        let (dir, file) = from.rsplit_once('/').unwrap_or(("", from));
        let own = file == "mod.rs" || is_root(from);
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
        if !own {
            parts.push(file.trim_end_matches(".rs"));
        }
        parts.extend(self.within.iter().map(String::as_str));
        let base = format!("{}/{}", parts.join("/"), self.name);
        vec![format!("{base}.rs"), format!("{base}/mod.rs")]
    }
}

impl File {
    fn new(path: String, source: &str) -> File {
        let tokens = tokens(source);
        let mut scan = Scan::default();
        scan.run(&tokens);
        File {
            path,
            lines: source.lines().count(),
            names: scan.names,
            declared: scan.declared,
            tokens,
            test: false,
        }
    }

    /// `src/retry/backoff.rs` is `["retry", "backoff"]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').filter(|p| *p != "lib").collect()
    }

    /// Tokens that a build without tests compiles.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(|t| !t.test)
    }
}

/// One pass over the tokens of a file.
#[derive(Default)]
struct Scan {
    names: Vec<Named>,
    declared: Vec<Declared>,
    depth: usize,
    within: Vec<(String, usize)>,
}

impl Scan {
    fn run(&mut self, tokens: &[Token]) {
        let text = |at: usize| tokens.get(at).map_or("", |t| t.text.as_str());
        let mut path = None;
        let mut at = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            if let Some((_, open)) = attribute(tokens, at) {
                at = closing(tokens, open) + 1;
                if text(open + 1) == "path" && text(open + 2) == "=" {
                    path = Some(text(open + 3).to_owned());
                }
                continue;
            }
            match (token.kind, token.text.as_str()) {
                (Kind::Punct, "{") => self.depth += 1,
                (Kind::Punct, "}") => {
                    self.depth = self.depth.saturating_sub(1);
                    self.within.retain(|(_, depth)| *depth <= self.depth);
                }
                (Kind::Ident, "mod") if text(at + 2) == "{" => {
                    self.within.push((text(at + 1).to_owned(), self.depth + 1));
                }
                (Kind::Ident, "mod") if text(at + 2) == ";" => self.declared.push(Declared {
                    name: text(at + 1).to_owned(),
                    path: path.take(),
                    test: token.test,
                    within: self.place(),
                }),
                (Kind::Ident, "use") if text(at + 1) != "<" => {
                    at = self.use_tree(tokens, at + 1, &[]);
                    continue;
                }
                (Kind::Ident, _) => {
                    at = self.path(tokens, at);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn place(&self) -> Vec<String> {
        self.within.iter().map(|(name, _)| name.clone()).collect()
    }

    fn name(&mut self, segments: Vec<String>, name: String, token: &Token) {
        let within = self.place();
        self.names.push(Named { segments, name, line: token.line, test: token.test, within });
    }

    /// A path in an expression or a type. The index behind it.
    fn path(&mut self, tokens: &[Token], start: usize) -> usize {
        let mut segments = vec![tokens[start].text.clone()];
        let mut at = start + 1;
        while tokens.get(at).is_some_and(|t| t.is("::"))
            && tokens.get(at + 1).is_some_and(|t| t.kind == Kind::Ident)
        {
            segments.push(tokens[at + 1].text.clone());
            at += 2;
        }
        // What follows `<T as Trait>::` is no path of its own.
        let continued = start >= 2 && tokens[start - 1].is("::") && tokens[start - 2].is(">");
        if segments.len() > 1 && !continued {
            let name = segments.last().cloned().unwrap_or_default();
            self.name(segments, name, &tokens[start]);
        }
        at
    }

    /// One branch of a `use`, up to its `,`, `}` or `;`. The index behind it.
    fn use_tree(&mut self, tokens: &[Token], start: usize, prefix: &[String]) -> usize {
        let mut segments = prefix.to_vec();
        let mut at = start;
        while let Some(token) = tokens.get(at) {
            at += 1;
            if token.is("{") {
                while tokens.get(at).is_some_and(|t| !t.is("}")) {
                    at = self.use_tree(tokens, at, &segments);
                    at += usize::from(tokens.get(at).is_some_and(|t| t.is(",")));
                }
                return at + 1;
            }
            if token.is("::") || token.is("$") {
                continue;
            }
            let next = |n: usize| tokens.get(at + n);
            if token.is("self") && !prefix.is_empty() {
                // `a::{self}` is `a`.
            } else if token.kind == Kind::Ident || token.is("*") {
                segments.push(token.text.clone());
            } else {
                return at;
            }
            if next(0).is_some_and(|t| t.is("::")) {
                continue;
            }
            let alias = next(0).is_some_and(|t| t.is("as"));
            let called = if alias { next(1) } else { None };
            let name = called.map(|t| t.text.clone());
            let name = name.or_else(|| segments.last().cloned());
            self.name(segments, name.unwrap_or_default(), token);
            return at + 2 * usize::from(alias);
        }
        at
    }
}
