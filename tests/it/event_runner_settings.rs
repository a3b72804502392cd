//! What the runner is told, by its environment and its flags, and what it does not take.

use crate::program::{Ran, example, finish, object, refused};
use serde_json::Value;
use tokio::time::Instant;

/// Every setting: its variable, its flag, its default in the unit of a plain number.
pub(crate) const SETTINGS: [(&str, &str, u64); 8] = [
    ("AGENT_TIMEOUT_SECONDS", "--agent-timeout", 300),
    ("MAX_QUEUE_AGE_SECONDS", "--max-queue-age", 600),
    ("QUEUE_SWEEP_INTERVAL_SECONDS", "--queue-sweep-interval", 60),
    ("SHUTDOWN_TIMEOUT_SECONDS", "--shutdown-timeout", 30),
    ("METRICS_PORT", "--metrics-port", 9090),
    ("HEALTH_PORT", "--health-port", 8080),
    ("SSE_RECONNECT_INITIAL_DELAY_SECONDS", "--sse-reconnect-initial-delay", 1),
    ("SSE_RECONNECT_MAX_DELAY_SECONDS", "--sse-reconnect-max-delay", 60),
];

async fn with(environment: &[(&str, &str)], args: &[&str]) -> Ran {
    let mut command = example("event_runner");
    for name in SETTINGS.iter().map(|(name, ..)| *name).chain(["AGENT_TIMEOUT"]) {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).args(args);
    finish(command.spawn().expect("the example can be started"), Instant::now()).await
}

/// What holds of a setting, and where it came from.
async fn effective(environment: &[(&str, &str)], args: &[&str], name: &str) -> (Value, String) {
    let ran = with(environment, &[args, &["--json", "--print-config"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let rows: Vec<Value> = ran.stdout.lines().map(object).collect();
    let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name} in {rows:?}"));
    (row["value"].clone(), row["from"].as_str().expect("a source").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_has_its_default_its_variable_and_its_flag_which_wins() {
    for (name, flag, default) in SETTINGS {
        let number = |value: &Value| value.as_f64().expect("a number");
        let (value, from) = effective(&[], &[], name).await;
        assert_eq!((number(&value), &*from), (default as f64, "default"), "{name}");
        // Between both reconnect delays, and no port of the other server.
        let (value, from) = effective(&[(name, "7")], &[], name).await;
        assert_eq!((number(&value), &*from), (7.0, name), "{name}");
        let (value, from) = effective(&[(name, "7")], &[flag, "9"], name).await;
        assert_eq!((number(&value), from), (9.0, flag.to_owned()), "{name}");
        if !name.ends_with("PORT") {
            let (value, _) = effective(&[], &[flag, "45s"], name).await;
            assert_eq!(number(&value), 45.0, "{name}");
        }
    }
    let five = effective(&[("AGENT_TIMEOUT_SECONDS", "5m")], &[], "AGENT_TIMEOUT_SECONDS").await;
    assert_eq!(five.0.as_f64(), Some(300.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_name_of_the_agent_timeout_is_read_where_the_newer_one_is_not_set() {
    let name = "AGENT_TIMEOUT_SECONDS";
    let (value, from) = effective(&[("AGENT_TIMEOUT", "11")], &[], name).await;
    assert_eq!((value.as_f64(), &*from), (Some(11.0), "AGENT_TIMEOUT"));
    let (value, from) = effective(&[("AGENT_TIMEOUT", "11"), (name, "12")], &[], name).await;
    assert_eq!((value.as_f64(), &*from), (Some(12.0), name));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_cannot_work_ends_it_with_2_and_is_named_with_its_value() {
    for (name, ..) in SETTINGS {
        for value in ["many", "-3", ""] {
            let ran = with(&[(name, value)], &["--demo"]).await;
            assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{name}={value}: {ran:?}");
            assert!(ran.stderr.contains(&format!("{name}: {value:?} ")), "{}", ran.stderr);
        }
    }
    for (name, value, rule) in [
        ("AGENT_TIMEOUT", "soon", "neither a number of seconds nor a duration like 5m"),
        ("AGENT_TIMEOUT_SECONDS", "0", "longer than zero"),
        ("MAX_QUEUE_AGE_SECONDS", "99999999999", "10 years"),
        ("METRICS_PORT", "70000", "a number from 0 to 65535"),
        ("METRICS_PORT", "8080", "METRICS_PORT and HEALTH_PORT are both 8080"),
        (
            "SSE_RECONNECT_MAX_DELAY_SECONDS",
            "500ms",
            "500 ms, below SSE_RECONNECT_INITIAL_DELAY_SECONDS of 1 s",
        ),
    ] {
        let ran = with(&[(name, value)], &["--server", "a=http://127.0.0.1:9/", "--", "sh"]).await;
        assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{name}={value}: {ran:?}");
        assert!(ran.stderr.contains(rule), "{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_cannot_work_ends_it_with_2_and_names_value_and_rule() {
    let server = "a=http://127.0.0.1:9/events/a";
    refused(
        "event_runner",
        &[
            (&[], "no --server NAME=URL and no --demo"),
            (&["--server", server], "no command to run"),
            (&["--server", server, "--", "no-such-agent"], "\"no-such-agent\": no such command"),
            (&["--server", server, "--", "./no/such/agent"], "no such command"),
            (&["--server", "http://127.0.0.1:9/"], "write NAME=URL"),
            (&["--server", "a b=http://127.0.0.1:9/"], "a name has 1 to 63 letters"),
            (&["--server", "a=ftp://127.0.0.1:9/"], "must begin with http:// or https://"),
            (&["--server", server, "--server", server], "a server of that name already"),
            (&["--demo", "--server", server], "--demo has an event server of its own"),
            (&["--demo", "--min-severity", "fatal"], "\"fatal\" is none of info, warning, critical"),
            (&["--demo", "--metrics-port", "4000", "--health-port", "4000"], "are both 4000"),
            (
                &["--demo", "--sse-reconnect-initial-delay", "5", "--sse-reconnect-max-delay", "4"],
                "SSE_RECONNECT_MAX_DELAY_SECONDS is 4 s, below",
            ),
            (&["--demo", "--agent-timeout", "soon"], "--agent-timeout: \"soon\""),
            (&["--demo", "--agents", "0"], "between 1 and 1000"),
            (&["--demo", "--bind", "everywhere"], "\"everywhere\" is no address"),
            (&["--demo", "--break", "everything"], "neither sweeper nor scrape"),
            (&["--demo", "--config", "f.toml"], "unknown option --config"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named_by_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let args = ["--demo", "--bind", "127.0.0.1", "--metrics-port", &port, "--json"];
    let ran = with(&[], &args).await;
    assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{ran:?}");
    assert!(
        ran.stderr.contains(&format!("METRICS_PORT: port {port} of 127.0.0.1 is in use")),
        "{}",
        ran.stderr
    );
}
