//! The alerts and dashboards that are shipped, against the metrics that the code has. That they fire in the incidents that
//! they are for is promtool's to test: `.ci/run rules`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use unwedge::config::Layers;
use unwedge::metrics::{Kind, METRICS};

/// Labels that Prometheus adds, and the bound of a histogram's bucket.
const ADDED: [&str; 3] = ["job", "instance", "le"];

pub(crate) fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One document, as settings are read.
pub(crate) fn yaml(text: &str) -> Value {
    // Tests run side by side.
    let own = format!("unwedge-alerts-{}-{:?}.yaml", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(own);
    std::fs::write(&path, text).expect("a file can be written");
    let read = Layers::new().file(&path).and_then(|layers| layers.load());
    let _ = std::fs::remove_file(path);
    read.unwrap_or_else(|error| panic!("{error}"))
}

/// The alerts of a rule file.
pub(crate) fn alerts(path: &str) -> Vec<Value> {
    let groups = yaml(&file(path))["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

/// Every expression of a dashboard, of panels and annotations.
pub(crate) fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let notes = dashboard["annotations"]["list"].as_array().expect("annotations");
    let text = |of: &Value| of["expr"].as_str().expect("an expression").to_owned();
    targets.chain(notes).map(text).collect()
}

/// Every metric as Prometheus has it, with its labels.
pub(crate) type Known = BTreeMap<String, BTreeSet<String>>;

fn library() -> Known {
    let mut known = Known::new();
    for metric in METRICS {
        let mut name = metric.name.replace('.', "_");
        // The exporter adds the unit where a name lacks it.
        if metric.kind == Kind::Histogram && !name.ends_with("_seconds") {
            name += "_seconds";
        }
        let labels: BTreeSet<String> = metric.labels.iter().map(|label| label.replace('.', "_")).collect();
        match metric.kind {
            Kind::Histogram => ["_bucket", "_sum", "_count"]
                .iter()
                .for_each(|end| drop(known.insert(format!("{name}{end}"), labels.clone()))),
            _ => drop(known.insert(name, labels)),
        }
    }
    known
}

/// The metrics in an expression, each with the labels that it is selected by; and the labels that it is grouped by. An
/// identifier is a metric where it is no function, no keyword and no label.
fn parts(expression: &str) -> (Vec<(String, Vec<String>)>, Vec<String>) {
    const WORDS: [&str; 12] = [
        "by",
        "without",
        "on",
        "ignoring",
        "and",
        "or",
        "unless",
        "offset",
        "bool",
        "group_left",
        "vector",
        "absent",
    ];
    let (mut metrics, mut grouped): (Vec<(String, Vec<String>)>, Vec<String>) = Default::default();
    let mut rest = expression;
    let mut grouping = false;
    while let Some(first) = rest.chars().next() {
        if first == '{' {
            let (inside, after) = rest[1..].split_once('}').expect("a selector ends");
            let labels = inside.split("\",").filter(|pair| !pair.is_empty());
            let name = |pair: &str| pair.split(['=', '!']).next().expect("a label").trim().to_owned();
            metrics.last_mut().expect("a metric before its selector").1.extend(labels.map(name));
            rest = after;
        } else if first == '[' {
            rest = rest.split_once(']').expect("a window ends").1;
        } else if first.is_ascii_alphabetic() {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let word;
            (word, rest) = rest.split_at(end);
            match word {
                _ if grouping => grouped.push(word.to_owned()),
                "by" | "without" | "on" => grouping = true,
                // Of a function, or a keyword.
                _ if rest.starts_with('(') || WORDS.contains(&word) => {}
                // Behind the aggregation there may be a grouping: "sum by (..) (..)".
                "sum" | "max" | "min" | "count" => {}
                _ => metrics.push((word.to_owned(), Vec::new())),
            }
        } else {
            grouping &= first != ')';
            // A number or the unit behind it.
            let end = match first.is_ascii_digit() {
                true => rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len()),
                false => first.len_utf8(),
            };
            rest = &rest[end..];
        }
    }
    (metrics, grouped)
}

/// Names and labels of an expression, and of the words that are said with it, are those of `known`.
#[track_caller]
fn is_of(known: &Known, expression: &str, words: &str) {
    let (metrics, grouped) = parts(expression);
    assert!(!metrics.is_empty(), "no metric in {expression}");
    let mut labels: BTreeSet<&str> = ADDED.into_iter().collect();
    for (metric, selected) in &metrics {
        let of = known.get(metric).unwrap_or_else(|| panic!("{metric} is emitted by nobody: {expression}"));
        labels.extend(of.iter().map(String::as_str));
        for label in selected {
            assert!(of.contains(label) || ADDED.contains(&&**label), "{metric} has no {label}: {expression}");
        }
    }
    let shown = words.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let shown = shown.filter_map(|inside| {
        let inside = inside.trim();
        match inside.strip_prefix("$labels.") {
            Some(label) => Some(label),
            None => Some(inside).filter(|inside| !inside.starts_with('$')),
        }
    });
    for label in grouped.iter().map(String::as_str).chain(shown) {
        assert!(labels.contains(label), "no metric has the label {label}: {expression} {words}");
    }
}

/// Every alert reads what is there, can be read, leads to its section of the manual, and is in the test beside it.
#[track_caller]
pub(crate) fn check_alerts(path: &str, known: &Known) {
    let (page, played) = (file("docs/manual/operations.md"), file(&path.replace(".yml", ".test.yml")));
    let mut names = BTreeSet::new();
    for alert in alerts(path) {
        let text = |of: &Value| of.as_str().unwrap_or_else(|| panic!("{path}: {alert}")).to_owned();
        let (name, expression) = (text(&alert["alert"]), text(&alert["expr"]));
        assert!(names.insert(name.clone()), "{name} is there twice");
        let words = ["summary", "description"].map(|key| text(&alert["annotations"][key])).join(" ");
        is_of(known, &expression, &words);
        assert!(["warning", "critical"].contains(&&*text(&alert["labels"]["severity"])), "{alert}");
        let anchor = format!("docs/manual/operations.md#{}", name.to_lowercase());
        assert_eq!(text(&alert["annotations"]["runbook_url"]), anchor);
        let section = format!("### {name}\n`{expression}`\\\n");
        assert!(page.contains(&section), "the manual has no section that begins with\n{section}");
        assert!(played.contains(&format!("alertname=\"{name}\"")), "no test expects {name}");
    }
    assert!(names.len() > 10, "{names:?}");
    // A test that plays what no program shows proves nothing.
    for test in yaml(&played)["tests"].as_array().expect("tests") {
        for series in test["input_series"].as_array().expect("series") {
            let series = series["series"].as_str().expect("a series");
            let (metrics, _) = parts(series);
            let [(metric, labels)] = &metrics[..] else { panic!("{series}") };
            let of = known.get(metric).unwrap_or_else(|| panic!("{series} is emitted by nobody"));
            assert!(labels.iter().all(|label| of.contains(label) || ADDED.contains(&&**label)), "{series}");
            let given: BTreeSet<&String> = labels.iter().collect();
            let missing: Vec<_> =
                of.iter().filter(|label| !given.contains(label) && *label != "group").collect();
            assert!(missing.is_empty(), "{series} lacks {missing:?}");
        }
        let expected = test["promql_expr_test"].as_array().expect("expectations");
        assert!(expected.iter().any(|at| at["exp_samples"] == serde_json::json!([])), "never quiet: {test}");
    }
}

/// Grafana can load it, it reads what is there, and it shows thresholds, annotations and every metric.
#[track_caller]
pub(crate) fn check_dashboard(path: &str, known: &Known) {
    let dashboard: Value = serde_json::from_str(&file(path)).expect("JSON");
    assert!(dashboard["title"].is_string() && dashboard["schemaVersion"].is_u64());
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let mut taken: Vec<[u64; 4]> = Vec::new();
    for panel in panels {
        assert!(panel["title"].is_string(), "{panel}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a place"));
        assert!(x + w <= 24 && w > 0 && h > 0, "{panel}");
        let apart = |[a, b, c, d]: &[u64; 4]| x + w <= *a || a + c <= x || y + h <= *b || b + d <= y;
        assert!(taken.iter().all(apart), "it lies on another: {panel}");
        taken.push([x, y, w, h]);
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            let text = |key: &str| target[key].as_str().expect("text");
            is_of(known, text("expr"), text("legendFormat"));
        }
    }
    let stepped = |panel: &&Value| panel["fieldConfig"]["defaults"]["thresholds"]["steps"].is_array();
    assert!(panels.iter().filter(stepped).count() >= 4, "thresholds");
    let notes = dashboard["annotations"]["list"].as_array().expect("annotations");
    assert!(notes.len() >= 3);
    for note in notes {
        let text = |key: &str| note[key].as_str().expect("text");
        is_of(known, text("expr"), &format!("{} {}", text("titleFormat"), text("textFormat")));
    }
    let shown = expressions(&dashboard).join("\n");
    for name in known.keys().filter(|name| !name.ends_with("_sum") && !name.ends_with("_count")) {
        assert!(shown.contains(name.as_str()), "{name} is on no panel of {path}");
    }
}

