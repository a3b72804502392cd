//! Settings are read back by getters, and written and read by serde.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::Duration;
use unwedge::client::Connections;
use unwedge::config::Layers;
use unwedge::retry::{Backoff, Budget, Jitter, Remember};
use unwedge::supervise::{OnReturn, Policy, Supervisor, Watch};
use unwedge::{Limits, breaker, child, health, queue, retry, sse};

const SECOND: Duration = Duration::from_secs(1);

fn waits() -> Backoff {
    Backoff::exponential(2 * SECOND)
        .multiplier(1.25)
        .cap(9 * SECOND)
        .jitter(Jitter::Proportional(0.5))
        .seed(7)
}

fn limits() -> Limits {
    let limits =
        Limits::default().total(60 * SECOND).attempt(20 * SECOND).connect(3 * SECOND).idle(4 * SECOND);
    limits.stream(70 * SECOND).long_poll(80 * SECOND).collect(9).min_progress(10, 11 * SECOND)
}

fn retries() -> retry::Settings {
    let settings =
        retry::Settings::default().max_retries(8).backoff(waits()).budget(Budget::default().tokens(9));
    settings.retry_after_cap(5 * SECOND).wait_when_refused(6 * SECOND).remember(Remember::Headers)
}

fn ratio() -> breaker::Ratio {
    let ratio = breaker::Ratio::default().failure_ratio(0.25).min_calls(4).window(90 * SECOND).buckets(6);
    ratio.slow_after(3 * SECOND).slow_ratio(0.75)
}

fn circuit() -> breaker::Settings {
    let settings = breaker::Settings::default().failures(9).ratio(ratio()).open(waits()).half_open(7, 2);
    settings.lease(40 * SECOND).hang_after(2 * SECOND).overdue_after(5 * SECOND).disabled(true)
}

fn checks() -> health::Settings {
    health::Settings::new("/up").interval(7 * SECOND).timeout(SECOND).mode(health::Mode::Background)
}

fn stream() -> sse::Settings {
    let again =
        sse::Reconnect::default().mode(sse::Mode::Spec).backoff(waits()).spread(SECOND).skip_duplicates(3);
    let settings =
        sse::Settings::default().reconnect(again).reconnect(true).end_at("[DONE]").idle(5 * SECOND);
    settings.events_within(6 * SECOND).max_size(7, 8).name("eu").last_event_id("41")
}

fn holds() -> queue::Settings {
    queue::Settings::default().max_age(SECOND).capacity(5).per_key(2).valve(0.5, 3 * SECOND).name("jobs")
}

fn restarts() -> Policy {
    let policy = Policy::default().backoff(waits()).on_return(OnReturn::Restart(3 * SECOND));
    policy.healthy_after(4 * SECOND).intensity(6, 7 * SECOND)
}

fn connections() -> Connections {
    Connections::default().idle(9 * SECOND).idle_per_origin(5).age(90 * SECOND).per_origin(7).seed(3)
}

#[test]
fn what_a_setter_sets_its_getter_reads_back() {
    let it = limits();
    assert_eq!((it.get_total(), it.get_attempt(), it.get_connect()), (60 * SECOND, 20 * SECOND, 3 * SECOND));
    assert_eq!((it.get_idle(), it.get_stream(), it.get_long_poll()), (4 * SECOND, 70 * SECOND, 80 * SECOND));
    assert_eq!((it.get_collect(), it.get_min_progress()), (9, Some((10, 11 * SECOND))));

    let it = waits();
    assert_eq!((it.get_base(), it.get_multiplier(), it.get_cap()), (2 * SECOND, 1.25, 9 * SECOND));
    assert_eq!((it.get_jitter(), it.get_seed()), (Jitter::Proportional(0.5), Some(7)));

    let it = retries();
    assert_eq!((it.get_max_retries(), it.get_backoff()), (8, &waits()));
    let budget = it.get_budget().unwrap();
    assert_eq!((budget.get_tokens(), budget.get_retry_cost(), budget.get_refund()), (9, 4, 1));
    assert_eq!((it.get_retry_after_cap(), it.get_wait_when_refused()), (5 * SECOND, 6 * SECOND));
    assert_eq!(it.get_remember(), Remember::Headers);
    assert!(it.budget(None).get_budget().is_none());

    let it = circuit();
    assert_eq!((it.get_failures(), it.get_open(), it.get_half_open()), (9, &waits(), (7, 2)));
    assert_eq!((it.get_lease(), it.get_hang_after()), (Some(40 * SECOND), 2 * SECOND));
    assert_eq!((it.get_overdue_after(), it.get_disabled()), (Some(5 * SECOND), true));
    let it = it.get_ratio().unwrap();
    assert_eq!((it.get_failure_ratio(), it.get_min_calls(), it.get_window()), (0.25, 4, 90 * SECOND));
    assert_eq!((it.get_buckets(), it.get_slow_after(), it.get_slow_ratio()), (6, Some(3 * SECOND), 0.75));

    let it = checks();
    assert_eq!((it.get_path(), it.get_interval(), it.get_timeout()), ("/up", 7 * SECOND, SECOND));
    assert_eq!(it.get_mode(), health::Mode::Background);
    assert!(!it.accept(|status| status == 418).accepts(http::StatusCode::OK));

    let it = stream();
    assert_eq!((it.get_end_at(), it.get_idle()), (Some("[DONE]"), Some(5 * SECOND)));
    assert_eq!((it.get_events_within(), it.get_max_size()), (Some(6 * SECOND), (7, 8)));
    assert_eq!((it.get_name(), it.get_last_event_id()), (Some("eu"), Some("41")));
    let it = it.get_reconnect();
    assert_eq!((it.get_again(), it.get_mode(), it.get_backoff()), (Some(true), sse::Mode::Spec, &waits()));
    assert_eq!((it.get_spread(), it.get_skip_duplicates()), (SECOND, 3));

    let it = holds();
    assert_eq!((it.get_max_age(), it.get_capacity(), it.get_per_key()), (SECOND, 5, 2));
    assert_eq!((it.get_valve(), it.get_name()), (Some((0.5, 3 * SECOND)), "jobs"));

    let it = restarts();
    assert_eq!((it.get_backoff(), it.get_on_return()), (&waits(), OnReturn::Restart(3 * SECOND)));
    assert_eq!((it.get_healthy_after(), it.get_intensity()), (4 * SECOND, (6, 7 * SECOND)));
}

