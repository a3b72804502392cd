//! The tables of the manual and of the README against the code.

#[cfg(all(feature = "config", feature = "supervise"))]
mod config;

use crate::deadline::Limits;
use crate::duration::human;
use crate::retry::Backoff;
use crate::{Error, ErrorKind, Phase, breaker, health, longpoll, retry};
use std::time::Duration;

const DEFAULTS: &str = include_str!("defaults.md");
const FAILURE_MODES: &str = include_str!("failure-modes.md");
const README: &str = include_str!("../../README.md");

/// The cells of the rows of all tables.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").collect()).collect()
}

/// The page says so, once, in its column for defaults.
#[track_caller]
fn says(page: &str, column: usize, name: &str, default: &str) {
    let rows = rows(page);
    let found: Vec<_> = rows.iter().filter(|row| row[0] == name).map(|row| row[column]).collect();
    assert_eq!(found, [default], "{name}");
}

#[track_caller]
fn default_is(name: &str, default: impl ToString) {
    says(DEFAULTS, 1, name, &default.to_string());
}

fn spaced(duration: Duration) -> String {
    format!("{:#}", human(duration))
}

fn off<T>(setting: Option<T>) -> &'static str {
    setting.map_or("off", |_| "on")
}

#[test]
fn the_time_limits_are_those_of_the_code() {
    let limits = Limits::default().resolve().unwrap();
    for (name, limit) in [
        ("`total`", limits.total),
        ("`attempt`", limits.attempt),
        ("`connect`", limits.connect),
        ("`idle`", limits.idle),
        ("`stream`", limits.stream),
        ("`long_poll`", limits.long_poll),
    ] {
        default_is(name, spaced(limit));
    }
    default_is("`collect`", format!("{} bytes", limits.collect));
    default_is("`min_progress`", off(limits.min_progress));
    default_is("grace", spaced(longpoll::GRACE));
}

#[test]
fn the_settings_of_retry_are_those_of_the_code() {
    let retry = retry::Settings::default();
    assert_eq!(retry.backoff, Backoff::default());
    default_is("`max_retries`", retry.max_retries);
    default_is("`backoff`", spaced(retry.backoff.ceiling(0)));
    default_is("`backoff` multiplier", growth(&retry.backoff));
    default_is("`backoff` cap", spaced(retry.backoff.ceiling(u32::MAX)));
    assert_eq!(retry.backoff, retry.backoff.clone().jitter(retry::Jitter::Full));
    default_is("`backoff` jitter", "full");
    default_is("`retry_after_cap`", spaced(retry.get_retry_after_cap()));
    default_is("`wait_when_refused`", spaced(retry.wait_when_refused));
    assert_eq!(retry.remember, retry::Remember::Path);
    default_is("`remember`", "path");
    let gate = include_str!("../retry/gate.rs");
    constant(gate, "LONGEST: Duration = Duration::from_secs(300)", "longest gate after a 429", "5 m");
    constant(gate, "SPREAD: Duration = Duration::from_secs(1)", "spread when a gate opens", "1 s");
    constant(gate, "MOST: usize = 1024", "gates of an origin or group", "1024");
    default_is("gap after an error", spaced(retry.backoff.ceiling(0)));
    let budget = retry.budget.expect("on by default");
    default_is("`budget` tokens", budget.tokens);
    default_is("`budget` retry cost", budget.retry_cost);
    default_is("`budget` refund", budget.refund);
}

