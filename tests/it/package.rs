//! What the package says of itself, compared with what it is made of.

use serde_json::Value;
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
