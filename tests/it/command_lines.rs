//! What every example has in common, tried on every one: the contract of `examples/common`.

use crate::program::{Ran, example, finish, refused, run};
use crate::running::Running;
use std::path::Path;
use std::process::Stdio;
use tokio::time::Instant;

/// Every example that is made of `examples/common`, whatever was added to them.
fn programs() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("examples") {
        let path = entry.expect("an entry").path();
        let main = if path.is_dir() { path.join("main.rs") } else { path.clone() };
        if std::fs::read_to_string(main).is_ok_and(|text| text.contains("common/mod.rs")) {
            found.push(path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned());
        }
    }
    found.sort();
    assert!(found.len() >= 11, "{found:?}");
    found
}

/// Those that run until they are asked to end, each with what it needs to be started and silent about ports.
const DAEMONS: [(&str, &[&str]); 6] = [
    ("broker_listener", &[]),
    ("checkin_agent", &[]),
    ("event_runner", &["--demo", "--bind", "127.0.0.1"]),
    ("faults", &["--serve", "refused"]),
    ("patrol_loop", &[]),
    ("supervised_platform", &[]),
];

/// Command lines that are over soon and say something on standard output.
const SHORT: [(&str, &[&str]); 5] = [
    ("drill", &["--list"]),
    ("faults", &["--list"]),
    ("goodput", &["--list"]),
    ("event_runner", &["--demo", "--print-config"]),
    ("lint", &["src/bin/cargo-unwedge/lint", "--print", "clippy"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_program_tells_its_version_and_its_help_and_refuses_an_unknown_option() {
    for name in programs() {
        let version = run(&name, &["--version"]).await;
        let wanted = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((version.code, &*version.stdout, &*version.stderr), (Some(0), &*wanted, ""), "{name}");
        let help = run(&name, &["--help"]).await;
        assert_eq!((help.code, &*help.stderr), (Some(0), ""), "{name}");
        assert!(help.stdout.contains("Usage: ") && help.stdout.contains("--version"), "{}", help.stdout);
        // An option begins its line behind two blanks.
        for line in help.stdout.lines().filter(|line| line.trim_start().starts_with("--")) {
            let blanks = line.len() - line.trim_start().len();
            assert!(blanks == 2 || blanks > 10, "{name}: {line:?}");
        }
        let pointed = format!("(see {name} --help)");
        refused(&name, &[(&["--no-such-option"], &pointed)]).await;
    }
}

/// With a standard output whose reader is gone before the first line.
async fn unread(name: &str, args: &[&str]) -> Ran {
    let mut command = example(name);
    let began = Instant::now();
    let mut child = command.args(args).spawn().expect("it can be started");
    drop(child.stdout.take());
    finish(child, began).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_ends_quietly_when_nobody_reads_its_output() {
    for (name, args) in SHORT {
        let ran = unread(name, args).await;
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{name}: {ran:?}");
    }
    for name in programs() {
        let ran = unread(&name, &["--help"]).await;
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{name}: {ran:?}");
    }
    for (name, args) in DAEMONS {
        // It would run for longer than a test may take.
        let ran = unread(name, &[args, &["--json"]].concat()).await;
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        assert!(!ran.stderr.contains("panicked at"), "{name}: {}", ran.stderr);
    }
}

/// On a terminal, which `script` of util-linux makes.
#[cfg(target_os = "linux")]
async fn on_a_terminal(name: &str, args: &[&str], no_color: bool) -> String {
    let line = example(name);
    let program = line.as_std().get_program().to_str().expect("UTF-8").to_owned();
    let mut command = tokio::process::Command::new("script");
    command.args(["-qec", &[&[&*program][..], args].concat().join(" "), "/dev/null"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let child = command.spawn().expect("script of util-linux");
    finish(child, Instant::now()).await.stdout
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn no_program_paints_its_lines_with_no_color_and_only_on_a_terminal() {
    const LINES: [(&str, &[&str]); 3] = [
        ("fetch", &["http://127.0.0.1:1/", "--retries", "0"]),
        ("patrol_loop", &["--for", "1s", "--every", "300ms", "--limit", "300ms", "--admin", "none"]),
        ("lint", &["src/bin/cargo-unwedge/lint"]),
    ];
    let mut painted = 0;
    for (name, args) in LINES {
        let with = on_a_terminal(name, args, false).await;
        assert!(!with.is_empty(), "{name}");
        painted += usize::from(with.contains("\u{1b}["));
        let without = on_a_terminal(name, args, true).await;
        assert!(!without.is_empty() && !without.contains("\u{1b}["), "{name}: {without:?}");
        let piped = run(name, args).await;
        assert!(!piped.stdout.contains('\u{1b}') && !piped.stderr.contains('\u{1b}'), "{name}: {piped:?}");
    }
    assert!(painted > 0, "the terminal is none: nothing was painted on it without NO_COLOR");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_as_such_and_the_help_is_not_pointed_at() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = taken.local_addr().expect("an address").to_string();
    let port = at.rsplit(':').next().expect("a port");
    let metrics = ["--demo", "--bind", "127.0.0.1", "--metrics-port", port];
    let health = ["--demo", "--bind", "127.0.0.1", "--health-port", port];
    let lines: [(&str, &str, &[&str]); 11] = [
        ("--admin", "broker_listener", &["--admin", &at]),
        ("--admin", "checkin_agent", &["--admin", &at]),
        ("--admin", "event_runner", &["--demo", "--bind", "127.0.0.1", "--admin", &at]),
        ("--admin", "patrol_loop", &["--admin", &at]),
        ("--admin", "supervised_platform", &["--admin", &at]),
        ("--broker", "broker_listener", &["--broker", &at]),
        ("--serve", "checkin_agent", &["--serve", &at]),
        ("--control", "faults", &["--serve", "refused", "--control", &at]),
        ("--events", "event_runner", &["--events", &at]),
        ("METRICS_PORT", "event_runner", &metrics),
        ("HEALTH_PORT", "event_runner", &health),
    ];
    for (setting, name, args) in lines {
        let ran = run(name, args).await;
        let wanted = format!("{name}: {setting}: port {port} of 127.0.0.1 is in use by another program\n");
        assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{name} {args:?}: {ran:?}");
        assert!(ran.stderr.ends_with(&wanted) && !ran.stderr.contains("--help"), "{wanted} {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_or_a_limit_of_zero_is_refused_whatever_its_unit() {
    for (name, flag) in [
        ("supervised_platform", "--tick"),
        ("patrol_loop", "--every"),
        ("patrol_loop", "--limit"),
        ("checkin_agent", "--every"),
        ("broker_listener", "--hold"),
        ("patrol_loop", "--for"),
    ] {
        for zero in ["0", "0s", "0ms", "00"] {
            let said = format!("{flag}: 0 s: it must be longer than zero");
            refused(name, &[(&[flag, zero], &said)]).await;
        }
    }
    refused("supervised_platform", &[(&["--tick", "1"], "has no unit")]).await;
}

/// What two runs drew: the waits before retries, and when the circuit is tried again, to the minute.
async fn drawn(seed: &str) -> (Vec<u64>, f64) {
    let settings = "
resilience:
  limits: { total: 60s, attempt: 2s }
  retry: { initial_delay: 100ms, max_delay: 2s, max_retries: 8, jitter: full }
  circuit_breaker: { failure_threshold: 4, timeout: 8h, max_timeout: 16h, jitter: 0.5 }
";
    let file = std::env::temp_dir().join(format!("unwedge-seed-{}-{seed}.yaml", std::process::id()));
    std::fs::write(&file, settings).expect("a file can be written");
    let path = file.to_str().expect("UTF-8");
    let args = ["--server", "http://127.0.0.1:1", "--config", path, "--every", "1h", "--seed", seed];
    let mut agent = Running::start("checkin_agent", &args).await;
    agent.until("open circuit", |o| o["event"] == "breaker" && o["to"] == "open").await;
    let admin = agent.seen()[0]["admin"].as_str().expect("an address").to_owned();
    let shown = unwedge::Client::new().unwrap().get(format!("{admin}/admin/breakers")).send().await.unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown.text().await.unwrap()).unwrap();
    let all = shown["breakers"].as_array().expect("circuits");
    let open = all.iter().find(|circuit| circuit["phase"] == "open").expect("an open circuit");
    let wait = open["retry_in_seconds"].as_f64().expect("seconds");
    let ran = agent.stop().await;
    let _ = std::fs::remove_file(file);
    let retries = ran.objects().into_iter().filter(|o| o["event"] == "retry");
    (retries.map(|o| o["in_ms"].as_u64().expect("a wait")).take(3).collect(), wait)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_with_one_seed_wait_alike_before_retries_and_while_the_circuit_is_open() {
    let (one, again, other) = (drawn("7").await, drawn("7").await, drawn("8").await);
    assert!(one.0.len() == 3 && one.0 == again.0, "{one:?} {again:?}");
    // Drawn from 4 h to 12 h; between the draw and the look are seconds.
    assert!((one.1 - again.1).abs() < 60.0, "{one:?} {again:?}");
    assert!(one.0 != other.0 && (one.1 - other.1).abs() > 60.0, "{one:?} {other:?}");
}