#[test]
fn the_alerts_read_metrics_and_labels_of_the_crate_lead_to_the_manual_and_are_played_with_its_series() {
    check_alerts("docs/alerts/unwedge.rules.yml", &library());
}

#[test]
fn the_dashboard_shows_every_metric_of_the_crate_and_no_other() {
    check_dashboard("docs/alerts/unwedge.grafana.json", &library());
}

#[test]
fn a_name_or_a_label_that_nobody_emits_is_noticed_wherever_it_stands() {
    let known = library();
    let expression =
        "max by (job) (max_over_time(unwedge_breaker_phase{origin=~\"a.*\",client!=\"b\"}[5m])) > 0 < 3";
    is_of(&known, expression, "{{ $labels.job }} {{origin}} {{ $value | humanize }}");
    for (expression, words) in [
        ("unwedge_breaker_phases > 0", ""),
        ("rate(unwedge_attempts[5m])", ""),
        ("sum by (host) (rate(unwedge_attempts_total[5m]))", ""),
        ("sum without (host) (rate(unwedge_attempts_total[5m]))", ""),
        ("unwedge_attempts_total{status=\"2xx\"}", ""),
        ("unwedge_attempts_total unless on (queue) unwedge_attempts_total", ""),
        ("http_client_request_duration > 1", ""),
        ("up == 0", ""),
        ("1 > 2", ""),
        ("unwedge_attempts_total", "{{ $labels.host }}"),
        ("unwedge_attempts_total", "{{host}}"),
    ] {
        let noticed = std::panic::catch_unwind(|| is_of(&library(), expression, words));
        assert!(noticed.is_err(), "{expression} {words}");
    }
}
