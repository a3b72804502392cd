//! What the package says of itself, compared with what it is made of.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Major and minor number.
fn version(text: &str) -> (u64, u64) {
    let mut numbers = text.split('.').map(|number| number.parse().expect("a number"));
    (numbers.next().expect("a major number"), numbers.next().unwrap_or(0))
}

#[test]
fn no_crate_behind_this_one_asks_for_a_newer_compiler() {
    let cargo = std::env::var_os("CARGO").expect("tests are run by cargo");
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--locked", "--all-features", "--format-version", "1"]);
    metadata.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    let said = metadata.output().expect("cargo can be run").stdout;
    let all: Value = serde_json::from_slice(&said).expect("cargo prints JSON");
    let packages = all["packages"].as_array().expect("a list");
    let ours = packages.iter().find(|package| package["name"] == "unwedge").expect("this package");
    let promised = version(ours["rust_version"].as_str().expect("a rust-version"));
    let newer = packages
        .iter()
        .filter(|package| package["rust_version"].as_str().is_some_and(|wanted| version(wanted) > promised));
    let newer: Vec<_> =
        newer.map(|package| format!("{} {}", package["name"], package["rust_version"])).collect();
    assert!(newer.is_empty(), "newer than the rust-version of Cargo.toml: {newer:?}");
}

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each dependency of a program that uses this crate, and the features that bring it.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let manifest: toml::Table = text("Cargo.toml").parse().expect("TOML");
    let features = manifest["features"].as_table().expect("a table");
    let tables = std::iter::once(&manifest["dependencies"]).chain(
        manifest["target"].as_table().into_iter().flatten().filter_map(|(_, of)| of.get("dependencies")),
    );
    let names = tables.flat_map(|table| table.as_table().expect("a table"));
    let brought = |name: &str, how: &toml::Value| -> BTreeSet<String> {
        if how.get("optional").and_then(toml::Value::as_bool) != Some(true) {
            return BTreeSet::from(["always".to_owned()]);
        }
        let brings = |with: &toml::Value| {
            let with = with.as_array().expect("a list");
            with.iter().any(|one| one.as_str() == Some(&format!("dep:{name}")))
        };
        features.iter().filter(|(_, with)| brings(with)).map(|(feature, _)| format!("`{feature}`")).collect()
    };
    names.map(|(name, how)| (name.clone(), brought(name, how))).collect()
}

#[test]
fn every_dependency_is_in_the_table_of_reasons_with_its_features_and_nothing_else_is() {
    let page = text("docs/dependencies.md");
    let (built_on, _) = page.split_once("## What was left out").expect("two parts");
    let mut listed = BTreeMap::new();
    for row in built_on.lines().filter_map(|line| line.strip_prefix("| `")) {
        let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        let [name, with, why] = cells[..] else { panic!("three columns: {row}") };
        assert!(why.len() > 20, "{name} has no reason");
        let with = with.split(", ").map(str::to_owned).collect::<BTreeSet<_>>();
        let before = listed.insert(name.trim_end_matches('`').to_owned(), with);
        assert_eq!(before, None, "{name} is there twice");
    }
    assert_eq!(listed, dependencies());
}
