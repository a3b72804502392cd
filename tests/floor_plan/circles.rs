//! Which file imports which, and where that runs in a circle.

use crate::source::{File, Named, Tree, What};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Who imports whom, by a `use` or a path in code. A re-export is a door and no use: who goes through it imports the file
/// behind, and the file with the door imports nothing, unless it uses the name itself.
type Arrows<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Two files of a circle can only be understood together. The shortest circle of each knot is told.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let arrows = arrows(tree);
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for start in arrows.keys() {
        let Some(circle) = shortest(&arrows, start) else { continue };
        if circle.iter().all(|file| !seen.contains(file)) {
            broken.push(format!("{} -> {start}: a circle of imports", circle.join(" -> ")));
            seen.extend(circle);
        }
    }
    broken
}

fn arrows(tree: &Tree) -> Arrows<'_> {
    let doors = Doors::of(tree);
    let mut arrows = Arrows::new();
    for file in tree.library() {
        let to = arrows.entry(&file.path).or_default();
        for named in file.names.iter().filter(|named| !named.is_door || uses_itself(file, named)) {
            let found = file.absolute(named).and_then(|path| doors.behind(path));
            if let Some(found) = found.filter(|found| found.path != file.path) {
                to.insert(&found.path);
            }
        }
    }
    arrows
}

fn uses_itself(file: &File, door: &Named) -> bool {
    let used = |named: &Named| named.what != What::Import && named.segments[0] == door.name;
    file.names.iter().any(|named| used(named) && named.within == door.within)
}

struct Doors<'a> {
    files: BTreeMap<Vec<&'a str>, &'a File>,
    /// Where a name leads that a file re-exports.
    doors: BTreeMap<(&'a str, &'a str), Vec<String>>,
}

impl<'a> Doors<'a> {
    fn of(tree: &'a Tree) -> Doors<'a> {
        let mut files = BTreeMap::new();
        let mut doors = BTreeMap::new();
        for file in tree.library().chain(tree.0.get("src/lib.rs")) {
            files.insert(file.module(), file);
            for named in file.names.iter().filter(|named| named.is_door) {
                if let Some(to) = file.absolute(named) {
                    doors.insert((file.path.as_str(), named.name.as_str()), to);
                }
            }
        }
        Doors { files, doors }
    }

    /// The file that a path from the root leads to.
    fn behind(&self, mut path: Vec<String>) -> Option<&'a File> {
        // No chain of re-exports is this long; two that name each other would not end.
        for _ in 0..8 {
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            // The longest beginning that is a module with a file of its own.
            let len = (0..=names.len()).rev().find(|len| self.files.contains_key(&names[..*len]))?;
            let file = self.files[&names[..len]];
            let door = names.get(len).and_then(|name| self.doors.get(&(file.path.as_str(), *name)));
            let Some(door) = door else { return Some(file).filter(|file| file.path != "src/lib.rs") };
            path = door.iter().chain(&path[len + 1..]).cloned().collect();
        }
        None
    }
}

/// The shortest way from a file back to itself.
fn shortest<'a>(arrows: &Arrows<'a>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut todo = VecDeque::from([start]);
    while let Some(at) = todo.pop_front() {
        for next in arrows.get(at).into_iter().flatten() {
            if *next == start {
                let mut way = vec![at];
                while let Some(before) = came_from.get(way[way.len() - 1]) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, at);
                todo.push_back(next);
            }
        }
    }
    None
}
