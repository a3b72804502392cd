//! The runner of the last incident on real processes: its streams, its queue, and agents that do not behave.

use crate::running::Running;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A file that agents write to, gone with the test.
pub(crate) struct Notes(PathBuf);

impl Notes {
    pub(crate) fn new(name: &str) -> Notes {
        let path = std::env::temp_dir().join(format!("unwedge-runner-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Notes(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.0).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An event server as a process of its own: so many events for any cluster, so often.
pub(crate) async fn events(at: &str, count: usize, every: &str) -> Running {
    let count = count.to_string();
    Running::start("event_runner", &["--events", at, "--event-count", &count, "--event-every", every]).await
}

/// A runner of one cluster, `a`, whose agents are this shell script; `$0` in it is `note`.
pub(crate) async fn runner(server: &str, args: &[&str], script: &str, note: &str) -> Running {
    let server = format!("a={server}/events/a");
    let own = ["--server", &server, "--bind", "127.0.0.1", "--metrics-port", "0", "--health-port", "0"];
    let soon = ["--sse-reconnect-initial-delay", "100ms", "--sse-reconnect-max-delay", "500ms"];
    let all = [&own[..], &soon, args, &["--", "sh", "-c", script, note]].concat();
    Running::start("event_runner", &all).await
}

/// What is answered at this path of one of its servers, `health` or `metrics`.
pub(crate) async fn get(runner: &Running, which: &str, path: &str) -> (u16, String) {
    let url = runner.seen()[0][which].as_str().expect("an address").to_owned();
    let asked = async {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.expect("it listens");
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    let answer = timeout(Duration::from_secs(20), asked).await.expect("an answer in time");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer)
}

/// Asks until it is answered so.
pub(crate) async fn until_status(runner: &Running, which: &str, path: &str, wanted: u16) -> String {
    for _ in 0..200 {
        let (status, answer) = get(runner, which, path).await;
        if status == wanted {
            return answer;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} does not become {wanted}");
}

/// The last object, whose counts add up.
pub(crate) fn done(objects: &[Value]) -> Value {
    let done = objects.last().expect("objects").clone();
    assert_eq!(done["event"], "done", "{done}");
    let of = |name: &str| done[name].as_u64().unwrap_or_else(|| panic!("{name} in {done}"));
    let ends: u64 =
        ["filtered", "served", "expired", "refused", "dropped", "drained"].into_iter().map(of).sum();
    assert_eq!(of("received"), ends, "{done}");
    let ran: u64 = ["completed", "failed", "timed_out", "killed"].into_iter().map(of).sum();
    assert_eq!(of("served"), ran, "{done}");
    done
}

pub(crate) fn count(objects: &[Value], event: &str) -> usize {
    objects.iter().filter(|object| object["event"] == event).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_mid_stream_costs_no_event_and_doubles_none() {
    const EVENTS: usize = 30;
    let notes = Notes::new("kill");
    let mut server = events("127.0.0.1:0", EVENTS, "40ms").await;
    let url = server.server();
    let at = url.trim_start_matches("http://").to_owned();
    let script = r#"printf '%s %s %s %s\n' "$INCIDENT_ID" "$CLUSTER" "$SEVERITY" "$(cat)" >> "$0""#;
    let mut runner = runner(&url, &[], script, notes.path()).await;
    for _ in 0..2 {
        for _ in 0..6 {
            runner.event("received").await;
        }
        server.signal("KILL").await;
        assert_eq!(server.end().await.code, None);
        runner.until("loss", |o| o["event"] == "sse" && o["state"] == "waiting").await;
        server = events(&at, EVENTS, "40ms").await;
    }
    while count(runner.seen(), "agent") < EVENTS {
        runner.event("agent").await;
    }
    let (_, metrics) = get(&runner, "metrics", "/metrics").await;
    let ran = runner.stop().await;
    server.stop().await;
    let done = done(&ran.objects());
    assert_eq!((&done["received"], &done["completed"]), (&EVENTS.into(), &EVENTS.into()), "{done}");
    // What an agent is told, by its environment and on its standard input.
    let mut told = notes.lines();
    told.sort_by_key(|line| line.split([' ', '-']).nth(1).and_then(|n| n.parse::<usize>().ok()));
    let expected: Vec<String> = (1..=EVENTS)
        .map(|n| {
            let data = format!(
                r#"{{"cluster":"a","incident_id":"a-{n}","severity":"warning","summary":"a-{n} on a"}}"#
            );
            format!("a-{n} a warning {data}")
        })
        .collect();
    assert_eq!(told, expected);
    let reconnections = value(&metrics, "kubernetes_mcp_runner_sse_reconnections_total");
    assert!(reconnections >= 2.0, "{reconnections}");
    assert_eq!(value(&metrics, "kubernetes_mcp_runner_sse_connections_active"), 1.0);
}

/// The value of the first series of this name.
pub(crate) fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|line| line.split(['{', ' ']).next() == Some(name));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ignores_sigterm_is_killed_after_its_grace_and_its_group_with_it() {
    let notes = Notes::new("stubborn");
    let server = events("127.0.0.1:0", 1, "0ms").await;
    let script = r#"trap '' TERM; echo $$ > "$0"; while :; do sleep 0.2; done"#;
    let mut runner = runner(&server.server(), &["--agent-timeout", "1s"], script, notes.path()).await;
    let agent = runner.event("agent").await;
    assert_eq!((&agent["outcome"], &agent["incident_id"]), (&"timed_out".into(), &"a-1".into()), "{agent}");
    assert!(agent["ms"].as_u64().is_some_and(|ms| ms >= 6000), "limit and grace: {agent}");
    let pid = notes.lines().pop().expect("it ran");
    assert!(!PathBuf::from(format!("/proc/{pid}")).exists(), "{pid} is there still");
    let (_, metrics) = get(&runner, "metrics", "/metrics").await;
    assert_eq!(value(&metrics, "kubernetes_mcp_runner_agents_timeout_total"), 1.0);
    let ran = runner.stop().await;
    server.stop().await;
    assert_eq!(done(&ran.objects())["timed_out"], 1);
    assert!(ran.stderr.contains("agent timed out"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_grow_old_behind_slow_agents_expire_also_after_a_panic_of_the_sweeper() {
    const EVENTS: usize = 5;
    let server = events("127.0.0.1:0", EVENTS, "1ms").await;
    let args =
        ["--agents", "1", "--max-queue-age", "2", "--queue-sweep-interval", "200ms", "--break", "sweeper"];
    let mut runner = runner(&server.server(), &args, "sleep 5", "-").await;
    let restart = runner.event("restart").await;
    assert_eq!((&restart["name"], &restart["reason"]), (&"sweeper".into(), &"panic".into()), "{restart}");
    while count(runner.seen(), "expired") < EVENTS - 1 {
        let expired = runner.event("expired").await;
        assert_eq!(expired["cluster"], "a");
    }
    let agent = runner.event("agent").await;
    assert_eq!(agent["outcome"], "completed", "the one that was in time: {agent}");
    let (_, metrics) = get(&runner, "metrics", "/metrics").await;
    assert_eq!(value(&metrics, "kubernetes_mcp_runner_queue_depth"), 0.0);
    let ran = runner.stop().await;
    server.stop().await;
    let done = done(&ran.objects());
    assert_eq!((&done["served"], &done["expired"]), (&1.into(), &(EVENTS - 1).into()), "{done}");
    assert!(ran.stderr.contains("event expired"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_fail_open_the_circuit_and_events_are_dropped_and_counted_meanwhile() {
    const EVENTS: usize = 9;
    let server = events("127.0.0.1:0", EVENTS, "10ms").await;
    let mut runner = runner(&server.server(), &["--agents", "1"], "exit 3", "-").await;
    while count(runner.seen(), "dropped") < EVENTS - 5 {
        let dropped = runner.event("dropped").await;
        assert_eq!(dropped["reason"], "circuit_open");
    }
    let (_, metrics) = get(&runner, "metrics", "/metrics").await;
    assert_ne!(value(&metrics, "kubernetes_mcp_runner_circuit_breaker_state"), 0.0);
    let (ready, why) = get(&runner, "health", "/readyz").await;
    assert_eq!(ready, 503, "{why}");
    assert_eq!(get(&runner, "health", "/healthz").await.0, 200, "a restart would not help");
    let ran = runner.stop().await;
    server.stop().await;
    let done = done(&ran.objects());
    assert_eq!((&done["failed"], &done["dropped"]), (&5.into(), &(EVENTS - 5).into()), "{done}");
}

/// Scrapes until the circuit over agent runs is shown in this state.
async fn until_state(runner: &Running, wanted: f64) {
    for _ in 0..400 {
        let (_, metrics) = get(runner, "metrics", "/metrics").await;
        if value(&metrics, "kubernetes_mcp_runner_circuit_breaker_state") == wanted {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("circuit_breaker_state does not become {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_circuit_is_shown_closed_open_and_half_open_and_an_agent_at_its_limit_keeps_its_lease() {
    let notes = Notes::new("states");
    let server = events("127.0.0.1:0", 100_000, "20ms").await;
    // Fails at once, until a file says that it is to hang: then it ignores SIGTERM too.
    let script = r#"if [ -e "$0" ]; then trap '' TERM; while :; do sleep 0.2; done; fi; sleep 0.3; exit 3"#;
    let args = ["--agents", "1", "--agent-timeout", "2s"];
    let mut runner = runner(&server.server(), &args, script, notes.path()).await;
    until_state(&runner, 0.0).await;
    runner.until("open circuit", |o| o["event"] == "breaker" && o["to"] == "open").await;
    until_state(&runner, 1.0).await;
    std::fs::write(notes.path(), "hang").expect("a file");
    // The probe that hangs holds it half-open for its limit and grace.
    until_state(&runner, 2.0).await;
    runner.until("agent at its limit", |o| o["event"] == "agent" && o["outcome"] == "timed_out").await;
    let admin = runner.seen()[0]["admin"].as_str().expect("an address").to_owned();
    let shown = unwedge::Client::new().unwrap().get(format!("{admin}/admin/breakers")).send().await.unwrap();
    let shown: Value = serde_json::from_str(&shown.text().await.unwrap()).unwrap();
    let circuit = &shown["breakers"][0];
    // Limit, grace and one second: the run itself tells how it ended, before its lease would be over.
    assert_eq!(circuit["expired_leases"], 0, "{shown}");
    runner.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_invalid_unknown_too_large_or_too_mild_are_counted_and_left_out() {
    use unwedge::testing::{Peer, Reply};
    let fine = |id: &str, severity: &str| {
        format!(r#"{{"cluster":"a","severity":"{severity}","incident_id":"{id}","summary":"s","more":[1]}}"#)
    };
    let large = fine(&"x".repeat(100_000), "critical");
    let events = [
        "no JSON".to_owned(),
        r#"{"cluster":"a","severity":"fatal","incident_id":"i"}"#.to_owned(),
        fine("", "critical"),
        fine("a\\u0000b", "critical"),
        r#"{"cluster":"b","severity":"critical","incident_id":"i"}"#.to_owned(),
        large,
        fine("mild", "info"),
        fine("i-1", "critical"),
    ];
    let body: String = events.iter().map(|data| format!("data: {data}\n\n")).collect();
    let size = body.len() as u64;
    let stream =
        Reply::ok(body).header("content-type", "text/event-stream").hang_after(size).declare(size + 1);
    let peer = Peer::new().then(stream).forever(Reply::hang());
    let server = format!("http://{}", peer.listen().expect("a free port"));
    let mut runner = runner(&server, &["--min-severity", "warning"], "cat > /dev/null", "-").await;
    assert_eq!(runner.event("agent").await["incident_id"], "i-1");
    let ran = runner.stop().await;
    let done = done(&ran.objects());
    let reasons = serde_json::json!({"circuit_open": 0, "invalid": 4, "too_large": 1, "unknown_cluster": 1});
    assert_eq!(done["dropped_by_reason"], reasons, "{done}");
    assert_eq!((&done["received"], &done["filtered"], &done["served"]), (&8.into(), &1.into(), &1.into()));
}
