//! What the runner is deployed with, against what the runner does.

use crate::alerts::{Known, alerts, check_alerts, check_dashboard, file, yaml};
use crate::event_runner::{events, get, runner};
use crate::program::run;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PREFIX: &str = "kubernetes_mcp_runner_";

/// Every metric of its own, and the labels that it has.
const METRICS: [(&str, &[&str]); 20] = [
    ("events_received_total", &["cluster", "severity"]),
    ("events_filtered_total", &["cluster", "severity"]),
    ("events_queued_total", &["cluster", "severity"]),
    ("events_expired_total", &["cluster", "severity"]),
    ("events_dequeued_total", &["cluster", "severity"]),
    ("events_dropped_total", &["cluster", "reason"]),
    ("queue_depth", &["cluster"]),
    ("agents_spawned_total", &["cluster"]),
    ("agents_completed_total", &["cluster"]),
    ("agents_failed_total", &["cluster"]),
    ("agents_timeout_total", &["cluster"]),
    ("agents_active", &["cluster"]),
    ("agent_duration_seconds", &["cluster", "status"]),
    ("circuit_breaker_state", &[]),
    ("sse_connections_active", &["cluster"]),
    ("sse_reconnections_total", &["cluster"]),
    ("sse_errors_total", &["cluster", "reason"]),
    ("sse_connection_duration_seconds", &["cluster"]),
    ("build_info", &["version"]),
    ("uptime_seconds", &[]),
];

fn deploy(name: &str) -> String {
    file(&format!("examples/event_runner/deploy/{name}"))
}

/// What its alerts and dashboard may read.
fn known() -> Known {
    let own = METRICS.iter().map(|(name, labels)| (format!("{PREFIX}{name}"), *labels));
    let process = ["process_resident_memory_bytes", "process_open_fds", "tokio_alive_tasks"];
    let mut known = Known::new();
    for (name, labels) in own.chain(process.map(|name| (name.to_owned(), &[][..]))) {
        let labels: BTreeSet<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        match name.ends_with("_duration_seconds") {
            true => ["_bucket", "_sum", "_count"]
                .iter()
                .for_each(|end| drop(known.insert(format!("{name}{end}"), labels.clone()))),
            false => drop(known.insert(name, labels)),
        }
    }
    known
}

/// Every name in a text that looks like one of a metric.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let ours = |name: &&str| {
        [PREFIX, "process_", "tokio_"]
            .iter()
            .any(|prefix| name.len() > prefix.len() && name.starts_with(prefix))
    };
    text.split(word).filter(ours).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_exposed_with_these_labels_and_buckets_and_deploy_files_name_no_other() {
    let server = events("127.0.0.1:0", 1, "1ms").await;
    let mut runner = runner(&server.server(), &[], "true", "-").await;
    runner.event("agent").await;
    server.signal("KILL").await;
    server.end().await;
    runner.until("loss", |o| o["event"] == "sse" && o["state"] == "waiting").await;
    let (_, page) = get(&runner, "metrics", "/metrics").await;
    runner.stop().await;
    let series: Vec<&str> = page.lines().filter(|line| line.starts_with(PREFIX)).collect();
    let mut emitted: BTreeSet<String> = BTreeSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        emitted.insert(line.split(['{', ' ']).next().unwrap_or_default().to_owned());
    }
    for (name, labels) in METRICS {
        let of = |line: &&&str| {
            let tail = line.strip_prefix(PREFIX).and_then(|line| line.strip_prefix(name));
            tail.is_some_and(|tail| tail.starts_with(['{', ' ']) || tail.starts_with("_bucket{"))
        };
        let lines: Vec<&&str> = series.iter().filter(of).collect();
        assert!(!lines.is_empty(), "{name} is missing in {page}");
        for line in lines {
            let inside = line.split_once('{').and_then(|(_, rest)| Some(rest.rsplit_once('}')?.0));
            let has: BTreeSet<&str> = inside
                .into_iter()
                .flat_map(|pairs| pairs.split(','))
                .filter_map(|pair| Some(pair.split_once('=')?.0))
                .filter(|label| *label != "le")
                .collect();
            assert_eq!(has, labels.iter().copied().collect(), "{line}");
        }
        emitted.insert(format!("{PREFIX}{name}"));
    }
    // Nothing of its own but these.
    for name in emitted.iter().filter_map(|name| name.strip_prefix(PREFIX)) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known = |name: &str| METRICS.iter().any(|(known, _)| *known == name);
        assert!(known(name) || base.is_some_and(known), "{name} is not in the table");
    }
    for (name, bounds) in
        [("agent_duration_seconds", ["1", "300"]), ("sse_connection_duration_seconds", ["60", "14400"])]
    {
        let line = |bound: &str| {
            series.iter().any(|s| {
                s.starts_with(&format!("{PREFIX}{name}_bucket")) && s.contains(&format!("le=\"{bound}\""))
            })
        };
        assert!(bounds.iter().all(|bound| line(bound)), "{name}: {page}");
    }
    assert!(
        [
            "process_resident_memory_bytes",
            "process_open_fds",
            "tokio_workers",
            "tokio_global_queue_depth",
            "tokio_alive_tasks"
        ]
        .iter()
        .all(|name| emitted.contains(*name)),
        "{page}"
    );
    for name in ["alerts.yml", "grafana.json"] {
        let used = names(&deploy(name));
        assert!(used.len() >= 4, "{name}: {used:?}");
        let unknown: Vec<_> = used.difference(&emitted).collect();
        assert!(unknown.is_empty(), "{name} reads what nobody emits: {unknown:?}");
    }
}

