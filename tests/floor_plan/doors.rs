//! What users can reach: what may grow can grow without breaking them, and what they set they can read back.

use crate::reader::is_test;
use crate::source::Tree;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use syn::spanned::Spanned;
use syn::{Attribute, Fields, FnArg, ImplItem, Item, ReceiverKind, ReturnType, Signature, Type, Visibility};

/// (what, why): what a rule lets pass.
pub(crate) type Exceptions = &'static [(&'static str, &'static str)];

/// A public type, where it stands, and what is broken about it.
type Finding = (String, String, usize, &'static str);

/// The most settings that one type of them has: of more, some belong together.
const SETTERS: usize = 8;

/// The public methods of a type that take it by value and give it back, with their lines; and those that only look.
#[derive(Default)]
struct Methods {
    setters: Vec<(String, String, usize)>,
    getters: BTreeSet<String>,
}

/// All public items of the library and the public methods of its types, by name of the type.
pub(crate) struct Doors {
    findings: Vec<Finding>,
    methods: BTreeMap<String, Methods>,
}

impl Doors {
    pub(crate) fn new<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Doors {
        let mut doors = Doors { findings: Vec::new(), methods: BTreeMap::new() };
        for (path, source) in sources {
            let file = syn::parse_file(source).unwrap_or_else(|e| panic!("{path}: {e}"));
            doors.items(path, &file.items);
        }
        doors
    }

    /// Of the files that are compiled into the library.
    pub(crate) fn of(tree: &Tree, root: &Path) -> Doors {
        let read = |path: &String| {
            std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
        };
        let files: Vec<(&str, String)> = tree.library().map(|f| (f.path.as_str(), read(&f.path))).collect();
        Doors::new(files.iter().map(|(path, source)| (*path, source.as_str())))
    }

    fn items(&mut self, path: &str, items: &[Item]) {
        for item in items {
            match item {
                Item::Mod(module) if !is_test(&module.attrs) => {
                    self.items(path, module.content.as_ref().map_or(&[], |(_, items)| items));
                }
                Item::Struct(item) if is_open(&item.vis) && !is_test(&item.attrs) => {
                    let (name, line) = (item.ident.to_string(), item.span().start().line);
                    let public = item.fields.iter().any(|field| is_open(&field.vis));
                    match item.fields {
                        Fields::Unnamed(_) if public => {
                            self.found(path, name, line, "has a public field without a name");
                        }
                        Fields::Named(_) if public && !may_grow(&item.attrs) => {
                            self.found(path, name, line, "has public fields and no #[non_exhaustive]");
                        }
                        _ => {}
                    }
                }
                Item::Enum(item) if is_open(&item.vis) && !is_test(&item.attrs) => {
                    let (name, line) = (item.ident.to_string(), item.span().start().line);
                    if !may_grow(&item.attrs) {
                        self.found(path, name.clone(), line, "has no #[non_exhaustive]");
                    }
                    for variant in item.variants.iter().filter(|v| matches!(v.fields, Fields::Unnamed(_))) {
                        let name = format!("{name}::{}", variant.ident);
                        self.found(path, name, line, "has a public field without a name");
                    }
                }
                Item::Impl(item) if item.trait_.is_none() && !is_test(&item.attrs) => {
                    let Some(name) = name_of(&item.self_ty) else { continue };
                    for part in &item.items {
                        if let ImplItem::Fn(function) = part {
                            if is_open(&function.vis) && !is_test(&function.attrs) {
                                self.method(path, &name, &function.sig);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn found(&mut self, path: &str, what: String, line: usize, fault: &'static str) {
        self.findings.push((what, path.to_owned(), line, fault));
    }

    fn method(&mut self, path: &str, of: &str, signature: &Signature) {
        // Two types of one name are told apart by their module.
        let module = path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
        let methods = self.methods.entry(format!("{module}::{of}")).or_default();
        let (name, line) = (signature.ident.to_string(), signature.span().start().line);
        match signature.inputs.first() {
            Some(FnArg::Receiver(receiver)) if matches!(receiver.kind, ReceiverKind::Value) => {
                let gives_back = match &signature.output {
                    ReturnType::Type(_, given) => {
                        name_of(given).is_some_and(|name| name == "Self" || name == of)
                    }
                    ReturnType::Default => false,
                };
                if gives_back {
                    methods.setters.push((name, path.to_owned(), line));
                }
            }
            Some(FnArg::Receiver(_)) => {
                methods.getters.insert(name);
            }
            _ => {}
        }
    }

    /// What cannot grow: a field without a name, a type that is matched or built to its last field.
    pub(crate) fn closed(&self, exceptions: Exceptions) -> Vec<String> {
        let all = self
            .findings
            .iter()
            .map(|(what, path, line, fault)| (what.clone(), format!("{path}:{line}: `{what}` {fault}")));
        but(all, exceptions)
    }

    /// What is set and cannot be read back.
    pub(crate) fn unread(&self, exceptions: Exceptions) -> Vec<String> {
        let mut all = Vec::new();
        for (of, methods) in &self.methods {
            for (setter, path, line) in &methods.setters {
                let getter = format!("get_{setter}");
                if !methods.getters.contains(&getter) {
                    let what = format!("{path}:{line}: `{of}` sets `{setter}` and has no `{getter}`");
                    all.push((format!("{of}::{setter}"), what));
                }
            }
        }
        but(all, exceptions)
    }

    /// Types with more settings than anybody keeps in mind.
    pub(crate) fn crowded(&self, exceptions: Exceptions) -> Vec<String> {
        let crowd = self.methods.iter().filter(|(_, methods)| methods.setters.len() > SETTERS);
        let all = crowd.map(|(of, methods)| {
            let (many, path) = (methods.setters.len(), &methods.setters[0].1);
            (
                of.clone(),
                format!("{path}: `{of}` has {many} setters, at most {SETTERS}: some belong together"),
            )
        });
        but(all, exceptions)
    }
}

/// All but the exceptions, and each exception that is none or has no reason. One that ends in `::` is for a whole type, or
/// for a whole module.
fn but(all: impl IntoIterator<Item = (String, String)>, exceptions: Exceptions) -> Vec<String> {
    let mut used = BTreeSet::new();
    let mut broken: Vec<String> = Vec::new();
    for (what, line) in all {
        let is =
            |exception: &str| what == exception || exception.ends_with("::") && what.starts_with(exception);
        match exceptions.iter().find(|(exception, _)| is(exception)) {
            Some((exception, _)) => {
                used.insert(*exception);
            }
            None => broken.push(line),
        }
    }
    for (exception, why) in exceptions {
        if why.trim().is_empty() {
            broken.push(format!("{exception:?} has no reason"));
        }
        if !used.contains(exception) {
            broken.push(format!("{exception:?} is no exception any more: remove it from its list"));
        }
    }
    broken
}

fn is_open(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn may_grow(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"))
}

fn name_of(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}
