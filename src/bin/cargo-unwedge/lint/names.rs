//! What names mean: imports, renames, aliases and definitions of every module, across files and packages.

use crate::lint::known::Known;
use crate::lint::templates::{Templates, learn};
use std::collections::{HashMap, HashSet};
use syn::visit::Visit;
use syn::{Item, Type, UseTree};

/// A path, segment by segment.
pub(crate) type Path = Vec<String>;

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A path in a known crate, its name first.
    Known(Path),
    /// Something of the code itself.
    Own,
    Unknown,
}

/// The names of one module, or of one block.
#[derive(Debug, Default)]
pub(crate) struct Module {
    names: HashMap<String, Name>,
    /// Modules inside: one may have the name of a function that is imported from it.
    modules: HashSet<String>,
    /// Functions and constants of its own, which no path goes through.
    values: HashSet<String>,
    globs: Vec<Path>,
}

#[derive(Debug)]
enum Name {
    /// Imported, or an alias of this type.
    Means(Path),
    /// Defined here.
    Own,
}

impl Module {
    /// The names of these items. Inline modules among them are for `inline`, with their names.
    pub(crate) fn of<'a>(
        items: impl IntoIterator<Item = &'a Item>,
        inline: &mut dyn FnMut(&str, &'a [Item]),
    ) -> Module {
        let mut module = Module::default();
        for item in items {
            let name = match item {
                Item::Use(item) => {
                    let prefix = if item.leading_colon.is_some() { vec![String::new()] } else { Vec::new() };
                    module.import(prefix, &item.tree);
                    continue;
                }
                Item::ExternCrate(item) => {
                    let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
                    let path = vec![String::new(), item.ident.to_string()];
                    module.names.insert(name.to_string(), Name::Means(path));
                    continue;
                }
                Item::Type(item) => {
                    let means = type_path(&item.ty).map_or(Name::Own, Name::Means);
                    module.names.insert(item.ident.to_string(), means);
                    continue;
                }
                Item::Mod(item) => {
                    if let Some((_, items)) = &item.content {
                        inline(&item.ident.to_string(), items);
                    }
                    module.modules.insert(item.ident.to_string());
                    continue;
                }
                Item::Const(syn::ItemConst { ident, .. }) | Item::Static(syn::ItemStatic { ident, .. }) => {
                    module.values.insert(ident.to_string());
                    continue;
                }
                Item::Fn(item) => {
                    module.values.insert(item.sig.ident.to_string());
                    continue;
                }
                Item::Enum(item) => &item.ident,
                Item::Struct(item) => &item.ident,
                Item::Trait(item) => &item.ident,
                Item::Union(item) => &item.ident,
                _ => continue,
            };
            module.names.insert(name.to_string(), Name::Own);
        }
        module
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.values.is_empty() && self.globs.is_empty()
    }

    fn merge(&mut self, other: Module) {
        self.names.extend(other.names);
        self.modules.extend(other.modules);
        self.values.extend(other.values);
        self.globs.extend(other.globs);
    }

    fn import(&mut self, mut path: Path, tree: &UseTree) {
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.import(path, &tree.tree);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(path.clone(), tree)),
            UseTree::Glob(_) => self.globs.push(path),
            UseTree::Name(tree) => self.name(path, &tree.ident, &tree.ident),
            UseTree::Rename(tree) => self.name(path, &tree.ident, &tree.rename),
        }
    }

    fn name(&mut self, mut path: Path, of: &syn::Ident, called: &syn::Ident) {
        // `use a::{self}` is `a`.
        if of != "self" {
            path.push(of.to_string());
        }
        let called = if called == "self" { path.last().cloned() } else { Some(called.to_string()) };
        if let Some(called) = called {
            self.names.insert(called, Name::Means(path));
        }
    }
}

/// The path of a plain type, a leading `::` as an empty segment.
pub(crate) fn type_path(ty: &Type) -> Option<Path> {
    match ty {
        Type::Path(ty) if ty.qself.is_none() => Some(segments(&ty.path)),
        Type::Paren(ty) => type_path(&ty.elem),
        Type::Group(ty) => type_path(&ty.elem),
        _ => None,
    }
}

pub(crate) fn segments(path: &syn::Path) -> Path {
    let root = path.leading_colon.iter().map(|_| String::new());
    root.chain(path.segments.iter().map(|s| s.ident.to_string())).collect()
}

/// Where a name is used: the crate, the module in it, and how the package of it calls other crates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) root: &'a str,
    pub(crate) module: &'a [String],
    pub(crate) renames: &'a HashMap<String, String>,
}

/// All modules that were read.
#[derive(Debug, Default)]
pub(crate) struct World {
    modules: HashMap<(String, Path), Module>,
    /// The library of each package that was read, by the name that others know it by: its root, and its renames.
    libraries: HashMap<String, (String, HashMap<String, String>)>,
    /// Macros by their names, wherever they are defined.
    pub(crate) templates: Templates,
}

/// Where a search has been: crate, module and path. Imports can go in circles, and globs meet again by many ways.
type Seen = HashSet<(String, Path, Path)>;

/// No import that compiles goes by so many places, or has so long a path.
const MOST: usize = 64;
const LONGEST: usize = 16;

impl World {
    /// The items of a file, which is this module of this crate.
    pub(crate) fn add(&mut self, root: &str, module: &[String], items: &[Item]) {
        let mut todo = vec![(module.to_vec(), items)];
        while let Some((path, items)) = todo.pop() {
            let names = Module::of(items, &mut |name, items| {
                let mut inner = path.clone();
                inner.push(name.to_owned());
                todo.push((inner, items));
            });
            let all = self.modules.entry((root.to_owned(), path)).or_default();
            all.merge(names);
        }
    }

