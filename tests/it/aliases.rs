//! The names under which people look for an item that has another one: what is listed here stands in the source as
//! `#[doc(alias)]`, and in the table of the cookbook.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// An item, `module::Type::method`, and the names that the search of the documentation finds it under.
const ALIASES: &[(&str, &[&str])] = &[
    ("admin::Admin", &["healthz", "readyz", "liveness_probe", "readiness_probe", "dashboard"]),
    ("body::Body::from_stream", &["upload", "wrap_stream"]),
    ("breaker::Breaker", &["circuit_breaker", "CircuitBreaker"]),
    ("breaker::Settings::failures", &["failure_threshold"]),
    ("breaker::Settings::open", &["reset_timeout", "recovery_timeout"]),
    ("child::Command", &["subprocess", "kill_on_drop"]),
    ("client::ClientBuilder::attempt_layer", &["middleware", "interceptor", "hook"]),
    ("client::ClientBuilder::connector", &["unix_socket"]),
    ("client::ClientBuilder::resolver", &["dns", "resolve"]),
    ("client::Redirects", &["follow_redirects"]),
    ("client::RequestBuilder::deadline", &["timeout"]),
    ("client::Response::chunk", &["bytes_stream", "download"]),
    ("config::Layers", &["figment", "env_vars", "settings_file"]),
    ("deadline::Deadline", &["context", "timeout_at"]),
    ("deadline::IncomingLayer", &["deadline_propagation", "grpc_timeout"]),
    ("deadline::Limits::attempt", &["per_try_timeout", "response_timeout", "first_byte_timeout"]),
    ("deadline::Limits::connect", &["connect_timeout"]),
    ("deadline::Limits::idle", &["read_timeout", "idle_timeout", "body_timeout"]),
    ("deadline::Limits::total", &["timeout", "request_timeout", "total_timeout"]),
    ("deadline::within", &["timeout", "timeout_at", "with_timeout"]),
    ("duration::parse", &["humantime"]),
    ("error::Error::is_retriable", &["is_transient", "is_retryable"]),
    ("health::Settings", &["health_check", "healthcheck", "ping"]),
    ("longpoll::LongPoll", &["long_polling", "no_timeout"]),
    ("options::CallOptions::total", &["timeout"]),
    ("options::Group", &["bulkhead", "tenant", "partition"]),
    ("options::Idempotent", &["Idempotency-Key"]),
    ("queue::Queue", &["mpsc", "channel", "backpressure"]),
    ("queue::Settings::max_age", &["ttl", "expiry"]),
    ("retry::Backoff", &["backoff", "ExponentialBackoff", "exponential_backoff"]),
    ("retry::Budget", &["retry_budget", "token_bucket"]),
    ("retry::Remember", &["rate_limit", "too_many_requests", "quota", "throttle"]),
    ("retry::Settings", &["RetryPolicy", "RetryConfig"]),
    ("retry::Settings::classify", &["RetryableStrategy", "retry_if", "should_retry"]),
    ("retry::Settings::max_retries", &["max_attempts"]),
    ("retry::Settings::retry_after_cap", &["retry_after"]),
    ("sse::EventStream", &["EventSource", "server_sent_events"]),
    ("sse::Settings::end_at", &["language_model", "streaming_completion"]),
    ("stack::StackBuilder::propagate_deadline", &["deadline_propagation", "grpc_timeout"]),
    ("stack::StackLayer", &["middleware"]),
    ("stack::StackLayer::buffered", &["boxed", "BoxService"]),
    ("stack::StackLayer::origin", &["base_url", "base_uri"]),
    ("supervise::Heartbeat", &["heartbeat", "keepalive"]),
    ("supervise::Heartbeat::cancelled", &["CancellationToken", "shutdown"]),
    ("supervise::Policy", &["RestartPolicy"]),
    ("supervise::Policy::intensity", &["max_restarts"]),
    ("supervise::Signals", &["sigterm", "sigint", "sighup"]),
    ("supervise::Supervisor", &["supervisor", "daemon", "restart"]),
    ("supervise::Supervisor::patrol", &["cron", "ticker", "periodic", "scheduler"]),
    ("supervise::Supervisor::run_until", &["graceful_shutdown", "with_graceful_shutdown"]),
    ("supervise::Watch", &["watchdog"]),
    ("supervise::ctrl_c", &["sigterm", "sigint"]),
    ("telemetry::record", &["exporter", "opentelemetry"]),
    ("testing::FaultServer", &["toxiproxy", "fault_injection", "chaos"]),
    ("testing::Peer", &["MockServer", "wiremock"]),
    ("transport::Network", &["proxy", "keepalive", "connection_pool"]),
    ("tls::Tls", &["certificate", "mtls"]),
];

