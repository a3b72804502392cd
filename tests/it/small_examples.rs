//! The examples that fit on a screen, run as they stand there; and the list of all examples.

use crate::program::{self, Ran};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Runs it to its end, which comes by itself, and looks for these lines.
async fn says(name: &str, lines: &[&str]) -> Ran {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"));
    let source = fs::read_to_string(path).expect("the source of an example");
    assert!(source.lines().count() < 60, "{name} does not fit on a screen");
    let ran = program::run(name, &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in lines {
        assert!(ran.stdout.contains(line), "{name} does not say {line:?}:\n{}", ran.stdout);
    }
    ran
}

#[tokio::test]
async fn first_call_gets_past_a_restart_and_is_told_of_a_silent_server() {
    says(
        "first_call",
        &["build and deploy after 2 attempts\n", "/silent: ", "timeout: true, retriable: true\n"],
    )
    .await;
}

#[tokio::test]
async fn over_hyper_repeats_a_body_that_broke_off() {
    says("over_hyper", &["200 OK: complete after 2 attempts\n", "circuit closed, 1 failure of 2 calls\n"])
        .await;
}

#[tokio::test]
async fn with_reqwest_repeats_an_attempt_that_hung_and_tells_the_cause() {
    says("with_reqwest", &["build and deploy after 2 requests\n", "/silent: "]).await;
}

#[tokio::test]
async fn long_poll_outlasts_a_limit_that_ends_another_call() {
    says("long_poll", &["no job yet\njob 7\nGET http://", "/slow: "]).await;
}

#[tokio::test]
async fn event_stream_goes_on_after_its_last_event() {
    let events = "1: build started\n2: build done\n3: deploy started\nover 3 connections\n";
    says("event_stream", &[events]).await;
}

#[tokio::test]
async fn supervised_loop_goes_on_after_a_panic_and_a_hang() {
    let sweeps = "sweep 1: ok in execute\nsweep 2: panic in collect\nsweep 3: timeout in collect\nsweep 4: ok in execute\n\
                  clean: true, restarts: 0\n";
    says("supervised_loop", &[sweeps]).await;
}

/// What cargo takes for an example: a file, or a directory with a main file.
fn examples() -> BTreeSet<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let paths = fs::read_dir(dir).expect("the examples").map(|entry| entry.expect("an entry").path());
    let paths = paths.filter(|path| {
        path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists()
    });
    paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

#[test]
fn every_example_is_listed_with_its_command() {
    let page = include_str!("../../examples/README.md");
    let listed = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ");
        let name = cells.next()?.trim_end_matches('`');
        let command = cells.last()?;
        assert!(command.contains(&format!("--example {name}")), "{name} has the command {command}");
        Some(name.to_owned())
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), examples());
}

#[test]
fn the_daemon_of_the_cookbook_is_the_example_of_that_name() {
    let page = include_str!("../../src/manual/recipes.md");
    let source = include_str!("../../examples/daemon.rs");
    let program = source.lines().filter(|line| !line.starts_with("//!")).collect::<Vec<_>>().join("\n");
    assert!(page.contains(program.trim()), "src/manual/recipes.md has another program");
    assert!(source.lines().count() < 100, "{} lines", source.lines().count());
}

#[test]
fn the_programs_of_the_cookbook_are_whole() {
    let page = include_str!("../../src/manual/recipes.md");
    let mut code = false;
    for line in page.lines() {
        code ^= line.starts_with("```");
        assert!(!(code && (line == "#" || line.starts_with("# "))), "a hidden line: {line}");
    }
}

#[cfg(unix)]
mod daemon {
    use crate::program::{self, finish};
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::time::{Instant, timeout};
    use unwedge::Client;
    use unwedge::testing::{Peer, Reply};

    /// The next line of its standard output.
    async fn line(lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>) -> String {
        let next = timeout(program::CEILING, lines.next_line()).await.expect("it says something");
        next.expect("a pipe can be read").expect("it still runs")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_daemon_in_one_file_handles_an_incident_shows_itself_and_ends_at_the_signal() {
        let incidents = Reply::ok(r#"[["prod-eu","disk full"]]"#);
        let server = Peer::new().then(Reply::status(502)).then(incidents).forever(Reply::ok("[]"));
        let url = format!("http://{}", server.listen().unwrap());
        let file = std::env::temp_dir().join(format!("unwedge-daemon-{}.toml", std::process::id()));
        std::fs::write(&file, "every = \"1s\"\n[queue]\nmax_age = \"5m\"\n").unwrap();
        let mut command = program::example("daemon");
        let began = Instant::now();
        let mut child = command.arg(&file).env("DAEMON_SERVER", &url).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();

        let first = line(&mut lines).await;
        let page = first.strip_prefix("status page: ").unwrap_or_else(|| panic!("{first}"));
        assert!(line(&mut lines).await.starts_with("prod-eu: completed after "));
        let client = Client::new().unwrap();
        let shown = async |path: &str| {
            let url = format!("{}{path}", page.trim_end_matches("/admin"));
            client.get(url).await.unwrap().error_for_status().await.unwrap().text().await.unwrap()
        };
        assert!(shown("/readyz").await.contains("ready") && shown("/admin").await.contains("agents"));
        assert!(shown("/metrics").await.contains("unwedge_"));

        program::signal(&child, "TERM").await;
        let ran = timeout(Duration::from_secs(20), finish(child, began)).await.expect("it ends");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains("shutdown complete"), "{}", ran.stderr);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "multi_thread")]
    async fn the_daemon_in_one_file_goes_on_where_its_output_is_on_a_full_disk() {
        let incidents = Reply::ok(r#"[["prod-eu","disk full"]]"#);
        let server = Peer::new().then(incidents.clone()).then(incidents).forever(Reply::ok("[]"));
        let url = format!("http://{}", server.listen().unwrap());
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = program::example("daemon");
        command.env("DAEMON_SERVER", &url).env("DAEMON_EVERY", "1s").stdout(full);
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        // Both incidents were handled once the third sweep is complete.
        let mut sweeps = 0;
        while sweeps < 4 {
            let line = timeout(program::CEILING, log.next_line()).await.expect("it goes on").unwrap();
            let line = line.expect("it still runs");
            assert!(!line.contains("panicked"), "{line}");
            sweeps += usize::from(line.contains("sweep complete") && line.contains("poll"));
        }
        program::signal(&child, "TERM").await;
        let ran = timeout(Duration::from_secs(20), finish(child, began)).await.expect("it ends");
        assert_eq!(ran.code, Some(0));
    }

    #[tokio::test]
    async fn a_wrong_setting_of_the_daemon_is_named_before_anything_runs() {
        let mut command = program::example("daemon");
        let child = command.env("DAEMON_RESILIENCE__RETRY__MAX_RETIRES", "1").spawn().unwrap();
        let ran = finish(child, Instant::now()).await;
        assert_eq!((ran.code, &*ran.stdout), (Some(1), ""));
        assert!(ran.stderr.contains("resilience.retry.max_retires"), "{}", ran.stderr);
    }
}
