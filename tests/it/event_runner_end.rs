//! The runner at its end, and what it answers to those who ask for it.

use crate::event_runner::{Notes, done, events, get, runner, until_status};
use crate::program::run;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn at_sigterm_agents_in_flight_end_by_themselves_and_what_waits_is_drained() {
    const EVENTS: usize = 4;
    let notes = Notes::new("drain");
    let server = events("127.0.0.1:0", EVENTS, "1ms").await;
    let args = ["--agents", "1", "--shutdown-timeout", "40"];
    let script = r#"echo begun >> "$0"; sleep 6; echo ended >> "$0""#;
    let mut runner = runner(&server.server(), &args, script, notes.path()).await;
    for _ in 0..EVENTS {
        runner.event("queued").await;
    }
    while notes.lines().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    runner.signal("TERM").await;
    until_status(&runner, "health", "/healthz", 503).await;
    let ran = runner.end().await;
    server.stop().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let done = done(&ran.objects());
    // An agent may have been ended by itself before the signal came, on a machine that is very busy.
    let begun = notes.lines().iter().filter(|line| *line == "begun").count();
    let ended = notes.lines().iter().filter(|line| *line == "ended").count();
    assert_eq!((begun, &done["completed"]), (ended, &ended.into()), "{done}");
    assert_eq!(done["drained"], EVENTS - begun, "{done}");
    assert_eq!((&done["killed"], &done["clean"]), (&0.into(), &true.into()), "{done}");
    assert!(ran.took < Duration::from_secs(40), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_outlast_the_shutdown_are_killed_named_and_counted_and_the_exit_code_is_0() {
    let notes = Notes::new("outlast");
    let server = events("127.0.0.1:0", 1, "1ms").await;
    let script = r#"trap '' TERM; echo $$ >> "$0"; while :; do sleep 0.2; done"#;
    let mut runner = runner(&server.server(), &["--shutdown-timeout", "1s"], script, notes.path()).await;
    runner.event("queued").await;
    while notes.lines().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    runner.signal("TERM").await;
    let agent = runner.event("agent").await;
    assert_eq!((&agent["outcome"], &agent["incident_id"]), (&"killed".into(), &"a-1".into()), "{agent}");
    let ran = runner.end().await;
    server.stop().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let done = done(&ran.objects());
    assert_eq!(
        (&done["killed"], &done["killed_incidents"]),
        (&1.into(), &serde_json::json!(["a-1"])),
        "{done}"
    );
    assert!(ran.stderr.contains("killed: the time for the shutdown is over"), "{}", ran.stderr);
    let pid = notes.lines().pop().expect("it ran");
    for _ in 0..100 {
        if !gone(&pid) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(gone(&pid), "{pid} outlasts its runner");
}

/// A zombie that nobody has reaped yet does nothing any more.
fn gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_alive_at_once_and_ready_as_soon_as_a_stream_is_up() {
    let server = events("127.0.0.1:0", 0, "1ms").await;
    let url = server.server();
    let at = url.trim_start_matches("http://").to_owned();
    server.stop().await;
    let runner = runner(&url, &[], "true", "-").await;
    assert_eq!(get(&runner, "health", "/healthz").await.0, 200);
    let (status, why) = get(&runner, "health", "/readyz").await;
    assert!(status == 503 && why.contains("event streams connected: 0"), "{why}");
    let server = events(&at, 0, "1ms").await;
    until_status(&runner, "health", "/readyz", 200).await;
    server.signal("KILL").await;
    server.end().await;
    until_status(&runner, "health", "/readyz", 503).await;
    assert_eq!(get(&runner, "health", "/healthz").await.0, 200);
    // Each serves its own, and nothing else.
    let page = get(&runner, "admin", "/admin/liveness").await;
    assert!(page.0 == 200 && page.1.contains("feed a"), "{}", page.1);
    assert!(runner.seen()[0]["admin"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")));
    for (which, path) in [("health", "/metrics"), ("metrics", "/healthz"), ("health", "/admin")] {
        assert_eq!(get(&runner, which, path).await.0, 404, "{path}");
    }
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_scrape_answers_500_and_nothing_else_happens() {
    let server = events("127.0.0.1:0", 3, "500ms").await;
    let mut runner = runner(&server.server(), &["--break", "scrape"], "true", "-").await;
    assert_eq!(get(&runner, "metrics", "/metrics").await.0, 500);
    assert_eq!(get(&runner, "metrics", "/metrics").await.0, 200);
    assert_eq!(get(&runner, "health", "/healthz").await.0, 200);
    for _ in 0..3 {
        assert_eq!(runner.event("agent").await["outcome"], "completed");
    }
    let ran = runner.stop().await;
    server.stop().await;
    assert_eq!(done(&ran.objects())["restarts"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_shows_everything_that_can_go_wrong_and_its_counts_add_up() {
    let ran = run("event_runner", &["--demo", "--json", "--seed", "7"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let objects = ran.objects();
    let done = done(&objects);
    for what in ["filtered", "expired", "dropped", "completed", "failed", "timed_out"] {
        assert!(done[what].as_u64().is_some_and(|n| n > 0), "{what}: {done}");
    }
    let lost = |object: &&serde_json::Value| object["event"] == "sse" && object["state"] == "waiting";
    assert!(objects.iter().any(|object| lost(&object) && object["cause"] == "server"));
    assert!(objects.iter().any(|object| object["event"] == "breaker" && object["to"] == "open"));
    assert!(ran.stderr.contains("the counts add up"), "{}", ran.stderr);
}
