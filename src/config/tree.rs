//! What stands in a file, a variable or a flag: a tree of values, each with its place.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

/// A value and where it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) value: Value,
    /// None for what holds together values of several places.
    pub(super) place: Option<Place>,
}

#[derive(Clone, Debug, Default)]
pub(super) enum Value {
    /// A key that stands there alone, as a section does of which everything was taken out.
    #[default]
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// Of a variable or a flag, which know no types: a text, a number, or whatever is asked for.
    Untyped(String),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

/// `agent.yaml:3`, `environment variable UNWEDGE_RETRY__MAX_DELAY` or `flag --max-delay`.
#[derive(Clone, Debug)]
pub(super) struct Place {
    source: Arc<str>,
    line: Option<usize>,
}

impl Place {
    pub(super) fn new(source: impl Into<Arc<str>>) -> Place {
        Place { source: source.into(), line: None }
    }

    pub(super) fn at(&self, line: usize) -> Place {
        Place { source: Arc::clone(&self.source), line: Some(line) }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

impl Node {
    pub(super) fn new(value: Value, place: Place) -> Node {
        Node { value, place: Some(place) }
    }

    pub(super) fn table(entries: BTreeMap<String, Node>) -> Node {
        Node { value: Value::Table(entries), place: None }
    }

    /// This value under these keys, the innermost first.
    pub(super) fn under<'a>(self, keys: impl Iterator<Item = &'a str>) -> Node {
        keys.fold(self, |node, key| {
            let place = node.place.clone();
            Node { place, ..Node::table(BTreeMap::from([(key.to_owned(), node)])) }
        })
    }

    /// Puts the values of another layer over those of this one.
    pub(super) fn overlay(&mut self, above: Node) {
        match (&mut self.value, above.value) {
            (Value::Table(below), Value::Table(above)) => {
                for (key, node) in above {
                    match below.get_mut(&key) {
                        Some(old) => old.overlay(node),
                        None => drop(below.insert(key, node)),
                    }
                }
            }
            // An emptied section says nothing of what another layer has in it.
            (Value::Table(_), Value::Null) => {}
            (below, value) => (*below, self.place) = (value, above.place),
        }
    }

    /// The value under a path, or as far as it leads.
    pub(super) fn follow<'a>(&self, path: impl Iterator<Item = &'a str>) -> Found<'_> {
        let (mut node, mut whole) = (self, true);
        for key in path {
            let Value::Table(entries) = &node.value else {
                whole = false;
                break;
            };
            let Some(next) = entries.get(key) else {
                whole = false;
                break;
            };
            node = next;
        }
        Found { node, whole }
    }
}

pub(super) struct Found<'a> {
    pub(super) node: &'a Node,
    /// Whether the path leads to it.
    pub(super) whole: bool,
}