#[test]
fn the_manifest_has_these_probes_ports_and_a_grace_above_the_shutdown_timeout() {
    let text = deploy("kubernetes.yaml");
    let documents: Vec<Value> = text.split("\n---\n").map(yaml).collect();
    let (deployment, service) = (&documents[0], &documents[1]);
    assert_eq!((&deployment["kind"], &service["kind"]), (&"Deployment".into(), &"Service".into()));
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 45);
    let container = &pod["containers"][0];
    // Time to start in, until the others begin.
    let startup = &container["startupProbe"];
    assert_eq!(startup["httpGet"], container["livenessProbe"]["httpGet"]);
    let times = ["periodSeconds", "failureThreshold"].map(|key| startup[key].as_u64().expect("a number"));
    assert!((30..=120).contains(&(times[0] * times[1])), "{startup}");
    let resources = &container["resources"];
    for amount in
        [&resources["requests"]["cpu"], &resources["requests"]["memory"], &resources["limits"]["memory"]]
    {
        assert!(amount.is_string(), "{resources}");
    }
    assert!(resources["limits"]["cpu"].is_null(), "throttling looks like a hang");
    for (probe, path, times) in
        [("livenessProbe", "/healthz", [10, 10, 3]), ("readinessProbe", "/readyz", [5, 5, 2])]
    {
        let probe = &container[probe];
        assert_eq!((&probe["httpGet"]["path"], &probe["httpGet"]["port"]), (&path.into(), &8080.into()));
        let keys = ["initialDelaySeconds", "periodSeconds", "failureThreshold"];
        assert_eq!(keys.map(|key| probe[key].as_u64()), times.map(Some), "{path}");
    }
    // Every setting stands there with its default.
    let variables: Vec<(String, String)> = container["env"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            (
                entry["name"].as_str().expect("a name").to_owned(),
                entry["value"].as_str().expect("text").to_owned(),
            )
        })
        .collect();
    let help = file("examples/event_runner/main.rs");
    assert_eq!(variables.len(), 8);
    for (name, value) in &variables {
        let line = help
            .lines()
            .find(|line| line.contains(&format!(" {name} ")))
            .unwrap_or_else(|| panic!("{name} in the help"));
        assert!(line.split_whitespace().any(|word| word == value), "{name}={value} against {line}");
    }
    let shutdown =
        variables.iter().find(|(name, _)| name == "SHUTDOWN_TIMEOUT_SECONDS").expect("it").1.parse::<u64>();
    assert!(shutdown.expect("a number") + 5 <= 45);
    assert_eq!(
        (&service["metadata"]["name"], &service["spec"]["ports"][0]["port"]),
        (&"event-runner".into(), &9090.into())
    );
}

