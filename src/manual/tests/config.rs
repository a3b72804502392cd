//! The page on settings against the code.

use super::rows;
use crate::config::{Layers, Resilience};
use crate::retry::{Backoff, Budget, Jitter, Remember};
use crate::{Limits, breaker, health, retry};
use std::collections::BTreeSet;
use std::time::Duration;

const PAGE: &str = include_str!("../config.md");
const SECOND: Duration = Duration::from_secs(1);

/// A key, a value for it, the method that the page names, and what that method does.
type Row = (&'static str, &'static str, &'static str, fn(&mut Resilience));

fn limits(it: &mut Resilience, set: impl FnOnce(Limits) -> Limits) {
    it.limits = set(it.limits.clone());
}

fn retries(it: &mut Resilience, set: impl FnOnce(retry::Settings) -> retry::Settings) {
    it.retry = set(it.retry.clone());
}

fn waits(it: &mut Resilience, set: impl FnOnce(Backoff) -> Backoff) {
    it.retry = it.retry.clone().backoff(set(it.retry.get_backoff().clone()));
}

fn budget(it: &mut Resilience, set: impl FnOnce(Budget) -> Budget) {
    let budget = it.retry.get_budget().cloned().expect("on by default");
    it.retry = it.retry.clone().budget(set(budget));
}

fn circuit(it: &mut Resilience, set: impl FnOnce(breaker::Settings) -> breaker::Settings) {
    it.circuit_breaker = set(it.circuit_breaker.clone());
}

fn open(it: &mut Resilience, set: impl FnOnce(Backoff) -> Backoff) {
    let open = set(it.circuit_breaker.get_open().clone());
    circuit(it, |circuit| circuit.open(open));
}

fn ratio(it: &mut Resilience, set: impl FnOnce(breaker::Ratio) -> breaker::Ratio) {
    let ratio = set(it.circuit_breaker.get_ratio().cloned().unwrap_or_default());
    circuit(it, |circuit| circuit.ratio(ratio));
}

fn check(it: &mut Resilience, set: impl FnOnce(health::Settings) -> health::Settings) {
    it.health_check = Some(set(it.health_check.clone().unwrap_or_else(|| "/health".into())));
}

const ROWS: &[Row] = &[
    ("limits.total", "1h", "Limits::total", |it| limits(it, |it| it.total(3600 * SECOND))),
    ("limits.attempt", "7s", "Limits::attempt", |it| limits(it, |it| it.attempt(7 * SECOND))),
    ("limits.connect", "2s", "Limits::connect", |it| limits(it, |it| it.connect(2 * SECOND))),
    ("limits.idle", "3s", "Limits::idle", |it| limits(it, |it| it.idle(3 * SECOND))),
    ("limits.stream", "1m30s", "Limits::stream", |it| limits(it, |it| it.stream(90 * SECOND))),
    ("limits.long_poll", "2m", "Limits::long_poll", |it| limits(it, |it| it.long_poll(120 * SECOND))),
    ("limits.collect", "9", "Limits::collect", |it| limits(it, |it| it.collect(9))),
    ("limits.min_progress.bytes", "9", "Limits::min_progress", |it| {
        limits(it, |it| it.min_progress(9, 10 * SECOND));
    }),
    ("limits.min_progress.per", "11s", "Limits::min_progress", |it| {
        limits(it, |it| it.min_progress(1, 11 * SECOND));
    }),
    ("retry.max_retries", "7", "Settings::max_retries", |it| retries(it, |it| it.max_retries(7))),
    ("retry.initial_delay", "2s", "Backoff::exponential", |it| {
        retries(it, |it| it.backoff(Backoff::exponential(2 * SECOND)));
    }),
    ("retry.max_delay", "1m", "Backoff::cap", |it| waits(it, |it| it.cap(60 * SECOND))),
    ("retry.backoff_multiplier", "3", "Backoff::multiplier", |it| waits(it, |it| it.multiplier(3.0))),
    ("retry.jitter", "0.25", "Backoff::jitter", |it| waits(it, |it| it.jitter(Jitter::Proportional(0.25)))),
    ("retry.wait_when_refused", "1m", "Settings::wait_when_refused", |it| {
        retries(it, |it| it.wait_when_refused(60 * SECOND));
    }),
    ("retry.retry_after_cap", "5m", "Settings::retry_after_cap", |it| {
        retries(it, |it| it.retry_after_cap(300 * SECOND));
    }),
    ("retry.remember", "origin", "Settings::remember", |it| retries(it, |it| it.remember(Remember::Origin))),
    ("retry.budget.enabled", "false", "Settings::budget", |it| retries(it, |it| it.budget(None))),
    ("retry.budget.tokens", "9", "Budget::tokens", |it| budget(it, |it| it.tokens(9))),
    ("retry.budget.retry_cost", "9", "Budget::retry_cost", |it| budget(it, |it| it.retry_cost(9))),
    ("retry.budget.refund", "9", "Budget::refund", |it| budget(it, |it| it.refund(9))),
    ("circuit_breaker.failure_threshold", "9", "Settings::failures", |it| circuit(it, |it| it.failures(9))),
    ("circuit_breaker.timeout", "2s", "Settings::open", |it| {
        open(it, |was| {
            let it = Backoff::exponential(2 * SECOND).multiplier(was.get_multiplier());
            it.cap(was.get_cap()).jitter(was.get_jitter())
        });
    }),
    ("circuit_breaker.max_timeout", "1m", "Settings::open", |it| open(it, |it| it.cap(60 * SECOND))),
    ("circuit_breaker.backoff_multiplier", "3", "Settings::open", |it| open(it, |it| it.multiplier(3.0))),
    ("circuit_breaker.jitter", "none", "Settings::open", |it| open(it, |it| it.jitter(Jitter::None))),
    ("circuit_breaker.half_open_max_calls", "9", "Settings::half_open", |it| {
        circuit(it, |it| it.half_open(9, 1));
    }),
    ("circuit_breaker.close_after", "2", "Settings::half_open", |it| circuit(it, |it| it.half_open(3, 2))),
    ("circuit_breaker.lease", "40s", "Settings::lease", |it| circuit(it, |it| it.lease(40 * SECOND))),
    ("circuit_breaker.hang_after", "2s", "Settings::hang_after", |it| {
        circuit(it, |it| it.hang_after(2 * SECOND));
    }),
    ("circuit_breaker.overdue_after", "2s", "Settings::overdue_after", |it| {
        circuit(it, |it| it.overdue_after(2 * SECOND));
    }),
    ("circuit_breaker.disabled", "true", "Settings::disabled", |it| circuit(it, |it| it.disabled(true))),
    ("circuit_breaker.ratio.failure_ratio", "0.25", "Ratio::failure_ratio", |it| {
        ratio(it, |it| it.failure_ratio(0.25));
    }),
    ("circuit_breaker.ratio.min_calls", "4", "Ratio::min_calls", |it| ratio(it, |it| it.min_calls(4))),
    ("circuit_breaker.ratio.window", "1m", "Ratio::window", |it| ratio(it, |it| it.window(60 * SECOND))),
    ("circuit_breaker.ratio.buckets", "6", "Ratio::buckets", |it| ratio(it, |it| it.buckets(6))),
    ("circuit_breaker.ratio.slow_after", "2s", "Ratio::slow_after", |it| {
        ratio(it, |it| it.slow_after(2 * SECOND));
    }),
    ("circuit_breaker.ratio.slow_ratio", "0.25", "Ratio::slow_ratio", |it| {
        ratio(it, |it| it.slow_ratio(0.25))
    }),
    ("health_check.enabled", "true", "StackBuilder::health", |it| check(it, |it| it)),
    ("health_check.path", "/up", "Settings::new", |it| it.health_check = Some(health::Settings::new("/up"))),
    ("health_check.interval", "7s", "Settings::interval", |it| check(it, |it| it.interval(7 * SECOND))),
    ("health_check.timeout", "2s", "Settings::timeout", |it| check(it, |it| it.timeout(2 * SECOND))),
    ("health_check.mode", "background", "Settings::mode", |it| {
        check(it, |it| it.mode(health::Mode::Background));
    }),
];

/// What a key means nothing without.
fn beside(key: &str) -> &'static [(&'static str, &'static str)] {
    match key {
        "limits.min_progress.bytes" => &[("limits.min_progress.per", "10s")],
        "limits.min_progress.per" => &[("limits.min_progress.bytes", "1")],
        "health_check.interval" | "health_check.timeout" | "health_check.mode" => {
            &[("health_check.enabled", "true")]
        }
        _ => &[],
    }
}