#[test]
fn the_settings_of_the_breaker_are_those_of_the_code() {
    let limits = Limits::default().resolve().unwrap();
    let rules = breaker::Settings::default().rules(limits.attempt);
    default_is("`failures`", rules.failures);
    let chance = include_str!("../breaker/chance.rs");
    constant(chance, "MOST: u32 = 60", "longest run required", "60");
    constant(chance, "MEMORY: Duration = Duration::from_secs(60)", "time constant of old results", "1 m");
    let judge = include_str!("../breaker/machine/judge.rs");
    constant(judge, "QUIET: Duration = Duration::from_secs(1)", "quiet before opening", "1 s");
    constant(judge, "EVENT: Duration = Duration::from_millis(100)", "one event", "100 ms");
    let values = include_str!("../breaker/values.rs");
    constant(values, "PARKED: Duration = Duration::from_secs(1)", "parked long poll", "1 s");
    let admission = include_str!("../stack/call/admission.rs");
    constant(admission, "TURN: Duration = Duration::from_secs(1)", "turn of a probe", "1 s");
    default_is("`open`", spaced(rules.open.ceiling(0)));
    default_is("`open` multiplier", growth(&rules.open));
    default_is("`open` cap", spaced(rules.open_max));
    assert_eq!(rules.open, rules.open.clone().jitter(retry::Jitter::Proportional(0.1)));
    default_is("`open` jitter", "10 %");
    default_is("`Retry-After` cap", spaced(rules.retry_after_max));
    default_is("`half_open` calls", rules.probes);
    default_is("`half_open` successes", rules.close_after);
    default_is("`lease`", spaced(rules.lease));
    default_is("`hang_after`", spaced(rules.hang_after));
    default_is("`overdue_after`", off(rules.overdue_after));
    default_is("`ratio`", off(rules.ratio.as_ref()));
    default_is("`disabled`", off(rules.disabled.then_some(())));

    let settings = breaker::Settings::default().ratio(breaker::Ratio::default());
    let ratio = settings.rules(limits.attempt).ratio.expect("just switched on");
    default_is("`failure_ratio`", ratio.failure_ratio);
    default_is("`min_calls`", ratio.min_calls);
    default_is("`window`", spaced(ratio.window));
    default_is("`buckets`", ratio.buckets);
    default_is("`slow_after`", spaced(ratio.slow_after));
    default_is("`slow_ratio`", ratio.slow_ratio);
}

#[test]
fn the_settings_of_the_health_check_are_those_of_the_code() {
    let health = health::Settings::new("/health");
    default_is("`interval`", spaced(health.interval));
    default_is("`timeout`", spaced(health.timeout));
    let accepted = |code| http::StatusCode::from_u16(code).is_ok_and(|status| (health.accept)(status));
    assert!((100..=999).all(|code| accepted(code) == (200..300).contains(&code)));
    default_is("`accept`", "2xx");
    assert_eq!(health.mode, health::Mode::OnDemand);
    default_is("`mode`", "on demand");
    let down = health::state::Verdict::new(health.interval);
    let (mut down, now) = (down, tokio::time::Instant::now());
    down.failed(now);
    default_is("first \"down\"", spaced(down.next_check().expect("a failed check is known") - now));
}

/// The words of what only a network can do to a connect.
#[test]
fn the_words_of_connects_that_ran_out_of_time_are_on_the_page() {
    for phase in [Phase::Connect, Phase::Resolve, Phase::Tls] {
        let limit = Limits::default().resolve().unwrap().connect;
        let error = Error::new(ErrorKind::Connect, "").at(phase).limit(limit);
        assert!(FAILURE_MODES.contains(&format!("GET https://broker/session: {error}\n")), "{error}");
    }
}

#[test]
fn every_phase_of_a_call_has_its_place_among_the_failure_modes() {
    let headings: Vec<_> = FAILURE_MODES.lines().filter(|line| line.starts_with("## ")).collect();
    let phases = [
        Phase::Ready,
        Phase::HealthCheck,
        Phase::BackOff,
        Phase::Resolve,
        Phase::Connect,
        Phase::Tls,
        Phase::Send,
        Phase::Headers,
        Phase::Body,
    ];
    for phase in phases {
        let name = format!("`{}`", phase.as_str());
        let of = |heading: &str| heading.split(':').next().is_some_and(|left| left.contains(&name));
        assert!(headings.iter().any(|heading| of(heading)), "{name}");
        // One that is new here is a compile error, and belongs into the list above.
        match phase {
            Phase::Ready | Phase::HealthCheck | Phase::BackOff | Phase::Resolve | Phase::Connect => {}
            Phase::Tls | Phase::Send | Phase::Headers | Phase::Body => {}
        }
    }
}

