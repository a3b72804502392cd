//! The patrols of the patrol incident, as processes: none of their sweeps ends or delays a loop.

use crate::program::refused;
use crate::running::Running;
use serde_json::Value;
use unwedge::testing::{Peer, Reply, Script};

fn well() -> Reply {
    Reply::ok(r#"[{"id":1,"level":0},{"id":2,"level":2}]"#)
}

fn site(alerts: impl Into<Script>) -> Peer {
    Peer::new()
        .on("GET /alerts", alerts)
        .on("GET /disks", well())
        .on("POST /actions", Reply::ok(""))
        .on("POST /reports", Reply::ok(""))
}

async fn patrols(peer: &Peer, every: &str, limit: &str) -> Running {
    let server = format!("http://{}", peer.listen().expect("a free port"));
    let args = ["--server", &server, "--every", every, "--limit", limit, "--admin", "none"];
    Running::start("patrol_loop", &args).await
}

/// Reads on to the next sweep of this patrol with this outcome.
async fn sweep(running: &mut Running, name: &str, outcome: &str) -> Value {
    let wanted = |o: &Value| o["event"] == "sweep" && o["name"] == name && o["outcome"] == outcome;
    running.until(&format!("sweep of {name} that ends with {outcome}"), wanted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn loop_continues_after_sweep_panic() {
    let alerts = Script::new().then(well()).times(2, Reply::ok(r#"[{"id":3,"level":9}]"#)).forever(well());
    let peer = site(alerts);
    let mut running = patrols(&peer, "500ms", "500ms").await;
    let panicked = running.event("panic").await;
    assert_eq!(panicked["name"], "alerts");
    assert!(panicked["message"].as_str().is_some_and(|m| m.contains("index out of bounds")), "{panicked}");
    let swept = sweep(&mut running, "alerts", "panic").await;
    assert_eq!(swept["phase"], "analyze");
    let after = sweep(&mut running, "alerts", "ok").await;
    assert!(after["n"].as_u64() > swept["n"].as_u64(), "{after}");
    let ran = running.stop().await;
    assert!(ran.objects().iter().all(|o| o["event"] != "restart" || o["name"] != "alerts"), "{ran:?}");
    assert!(ran.stderr.contains("panicked, loop will continue"), "{}", ran.stderr);
    assert!(ran.stderr.contains("patrols.rs"), "a backtrace: {}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn loop_continues_after_sweep_timeout() {
    let peer = site(Script::new().then(Reply::hang()).then(Reply::headers_then_hang()).forever(well()));
    let mut running = patrols(&peer, "1s", "1s").await;
    for _ in 0..2 {
        let late = sweep(&mut running, "alerts", "timeout").await;
        assert_eq!(late["phase"], "collect");
        assert!(late["ms"].as_u64().is_some_and(|ms| ms >= 1000), "{late}");
    }
    sweep(&mut running, "alerts", "ok").await;
    let ran = running.stop().await;
    assert!(ran.objects().iter().any(|o| o["event"] == "skipped" && o["name"] == "alerts"), "{ran:?}");
    assert!(ran.stderr.contains("sweep failed") && ran.stderr.contains("phase=collect"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn loop_restarts_after_unexpected_return() {
    let reports = Script::new().then(Reply::status(410)).forever(Reply::ok(""));
    let peer = Peer::new().on("POST /reports", reports);
    let peer = peer.on("GET /alerts", well()).on("GET /disks", well()).on("POST /actions", Reply::ok(""));
    let mut running = patrols(&peer, "1h", "5m").await;
    let restart = running.event("restart").await;
    assert_eq!(
        (&restart["name"], &restart["reason"], &restart["restarts"]),
        (&"reporter".into(), &"return".into(), &1.into())
    );
    let wait = restart["in_ms"].as_u64().unwrap();
    assert!((4_500..=5_500).contains(&wait), "{restart}");
    let recovered = running.event("recovered").await;
    assert_eq!(recovered["name"], "reporter");
    assert!(recovered["after_ms"].as_u64().is_some_and(|ms| ms >= wait), "{recovered}");
    let ran = running.stop().await;
    assert!(ran.stderr.contains("loop exited unexpectedly, restarting"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wedged_patrol_does_not_delay_the_other() {
    let peer = site(Reply::hang());
    let mut running = patrols(&peer, "2s", "2s").await;
    for _ in 0..2 {
        sweep(&mut running, "alerts", "timeout").await;
    }
    let ran = running.stop().await;
    let objects = ran.objects();
    let of = |name: &'static str| objects.iter().filter(move |o| o["event"] == "sweep" && o["name"] == name);
    let wedged: Vec<&Value> = of("alerts").collect();
    assert!(wedged.iter().all(|o| o["outcome"] == "timeout"), "{ran:?}");
    // Both began together; one was through before the other was cut, and was not late for its next ticks.
    let first = of("disks").next().expect("a sweep");
    assert_eq!(first["outcome"], "ok");
    assert!(first["t_ms"].as_u64() < wedged[0]["t_ms"].as_u64(), "{ran:?}");
    let (disks, alerts) = (of("disks").count(), wedged.len());
    assert!(disks >= alerts, "{disks} sweeps of disks, {alerts} of alerts: {ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_computes_without_end_in_sight_is_told_of_and_not_cut() {
    let blocks = Reply::ok(r#"[{"id":4,"level":1,"analysis_ms":4000}]"#);
    let peer = site(Script::new().then(blocks).forever(well()));
    let mut running = patrols(&peer, "1s", "500ms").await;
    let stale = running.until("stale alerts", |o| o["event"] == "stale" && o["name"] == "alerts").await;
    assert_eq!(stale["waits_for"], Value::Null, "no call is to blame");
    let swept = running.until("sweep of alerts", |o| o["event"] == "sweep" && o["name"] == "alerts").await;
    assert!(swept["ms"].as_u64().is_some_and(|ms| ms >= 4000), "{swept}");
    assert!(stale["t_ms"].as_u64() < swept["t_ms"].as_u64(), "told while it went on: {stale} {swept}");
    let behind = |o: &Value| o["event"] == "sweep" && o["name"] == "disks" && o["outcome"] == "ok";
    let others = running.seen().iter().filter(|o| behind(o) && o["t_ms"].as_u64() < swept["t_ms"].as_u64());
    assert!(others.count() >= 2, "the other patrol went on: {:?}", running.seen());
    sweep(&mut running, "alerts", "ok").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_site_plays_the_incident_and_every_patrol_comes_back() {
    let mut running =
        Running::start("patrol_loop", &["--every", "500ms", "--limit", "500ms", "--admin", "none"]).await;
    for outcome in ["ok", "panic", "ok", "timeout", "ok"] {
        sweep(&mut running, "alerts", outcome).await;
    }
    for event in ["stale", "recovered"] {
        running.until(event, |o| o["event"] == event && o["name"] == "alerts").await;
    }
    sweep(&mut running, "alerts", "ok").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patrol_that_cannot_work_ends_with_two_and_nothing_on_standard_output() {
    let lines = [
        (&["--every", "1m", "--limit", "2m"][..], "the limit of alerts is 2 m, above its interval of 1 m"),
        (&["--every", "0s"], "longer than zero"),
        (&["--limit", "5"], "\"5\" has no unit"),
        (&["--limit", "90000000h"], "10 years"),
        (&["--bogus"], "--bogus"),
    ];
    refused("patrol_loop", &lines).await;
}