#[test]
fn what_a_command_and_a_task_are_set_to_is_read_back() {
    let it = child::Command::new("/bin/agent", 9 * SECOND).args(["-v"]).env("A", "1").inherit_env(["PATH"]);
    let it = it.dir("/srv").stdin("in").grace(SECOND).keep_output(10);
    assert_eq!(
        (it.get_program(), it.get_limit(), it.get_grace()),
        ("/bin/agent".as_ref(), 9 * SECOND, SECOND)
    );
    assert_eq!((it.get_args().count(), it.get_env().next()), (1, Some(("A".as_ref(), "1".as_ref()))));
    assert_eq!((it.get_inherit_env().next(), it.get_dir()), (Some("PATH".as_ref()), Some("/srv".as_ref())));
    assert_eq!((&it.get_stdin()[..], it.get_keep_output()), (&b"in"[..], 10));

    let mut crew = Supervisor::new();
    let it = crew.spawn("import", 60 * SECOND, |heart| async move { heart.progress() });
    assert_eq!((it.get_stale_after(), it.get_watch()), (Some(120 * SECOND), Watch::Warn));
    it.watch(Watch::Enforce).stale_after(SECOND).splay(0.5).policy(restarts()).on_return(OnReturn::Stop);
    assert_eq!((it.get_stale_after(), it.get_watch(), it.get_splay()), (Some(SECOND), Watch::Enforce, 0.5));
    assert_eq!((it.get_on_return(), it.get_policy().get_intensity()), (OnReturn::Stop, (6, 7 * SECOND)));
}

/// As JSON, after it was read from what it was written as.
fn again<T: Serialize + DeserializeOwned + Debug>(settings: &T) -> Value {
    let written = serde_json::to_value(settings).unwrap();
    let read: T = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
    written
}

#[test]
fn settings_are_written_and_read_again_under_the_names_of_their_setters() {
    let open = json!({ "base": "2s", "multiplier": 1.25, "cap": "9s", "jitter": 0.5, "seed": 7 });
    let written = again(&limits());
    assert_eq!(written["min_progress"], json!({ "bytes": 10, "per": "11s" }));
    assert_eq!(serde_json::from_value::<Limits>(written).unwrap(), limits());
    let written = again(&retries());
    assert_eq!((&written["backoff"], &written["remember"]), (&open, &json!("headers")));
    assert_eq!(written["budget"], json!({ "enabled": true, "tokens": 9, "retry_cost": 4, "refund": 1 }));
    let written = again(&circuit());
    assert_eq!((&written["open"], &written["lease"]), (&open, &json!("40s")));
    assert_eq!(written["half_open"], json!({ "max_calls": 7, "close_after": 2 }));
    assert_eq!(serde_json::from_value::<breaker::Settings>(written).unwrap(), circuit());
    let written = again(&checks());
    assert_eq!(written, json!({ "path": "/up", "interval": "7s", "timeout": "1s", "mode": "background" }));
    let written = again(&stream());
    assert_eq!(
        (&written["reconnect"]["again"], &written["reconnect"]["mode"]),
        (&json!(true), &json!("spec"))
    );
    assert_eq!(
        (&written["max_size"], &written["last_event_id"]),
        (&json!({ "line": 7, "event": 8 }), &json!("41"))
    );
    let written = again(&connections());
    let as_set = json!({ "idle": "9s", "idle_per_origin": 5, "age": "1m30s", "per_origin": 7, "seed": 3 });
    assert_eq!(written, as_set);
    assert_eq!(serde_json::from_value::<Connections>(written).unwrap(), connections());
    assert_eq!(again(&holds())["valve"], json!({ "share": 0.5, "window": "3s" }));
    let written = again(&restarts());
    assert_eq!((&written["backoff"], &written["on_return"]), (&open, &json!({ "restart": "3s" })));
    assert_eq!(written["intensity"], json!({ "most": 6, "within": "7s" }));
}

