//! Programs that depend on this crate beside other clients, one for each combination of features: none of our features
//! changes a client that is not ours. Each is built with its own features alone and run, where `UNWEDGE_SLOW_TESTS` is set.

use crate::workspaces::{Workspace, said, wanted};

static TREES: Workspace = Workspace::new("trees");

fn runs(program: &str) {
    TREES.runs(program);
}

/// What stands in the tree of a program: `reqwest feature "http2"` and the like. Nothing where these tests are not wanted.
fn tree(program: &str) -> String {
    if !wanted() {
        return String::new();
    }
    let output =
        TREES.cargo(&["tree", "--locked", "-p", program, "-e", "normal,features", "--prefix", "none"]);
    assert!(output.status.success(), "{program}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn no_feature_but_the_providers_brings_cryptography() {
    for program in ["hyper_only", "plain_reqwest", "native_tls"] {
        assert!(!tree(program).contains("rustls v"), "{program}");
    }
    let ours = tree("no_provider");
    assert!(!ours.contains("aws-lc-rs v"), "the program has ring, and nothing else: {ours}");
}

#[test]
fn feature_reqwest_turns_on_no_feature_of_reqwest() {
    for program in ["plain_reqwest", "native_tls"] {
        let tree = tree(program);
        let features = ["http2", "rustls", "rustls-no-provider", "default-tls", "charset"];
        let on: Vec<_> =
            features.iter().filter(|name| tree.contains(&format!("reqwest feature \"{name}\""))).collect();
        assert!(on.is_empty(), "{program}: {on:?}");
    }
}

#[test]
fn the_layers_over_hyper_util_need_no_tls() {
    runs("hyper_only");
}

#[test]
fn a_reqwest_without_tls_stays_one() {
    runs("plain_reqwest");
}

#[test]
fn a_reqwest_with_the_tls_of_the_platform_keeps_it() {
    runs("native_tls");
}

#[test]
fn all_defaults_share_one_provider() {
    runs("rustls_default");
}

#[test]
fn a_tree_with_ring_takes_feature_ring_and_has_one_provider() {
    runs("ring_only");
}

#[test]
fn a_client_without_a_provider_says_what_to_do_and_takes_that_of_the_process() {
    runs("no_provider");
}

#[test]
fn in_a_tree_with_two_providers_our_clients_work_and_one_line_mends_bare_builders() {
    runs("two_providers");
}
