//! The agent of the check-in incident against a server that is a process of its own: killed, started again, rebuilt. No
//! human intervenes: the agent is never touched.

use crate::program::{refused, run};
use crate::running::Running;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use unwedge::testing::{Peer, Reply, Script};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The settings of the incident, a hundredth as slow.
const QUICK: &str = "
resilience:
  limits: { total: 60s, attempt: 2s }
  retry: { initial_delay: 50ms, max_delay: 500ms, max_retries: 10, backoff_multiplier: 2.0, jitter: none, wait_when_refused: 30m }
  circuit_breaker: { failure_threshold: 5, timeout: 300ms, max_timeout: 300ms, jitter: 0, half_open_max_calls: 3, close_after: 1 }
  health_check: { enabled: true, interval: 300ms, timeout: 2s }
check_in: { splay: 0.1 }
";

/// Gone with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let path = std::env::temp_dir().join(format!("unwedge-checkin-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file can be written");
        File(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn server(at: &str, args: &[&str]) -> Running {
    Running::start("checkin_agent", &[&["--serve", at], args].concat()).await
}

async fn agent(server: &str, settings: &File) -> Running {
    let args = ["--server", server, "--config", settings.path(), "--every", "200ms", "--agent-id", "a1"];
    Running::start("checkin_agent", &args).await
}

/// Where nobody listens yet.
fn free() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

fn address(server: &Running) -> String {
    server.server().trim_start_matches("http://").to_owned()
}

async fn kill(server: Running) {
    server.signal("KILL").await;
    assert_eq!(server.end().await.code, None);
}

async fn checks_in(agent: &mut Running) -> Value {
    agent.until("check-in that goes well", |o| o["event"] == "checkin" && o["ok"] == true).await
}

async fn breaker(agent: &mut Running, to: &str) -> Value {
    agent.until(&format!("breaker that is {to}"), |o| o["event"] == "breaker" && o["to"] == to).await
}

fn of<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["event"] == event).collect()
}

