//! Who may use whom.

use crate::rules::{Plan, at};
use crate::source::{File, Named, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// Each module uses floors below it and, on its own floor, what the table lists. No module without a floor, no line in
/// the table that nothing needs.
pub(crate) fn broken(plan: &Plan, tree: &Tree) -> Vec<String> {
    let mut broken = BTreeSet::new();
    let exports = exports(plan, tree, &mut broken);
    let mut used = BTreeSet::new();
    let mut present = BTreeSet::new();
    for file in tree.library() {
        let own = file.module()[0].to_owned();
        present.insert(own.clone());
        if plan.pages.contains(&own.as_str()) {
            continue;
        }
        let Some(floor) = plan.floor(&own) else {
            broken.insert(format!(
                "{}: `{own}` stands on no floor: add it to FLOORS in tests/floor_plan.rs",
                file.path
            ));
            continue;
        };
        for named in &file.names {
            let Some(target) = target(file, named, &exports) else {
                continue;
            };
            let path = named.path();
            let problem = match target {
                Target::Module(target) if target == own => continue,
                Target::Module(target) => match plan.floor(&target) {
                    None => format!("`{path}` leads to `{target}`, which stands on no floor"),
                    Some(below) if below < floor => continue,
                    Some(above) if above > floor => format!(
                        "`{own}` on the floor of {} uses `{path}` of `{target}` on that of {} above it",
                        plan.floors[floor].0, plan.floors[above].0
                    ),
                    Some(_) => {
                        used.insert((own.clone(), target.clone()));
                        let listed = |(from, to, _): &&(&str, &str, &str)| *from == own && *to == target;
                        if plan.neighbours.iter().any(|n| listed(&n)) {
                            continue;
                        }
                        format!(
                            "`{own}` uses `{path}` of `{target}` on its own floor: if it must, \
                             add (\"{own}\", \"{target}\", \"why\") to NEIGHBOURS in tests/floor_plan.rs"
                        )
                    }
                },
                Target::All => format!("`{path}` takes everything: name what is used"),
                Target::Unknown(name) => format!(
                    "cannot tell whose `{name}` is: name its module, or re-export it by name in src/lib.rs"
                ),
            };
            broken.insert(at(file, named.line, problem));
        }
    }
    for (from, to, why) in plan.neighbours {
        if why.trim().is_empty() {
            broken.insert(format!("NEIGHBOURS: {from} -> {to} has no reason"));
        }
        let needed = used.contains(&((*from).to_owned(), (*to).to_owned()));
        if present.contains(*from) && !needed {
            broken.insert(format!("NEIGHBOURS: {from} -> {to} is used no more: remove the line"));
        }
    }
    broken.into_iter().collect()
}

enum Target {
    Module(String),
    All,
    Unknown(String),
}

/// Which module owns a name that the crate root shows: re-exports and macros.
fn exports(plan: &Plan, tree: &Tree, broken: &mut BTreeSet<String>) -> BTreeMap<String, String> {
    let mut exports = BTreeMap::new();
    for module in plan.floors.iter().flat_map(|(_, modules)| *modules).chain(plan.pages) {
        exports.insert((*module).to_owned(), (*module).to_owned());
    }
    for file in tree.library() {
        let module = file.module()[0].to_owned();
        exports.insert(module.clone(), module.clone());
        for name in &file.macros {
            exports.insert(name.clone(), module.clone());
        }
    }
    let Some(lib) = tree.0.get("src/lib.rs") else {
        broken.insert("there is no src/lib.rs".to_owned());
        return exports;
    };
    for named in &lib.names {
        let from = |s: &&String| *s != "crate" && *s != "self";
        let path: Vec<&String> = named.segments.iter().filter(from).collect();
        let Some(module) = path.first().and_then(|first| exports.get(*first)).cloned() else {
            continue;
        };
        if named.name == "*" {
            broken.insert(at(lib, named.line, "re-export by name: a glob hides whose a name is"));
        } else if path.len() > 1 {
            exports.entry(named.name.clone()).or_insert(module);
        }
    }
    exports
}

/// What of this crate a path leads to; none for other crates and local names.
fn target(file: &File, named: &Named, exports: &BTreeMap<String, String>) -> Option<Target> {
    let path = file.absolute(named)?;
    let inside = named.segments[0] != "crate" && path.first().is_some_and(|first| first == file.module()[0]);
    Some(match path.first().map(String::as_str) {
        None | Some("*") => Target::All,
        Some(name) if inside => Target::Module(name.to_owned()),
        Some(name) => match exports.get(name) {
            Some(module) => Target::Module(module.clone()),
            None => Target::Unknown(name.to_owned()),
        },
    })
}