#[test]
fn the_pod_monitor_scrapes_the_pod_of_the_manifest_under_the_name_of_the_scrape_job() {
    let text = deploy("kubernetes.yaml");
    let deployment = yaml(text.split("\n---\n").next().expect("a document"));
    let monitor = yaml(&deploy("podmonitor.yaml"));
    assert_eq!(
        (&monitor["apiVersion"], &monitor["kind"]),
        (&"monitoring.coreos.com/v1".into(), &"PodMonitor".into())
    );
    let pod = &deployment["spec"]["template"];
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]);
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let ports = pod["spec"]["containers"][0]["ports"].as_array().expect("ports");
    let port = ports.iter().find(|port| port["name"] == endpoint["port"]).expect("a port of that name");
    assert_eq!((&port["containerPort"], &endpoint["path"]), (&9090.into(), &"/metrics".into()));
    let job = &yaml(&deploy("prometheus.yml"))["scrape_configs"][0]["job_name"];
    assert_eq!(endpoint["relabelings"][0], json!({ "targetLabel": "job", "replacement": job }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unit_of_systemd_waits_for_the_runner_to_be_ready_and_to_end_and_watches_it() {
    let text = deploy("event-runner.service");
    let value = |key: &str| {
        let values: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect();
        assert_eq!(values.len(), 1, "{key} once");
        values[0]
    };
    assert_eq!((value("Type"), value("KillMode"), value("NotifyAccess")), ("notify", "mixed", "main"));
    let seconds = |key: &str| value(key).parse::<u64>().expect("seconds");
    assert!((10..=60).contains(&seconds("WatchdogSec")));
    let manifest = deploy("kubernetes.yaml");
    assert!(manifest.contains(&format!("terminationGracePeriodSeconds: {}", seconds("TimeoutStopSec"))));
    assert_eq!((value("Restart"), value("RestartPreventExitStatus")), ("always", "2"));
    // What it starts is a command line that the program takes.
    let line: Vec<&str> = value("ExecStart").split(' ').collect();
    assert_eq!(line[0], "/usr/local/bin/event_runner");
    let args = line[1..].iter().map(|word| if *word == "/usr/local/bin/agent" { "true" } else { word });
    let args: Vec<&str> = ["--print-config"].into_iter().chain(args).collect();
    let ran = run("event_runner", &args).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn the_image_has_an_init_a_number_for_a_user_and_the_runner_where_the_manifest_and_the_unit_look_for_it() {
    let text = deploy("Dockerfile");
    let last = |key: &str| {
        text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).next_back().expect("a line")
    };
    let entry: Vec<String> = serde_json::from_str(last("ENTRYPOINT")).expect("no shell stands between");
    assert_eq!(entry, ["tini", "--", "/usr/local/bin/event_runner"]);
    assert!(text.lines().any(|line| line.contains("apt-get install") && line.contains(" tini")), "{text}");
    assert!(last("COPY").ends_with("/target/release/examples/event_runner /usr/local/bin/event_runner"));
    assert!(last("USER").split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)));
    assert!(last("EXPOSE").contains("8080") && last("EXPOSE").contains("9090"));
    assert!(deploy("Dockerfile.dockerignore").lines().any(|line| line == "**/target"));
}

#[test]
fn the_scrape_job_and_the_first_four_alerts_are_these() {
    let job = &yaml(&deploy("prometheus.yml"))["scrape_configs"][0];
    assert_eq!(job["job_name"], "kubernetes-mcp-runner");
    assert_eq!(job["static_configs"][0]["targets"], json!(["event-runner:9090"]));
    let rules = alerts("examples/event_runner/deploy/alerts.yml");
    let expressions: Vec<&str> = rules.iter().filter_map(|rule| rule["expr"].as_str()).take(4).collect();
    assert_eq!(
        expressions,
        [
            "rate(kubernetes_mcp_runner_agents_timeout_total[5m]) > 0.1",
            "kubernetes_mcp_runner_queue_depth > 50",
            "sum(kubernetes_mcp_runner_sse_connections_active) == 0",
            "kubernetes_mcp_runner_circuit_breaker_state == 1",
        ]
    );
}

#[test]
fn the_alerts_read_metrics_and_labels_of_the_runner_lead_to_the_manual_and_are_played_with_its_series() {
    check_alerts("examples/event_runner/deploy/alerts.yml", &known());
}

#[test]
fn the_dashboard_is_one_that_grafana_can_load_and_shows_every_metric_of_the_runner_and_no_other() {
    check_dashboard("examples/event_runner/deploy/grafana.json", &known());
}

#[test]
fn the_readme_names_a_test_for_every_criterion_and_each_exists() {
    let readme = file("examples/event_runner/README.md");
    let tests: String = ["event_runner", "event_runner_end", "event_runner_settings", "event_runner_deploy"]
        .iter()
        .map(|name| file(&format!("tests/it/{name}.rs")))
        .collect();
    let rows: Vec<&str> =
        readme.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    let mut named = 0;
    for word in rows
        .iter()
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .filter(|word| word.matches('_').count() > 4)
    {
        assert!(tests.contains(&format!("fn {word}()")), "{word} is no test");
        named += 1;
    }
    assert!(named >= 10, "{named} tests are named");
    for criterion in [
        "Timeouts end agents",
        "Old events leave",
        "Streams come back",
        "All metrics",
        "Probes",
        "Drain",
        "Every setting",
    ] {
        assert!(rows.iter().any(|row| row.starts_with(&format!("| {criterion}"))), "{criterion} is missing");
    }
}

#[test]
fn the_manual_lists_every_setting_and_metric() {
    let page = file("src/manual/operations.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").map(str::trim).collect())
        .collect();
    let row = |first: &str| {
        let found: Vec<_> = rows.iter().filter(|row| row[0] == format!("`{first}`")).collect();
        assert_eq!(found.len(), 1, "{first} stands there once");
        found[0]
    };
    for (variable, flag, default) in crate::event_runner_settings::SETTINGS {
        let cells = row(variable);
        assert_eq!((cells[1], cells[2]), (&*format!("`{flag}`"), &*default.to_string()), "{variable}");
    }
    for (name, labels) in METRICS {
        let cells = row(name);
        // An empty cell is run together with the one behind it.
        let shown = if cells[2].starts_with('|') { "" } else { cells[2] };
        assert_eq!(shown, labels.join(", "), "{name}");
    }
}