/// Its loops went on: none was started again.
fn went_on(objects: &[Value]) {
    assert!(of(objects, "restart").is_empty() && of(objects, "panic").is_empty(), "{objects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_restarted_is_checked_in_with_again() {
    let settings = File::new("restart.yaml", QUICK);
    let first = server("127.0.0.1:0", &[]).await;
    let at = address(&first);
    let mut agent = agent(&first.server(), &settings).await;
    let well = checks_in(&mut agent).await;
    assert_eq!((&well["status"], &well["attempts"]), (&200.into(), &1.into()));
    kill(first).await;
    agent.until("failed health check", |o| o["event"] == "health" && o["ok"] == false).await;
    let mut second = server(&at, &[]).await;
    let heard = second.event("checked_in").await;
    assert_eq!(heard["path"], "/api/v1/agents/a1/commands");
    assert!(heard["key"].as_str().is_some_and(|key| key.starts_with("a1-")), "{heard}");
    agent.until("healthy server", |o| o["event"] == "health" && o["ok"] == true).await;
    checks_in(&mut agent).await;
    let ran = agent.stop().await;
    went_on(&ran.objects());
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_waited_out_and_told_word_for_word() {
    let settings = File::new("outage.yaml", QUICK);
    let first = server("127.0.0.1:0", &[]).await;
    let at = address(&first);
    let mut agent = agent(&first.server(), &settings).await;
    checks_in(&mut agent).await;
    kill(first).await;
    let retry = agent.event("retry").await;
    assert_eq!((&retry["n"], &retry["of"], &retry["in_ms"]), (&1.into(), &10.into(), &50.into()), "{retry}");
    assert!(retry["error"].as_str().is_some_and(|error| error.contains("connection refused")), "{retry}");
    // Long enough, in these settings, for the circuit to open and to be tried in vain.
    breaker(&mut agent, "open").await;
    breaker(&mut agent, "half_open").await;
    breaker(&mut agent, "open").await;
    let second = server(&at, &[]).await;
    let back = agent.until("recovery", |o| o["event"] == "recovered" && o["name"] == "server").await;
    assert!(back["after_ms"].as_u64().is_some_and(|ms| ms >= 300), "{back}");
    agent.until("healthy server", |o| o["event"] == "health" && o["ok"] == true).await;

    let admin = agent.seen()[0]["admin"].as_str().expect("an address");
    let metrics = unwedge::Client::new().unwrap().get(format!("{admin}/metrics")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for name in [
        "unwedge_retries_total",
        "unwedge_breaker_transitions_total",
        "unwedge_connection_failures_total",
        "unwedge_recovery_seconds",
        "unwedge_health_checks_total",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    let ran = agent.stop().await;
    let objects = ran.objects();
    went_on(&objects);
    assert_eq!(of(&objects, "breaker").last().unwrap()["to"], "closed");
    second.stop().await;
    for words in [
        "[RETRY] Check-in failed, retry 1/10 in 50ms: ",
        "[CIRCUIT_BREAKER] Opening circuit after 5 consecutive failures",
        "[CIRCUIT_BREAKER] Entering half-open state",
        "[HEALTH] Health check failed: ",
        "[RECOVERY] Health check passed, resuming normal operations",
        "[CHECKIN] Successfully checked in after server recovery",
    ] {
        assert!(ran.stderr.contains(words), "{words:?} in {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_rebuilt_answers_502_and_is_checked_in_with_afterwards() {
    let settings = File::new("rebuild.yaml", QUICK);
    let mut rebuilt = server("127.0.0.1:0", &["--rebuild", "2s"]).await;
    let mut agent = agent(&rebuilt.server(), &settings).await;
    let retry = agent.event("retry").await;
    assert!(retry["error"].as_str().is_some_and(|error| error.contains("502")), "{retry}");
    let well = checks_in(&mut agent).await;
    assert!(well["attempts"].as_u64().is_some_and(|attempts| attempts > 1), "{well}");
    rebuilt.event("checked_in").await;
    let ran = agent.stop().await;
    went_on(&ran.objects());
    assert_eq!(of(&ran.objects(), "recovered").iter().filter(|o| o["name"] == "server").count(), 1);
    rebuilt.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_restarts_are_survived_and_the_circuit_is_tried_after_its_wait() {
    let settings = File::new("twenty.yaml", QUICK);
    let mut serving = server("127.0.0.1:0", &[]).await;
    let at = address(&serving);
    let mut agent = agent(&serving.server(), &settings).await;
    checks_in(&mut agent).await;
    for restart in 1..=20 {
        kill(serving).await;
        match restart {
            // Away until it is noticed, once.
            1 => drop(breaker(&mut agent, "open").await),
            _ => sleep(200 * MS).await,
        }
        serving = server(&at, &[]).await;
        sleep(200 * MS).await;
    }
    serving.event("checked_in").await;
    checks_in(&mut agent).await;
    let ran = agent.stop().await;
    let objects = ran.objects();
    went_on(&objects);
    let told: Vec<(&str, u64)> = of(&objects, "breaker")
        .iter()
        .map(|o| (o["to"].as_str().unwrap_or_default(), o["t_ms"].as_u64().unwrap_or_default()))
        .collect();
    let (first, then) = (told[0], told[1]);
    assert_eq!((first.0, then.0), ("open", "half_open"), "{told:?}");
    // The moments are those at which it was told.
    assert!(then.1 + 50 >= first.1 + 300, "after its wait: {told:?}");
    let done = objects.last().unwrap();
    assert!(done["checked_in"].as_u64() >= Some(2), "{done}");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retries_a_check_in_is_given_up_and_the_next_one_comes() {
    let text = "resilience:\n  retry: { max_retries: 0 }\n  circuit_breaker: { failure_threshold: 1000 }\n";
    let settings = File::new("none.yaml", text);
    let at = free();
    let mut agent = agent(&format!("http://{at}"), &settings).await;
    for _ in 0..3 {
        let lost = agent.event("checkin").await;
        assert_eq!(
            (&lost["ok"], &lost["attempts"], &lost["kind"]),
            (&false.into(), &1.into(), &"connect".into())
        );
    }
    let serving = server(&at, &[]).await;
    checks_in(&mut agent).await;
    let ran = agent.stop().await;
    let objects = ran.objects();
    went_on(&objects);
    assert!(of(&objects, "retry").is_empty(), "{objects:?}");
    assert!(of(&objects, "health").is_empty(), "no health check unless it is asked for");
    assert!(objects.last().unwrap()["given_up"].as_u64() >= Some(3), "{objects:?}");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delays_of_a_year_overflow_nowhere_and_hold_up_no_end() {
    const YEAR: u64 = 365 * 24 * 3600 * 1000;
    let text = "
[resilience.limits]
total = \"87600h\"
attempt = \"2s\"
[resilience.retry]
initial_delay = \"8760h\"
max_delay = \"17520h\"
max_retries = 4
jitter = \"none\"
[resilience.circuit_breaker]
timeout = \"8760h\"
[resilience.health_check]
interval = \"8760h\"
";
    let settings = File::new("year.toml", text);
    let server = format!("http://{}", free());
    let args = ["--server", &server, "--config", settings.path(), "--every", "8760h"];
    let mut agent = Running::start("checkin_agent", &args).await;
    let retry = agent.event("retry").await;
    assert_eq!((&retry["n"], &retry["of"], &retry["in_ms"]), (&1.into(), &4.into(), &YEAR.into()));
    let asked = Instant::now();
    let ran = agent.stop().await;
    assert!(asked.elapsed() < 20 * SECOND, "{ran:?}");
    assert_eq!(ran.objects().last().unwrap()["clean"], true, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_settings_are_those_of_the_incident() {
    use unwedge::config::{Layers, Resilience};

    #[derive(serde::Deserialize)]
    struct Settings {
        resilience: Resilience,
    }
    let layers = Layers::new().file("examples/checkin_agent/agent.yaml").unwrap();
    let Resilience { limits, retry, circuit_breaker, health_check, .. } =
        layers.load::<Settings>().unwrap().resilience;
    assert_eq!(limits.get_total(), 1800 * SECOND);
    let waits = retry.get_backoff();
    assert_eq!((waits.get_base(), waits.get_cap()), (5 * SECOND, 300 * SECOND));
    assert_eq!(
        (retry.get_max_retries(), waits.get_multiplier(), retry.get_wait_when_refused()),
        (10, 2.0, Duration::from_secs(1800))
    );
    let open = circuit_breaker.get_open();
    assert_eq!((circuit_breaker.get_failures(), circuit_breaker.get_half_open()), (5, (3, 1)));
    assert_eq!((open.get_base(), open.get_cap()), (30 * SECOND, 30 * SECOND));
    let check = health_check.unwrap();
    assert_eq!((check.get_path(), check.get_interval()), ("/health", 30 * SECOND));
    assert_eq!(check.get_timeout(), 5 * SECOND);

    let own = ["--config", "examples/checkin_agent/agent.yaml"];
    let ran = run("checkin_agent", &[&own[..], &["--json", "--for", "1s"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(of(&ran.objects(), "health")[0]["ok"], true, "{ran:?}");
    let plain = run("checkin_agent", &["--for", "500ms", "--every", "100ms"]).await;
    assert_eq!((plain.code, plain.stderr.as_str()), (Some(0), ""), "{plain:?}");
    assert!(plain.stdout.contains("[HEALTH] Health check passed"), "{plain:?}");
    assert!(plain.stdout.contains("[CHECKIN] Successfully checked in"), "{plain:?}");
}

/// A server that answers check-ins so, and how they came.
async fn answering(script: Script, settings: &str, name: &str) -> (Peer, Running) {
    let peer = Peer::new().on("POST /api/v1/agents/*", script);
    let server = format!("http://{}", peer.listen().expect("a free port"));
    let settings = File::new(name, settings);
    let args = ["--server", &server, "--config", settings.path(), "--every", "200ms", "--agent-id", "a1"];
    let agent = Running::start("checkin_agent", &args).await;
    (peer, agent)
}

/// The keys of the check-ins, in the order of their requests.
fn keys(peer: &Peer) -> Vec<String> {
    let key = |request: &unwedge::testing::Received| {
        request.header("idempotency-key").unwrap_or_default().to_owned()
    };
    peer.requests().iter().map(key).collect()
}

const STEADY: &str = "
resilience:
  limits: { total: 60s, attempt: 10s }
  retry: { initial_delay: 5ms, max_delay: 20ms, max_retries: 10, jitter: none }
  circuit_breaker: { failure_threshold: 1000 }
";

#[tokio::test(flavor = "multi_thread")]
async fn all_attempts_of_a_check_in_have_one_key_and_the_next_check_in_another() {
    let script = Script::new().times(2, Reply::status(502)).then(Reply::ok("")).then(Reply::status(502));
    let (peer, mut agent) = answering(script.forever(Reply::ok("")), STEADY, "keys.yaml").await;
    assert_eq!(checks_in(&mut agent).await["attempts"], 3);
    assert_eq!(checks_in(&mut agent).await["attempts"], 2);
    agent.stop().await;
    let keys = keys(&peer);
    assert!(keys[0].starts_with("a1-") && keys[0] == keys[1] && keys[1] == keys[2], "{keys:?}");
    assert!(keys[3] == keys[4] && keys[3] != keys[0], "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_tenth_retry_a_check_in_is_given_up_and_logged_and_the_next_comes() {
    let script = Script::new().times(11, Reply::status(502)).forever(Reply::ok(""));
    let (peer, mut agent) = answering(script, STEADY, "tenth.yaml").await;
    let lost = agent.event("checkin").await;
    assert_eq!(
        (&lost["ok"], &lost["attempts"], &lost["status"]),
        (&false.into(), &11.into(), &502.into()),
        "{lost}"
    );
    assert_eq!(checks_in(&mut agent).await["attempts"], 1);
    let ran = agent.stop().await;
    let objects = ran.objects();
    went_on(&objects);
    let retries: Vec<(u64, u64)> = of(&objects, "retry")
        .iter()
        .map(|o| (o["n"].as_u64().unwrap_or_default(), o["of"].as_u64().unwrap_or_default()))
        .collect();
    assert_eq!(retries, (1..=10).map(|n| (n, 10)).collect::<Vec<_>>());
    assert!(ran.stderr.contains("[CHECKIN] Given up until the next one is due: "), "{}", ran.stderr);
    assert_eq!(objects.last().unwrap()["given_up"], 1);
    let keys = keys(&peer);
    assert!(keys[..11].iter().all(|key| *key == keys[0]) && keys[11] != keys[0], "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_that_pass_during_a_check_in_are_skipped_and_not_made_up_for() {
    // Three ticks and a half pass; the next one is half an interval away.
    let script = Script::new().then(Reply::ok("").after(700 * MS)).forever(Reply::ok(""));
    let (_peer, mut agent) = answering(script, STEADY, "ticks.yaml").await;
    let slow = checks_in(&mut agent).await;
    assert!(slow["ms"].as_u64().is_some_and(|ms| ms >= 700), "{slow}");
    let moments = |o: &Value| o["t_ms"].as_u64().expect("a moment") as i64;
    let (mut last, mut gaps) = (moments(&slow), Vec::new());
    for _ in 0..4 {
        let well = checks_in(&mut agent).await;
        gaps.push(moments(&well) - last);
        last = moments(&well);
    }
    agent.stop().await;
    // Made up for, three of them would follow within a moment. A busy machine only makes the whole longer.
    assert!(gaps.iter().sum::<i64>() >= 3 * 200 + 50, "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_of_the_readme_shows_the_whole_outage_of_the_server_of_its_own() {
    let readme = include_str!("../../README.md");
    let line = readme.split("cargo run --release --example checkin_agent -- ").nth(1).expect("the command");
    let args: Vec<&str> = line.split('`').next().expect("its end").split_whitespace().collect();
    let ran = run("checkin_agent", &args).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "[RETRY] Check-in failed, retry 1/10 in ",
        "[CIRCUIT_BREAKER] Opening circuit after 5 consecutive failures",
        "[CIRCUIT_BREAKER] Entering half-open state",
        "[CIRCUIT_BREAKER] Circuit closed",
        "[HEALTH] Health check failed: ",
        "[RECOVERY] Health check passed, resuming normal operations",
        "[CHECKIN] Successfully checked in after server recovery",
    ] {
        assert!(ran.stdout.contains(words), "{words:?} in {}", ran.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_work_end_with_two_and_nothing_on_standard_output() {
    let unknown = File::new("unknown.yaml", "resilience:\n  retry:\n    max_retrys: 3\n");
    let bare = File::new("bare.yaml", "resilience: { retry: { initial_delay: 5 } }\n");
    let splay = File::new("splay.yaml", "check_in: { splay: 2.0 }\n");
    let ini = File::new("settings.ini", "");
    let lines = [
        (&["--config", unknown.path()][..], "max_retrys"),
        (&["--config", bare.path()], "initial_delay"),
        (&["--config", splay.path()], "check_in.splay: 2: it must be between 0 and 1"),
        (&["--config", ini.path()], "ends in .toml, .yaml or .yml"),
        (&["--config", "no-such-file.yaml"], "no-such-file.yaml"),
        (&["--every", "0s"], "longer than zero"),
        (&["--agent-id", "a/b"], "\"a/b\""),
        (&["--serve", "here"], "\"here\" is no address"),
        (&["--bogus"], "--bogus"),
    ];
    refused("checkin_agent", &lines).await;
}