fn loaded(key: &str, value: &str) -> Resilience {
    let beside =
        beside(key).iter().fold(Layers::new(), |layers, (key, value)| layers.flag("-b", key, *value));
    let layers = beside.flag("-x", key, value);
    layers.load().unwrap_or_else(|error| panic!("{key} = {value}: {error}"))
}

/// What is in force, also where it follows from other settings.
fn in_force(it: &Resilience) -> String {
    let bounds = it.limits.resolve().expect("limits that fit together");
    let rules = it.circuit_breaker.rules(bounds.attempt);
    let (cap, retry) = (it.retry.get_retry_after_cap(), it.retry.clone().retry_after_cap(SECOND));
    format!("{bounds:?} {retry:?} {cap:?} {rules:?} {:?}", it.health_check)
}

/// Key, variable, method and default, as the page has them.
fn on_the_page() -> Vec<[&'static str; 4]> {
    let keys = PAGE.split("# Keys").nth(1).expect("the section");
    let all = rows(keys.split("\n# ").next().expect("its end"));
    let keys = all.into_iter().filter(|row| row[0].starts_with('`'));
    keys.map(|row| {
        let plain = |at: usize| row[at].trim_matches('`');
        [plain(0), plain(1), row[2].split('`').nth(1).expect("the name of a method"), plain(3)]
    })
    .collect()
}

