mod files;

use super::*;
use crate::ErrorKind;
use std::time::Duration;

const CHECKIN: &str = "retry: {initial_delay: 5s, max_delay: 5m, max_retries: 10, backoff_multiplier: 2.0}
circuit_breaker: {failure_threshold: 5, timeout: 30s, half_open_max_calls: 3}
health_check: {enabled: true, interval: 30s, timeout: 5s}
";

struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let dir = std::env::temp_dir().join(format!("unwedge-config-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn refused(name: &str, text: &str) -> String {
    let file = File::new(name, text);
    let error = match Layers::new().file(&file.0) {
        Err(error) => error,
        Ok(layers) => layers.load::<Resilience>().unwrap_err(),
    };
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

#[test]
fn the_block_of_the_checkin_agent_is_read_key_for_key_inside_its_own_settings() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Agent {
        resilience: Resilience,
    }
    let text = format!("resilience:\n  {}\n", CHECKIN.trim().replace('\n', "\n  "));
    let file = File::new("agent.yaml", &text);
    let Resilience { retry, circuit_breaker, health_check, limits } =
        Layers::new().file(&file.0).unwrap().load::<Agent>().unwrap().resilience;
    let seconds = Duration::from_secs;
    let waits = retry.get_backoff();
    assert_eq!((waits.get_base(), waits.get_cap(), retry.get_max_retries()), (seconds(5), seconds(300), 10));
    let open = circuit_breaker.get_open();
    assert_eq!((open.get_base(), circuit_breaker.get_failures()), (seconds(30), 5));
    assert_eq!(health_check.unwrap().get_path(), "/health");
    assert_eq!(limits, crate::Limits::default());
}

#[test]
fn absent_keys_are_the_defaults_of_the_crate() {
    let all: Resilience = Layers::new().load().unwrap();
    assert_eq!(all.circuit_breaker, crate::breaker::Settings::default());
    assert_eq!(all.limits, crate::Limits::default());
    let (ours, theirs) = (&all.retry, crate::retry::Settings::default());
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    assert!(all.health_check.is_none());
    all.builder().build().unwrap();
}

#[test]
fn every_setting_of_a_stack_has_its_key() {
    let text = "[limits]\nmin_progress = {bytes = 1024, per = \"10s\"}\n[retry]\njitter = 0.25\nretry_after_cap = \"5m\"\n\
                [retry.budget]\ntokens = 9\nretry_cost = 3\nrefund = 4\n";
    let file = File::new("whole.toml", text);
    let layers = Layers::new().file(&file.0).unwrap();
    let settings: Resilience = layers.load().unwrap();
    let ten = Duration::from_secs(10);
    assert_eq!(settings.limits, crate::Limits::default().min_progress(1024, ten));
    let retry = &settings.retry;
    let jitter = crate::retry::Jitter::Proportional(0.25);
    assert_eq!(retry.backoff, crate::retry::Backoff::default().jitter(jitter));
    assert_eq!(retry.get_retry_after_cap(), Duration::from_secs(300));
    let budget = crate::retry::Budget::default().tokens(9).retry_cost(3).refund(4);
    assert_eq!(retry.budget, Some(budget));
    let shown: Vec<String> = layers.effective(&settings).unwrap().iter().map(ToString::to_string).collect();
    let at = file.0.display();
    for line in [format!("retry.jitter = 0.25 ({at}:4)"), format!("retry.budget.tokens = 9 ({at}:7)")] {
        assert!(shown.contains(&line), "{line} is not among {shown:#?}");
    }
    let off: Resilience = Layers::new().flag("-b", "retry.budget.enabled", false).load().unwrap();
    assert_eq!(off.retry.budget, None);
    let off: Resilience = Layers::new().flag("-r", "retry.remember", "off").load().unwrap();
    assert_eq!(off.retry.remember, crate::retry::Remember::Off);
    let flag: Resilience = Layers::new().flag("-j", "retry.jitter", "0.5").load().unwrap();
    assert_eq!(flag.retry.backoff.get_jitter(), crate::retry::Jitter::Proportional(0.5));
}

#[test]
fn a_later_layer_wins_and_each_value_says_where_it_came_from() {
    let file = File::new("layers.toml", "[retry]\nmax_retries = 7\nmax_delay = \"1m\"\n");
    let layers = Layers::new().file(&file.0).unwrap().flag("--max-delay", "retry.max_delay", "2m");
    let settings: Resilience = layers.load().unwrap();
    assert_eq!((settings.retry.max_retries, settings.retry.backoff.get_cap()), (7, Duration::from_secs(120)));
    let shown: Vec<String> = layers.effective(&settings).unwrap().iter().map(ToString::to_string).collect();
    for line in [
        format!("retry.max_retries = 7 ({}:2)", file.0.display()),
        "retry.max_delay = \"2m\" (flag --max-delay)".to_owned(),
        "retry.initial_delay = \"500ms\" (default)".to_owned(),
        "limits.attempt = follows from others (default)".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line} is not among {shown:#?}");
    }
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_file_line_and_key() {
    for (name, text, line, key) in [
        ("a.toml", "[retry]\nmax_retries = 1\nmax_delya = \"5s\"\n", 3, "retry.max_delya"),
        ("a.yaml", "retry:\n  max_retries: 1\n  max_delya: 5s\n", 3, "retry.max_delya"),
        ("b.toml", "[retry]\n\nmax_delay = 5\n", 3, "retry.max_delay"),
        ("b.yaml", "retry:\n  max_delay: 5\n", 2, "retry.max_delay"),
        ("c.toml", "[retry]\nmax_retries = \"many\"\n", 2, "retry.max_retries"),
        ("c.yaml", "limits: {}\nretry:\n  initial_delay: 5 parsecs\n", 3, "retry.initial_delay"),
        ("d.yaml", "retry: {}\nbreaker: 1\n", 2, "breaker"),
        ("e.yaml", "retry:\n  jitter: some\n", 2, "retry.jitter"),
        ("e.toml", "[retry]\njitter = 1.5\n", 2, "retry.jitter"),
        ("h.yaml", "retry:\n  jitter: -1\n", 2, "retry.jitter"),
        ("h.toml", "[retry.budget]\ntokens = -5\n", 2, "retry.budget.tokens"),
        ("i.yaml", "limits:\n  min_progress: {bytes: 5}\n", 2, "limits.min_progress"),
        ("i.toml", "[limits.min_progress]\nbytes = 5\nper = 10\n", 3, "limits.min_progress.per"),
        ("j.toml", "[retry.budget]\nrefunds = 5\n", 2, "retry.budget.refunds"),
        ("f.toml", "retry = 1\n", 1, "retry"),
        ("g.toml", "retry = \n", 1, ""),
        ("g.yaml", "retry: {\n", 2, ""),
    ] {
        let message = refused(name, text);
        assert!(message.contains(&format!("{name}:{line}: {key}")), "{text:?}: {message}");
    }
}

#[test]
fn a_file_that_is_no_settings_file_is_refused() {
    assert!(refused("settings.ini", "").ends_with("a settings file ends in .toml, .yaml or .yml"));
    assert!(
        refused("big.toml", &"#".repeat((1 << 20) + 1)).ends_with("larger than 1 MiB, which no settings are")
    );
    let error = Layers::new().file("no-such.toml").unwrap_err();
    assert!(error.to_string().starts_with("no-such.toml: "), "{error}");
}

#[test]
fn a_wrong_flag_is_named() {
    let error = Layers::new().flag("--max-delay", "retry.max_delay", "5").load::<Resilience>().unwrap_err();
    let message = "flag --max-delay: retry.max_delay: duration \"5\" has no unit: write 5s or 5ms";
    assert_eq!(error.to_string(), message);
}

#[test]
fn relations_are_checked_on_the_whole() {
    let layers = Layers::new().flag("-i", "retry.initial_delay", "5m").flag("-m", "retry.max_delay", "5s");
    let error = layers.load::<Resilience>().unwrap().builder().build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn an_empty_file_changes_nothing() {
    for name in ["empty.toml", "empty.yaml"] {
        let file = File::new(name, "");
        let settings: Resilience = Layers::new().file(&file.0).unwrap().load().unwrap();
        assert_eq!(format!("{settings:?}"), format!("{:?}", Resilience::default()));
    }
}

/// Variables are those of a process, so this one is run again with some.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test that ends by itself, run once more")]
fn variables_win_over_the_file_and_a_wrong_one_is_named() {
    const NAME: &str = "config::tests::variables_win_over_the_file_and_a_wrong_one_is_named";
    if std::env::var_os("UNWEDGE_CONFIG_TEST").is_none() {
        let again = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env("UNWEDGE_CONFIG_TEST", "1")
            .env("UNWEDGE_GOOD_RETRY__MAX_DELAY", "3m")
            .env("UNWEDGE_GOOD_RETRY__MAX_RETRIES", "9")
            .env("UNWEDGE_BAD_RETRY__MAX_RETRIES", "many")
            .env("UNWEDGE_ODD_RETRY__MAX_RETIRES", "1")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&again.stdout);
        assert!(again.status.success() && output.contains("1 passed"), "{output}");
        return;
    }
    let file = File::new("variables.toml", "[retry]\nmax_retries = 7\nmax_delay = \"1m\"\n");
    let layers = Layers::new().file(&file.0).unwrap().env("UNWEDGE_GOOD_");
    let settings: Resilience = layers.clone().flag("-m", "retry.max_delay", "4m").load().unwrap();
    assert_eq!((settings.retry.max_retries, settings.retry.backoff.get_cap()), (9, Duration::from_secs(240)));
    let shown = layers.effective(&layers.load::<Resilience>().unwrap()).unwrap();
    let delay = shown.iter().find(|value| value.key == "retry.max_delay").unwrap();
    assert_eq!(delay.source, "environment variable UNWEDGE_GOOD_RETRY__MAX_DELAY");
    for (prefix, message) in [
        ("UNWEDGE_BAD_", "environment variable UNWEDGE_BAD_RETRY__MAX_RETRIES: retry.max_retries: "),
        ("UNWEDGE_ODD_", "environment variable UNWEDGE_ODD_RETRY__MAX_RETIRES: retry.max_retires: "),
    ] {
        let error = Layers::new().env(prefix).load::<Resilience>().unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

fn loaded(name: &str, text: &str) -> Resilience {
    let file = File::new(name, text);
    Layers::new().file(&file.0).unwrap().load().unwrap()
}

#[test]
fn settings_of_any_type_are_read_from_every_layer_with_the_place_of_what_is_wrong() {
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Agent {
        retry: crate::retry::Settings,
        names: Vec<String>,
        share: f32,
        mode: crate::health::Mode,
        jobs: Option<i8>,
    }
    let file = File::new(
        "agent.toml",
        "share = 0.5\nmode = \"background\"\nnames = [\"a\"]\n[retry.backoff]\nbase = \"5s\"\n",
    );
    let layers =
        Layers::new().file(&file.0).unwrap().flag("--names", "names", "b, c").flag("--jobs", "jobs", "-5");
    let agent: Agent = layers.load().unwrap();
    assert_eq!((agent.names, agent.share, agent.jobs), (vec!["b".to_owned(), "c".to_owned()], 0.5, Some(-5)));
    assert_eq!(agent.mode, crate::health::Mode::Background);
    assert_eq!(agent.retry.backoff.get_base(), Duration::from_secs(5));
    let at = file.0.display();
    for (key, value, message) in [
        ("retry.backoff.base", "5", "flag -x: retry.backoff.base: duration \"5\" has no unit".to_owned()),
        ("jobs", "300", "flag -x: jobs: invalid value: integer `300`, expected i8".to_owned()),
        ("retry.backoff.bas", "5s", "flag -x: retry.backoff.bas: unknown field `bas`".to_owned()),
        ("retry.max_retries.x", "5", "flag -x: retry.max_retries: ".to_owned()),
        ("mode", "sometimes", "flag -x: mode: unknown variant `sometimes`".to_owned()),
    ] {
        let error = layers.clone().flag("-x", key, value).load::<Agent>().unwrap_err().to_string();
        assert!(error.starts_with(&message), "{error}");
    }
    let error = layers.flag("-x", "names", vec![1u8]).load::<Agent>().unwrap_err().to_string();
    assert!(error.starts_with("flag -x: names: invalid type: integer `1`"), "{error} {at}");
}

#[test]
fn the_keys_of_the_block_are_all_there_is_to_say_about_a_stack() {
    let text = "circuit_breaker: { ratio: { min_calls: 4 }, lease: 40s, hang_after: 2s, overdue_after: 5s, disabled: true,
  backoff_multiplier: 3, jitter: full }\nhealth_check: { path: /up, mode: after_failure, enabled: false }\n";
    let settings = loaded("all.yaml", text);
    let breaker = &settings.circuit_breaker;
    assert_eq!((breaker.get_lease(), breaker.get_disabled()), (Some(Duration::from_secs(40)), true));
    assert_eq!((breaker.get_open().get_multiplier(), breaker.get_ratio().unwrap().get_min_calls()), (3.0, 4));
    assert!(settings.health_check.is_none());
    let json = serde_json::to_value(&settings).unwrap();
    assert_eq!(
        (&json["circuit_breaker"]["timeout"], &json["health_check"]["enabled"]),
        (&"1s".into(), &false.into())
    );
    let again: Resilience = serde_json::from_value(json).unwrap();
    assert_eq!(format!("{again:?}"), format!("{settings:?}"));
    for (text, words) in [
        (
            r#"{ "retry": { "max_delya": "5s" } }"#,
            "max_delya: unknown field `max_delya`, expected one of `initial_delay`",
        ),
        (r#"{ "retry": { "max_delay": 5 } }"#, "max_delay: invalid type: integer `5`, expected a duration"),
        (r#"{ "circuit_breaker": { "half_open_max_calls": "x" } }"#, "half_open_max_calls: invalid type"),
        (r#"{ "health_check": { "enabled": 1 } }"#, "enabled: invalid type: integer `1`, expected a boolean"),
    ] {
        let error = serde_json::from_str::<Resilience>(text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
