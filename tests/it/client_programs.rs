//! Programs with the clients that people have, this crate beneath or around each: they are built and run, and the manual shows
//! their lines.

use crate::workspaces::Workspace;
use std::collections::BTreeSet;
use std::fs;

static CLIENTS: Workspace = Workspace::new("clients");

const PAGE: &str = include_str!("../../src/manual/clients.md");

#[test]
fn kube_lists_are_repeated_and_its_watches_are_quiet_lose_nothing_and_share_the_circuit() {
    CLIENTS.runs_built("kube_watch");
}

#[test]
fn tonic_calls_and_streams_end_and_a_server_that_is_gone_is_left_alone() {
    CLIENTS.runs_built("tonic_health");
}

#[test]
fn octocrab_repeats_a_get_and_a_silent_server_ends_in_time() {
    CLIENTS.runs_built("octocrab_get");
}

#[test]
fn async_openai_repeats_a_request_and_a_silent_server_ends_in_time() {
    CLIENTS.runs_built("openai_models");
}

#[test]
fn the_otlp_exporter_sends_from_its_own_thread_and_repeats_an_export() {
    CLIENTS.runs_built("otlp_export");
}

#[test]
fn object_store_reads_at_the_second_attempt_and_a_silent_server_ends_in_time() {
    CLIENTS.runs_built("object_store_get");
}

#[test]
fn a_call_of_an_aws_sdk_is_repeated_and_a_body_that_comes_to_a_halt_ends_in_time() {
    CLIENTS.runs_built("smithy_calls");
}

/// Without what a formatter moves.
fn plain(code: &str) -> String {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    code.replace(",)", ")").replace(",}", "}")
}

/// Each block of the page with the program that it is from: `<!-- from NAME -->` stands before it.
fn blocks() -> Vec<(&'static str, String)> {
    let (mut blocks, mut from, mut inside) = (Vec::new(), None, None);
    for line in PAGE.lines() {
        match (line.strip_prefix("<!-- from "), &mut inside) {
            (Some(name), _) => from = name.strip_suffix(" -->"),
            (None, None) if line.starts_with("```") => inside = Some(String::new()),
            (None, Some(code)) if line == "```" => {
                blocks.push((from.take().expect("a block says whose it is"), std::mem::take(code)));
                inside = None;
            }
            (None, Some(code)) => code.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn the_lines_of_the_page_stand_in_the_programs_that_are_run() {
    let shown = blocks();
    for (name, code) in &shown {
        let file = CLIENTS.dir().join(name).join("src/main.rs");
        let program = plain(&fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())));
        // What is left out stands as a comment.
        for part in code.split("// ..\n") {
            assert!(program.contains(&plain(part)), "{name} has not:\n{part}");
        }
    }
    let manifest = fs::read_to_string(CLIENTS.dir().join("Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let members = manifest["workspace"]["members"].as_array().expect("a list");
    let programs: BTreeSet<&str> = members.iter().filter_map(|name| name.as_str()).collect();
    let shown: BTreeSet<&str> = shown.iter().map(|(name, _)| *name).chain(["server"]).collect();
    assert_eq!(shown, programs, "each program is on the page");
}

#[test]
fn the_versions_on_the_page_are_those_that_are_run() {
    let lock = fs::read_to_string(CLIENTS.dir().join("Cargo.lock")).expect("a lock file");
    let lock: toml::Table = lock.parse().expect("TOML");
    let locked: Vec<(&str, &str)> = lock["package"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|package| Some((package["name"].as_str()?, package["version"].as_str()?)))
        .collect();
    let mut rows = 0;
    for row in PAGE.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, rest) = row.split_once("` ").expect("a name and its version");
        let version = rest.split(' ').next().expect("a version");
        let is = |(krate, of): &(&str, &str)| {
            *krate == name && format!("{of}.").starts_with(&format!("{version}."))
        };
        assert!(locked.iter().any(is), "{name} {version} is not what is run");
        rows += 1;
    }
    assert!(rows >= 5, "{rows}");
}