#[test]
fn every_key_of_the_page_on_settings_does_what_its_method_does() {
    let page = on_the_page();
    assert_eq!(page.len(), ROWS.len(), "a row here for each on the page");
    let mut all = Resilience::default();
    for ((key, value, method, set), [on_page, variable, named, default]) in ROWS.iter().zip(&page) {
        assert_eq!((key, method), (on_page, named));
        let name = variable.strip_prefix("APP_RESILIENCE__").expect("the prefix");
        assert_eq!(name.to_lowercase().replace("__", "."), *key, "{variable}");
        let mut it = Resilience::default();
        set(&mut it);
        assert_eq!(format!("{:?}", loaded(key, value)), format!("{it:?}"), "{key} = {value}");
        assert_ne!(in_force(&it), in_force(&Resilience::default()), "{key} = {value} is the default");
        if *key != "retry.budget.enabled" {
            set(&mut all);
        }

        let mut usual = Resilience::default();
        if key.starts_with("circuit_breaker.ratio.") {
            ratio(&mut usual, |ratio| ratio);
        } else if key.starts_with("health_check.") && *key != "health_check.enabled" {
            check(&mut usual, |check| check);
        }
        match *default {
            "off" => assert!(key.contains("min_progress") || *key == "circuit_breaker.overdue_after"),
            default => assert_eq!(in_force(&loaded(key, default)), in_force(&usual), "{key}: {default}"),
        }
    }
    let usual = Resilience::default();
    assert!(usual.limits.get_min_progress().is_none() && usual.circuit_breaker.get_overdue_after().is_none());
    let shown = Layers::new().effective(&all).expect("plain settings");
    let keys: BTreeSet<_> = shown.into_iter().map(|value| value.key).collect();
    let named: BTreeSet<_> = ROWS.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(named, keys, "keys of the page, and all there are");
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    server: String,
    resilience: Resilience,
    queue: crate::queue::Settings,
}

/// The first block of this language, read as a file with this extension.
fn example(language: &str) -> Settings {
    let block = PAGE.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("```").next());
    let name = format!("unwedge-manual-{}.{language}", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, block.expect("an example")).expect("a temporary file");
    let layers = Layers::new().file(&file);
    std::fs::remove_file(&file).expect("it was written just now");
    layers.and_then(|layers| layers.load()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_example_files_of_the_page_on_settings_are_read_and_say_the_same() {
    let (yaml, toml) = (example("yaml"), example("toml"));
    assert_eq!(format!("{yaml:?}"), format!("{toml:?}"));
    let Settings { server, resilience, queue } = yaml;
    assert!(server.starts_with("https://") && queue.get_max_age() == 600 * SECOND);
    assert_eq!(resilience.limits.get_total(), 120 * SECOND);
    resilience.builder().build().expect("settings that fit together");
}
