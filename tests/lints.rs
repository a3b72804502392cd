//! The three lines of defence, each by the tool itself on crates that must be refused and on crates that must pass.

#![allow(clippy::disallowed_methods, reason = "cargo is waited for, as the test runner waits for this")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};
use toml::Table;

const CLIPPY: &str = include_str!("../src/manual/lints/clippy.toml");
const STRICT: &str = include_str!("../src/manual/lints/strict.toml");
const DENY: &str = include_str!("../src/manual/lints/deny.toml");

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lints")
}

/// A directory of this test's own, with this file in it.
fn with(test: &str, file: &str, text: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&dir).expect("a directory below target");
    fs::write(dir.join(file), text).expect("a file in it");
    dir
}

/// Cargo in the workspace of the fixtures, over the builds of this crate, so that what both need is built once.
fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(fixtures()).env("CARGO_TERM_COLOR", "never").env_remove("RUSTFLAGS");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is below the target directory");
    command.env("CARGO_TARGET_DIR", target);
    command
}

fn clippy(test: &str, config: &str, packages: &[&str], flags: &[&str]) -> Output {
    let packages = packages.iter().flat_map(|package| ["-p", package]);
    let args: Vec<&str> = ["clippy", "--message-format=short"].into_iter().chain(packages).collect();
    let mut command = cargo(&args);
    command.arg("--").args(flags).env("CLIPPY_CONF_DIR", with(test, "clippy.toml", config));
    command.output().expect("cargo runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The lines of the refused crate that say that they are.
fn refused() -> Vec<usize> {
    let source = fs::read_to_string(fixtures().join("refused/src/main.rs")).expect("a fixture");
    let lines = source.lines().enumerate().filter(|(_, line)| line.ends_with("// refused"));
    lines.map(|(index, _)| index + 1).collect()
}

#[test]
fn clippy_refuses_each_raw_client_by_its_line_and_names_the_replacement() {
    let output =
        clippy("refused", CLIPPY, &["refused"], &["-A", "clippy::all", "-D", "clippy::disallowed_methods"]);
    let said = said(&output);
    assert!(!output.status.success(), "{said}");
    for line in refused() {
        let here = format!("refused/src/main.rs:{line}:");
        assert!(said.contains(&here), "line {line} is not refused:\n{said}");
    }
    assert_eq!(said.matches("use of a disallowed method").count(), refused().len(), "{said}");
    let mut long =
        cargo(&["clippy", "-p", "refused", "--", "-A", "clippy::all", "-D", "clippy::disallowed_methods"]);
    let long =
        long.env("CLIPPY_CONF_DIR", with("refused", "clippy.toml", CLIPPY)).output().expect("cargo runs");
    let long = self::said(&long);
    assert!(long.contains("use of a disallowed method `reqwest::Client::new`"), "{long}");
    assert!(long.contains("waits without a limit: use unwedge::Client::new"), "{long}");
}

#[test]
fn clippy_passes_exceptions_with_a_reason_and_look_alikes() {
    let output = clippy("accepted", CLIPPY, &["accepted", "house"], &["-D", "warnings"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_strict_variant_refuses_the_types_too() {
    let config = format!("{CLIPPY}{STRICT}");
    let output =
        clippy("strict", &config, &["refused"], &["-A", "clippy::all", "-D", "clippy::disallowed_types"]);
    let said = said(&output);
    for path in
        ["reqwest::Client", "reqwest::blocking::Client", "hyper_util::client::legacy::Client", "ureq::Agent"]
    {
        assert!(said.contains(&format!("use of a disallowed type `{path}`")), "{path}:\n{said}");
    }
}

#[test]
fn every_path_of_the_lists_is_real() {
    let config = format!("{CLIPPY}{STRICT}").replace("allow-invalid = true, ", "");
    let real = clippy("real", &config, &["real"], &["-D", "warnings"]);
    assert!(real.status.success() && !said(&real).contains("does not refer"), "{}", said(&real));
    // The same with a path that is none, so that silence means something.
    let wrong = config.replace("\"reqwest::Client::new\"", "\"reqwest::Client::old\"");
    let mut command = cargo(&["clippy", "-p", "real"]);
    let wrong =
        command.env("CLIPPY_CONF_DIR", with("wrong", "clippy.toml", &wrong)).output().expect("cargo runs");
    assert!(said(&wrong).contains("`reqwest::Client::old` does not refer"), "{}", said(&wrong));
}

#[test]
fn every_entry_says_why_and_is_silent_where_its_crate_is_not() {
    let config: Table = format!("{CLIPPY}{STRICT}").parse().expect("it is TOML");
    let entries =
        ["disallowed-methods", "disallowed-types"].map(|key| config[key].as_array().expect("a list").clone());
    let entries = entries.concat();
    assert!(entries.len() > 40, "{}", entries.len());
    for entry in &entries {
        assert_eq!(entry["allow-invalid"].as_bool(), Some(true), "{entry:?}");
        let reason = entry["reason"].as_str().expect("a reason");
        assert!(reason.contains(": use ") || reason.contains(", or say "), "{entry:?} names no replacement");
    }
    for path in [
        "reqwest::get",
        "ureq::get",
        "isahc::get",
        "tokio::net::TcpStream::connect",
        "unwedge::LongPoll::unbounded",
    ] {
        assert!(entries.iter().any(|entry| entry["path"].as_str() == Some(path)), "{path}");
    }
}

#[test]
fn an_api_that_demands_bounded_compiles_with_what_has_a_deadline_alone() {
    let output = cargo(&["test", "-p", "demands", "--test", "bounded"]).output().expect("cargo runs");
    assert!(output.status.success(), "{}", said(&output));
    let message = include_str!("fixtures/lints/demands/ui/bare_client.stderr");
    assert!(message.contains("has no deadline: its calls can wait forever"), "{message}");
    assert!(message.contains("use `unwedge::Client`"), "{message}");
}

/// `UNWEDGE_CARGO_DENY` names the program where it is not on the path; the gate sets it.
#[test]
fn cargo_deny_lets_only_named_crates_depend_on_raw_clients() {
    let program = env::var_os("UNWEDGE_CARGO_DENY").unwrap_or_else(|| "cargo-deny".into());
    if !Command::new(&program).arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no cargo-deny; UNWEDGE_CARGO_DENY may name one");
        return;
    }
    let check = |test: &str, recipe: &str, package: &str| {
        let config = with(test, "deny.toml", recipe).join("deny.toml");
        let manifest = fixtures().join(package).join("Cargo.toml");
        let mut command = Command::new(&program);
        command.arg("--manifest-path").arg(manifest).arg("--config").arg(config);
        command.args(["--color", "never", "check", "--hide-inclusion-graph", "bans"]);
        command.output().expect("it runs")
    };
    let named = DENY.replace("wrappers = [", "wrappers = [\"house\", ");
    let accepted = check("deny-accepted", &named, "accepted");
    assert!(accepted.status.success(), "{}", said(&accepted));
    let unnamed = check("deny-unnamed", DENY, "accepted");
    assert!(!unnamed.status.success(), "house is not named: {}", said(&unnamed));
    let refused = check("deny-refused", &named, "refused");
    let said = said(&refused);
    assert!(!refused.status.success(), "{said}");
    for krate in ["reqwest", "hyper-util", "ureq"] {
        let parent = format!("direct parent 'refused = 0.0.0' of banned crate '{krate} =");
        assert!(said.contains(&parent), "{krate}: {said}");
    }
    assert!(said.contains("a raw client waits without a limit: use unwedge"), "{said}");
}
