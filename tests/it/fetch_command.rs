//! The command line of `fetch`: what it takes, what it says where, and how it ends.

use crate::program::{example, finish, run};
use std::time::Duration;
use tokio::time::Instant;
use unwedge::testing::{FaultServer, Peer, Reply};

const MS: Duration = Duration::from_millis(1);

fn listening(peer: &Peer) -> String {
    format!("http://{}", peer.listen().expect("a free port"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_argument_ends_with_two_its_value_and_the_rule_and_nothing_on_standard_output() {
    let peer = Peer::new().forever(Reply::ok("never asked"));
    let url = listening(&peer);
    let url = url.as_str();
    #[rustfmt::skip]
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], "URL", "say what to fetch"),
        (&[url, "again"], "again", "one argument too many"),
        (&[url, "--bogus"], "--bogus", "unknown option"),
        (&["nowhere"], "nowhere", "absolute"),
        (&["http://"], "http://", ""),
        (&["ftp://host/"], "ftp", "http or https"),
        (&[url, "--deadline", "5"], "\"5\"", "5s"),
        (&[url, "--deadline", "0s"], "0 s", "longer than zero"),
        (&[url, "--deadline=-1s"], "-1s", "a number and a unit"),
        (&[url, "--deadline", "87601h"], "87601h", "10 years"),
        (&[url, "--deadline"], "--deadline", "missing argument"),
        (&[url, "--attempt", "40s"], "40 s", "above the total limit of 30 s"),
        (&[url, "--attempt", "0ms"], "0 s", "longer than zero"),
        (&[url, "--connect", "soon"], "soon", "a number and a unit"),
        (&[url, "--idle", "1w"], "1w", "a number and a unit"),
        (&[url, "--retries", "-1"], "-1", "whole number"),
        (&[url, "--repeat", "0"], "0", "at least 1"),
        (&[url, "--every", "1"], "\"1\"", "1s"),
        (&[url, "--method", "G T"], "G T", "not a method"),
        (&[url, "--header", "no colon"], "no colon", "NAME:VALUE"),
        (&[url, "--header", "a: b\nc: d"], "\"a\"", "one line"),
        (&[url, "--header", "a b: c"], "a b", "token"),
        (&[url, "--health", "health"], "health", "slash"),
        (&[url, "--long-poll", " "], "blank", "say why"),
        (&[url, "--hold", "5s"], "--hold", "--long-poll"),
        (&[url, "--long-poll", "jobs are parked", "--hold", "0s"], "0 s", "longer than zero"),
        (&[url, "--ca", "no-such-file.pem"], "no-such-file.pem", ""),
        (&[url, "--ca", "Cargo.toml"], "certificate", ""),
    ];
    for (args, value, rule) in cases {
        let ran = run("fetch", args).await;
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{args:?}");
        assert!(ran.stderr.contains(value) && ran.stderr.contains(rule), "{args:?}: {}", ran.stderr);
        let json = run("fetch", &[*args, &["--json"]].concat()).await;
        assert_eq!((json.code, json.stdout.as_str()), (Some(2), ""), "{args:?}");
    }
    assert_eq!(peer.connections(), 0, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_version_go_to_standard_output() {
    let help = run("fetch", &["--help"]).await;
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for option in ["--deadline", "--long-poll", "--repeat", "--json", "Exit code"] {
        assert!(help.stdout.contains(option), "{option}");
    }
    let version = run("fetch", &["--version"]).await;
    assert_eq!(version.stdout, concat!("fetch ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_goes_to_standard_output_and_the_story_to_standard_error() {
    let peer = Peer::new().then(Reply::status(502)).then(Reply::reset()).forever(Reply::ok("the body"));
    let url = listening(&peer);
    let ran = run("fetch", &[&url]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "the body"));
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    for part in ["200 OK", "8 bytes", "attempt 3", "502", "reset"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains('\x1b'), "no colour into a pipe: {:?}", ran.stderr);
    let quiet = run("fetch", &[&url, "--quiet"]).await;
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("the body", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_json_there_is_one_object_a_call_and_the_body_is_counted() {
    let peer = Peer::new().forever(Reply::sized(3_000_000));
    let ran = run("fetch", &[&listening(&peer), "--json", "--repeat", "3", "--every", "1ms"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let calls = ran.objects();
    assert_eq!(calls.len(), 3);
    for call in calls {
        assert_eq!(call["outcome"], "ok");
        assert_eq!(call["status"], 200);
        assert_eq!(call["bytes"], 3_000_000);
        assert_eq!(call["attempts"], 1);
        assert_eq!(call["breaker"], "closed");
        assert!(call["ms"].is_u64());
    }
    assert_eq!(peer.request_count(), 3);
    assert_eq!(peer.connections(), 1, "one client, one connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_status_is_an_outcome_and_from_400_on_a_failure() {
    for (status, code) in [(204, 0), (302, 0), (404, 1), (501, 1)] {
        let peer = Peer::new().forever(Reply::status(status));
        let ran = run("fetch", &[&listening(&peer), "--json"]).await;
        let call = &ran.objects()[0];
        assert_eq!((&call["outcome"], &call["status"]), (&"ok".into(), &status.into()));
        assert_eq!(ran.code, Some(code), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn method_headers_and_data_arrive_as_they_were_given() {
    let peer = Peer::new().forever(Reply::ok(""));
    let url = listening(&peer);
    run("fetch", &[&url, "--data", "{}", "--header", "X-A: 1", "--header", "X-A:2"]).await;
    run("fetch", &[&url, "--method", "DELETE"]).await;
    let arrived = peer.requests();
    assert_eq!((arrived[0].method.as_str(), &arrived[0].body[..]), ("POST", &b"{}"[..]));
    let values: Vec<_> = arrived[0].headers.get_all("x-a").iter().collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(arrived[1].method.as_str(), "DELETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_its_health_check_is_not_called() {
    let peer = Peer::new().on("/health", Reply::status(500)).forever(Reply::ok(""));
    let url = listening(&peer);
    let ran = run("fetch", &[&url, "--health", "/health", "--retries", "0", "--json"]).await;
    let call = &ran.objects()[0];
    assert_eq!((&call["kind"], &call["phase"]), (&"unhealthy".into(), &"health_check".into()));
    assert!(call["retry_in_ms"].is_u64(), "{call}");
    assert!(peer.requests().iter().all(|request| request.path() == "/health"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_outlasts_the_default_limits_and_an_explicit_deadline_binds_it() {
    let peer = Peer::new().forever(Reply::ok("job").after(700 * MS));
    let url = listening(&peer);
    let poll = ["--long-poll", "jobs are parked", "--hold", "1s", "--json"];
    let ran = run("fetch", &[&[url.as_str(), "--attempt", "200ms"], &poll[..]].concat()).await;
    assert_eq!(ran.objects()[0]["outcome"], "ok", "{ran:?}");
    let ran = run("fetch", &[&[url.as_str(), "--deadline", "300ms"], &poll[..]].concat()).await;
    let call = &ran.objects()[0];
    assert_eq!(call["kind"], "deadline", "{call}");
    assert!(call["ms"].as_u64().is_some_and(|took| took <= 400), "{call}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_streams_is_printed_as_it_comes_and_ends_with_the_deadline() {
    let peer = Peer::new().forever(Reply::sized(4 << 20).drip(64 << 10, 20 * MS));
    let ran = run("fetch", &[&listening(&peer), "--deadline", "600ms"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.len() > 64 << 10, "{} bytes arrived", ran.stdout.len());
    assert!(ran.stderr.contains("deadline"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_output_ends_it_quietly() {
    let server = FaultServer::start(&["endless-body"]).expect("a port");
    let url = server.url("endless-body").expect("it was started");
    let began = Instant::now();
    let mut child = example("fetch").arg(url).args(["--deadline", "20s"]).spawn().expect("it starts");
    drop(child.stdout.take());
    let ran = finish(child, began).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.took < Duration::from_secs(10), "{:?}", ran.took);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_reading_does_not_hold_it_beyond_the_deadline() {
    let server = FaultServer::start(&["endless-body"]).expect("a port");
    let url = server.url("endless-body").expect("it was started");
    let began = Instant::now();
    let mut child = example("fetch").arg(url).args(["--deadline", "600ms"]).spawn().expect("it starts");
    let unread = child.stdout.take();
    let ran = finish(child, began).await;
    drop(unread);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("nobody took the body"), "{}", ran.stderr);
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_cleanly_by_a_signal() {
    let peer = Peer::new().forever(Reply::ok(""));
    let began = Instant::now();
    let url = listening(&peer);
    let child = example("fetch").args([&url, "--json", "--repeat", "1000", "--every", "50ms"]).spawn();
    let child = child.expect("it starts");
    assert!(peer.arrived(3, Duration::from_secs(10)).await, "it watches");
    crate::program::signal(&child, "TERM").await;
    let ran = finish(child, began).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.objects().len() >= 2);
}

/// Runs `fetch` on a machine with these proxies.
async fn behind(variables: &[(&str, &str)], args: &[&str]) -> crate::program::Ran {
    let began = Instant::now();
    let mut command = example("fetch");
    command.envs(variables.iter().copied()).args(args);
    finish(command.spawn().expect("the example can be started"), began).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxies_of_the_environment_are_honoured_and_a_variable_that_is_no_url_is_named() {
    let proxy = Peer::new().forever(Reply::ok("by the proxy"));
    let at = listening(&proxy).replace("http://", "http://user:hunter2@");
    let url = "http://api.example/jobs";
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let ran = behind(&[(name, &at)], &[url, "--quiet"]).await;
        assert_eq!((ran.code, &*ran.stdout), (Some(0), "by the proxy"), "{name}: {ran:?}");
    }
    assert_eq!(proxy.requests()[0].target, url);
    let once = ["--retries", "0", "--connect", "500ms"];
    let ran = behind(&[("HTTP_PROXY", &at), ("NO_PROXY", "example")], &[&[url][..], &once].concat()).await;
    assert_eq!((ran.code, proxy.request_count()), (Some(1), 4), "{ran:?}");
    let direct = Peer::new().forever(Reply::ok("direct"));
    let broken = [("HTTP_PROXY", "hunter2@not a url")];
    let ran = behind(&broken, &[&listening(&direct), "--quiet"]).await;
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "direct"), "loopback needs no proxy: {ran:?}");
    let ran = behind(&broken, &[url]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("HTTP_PROXY") && ran.stderr.contains("is no URL"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_without_tls_when_it_is_asked_for() {
    let peer = Peer::new().forever(Reply::ok("two"));
    let url = listening(&peer);
    let ran = run("fetch", &[&url, "--http2", "--quiet"]).await;
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "two"), "{ran:?}");
    assert_eq!(peer.requests()[0].version, http::Version::HTTP_2);
}