/// What no setting reaches stands in a constant of the file that uses it.
#[test]
fn the_constants_are_those_of_the_code() {
    let stack = include_str!("../stack/drain.rs");
    constant(stack, "BYTES: usize = 4096", "bytes read of a response that is thrown away", "4096 bytes");
    constant(stack, "DRAIN: Duration = Duration::from_millis(100)", "time for reading them", "100 ms");
    let limits = include_str!("../stack/context.rs");
    let gaps = include_str!("../stack/pacing/polls.rs");
    constant(gaps, "AT_ONCE: Duration = Duration::from_millis(100)", "gap after an empty answer", "100 ms");
    constant(limits, "SPREAD: f64 = 0.1", "`open` jitter", "10 %");
    let shared = include_str!("../stack/shared.rs");
    let pairs = "pairs of origin and group remembered";
    constant(shared, "PAIRS: usize = 1024", pairs, "1024");
    constant(shared, "PAIRS_MAX: usize = 16_384", &format!("{pairs}, hard cap"), "16384");
    constant(shared, "GROUPS: usize = 1024", "groups of an origin", "1024");
    let options = include_str!("../options.rs");
    constant(options, "LONGEST: usize = 64", "name of a group", "64 bytes");
    let builder = include_str!("../stack/builder.rs");
    assert!(builder.contains("broadcast::channel(256)"));
    default_is("changes of breakers kept for a subscriber", 256);
    the_client();
    let redirect = include_str!("../client/redirect/mod.rs");
    constant(redirect, "LIMIT: u32 = 10", "redirects followed", "10");
    let response = include_str!("../client/response.rs");
    let read = "response body read by `bytes`, `text`, `json`";
    constant(response, "CAP: u64 = 8 << 20", read, "8388608 bytes");
    let status = include_str!("../client/status.rs");
    constant(status, "SHOWN: usize = 1024", "body shown by `error_for_status`", "1024 bytes");
    constant(status, "READ: Duration = Duration::from_secs(1)", "time for reading it", "1 s");
    let tcp = include_str!("../transport/connect/tcp.rs");
    constant(tcp, "KEEP_ALIVE: Duration = Duration::from_secs(15)", "TCP keep-alive", "15 s");
    constant(tcp, "PROBES: u32 = 3", "TCP keep-alive probes", "3");
    constant(
        tcp,
        "UNACKNOWLEDGED: Duration = Duration::from_secs(30)",
        "unacknowledged bytes (Linux)",
        "30 s",
    );
    let race = include_str!("../transport/connect/race.rs");
    constant(race, "APART: Duration = Duration::from_millis(250)", "head start of an address", "250 ms");
    constant(race, "MOST: usize = 20", "addresses tried for a connection", "20");
    let memory = include_str!("../transport/connect/memory.rs");
    constant(memory, "REMEMBERED: Duration = Duration::from_secs(600)", "memory of dead addresses", "10 m");
    constant(memory, "MOST: usize = 1024", "dead addresses remembered", "1024");
}

