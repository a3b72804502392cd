//! The built goodput: its command line, and one short day. All days are played by the gate.

use crate::program::{Ran, refused, run};
use serde_json::Value;

/// A day that is played in a moment.
const CHEAP: &str = "restart-2s";
const FEW: &str = "2400";

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_a_day_and_its_promise_a_line() {
    let ran = run("goodput", &["--list"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let days: Vec<(&str, &str)> = ran.stdout.lines().filter_map(|line| line.split_once('\t')).collect();
    assert_eq!(days.len(), ran.stdout.lines().count(), "{}", ran.stdout);
    for day in [
        "random-20",
        "random-33-slow",
        "outage",
        "brownout",
        "restart-8s",
        "flapping-rare",
        "rolling-restart",
        "one-of-five",
        "limiter",
        "quota-1.1",
    ] {
        let promise = days.iter().find(|(name, _)| *name == day).map(|(_, promise)| *promise);
        assert!(
            promise.is_some_and(|promise| promise.contains("points below the best")),
            "{day}: {promise:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_cannot_work_ends_with_two_and_nothing_on_standard_output() {
    let lines = [
        (&["--only", "no-such"][..], "flapping-rare"),
        (&["--seed", "often"], "--seed"),
        (&["--calls", "-1"], "--calls"),
        (&["--svg", "no-such-directory/x.svg"], "no-such-directory"),
        (&["--svg"], "--svg"),
        (&["--bogus"], "--bogus"),
        (&["stray"], "stray"),
    ];
    refused("goodput", &lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_measured_with_every_client_and_drawn() {
    let svg = std::env::temp_dir().join(format!("unwedge-goodput-{}.svg", std::process::id()));
    let path = svg.to_str().expect("a path in UTF-8");
    let ran = run("goodput", &["--only", CHEAP, "--calls", FEW, "--json", "--svg", path]).await;
    let picture = std::fs::read_to_string(&svg).expect("the picture was written");
    std::fs::remove_file(&svg).expect("it was there");
    let objects = ran.objects();
    let (done, clients) = objects.split_last().expect("objects");
    let names: Vec<&str> = clients.iter().filter_map(|object| object["client"].as_str()).collect();
    assert_eq!(names, ["none", "retries", "retries_no_budget", "no_breaker", "unwedge"]);
    for client in clients {
        assert_eq!(client["day"], CHEAP);
        let success = client["success"].as_f64().expect("a share");
        assert!((0.9..1.0).contains(&success) || success == 1.0, "{client}");
        assert!(client["sent_per_call"].as_f64().is_some_and(|sent| sent > 0.9), "{client}");
        assert!(client["refused"].is_u64() && client["recovered_ms"].is_u64(), "{client}");
        assert_eq!(client["calls"], 2400);
    }
    assert_eq!(clients[0]["sent_per_call"], 1.0, "one attempt is one request");
    let worse = u64::from(clients[4]["worse"].as_array().is_some_and(|worse| !worse.is_empty()));
    assert_eq!((&done["event"], &done["days"], &done["worse"]), (&"done".into(), &1.into(), &worse.into()));
    assert_eq!((ran.code, &done["exit"]), (i32::try_from(worse).ok(), &worse.into()));
    assert!(picture.contains("<svg") && picture.contains(CHEAP));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_on_one_seed_are_alike_and_another_seed_is_another_day() {
    let mut days = Vec::new();
    for seed in ["7", "7", "8"] {
        days.push(run("goodput", &["--only", "restart-8s", "--calls", FEW, "--json", "--seed", seed]).await);
    }
    let [first, again, other] = &days[..] else { panic!("three runs") };
    assert_eq!(measured(first), measured(again));
    assert_ne!(measured(first), measured(other));
}

/// What was measured, without the time that it took.
fn measured(ran: &Ran) -> Vec<Value> {
    let mut objects = ran.objects();
    assert_eq!(objects.len(), 6, "{ran:?}");
    objects.truncate(5);
    objects
}

#[tokio::test(flavor = "multi_thread")]
async fn every_day_has_its_row_in_the_comparison() {
    let list = run("goodput", &["--list", "--json"]).await;
    assert_eq!(list.code, Some(0), "{}", list.stderr);
    let page = include_str!("../../docs/comparison.md");
    for day in list.objects() {
        let (name, about) = (day["day"].as_str().expect("a name"), day["about"].as_str().expect("words"));
        assert!(
            page.contains(&format!("| {name} | {about} | ")),
            "docs/comparison.md has no row: {name} | {about}"
        );
    }
}