/// Every alias of the source with its item.
fn in_source() -> BTreeSet<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    for entry in walkdir::WalkDir::new(&root) {
        let entry = entry.expect("a readable directory");
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path()).expect("a source file is UTF-8");
            let module = entry.path().strip_prefix(&root).expect("below it").components().next();
            let module = Path::new(module.expect("a file").as_os_str()).with_extension("");
            read(module.to_str().expect("ASCII"), &text, &mut found);
        }
    }
    found
}

fn read(module: &str, text: &str, found: &mut BTreeSet<(String, String)>) {
    let (mut of, mut pending) = (String::new(), Vec::new());
    for line in text.lines() {
        let code = line.trim_start();
        if line.starts_with("impl") {
            of = self_type(line);
        } else if line.starts_with('}') {
            of.clear();
        }
        if code.starts_with("#[doc(alias") {
            pending.extend(code.split('"').skip(1).step_by(2).map(str::to_owned));
        } else if let Some(name) = declared(code).filter(|_| !pending.is_empty()) {
            let path = [module, &of, name].into_iter().filter(|part| !part.is_empty());
            let path = path.collect::<Vec<_>>().join("::");
            found.extend(pending.drain(..).map(|alias| (path.clone(), alias)));
        }
    }
    assert!(pending.is_empty(), "an alias of nothing public in {module}: {pending:?}");
}

/// `impl<S: Clone> Stack<S> {`: `Stack`.
fn self_type(line: &str) -> String {
    let mut depth = 0_i32;
    let mut plain = String::new();
    for c in line.trim_start_matches("impl").chars() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let of = plain.rsplit(" for ").next().unwrap_or_default();
    of.split_whitespace().next().unwrap_or_default().to_owned()
}

/// The name that a line declares for everybody.
fn declared(code: &str) -> Option<&str> {
    let mut words =
        code.strip_prefix("pub ")?.split(' ').skip_while(|word| matches!(*word, "async" | "const"));
    matches!(words.next()?, "fn" | "struct" | "enum" | "trait" | "mod" | "type").then_some(())?;
    words.next()?.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[test]
fn what_people_look_for_under_another_name_is_found_by_the_search_of_the_documentation() {
    let wanted = ALIASES
        .iter()
        .flat_map(|(item, aliases)| aliases.iter().map(|alias| ((*item).to_owned(), (*alias).to_owned())));
    let there = in_source();
    let missing: Vec<_> = wanted.filter(|alias| !there.contains(alias)).collect();
    assert!(missing.is_empty(), "#[doc(alias)] is missing: {missing:?}");
}

#[test]
fn the_cookbook_names_what_people_look_for() {
    let page = include_str!("../../src/manual/recipes.md");
    let terms: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let aliases = ALIASES.iter().flat_map(|(_, aliases)| aliases.iter());
    let missing: BTreeSet<_> = aliases.filter(|alias| !terms.contains(**alias)).collect();
    assert!(missing.is_empty(), "not among what the page is looked up by: {missing:?}");
}

#[test]
fn an_alias_is_read_with_the_item_that_follows_it() {
    let mut found = BTreeSet::new();
    let text = "#[doc(alias = \"a\")]\n#[derive(Clone)]\npub struct One<T> {\n}\nimpl<S: Into<T>, T> One<T> where T: X {\n    \
                #[doc(alias(\"b\", \"c\"))]\n    pub const fn two<B>(\n";
    read("m", text, &mut found);
    let found: Vec<_> = found.iter().map(|(item, alias)| format!("{item} {alias}")).collect();
    assert_eq!(found, ["m::One a", "m::One::two b", "m::One::two c"]);
}
