//! Settings under keys of their own: a table from each key to where the setting stands in what serde makes of it.

use super::read::{Fault, Reader};
use super::tree::{Node, Value};
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// A key, and the path of the setting.
pub(super) type Keys = &'static [(&'static str, &'static [&'static str])];

/// Settings from a block with these keys; a key that is none of them is an error.
pub(super) fn read<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    block: D,
    keys: Keys,
) -> Result<T, D::Error> {
    let block = Node::deserialize(block)?;
    let settings = renamed(block, keys).map_err(D::Error::custom)?;
    T::deserialize(Reader(&settings)).map_err(|fault| D::Error::custom(under_keys(fault, keys)))
}

/// The same tree as serde knows it.
pub(super) fn renamed(block: Node, keys: Keys) -> Result<Node, Fault> {
    let mut settings = Node::table(BTreeMap::new());
    match block.value {
        Value::Null => {}
        Value::Table(entries) => {
            for (name, node) in entries {
                let Some((_, path)) = keys.iter().find(|(key, _)| *key == name) else {
                    let known: Vec<String> = keys.iter().map(|(key, _)| format!("`{key}`")).collect();
                    let message = format!("unknown field `{name}`, expected one of {}", known.join(", "));
                    return Err(Fault { path: vec![name], message });
                };
                settings.overlay(node.under(path.iter().rev().copied()));
            }
        }
        // Refused by whatever wanted a table.
        value => settings.value = value,
    }
    Ok(settings)
}

/// A fault in the words of the block.
fn under_keys(fault: Fault, keys: Keys) -> Fault {
    let leads =
        |path: &[&str]| path.len() <= fault.path.len() && path.iter().zip(&fault.path).all(|(a, b)| a == b);
    let Some((key, path)) = keys.iter().find(|(_, path)| leads(path)) else { return fault };
    let rest = fault.path[path.len()..].to_vec();
    rest.into_iter()
        .rev()
        .fold(Fault { path: Vec::new(), message: fault.message }, |fault, key| fault.beneath(&key))
        .beneath(key)
}

/// Settings as a block with these keys.
pub(super) fn write<T: Serialize, S: Serializer>(
    settings: &T,
    keys: Keys,
    block: S,
) -> Result<S::Ok, S::Error> {
    let settings = serde_json::to_value(settings).map_err(S::Error::custom)?;
    let value = |path: &[&str]| path.iter().fold(&settings, |value, key| &value[*key]).clone();
    block.collect_map(keys.iter().map(|(key, path)| (key, value(path))))
}
