//! `cargo unwedge` as cargo starts it: each command is the example of the same name.

use crate::program::{Ran, example, finish, refused_by, run};
use std::process::Stdio;
use tokio::process::Command;
use tokio::time::Instant;

/// The program, with the name that cargo passes on.
fn cargo_unwedge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-unwedge"));
    command
        .arg("unwedge")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn unwedge(args: &[&str]) -> Ran {
    let began = Instant::now();
    finish(cargo_unwedge().args(args).spawn().expect("it can be started"), began).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_and_ends_as_the_example_of_its_name() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lints");
    let lines: [(&str, &[&str]); 6] = [
        ("lint", &[dir, "--json"]),
        ("lint", &[dir]),
        ("lint", &[dir, "--print", "deny"]),
        ("faults", &["--list"]),
        ("faults", &["--list", "--json"]),
        ("fetch", &["no url"]),
    ];
    for (name, args) in lines {
        let (ours, examples) = (unwedge(&[&[name], args].concat()).await, run(name, args).await);
        assert_eq!((ours.code, &ours.stdout), (examples.code, &examples.stdout), "{name} {args:?}: {ours:?}");
    }
    // Also without the word that cargo adds.
    let mut bare = Command::new(env!("CARGO_BIN_EXE_cargo-unwedge"));
    bare.args(["faults", "--list"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let bare = finish(bare.spawn().expect("it can be started"), Instant::now()).await;
    assert_eq!((bare.code, bare.stdout), (Some(0), run("faults", &["--list"]).await.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_makes_a_call_and_faults_plays_what_it_meets() {
    let mut faults = cargo_unwedge();
    faults.args(["faults", "--serve", "status-503", "--for", "20s", "--json"]);
    let mut faults = faults.spawn().expect("it can be started");
    let url = {
        use tokio::io::{AsyncBufReadExt, BufReader};
        let mut lines = BufReader::new(faults.stdout.as_mut().expect("piped")).lines();
        loop {
            let line = lines.next_line().await.expect("a line").expect("it goes on");
            let object = crate::program::object(&line);
            if object["event"] == "fault" {
                break object["url"].as_str().expect("a URL").to_owned();
            }
        }
    };
    let ran = unwedge(&["fetch", &url, "--retries", "0", "--json"]).await;
    let object = &ran.objects()[0];
    assert_eq!(
        (ran.code, &object["status"], &object["attempts"]),
        (Some(1), &503.into(), &1.into()),
        "{ran:?}"
    );
    faults.kill().await.expect("it was running");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_version_name_what_people_type() {
    let version = env!("CARGO_PKG_VERSION");
    for (args, wanted) in [
        (&["--version"][..], format!("cargo unwedge {version}\n")),
        (&["lint", "--version"], format!("cargo unwedge lint {version}\n")),
    ] {
        let ran = unwedge(args).await;
        assert_eq!((ran.code, ran.stdout, &*ran.stderr), (Some(0), wanted, ""), "{args:?}");
    }
    let help = unwedge(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    for name in ["lint", "faults", "fetch"] {
        assert!(help.stdout.contains(&format!("\n  {name} ")), "{}", help.stdout);
        let ran = unwedge(&[name, "--help"]).await;
        assert!(ran.stdout.contains(&format!("\nUsage: cargo unwedge {name} ")), "{}", ran.stdout);
        let pointed = format!("(see cargo unwedge {name} --help)");
        refused_by(cargo_unwedge(), &[name, "--no-such-option"], &pointed).await;
    }
    // The example goes by its own name.
    let ran = finish(example("lint").arg("--help").spawn().expect("it can be started"), Instant::now()).await;
    assert!(ran.stdout.contains("\nUsage: lint "), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_there_is_not_ends_with_two_and_says_which_there_are() {
    for (args, said) in [
        (&[][..], "which command: lint, faults or fetch?"),
        (&["lnit"], "\"lnit\" is no command: lint, faults or fetch"),
        (&["--json"], "unknown option --json"),
        (&["drill"], "cargo run --release --example drill"),
        (&["goodput", "--list"], "cargo run --release --example goodput"),
    ] {
        refused_by(cargo_unwedge(), args, said).await;
    }
}