#[test]
fn what_is_absent_is_the_default_of_its_place() {
    let read = |text: &str| serde_json::from_str::<breaker::Settings>(text).unwrap();
    let open = read(r#"{ "open": { "base": "30s" } }"#).get_open().clone();
    assert_eq!((open.get_cap(), open.get_multiplier()), (30 * SECOND, 1.5));
    assert_eq!(open.get_jitter(), Jitter::Proportional(0.1));
    assert_eq!(read("{}"), breaker::Settings::default());
    assert_eq!(serde_json::from_str::<Connections>("{}").unwrap(), Connections::default());
    let policy: Policy = serde_json::from_str(r#"{ "backoff": { "base": "3s" } }"#).unwrap();
    assert_eq!(policy.get_backoff().get_cap(), 30 * SECOND);
    let stream: sse::Settings = serde_json::from_str(r#"{ "reconnect": { "backoff": {} } }"#).unwrap();
    assert_eq!(stream.get_reconnect().get_backoff(), sse::Reconnect::default().get_backoff());
    let retry: retry::Settings = serde_json::from_str(r#"{ "budget": { "enabled": false } }"#).unwrap();
    assert!(retry.get_budget().is_none());
    let check: health::Settings = serde_json::from_str(r#"{ "path": "/up" }"#).unwrap();
    assert!(check.get_interval() == 30 * SECOND && check.accepts(http::StatusCode::OK));
}

#[test]
fn connections_are_set_by_flags_under_the_names_of_their_setters() {
    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        connections: Connections,
    }
    let read = |key: &str, value: &str| Layers::new().flag("--it", key, value).load::<Settings>();
    let set = Connections::default();
    for (key, value, expected) in [
        ("connections.idle", "9s", set.idle(9 * SECOND)),
        ("connections.idle_per_origin", "0", set.idle_per_origin(0)),
        ("connections.age", "1m", set.age(60 * SECOND)),
        ("connections.per_origin", "9", set.per_origin(9)),
        ("connections.seed", "3", set.seed(3)),
    ] {
        assert_eq!(read(key, value).unwrap().connections, expected, "{key}");
    }
    let error = read("connections.age", "60").unwrap_err().to_string();
    assert!(error.starts_with("flag --it: connections.age: "), "{error}");
    assert!(read("connections.agee", "60s").unwrap_err().is_config());
}

#[test]
fn an_unknown_key_and_a_bare_number_are_refused() {
    fn refused<T: DeserializeOwned>(text: &str) -> String {
        serde_json::from_str::<T>(text).map(drop).unwrap_err().to_string()
    }
    for error in [
        refused::<Limits>(r#"{ "totl": "5s" }"#),
        refused::<retry::Settings>(r#"{ "backoff": { "bas": "5s" } }"#),
        refused::<retry::Settings>(r#"{ "budget": { "token": 5 } }"#),
        refused::<breaker::Settings>(r#"{ "half_open": { "calls": 5 } }"#),
        refused::<health::Settings>(r#"{ "path": "/", "mod": "background" }"#),
        refused::<sse::Settings>(r#"{ "reconnect": { "hook": 1 } }"#),
        refused::<queue::Settings>(r#"{ "name": "jobs" }"#),
        refused::<Connections>(r#"{ "idel": "5s" }"#),
        refused::<Policy>(r#"{ "intensity": { "most": 1, "within": "1s", "x": 1 } }"#),
    ] {
        assert!(error.contains("unknown field"), "{error}");
    }
    let error = refused::<Limits>(r#"{ "total": 5 }"#);
    assert!(error.contains("a duration with its unit"), "{error}");
    let error = refused::<retry::Settings>(r#"{ "backoff": { "jitter": 1.5 } }"#);
    assert!(error.contains("none, full, equal, decorrelated or a number from 0 to 1"), "{error}");
}
