//! What every example has in common, tried on every one: the contract of `examples/common`.

use crate::program::{Ran, example, finish, object, refused, run};
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
    for name in
        ["broker_listener", "checkin_agent", "event_runner", "patrol_loop", "soak", "supervised_platform"]
    {
        let said = "--for: duration \"8\" has no unit: write 8s or 8ms";
        refused(name, &[(&["--for", "8"], said)]).await;
    }
}

/// A line of the log as text: its level, its message, and its fields in their order; `None` for one that is none.
fn fields(line: &str) -> Option<(String, String, Vec<(String, String)>)> {
    let (_, rest) = line.split_once('Z').filter(|(time, _)| time.len() > 18 && !time.contains(' '))?;
    let (level, rest) = rest.trim_start().split_once(' ')?;
    // Behind the spans, whose fields stand in braces.
    let rest = match rest.starts_with("call{") {
        true => rest.rsplit_once('}').and_then(|(_, rest)| rest.split_once(": "))?.1,
        false => rest,
    };
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    let begins = rest.match_indices(' ').map(|(at, _)| at + 1).find(|at| {
        let word = &rest[*at..];
        word.find('=').is_some_and(|end| end > 0 && word[..end].chars().all(is_name))
    });
    let (message, mut rest) = rest.split_at(begins.unwrap_or(rest.len()));
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=').expect("a field has a value");
        assert!(name.chars().all(is_name), "{name:?} is no name, in {line}");
        let end = match value.strip_prefix('"') {
            Some(quoted) => {
                let ends = |(at, _): &(usize, &str)| {
                    !quoted[..*at].ends_with('\\') || quoted[..*at].ends_with("\\\\")
                };
                quoted.match_indices('"').find(ends).expect("a quote ends").0 + 2
            }
            None => value.find(' ').unwrap_or(value.len()),
        };
        let (value, more) = value.split_at(end);
        assert!(!value.is_empty() && (more.is_empty() || more.starts_with(' ')), "{name}={value}, in {line}");
        fields.push((name.to_owned(), value.to_owned()));
        rest = more.trim_start();
    }
    Some((level.to_owned(), message.trim_end().to_owned(), fields))
}

/// Whether a text has a duration as a sentence spells it: `10 s`.
fn is_spaced(text: &str) -> bool {
    let words: Vec<&str> = text.split([' ', ',', ';', ')', '"']).collect();
    words.windows(2).any(|pair| {
        pair[0].ends_with(|c: char| c.is_ascii_digit())
            && ["h", "m", "s", "ms", "us", "ns"].contains(&pair[1])
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_has_one_switch_for_the_form_of_its_log_and_one_for_its_level() {
    for name in programs() {
        let help = run(&name, &["--help"]).await.stdout;
        for told in ["--log text|json", "--log-level LEVEL", "RUST_LOG"] {
            assert!(help.contains(told), "{name}: {told}");
        }
        refused(&name, &[(&["--log", "xml"], "--log: \"xml\" is neither text nor json")]).await;
        refused(&name, &[(&["--log-level", "loud"], "--log-level: \"loud\": none of off, error, warn,")])
            .await;
    }
    for (name, args) in DAEMONS {
        let ran = |more: &'static [&'static str]| run_for(name, args, more);
        let text = ran(&[]).await;
        let lines: Vec<_> = text.stderr.lines().filter_map(fields).collect();
        assert!(!lines.is_empty(), "{name}: {text:?}");
        for (line, (_, message, fields)) in
            text.stderr.lines().filter(|line| fields(line).is_some()).zip(&lines)
        {
            assert!(!is_spaced(message), "{line}");
            assert!(!fields.iter().any(|(name, value)| name != "backtrace" && is_spaced(value)), "{line}");
            let signal = fields.iter().find(|(name, _)| name == "signal");
            assert!(signal.is_none_or(|(_, value)| value.starts_with("SIG")), "{line}");
        }
        let json = ran(&["--log", "json"]).await;
        let objects: Vec<_> = json.stderr.lines().filter(|line| line.starts_with('{')).map(object).collect();
        for object in &objects {
            assert!(object["timestamp"].is_string() && object["message"].is_string(), "{name}: {object}");
        }
        let messages = |seen: &[String], message: &str| seen.iter().filter(|seen| *seen == message).count();
        let of_text: Vec<String> = lines.into_iter().map(|(_, message, _)| message).collect();
        let of_json: Vec<String> =
            objects.iter().map(|o| o["message"].as_str().unwrap_or_default().to_owned()).collect();
        for message in ["ready", "shutting down"] {
            assert_eq!(messages(&of_text, message), messages(&of_json, message), "{name}: {message}");
        }
        assert_eq!(messages(&of_text, "shutting down"), 1, "{name}: once, and in one word: {of_text:?}");
        let off = ran(&["--log-level", "off"]).await;
        assert!(!off.stderr.contains(" INFO ") && !off.stderr.contains(" WARN "), "{name}: {}", off.stderr);
    }
}

/// A daemon for a second, with its log apart from what it says to programs.
async fn run_for(name: &str, args: &[&str], more: &[&str]) -> Ran {
    let mut command = example(name);
    let began = Instant::now();
    command.args(args).args(["--json", "--for", "1s"]).args(more).env("RUST_LOG", "");
    if more.contains(&"off") {
        // It says otherwise, and does not win.
        command.env("RUST_LOG", "trace");
    }
    finish(command.spawn().expect("it can be started"), began).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_keeps_its_id_from_its_arrival_to_its_end_in_the_log() {
    let args = ["--demo", "--bind", "127.0.0.1", "--metrics-port", "0", "--health-port", "0", "--json"];
    let ran = run("event_runner", &args).await;
    let lines: Vec<_> = ran.stderr.lines().filter_map(fields).collect();
    let of = |fields: &[(String, String)], name: &str| {
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
    };
    let arrived: Vec<_> = lines.iter().filter(|(_, message, _)| message == "event").collect();
    assert!(!arrived.is_empty(), "{}", ran.stderr);
    for (_, message, fields) in &lines {
        let key = match message.split(' ').take(2).collect::<Vec<_>>()[..] {
            ["event", "expired"] => "event_id",
            ["agent", _] => "incident_id",
            _ => continue,
        };
        let joins = |arrival: &[(String, String)]| {
            [key, "cluster"]
                .iter()
                .all(|name| of(arrival, name) == of(fields, name) && of(fields, name).is_some())
        };
        assert!(arrived.iter().any(|(_, _, arrival)| joins(arrival)), "{message} {fields:?}");
    }
    // How a command ended is said once.
    assert!(!ran.stderr.contains("ending its process group"), "{}", ran.stderr);
    assert!(lines.iter().any(|(_, message, _)| message == "event expired"), "{}", ran.stderr);
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