fn the_client() {
    let heads = include_str!("../transport/connect/heads.rs");
    constant(heads, "INFORMATIONAL: u32 = 100", "informational responses (1xx)", "100");
    let frames = include_str!("../transport/connect/h2_flood.rs");
    assert!(frames.contains("SPAN: Duration = Duration::from_secs(60)"));
    let in_a_row = "HTTP/2 frames in a row without progress of a response";
    constant(frames, "MOST: u32 = 100_000", in_a_row, "100000 within 60 s");
    constant(frames, "HEADS: u64 = 100", "HTTP/2 response heads beyond those due", "100");
    let words: Vec<_> = frames.split("&str = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(words.len(), 2);
    for words in words {
        assert!(FAILURE_MODES.contains(&format!("GET https://broker/session: {words}\n")), "{words}");
    }
    let suspend = include_str!("../suspend.rs");
    let tunnel = include_str!("../transport/connect/tunnel.rs");
    constant(tunnel, "ANSWER: usize = 8 * 1024", "answer of a proxy", "8192 bytes");
    let resolve = include_str!("../transport/connect/resolve.rs");
    constant(resolve, "THREADS: usize = 4", "names resolved at a time", "4");
    constant(
        resolve,
        "PATIENCE: Duration = Duration::from_millis(100)",
        "wait for a further thread",
        "100 ms",
    );
    constant(resolve, "MOST_THREADS: usize = 64", "threads of the resolver", "64");
    let names = include_str!("../transport/connect/resolve/names.rs");
    constant(names, "AGAIN: Duration = Duration::from_secs(1)", "wait for another look-up of a name", "1 s");
    constant(names, "OF_ONE: usize = 4", "look-ups of one name", "4");
    constant(resolve, "ADDRESSES: usize = 256", "addresses of a name", "256");
    constant(resolve, "WAITING: usize = 256", "names that wait for it", "256");
    let tls = include_str!("../tls/base.rs");
    constant(tls, "ALPN: &[&[u8]] = &[b\"h2\", b\"http/1.1\"]", "version of HTTP", "h2, http/1.1");
    let trust = include_str!("../tls/trust.rs");
    constant(trust, "EVERY: Duration = Duration::from_secs(60)", "look at roots and identity", "1 m");
    let pool = include_str!("../transport/pool/settings.rs");
    let dial = include_str!("../transport/pool/dialer.rs");
    let lease = include_str!("../transport/pool/lease.rs");
    let entry = include_str!("../transport/pool/connection.rs");
    let unread = include_str!("../transport/pool/unread.rs");
    let leaving = include_str!("../transport/pool/leaving.rs");
    constant(pool, "IDLE_PER_ORIGIN: usize = 256", "idle connections per origin", "256");
    constant(pool, "PER_ORIGIN: usize = 1024", "connections per origin", "1024");
    constant(dial, "HEAD: u32 = 64 * 1024", "response head", "65536 bytes");
    constant(dial, "RESET_HERE: usize = 50", "HTTP/2 streams reset here", "50");
    constant(dial, "FAULTY: usize = 256", "HTTP/2 faulty streams", "256");
    constant(dial, "RESET_THERE: usize = 20", "HTTP/2 streams reset by the server", "20");
    for (file, code, seconds, name) in [
        (pool, "IDLE", 50, "idle connection"),
        (pool, "AGE", 300, "connection"),
        (entry, "SETTINGS_WITHIN", 5, "HTTP/2 settings within"),
        (entry, "TURNS_WITHIN", 10, "upload after its answer"),
        (leaving, "ENDS_WITHIN", 10, "end of a connection"),
        (unread, "AWAY", 1, "HTTP/2 body unread for"),
        (dial, "PING_AFTER", 30, "HTTP/2 ping after"),
        (dial, "PING_WITHIN", 15, "HTTP/2 ping answered within"),
        (lease, "RETIRED_AFTER", 1, "HTTP/2 call without an answer"),
        (suspend, "ASLEEP", 30, "sleep of the machine"),
        (suspend, "EVERY", 1, "clocks compared"),
    ] {
        let code = format!("{code}: Duration = Duration::from_secs({seconds})");
        constant(file, &code, name, &format!("{seconds} s"));
    }
}

#[track_caller]
fn constant(source: &str, code: &str, name: &str, default: &str) {
    assert!(source.contains(&format!("const {code};")), "no `const {code}` where this page has it from");
    default_is(name, default);
}

/// By how much the second wait is longer than the first.
fn growth(backoff: &Backoff) -> f64 {
    backoff.ceiling(1).as_secs_f64() / backoff.ceiling(0).as_secs_f64()
}

/// The limits in the README: the defaults are in the third column of their table.
#[test]
fn the_readme_says_the_same() {
    let limits = Limits::default().resolve().unwrap();
    let health = health::Settings::new("/health");
    let retry = retry::Settings::default();
    let rules = breaker::Settings::default().rules(limits.attempt);
    for (name, bound) in [
        ("a whole call", limits.total),
        ("a connection (name, TCP, proxy, TLS)", limits.connect),
        ("a response head", limits.attempt),
        ("a body, between two bytes", limits.idle),
        ("a body that streams", limits.stream),
        ("a health check", health.timeout),
        ("a wait between attempts", retry.backoff.ceiling(u32::MAX)),
        ("a `Retry-After`", retry.get_retry_after_cap()),
        ("a half-open probe", rules.lease),
    ] {
        says(README, 2, name, &spaced(bound));
    }
}