    /// The macros of a file, in its functions too.
    pub(crate) fn learn(&mut self, file: &syn::File) {
        struct Macros<'a>(&'a mut Templates);
        impl<'ast> Visit<'ast> for Macros<'_> {
            fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
                learn(item, self.0);
            }
        }
        Macros(&mut self.templates).visit_file(file);
    }

    /// What another has read of other files.
    pub(crate) fn merge(&mut self, other: World) {
        for (name, called) in other.templates {
            self.templates.entry(name).or_default().extend(called);
        }
        for (place, module) in other.modules {
            let all = self.modules.entry(place).or_default();
            all.merge(module);
        }
    }

    pub(crate) fn library(&mut self, name: &str, root: &str, renames: &HashMap<String, String>) {
        self.libraries.insert(name.to_owned(), (root.to_owned(), renames.clone()));
    }

    /// What this path means here, under the names of the blocks around it, innermost last.
    pub(crate) fn meaning(&self, at: Place<'_>, blocks: &[Module], path: &[String]) -> Meaning {
        let Some(first) = path.first() else {
            return Meaning::Unknown;
        };
        let mut seen = Seen::new();
        for block in blocks.iter().rev() {
            if path.len() == 1 && block.values.contains(first) {
                return Meaning::Own;
            }
            match block.names.get(first) {
                Some(Name::Own) => return Meaning::Own,
                // A name that means itself is the crate: `use reqwest;`
                Some(Name::Means(means)) if means[0] != *first => {
                    return self.look(at, &joined(means, &path[1..]), &mut seen);
                }
                Some(Name::Means(means)) => return self.above(at, &joined(means, &path[1..]), &mut seen),
                None => {}
            }
            match self.globs(at, &block.globs, path, &mut seen) {
                Meaning::Unknown => {}
                found => return found,
            }
        }
        self.look(at, path, &mut seen)
    }

    fn look(&self, at: Place<'_>, path: &[String], seen: &mut Seen) -> Meaning {
        let Some(first) = path.first() else {
            return Meaning::Unknown;
        };
        match first.as_str() {
            "" => self.external(at, &path[1..], seen),
            "crate" | "$crate" => self.look_in(at, &[], &path[1..], seen),
            "self" => self.look_in(at, at.module, &path[1..], seen),
            "super" => {
                let above = &at.module[..at.module.len().saturating_sub(1)];
                let at = Place { module: above, ..at };
                // `super::super` goes on upwards.
                let rest = &path[1..];
                match rest.first() {
                    Some(next) if next == "super" => self.look(at, rest, seen),
                    _ => self.look_in(at, above, rest, seen),
                }
            }
            "Self" => Meaning::Own,
            _ => self.above(at, path, seen),
        }
    }

    /// A path that begins with a name of this module, or with that of a crate.
    fn above(&self, at: Place<'_>, path: &[String], seen: &mut Seen) -> Meaning {
        match self.look_in(at, at.module, path, seen) {
            Meaning::Unknown => self.external(at, path, seen),
            found => found,
        }
    }

    /// A path below a module of the same crate.
    fn look_in(&self, at: Place<'_>, module: &[String], path: &[String], seen: &mut Seen) -> Meaning {
        let known = self.modules.get(&(at.root.to_owned(), module.to_vec()));
        let (Some(names), Some(first)) = (known, path.first()) else {
            return Meaning::Unknown;
        };
        if seen.len() > MOST
            || path.len() > LONGEST
            || !seen.insert((at.root.to_owned(), module.to_vec(), path.to_vec()))
        {
            return Meaning::Unknown;
        }
        let at = Place { module, ..at };
        if path.len() > 1 && names.modules.contains(first) {
            let inner = joined(module, &path[..1]);
            return match self.look_in(at, &inner, &path[1..], seen) {
                Meaning::Unknown => Meaning::Own,
                found => found,
            };
        }
        if path.len() == 1 && names.values.contains(first) {
            return Meaning::Own;
        }
        match names.names.get(first) {
            Some(Name::Own) => Meaning::Own,
            Some(Name::Means(means)) if means[0] == *first => {
                self.external(at, &joined(means, &path[1..]), seen)
            }
            Some(Name::Means(means)) => self.look(at, &joined(means, &path[1..]), seen),
            None => self.globs(at, &names.globs, path, seen),
        }
    }

    fn globs(&self, at: Place<'_>, globs: &[Path], path: &[String], seen: &mut Seen) -> Meaning {
        for glob in globs {
            let found = self.look(at, &joined(glob, path), seen);
            match found {
                Meaning::Unknown => {}
                Meaning::Known(ref known) if !begins(known, path.len()) => {}
                found => return found,
            }
        }
        Meaning::Unknown
    }

    fn external(&self, at: Place<'_>, path: &[String], seen: &mut Seen) -> Meaning {
        let Some(first) = path.first() else {
            return Meaning::Unknown;
        };
        let name = at.renames.get(first).unwrap_or(first);
        if Known::is_crate(name) {
            return Meaning::Known(joined(std::slice::from_ref(name), &path[1..]));
        }
        match self.libraries.get(name) {
            Some((root, renames)) if root != at.root => {
                self.look_in(Place { root, module: &[], renames }, &[], &path[1..], seen)
            }
            _ => Meaning::Unknown,
        }
    }
}

/// Whether a glob import brings what stands at the end of this path: its first name must be one that is known.
fn begins(known: &[String], below: usize) -> bool {
    Known::begins(&known[..=known.len().saturating_sub(below)])
}

fn joined(path: &[String], more: &[String]) -> Path {
    path.iter().chain(more).cloned().collect()
}
