//! How a package calls the crates that it depends on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use toml::Table;

/// A package, as far as names go.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// What its library is called in code.
    pub(crate) library: Option<String>,
    /// The crate behind a name in code.
    pub(crate) renames: HashMap<String, String>,
}

/// The manifests of a walk, each read once.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    /// By directory: the one in it, or the nearest above it.
    nearest: HashMap<PathBuf, Option<PathBuf>>,
    read: HashMap<PathBuf, Table>,
    /// What could not be read: the file, and why.
    pub(crate) broken: Vec<(PathBuf, usize, String)>,
}

impl Manifests {
    /// The directory of the package that this directory is part of, not looking above `top`.
    pub(crate) fn package(&mut self, dir: &Path, top: &Path) -> Option<PathBuf> {
        if let Some(known) = self.nearest.get(dir) {
            return known.clone();
        }
        let found = if self.table(dir).is_some() {
            Some(dir.to_owned())
        } else if dir == top {
            None
        } else {
            dir.parent().and_then(|above| self.package(above, top))
        };
        self.nearest.insert(dir.to_owned(), found.clone());
        found
    }

    fn table(&mut self, dir: &Path) -> Option<&Table> {
        if !self.read.contains_key(dir) {
            let file = dir.join("Cargo.toml");
            let text = std::fs::read_to_string(&file).ok()?;
            let table = text.parse::<Table>().unwrap_or_else(|error| {
                let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
                self.broken.push((file, line, error.message().to_owned()));
                Table::new()
            });
            self.read.insert(dir.to_owned(), table);
        }
        self.read.get(dir)
    }

    /// What the package in this directory calls whom.
    pub(crate) fn manifest(&mut self, dir: &Path) -> Manifest {
        let Some(own) = self.table(dir).cloned() else {
            return Manifest::default();
        };
        let shared = dir.ancestors().find_map(|above| {
            let workspace = self.table(above)?.get("workspace")?.get("dependencies")?;
            workspace.as_table().cloned()
        });
        let mut renames = HashMap::new();
        for dependencies in dependencies(&own) {
            for (name, wanted) in dependencies {
                let inherited = wanted.get("workspace").is_some();
                let shared = shared.as_ref().filter(|_| inherited).and_then(|shared| shared.get(name));
                let package = wanted.get("package").or_else(|| shared?.get("package"));
                let package = package.and_then(|package| package.as_str()).unwrap_or(name);
                renames.insert(in_code(name), in_code(package));
            }
        }
        let named = |table: &str| Some(own.get(table)?.get("name")?.as_str()?.to_owned());
        Manifest { library: named("lib").or_else(|| named("package")).map(|name| in_code(&name)), renames }
    }
}

fn in_code(name: &str) -> String {
    name.replace('-', "_")
}

/// Every table of dependencies.
fn dependencies(manifest: &Table) -> Vec<&Table> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(|targets| targets.as_table());
    let targets =
        targets.into_iter().flat_map(|targets| targets.values().filter_map(|target| target.as_table()));
    let tables = std::iter::once(manifest).chain(targets);
    tables.flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)?.as_table())).collect()
}
