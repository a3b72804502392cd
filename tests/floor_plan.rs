//! The floor plan, held by reading the source: who may use whom, that nobody does so in a circle, which files are pure,
//! and how long a file and a function may be.
//!
//! The tables below are the plan; modules that do not exist yet may stand in them.

#[path = "floor_plan/circles.rs"]
mod circles;
#[path = "floor_plan/circles_tests.rs"]
mod circles_tests;
#[path = "floor_plan/doors.rs"]
mod doors;
#[path = "floor_plan/doors_tests.rs"]
mod doors_tests;
#[path = "floor_plan/floors.rs"]
mod floors;
#[path = "floor_plan/floors_tests.rs"]
mod floors_tests;
#[path = "floor_plan/reader.rs"]
mod reader;
#[path = "floor_plan/rules.rs"]
mod rules;
#[path = "floor_plan/rules_tests.rs"]
mod rules_tests;
#[path = "floor_plan/source.rs"]
mod source;

use doors::{Doors, Exceptions};
use rules::{Floor, Plan};
use source::Tree;
use std::path::Path;
use std::sync::LazyLock;

/// Lowest first. A module uses only floors below its own and what `NEIGHBOURS` lists.
const FLOORS: &[Floor] = &[
    (
        "words",
        &[
            "body",
            "bounded",
            "coop",
            "duration",
            "error",
            "inflight",
            "longpoll",
            "options",
            "origin",
            "panics",
            "registry",
            "reuse",
            "sync",
            "target",
            "telemetry",
            "tls",
        ],
    ),
    ("parts", &["breaker", "collect", "deadline", "health", "retry", "runtime", "stall", "suspend"]),
    ("wire", &["transport"]),
    ("composition", &["stack"]),
    (
        "edges",
        &[
            "admin",
            "child",
            "client",
            "config",
            "fuzz",
            "grpc",
            "otel",
            "queue",
            "reqwest",
            "sse",
            "supervise",
            "testing",
        ],
    ),
];

/// Documentation only.
const PAGES: &[&str] = &["manual"];

/// (who, whom, why) on the same floor.
const NEIGHBOURS: &[(&str, &str, &str)] = &[
    ("admin", "supervise", "shows who is alive, and what happened to whom"),
    ("bounded", "longpoll", "what counts as a blank reason is said once"),
    ("body", "error", "a body fails with the crate's error"),
    ("body", "sync", "how an empty body of a type is made is known once for all clients"),
    ("duration", "error", "an impossible duration is a Config error"),
    ("error", "duration", "messages say how long, as people write it"),
    ("error", "target", "messages name the target without credentials and query"),
    ("error", "reuse", "whether a failed connection had served before"),
    ("inflight", "duration", "ages are printed, as people write them"),
    ("inflight", "error", "an entry says in which phase it waits"),
    ("inflight", "longpoll", "an entry shows the reason of a long poll"),
    ("inflight", "target", "an entry names the target of its call"),
    ("inflight", "origin", "connections are shown by where they lead"),
    ("inflight", "sync", "the table is shared between calls"),
    ("inflight", "telemetry", "ages are published to the metrics when somebody looks"),
    ("longpoll", "duration", "a hold is checked and printed"),
    ("longpoll", "error", "a blank reason is a Config error"),
    ("options", "duration", "limits of one call are checked and printed"),
    ("options", "error", "a wish that cannot be met is a Config error"),
    ("options", "target", "a label stands for a path"),
    ("origin", "options", "the table is keyed by origin and group"),
    ("origin", "target", "host and port are told apart once, and what is shown of a broken URL"),
    ("origin", "error", "a URL without host is a Config error"),
    ("origin", "sync", "the table of origins is shared between calls"),
    ("reuse", "sync", "who watches a connection begins while its frames are read"),
    ("telemetry", "duration", "waits are logged, as people write them"),
    ("telemetry", "error", "the last error of a call is logged"),
    ("telemetry", "options", "lines and series name the group"),
    ("telemetry", "origin", "every line names the origin"),
    ("telemetry", "target", "spans show what may be shown of a URL"),
    (
        "telemetry",
        "sync",
        "series are shared between calls, and a recorder is called where nothing is locked",
    ),
    ("tls", "error", "what TLS cannot be set up with is a Config error"),
    (
        "tls",
        "sync",
        "what is trusted now is shared between connects, and by the thread that reads files again",
    ),
    ("testing", "client", "a client has its pipe in place of a network, and bounds that are held against it"),
    ("supervise", "child", "a second signal kills the process groups of all children"),
    ("fuzz", "config", "what stands in a settings file is fuzzed"),
    ("fuzz", "sse", "its parser is fuzzed"),
    ("fuzz", "client", "what a client shows of URLs that people pass is fuzzed"),
    ("retry", "deadline", "a request that a server refused because it was late is no failure"),
    ("breaker", "retry", "the open wait is a Backoff: waits grow in one way"),
];

/// Decisions are values and `now` is an argument: no clock, wait, lock, task, log or I/O. A directory counts whole.
const PURE: &[&str] = &[
    "breaker/chance",
    "breaker/machine",
    "breaker/machine/judge",
    "breaker/window",
    "client/redirect/location",
    "client/redirect/next",
    "deadline/header",
    "health/state",
    "retry/after",
    "retry/backoff",
    "retry/budget",
    "retry/claim",
    "retry/classify",
    "retry/gate",
    "retry/grpc",
    "retry/quota",
    "retry/free",
    "sse/cadence",
    "sse/parser",
    "sse/parser/data",
    "sse/recent_ids",
    "sse/reconnect",
    "sse/verdict",
    "stack/pacing/polls",
    "stack/bounds",
    "stall",
    "child/capture",
    "queue/fifo",
    "queue/settings",
    "queue/store",
    "queue/values",
    "supervise/policy",
    "supervise/verdict",
    "target",
    "testing/bounded/report",
    "testing/script",
    "transport/connect/memory",
    "transport/connect/no_proxy",
    "transport/connect/race",
    "transport/pool/connection",
    "transport/pool/hint",
    "transport/pool/origin",
    "transport/pool/origin/connecting",
    "transport/pool/origin/doubts",
    "transport/pool/origin/old",
    "transport/pool/origin/under_way",
    "transport/pool/origin/waiters",
    "transport/pool/steps",
];

/// (file, why) of what may box a future although it is a part or the stack.
const BOXES: &[(&str, &str)] = &[
    (
        "src/stack/call/stream.rs",
        "a response body has one type over every inner service: boxed once, when it streams",
    ),
    (
        "src/stack/origin_state.rs",
        "what wakes a call in its back-off stays where it is put; made after a failure, and no part of a call before",
    ),
];

/// Public items that cannot grow.
const CLOSED: Exceptions = &[
    ("Jitter::Proportional", "the share, which the name of the variant says"),
    ("Outcome::Head", "a reference to what the variant is named after"),
    ("Outcome::Error", "a reference to what the variant is named after"),
    ("OnReturn::Restart", "the wait before it, as the one argument of a word that reads like a call"),
    ("Escalation::Exit", "the status of the process, which has one number"),
    ("State::Parked", "the reason given, and nothing else is known"),
    ("State::Resting", "how long, as the name says"),
    ("State::BackOff", "how long, as the name says"),
    ("Verdict::Silent", "how long, as the name says"),
    ("Verdict::NotProgressing", "how long, as the name says"),
    ("Verdict::Overslept", "how long, as the name says"),
    ("Expect::Status", "a status, as the name says"),
];

/// What has setters and is no settings type, and what cannot be read back.
const UNREAD: Exceptions = &[
    ("testing::", "a script for a test is written by the one who reads it"),
    ("client::RequestBuilder::", "a request: build() shows all of it"),
    ("client::Response::", "an answer"),
    ("admin::Admin::", "is handed over whole, and holds handles and code"),
    ("admin::Scrape::before", "code"),
    ("sse::Reconnect::on_refusal", "code"),
    ("transport::TokioStream::", "a connection: what it agreed on is what it says to hyper-util"),
    ("sse::Reconnection::", "an answer to one refusal; its headers may be secrets"),
    ("sse::Settings::once", "is reconnect(false), which get_reconnect() shows"),
    ("retry::Settings::replay_with", "code"),
    ("retry::Settings::classify", "code"),
    ("health::Settings::accept", "code; accepts() asks it"),
    ("stack::StackBuilder::for_requests", "code"),
    ("stack::StackBuilder::group_by", "code"),
    ("client::ClientBuilder::limits", "get_stack() shows it"),
    ("client::ClientBuilder::retry", "get_stack() shows it"),
    ("client::ClientBuilder::breaker", "get_stack() shows it"),
    ("client::ClientBuilder::health", "get_stack() shows it"),
    ("client::ClientBuilder::name", "get_stack() shows it"),
    ("client::ClientBuilder::attempt_layer", "code"),
    ("client::ClientBuilder::connector", "code"),
    ("client::ClientBuilder::resolver", "code"),
    ("otel::TraceContextLayer::propagator", "code"),
    ("reqwest::ClientBuilder::each_inner", "code"),
    ("reqwest::ClientBuilder::inner", "code"),
    ("tls::Tls::add_root_certificate", "get_root_certificates() shows all of them"),
    ("longpoll::LongPoll::unbounded", "is_unbounded()"),
    ("config::Layers::", "sources that are read when they are asked for, and not kept as they were given"),
];

/// Types with more setters than a settings type may have.
const CROWDED: Exceptions = &[
    ("testing::", "a script for a test says what goes wrong, and much can"),
    ("client::RequestBuilder", "a request has many parts, most of them the standard's"),
    ("client::ClientBuilder", "takes the parts, which have settings of their own"),
];

/// What breaks a rule still, by a part of the line that says so. These lists only get shorter.
const KNOWN_ARROWS: &[&str] = &[];
const KNOWN_LENGTHS: &[&str] = &[];

const PLAN: Plan = Plan {
    floors: FLOORS,
    pages: PAGES,
    neighbours: NEIGHBOURS,
    pure: PURE,
    metrics: "src/telemetry",
    boxes: BOXES,
    longest: 350,
    longest_function: 120,
};

fn package() -> &'static Tree {
    static TREE: LazyLock<Tree> = LazyLock::new(|| Tree::read(Path::new(env!("CARGO_MANIFEST_DIR"))));
    assert!(TREE.0.contains_key("src/lib.rs"), "the source was not found");
    &TREE
}

#[track_caller]
fn holds(known: &[&str], mut broken: Vec<String>) {
    for known in known {
        let before = broken.len();
        broken.retain(|line| !line.contains(known));
        if broken.len() == before {
            broken
                .push(format!("{known:?} is known to break this, and does no more: remove it from its list"));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn a_module_uses_only_floors_below_it_and_listed_neighbours() {
    holds(KNOWN_ARROWS, floors::broken(&PLAN, package()));
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    holds(&[], circles::broken(package()));
}

#[test]
fn a_pure_file_reads_no_clock_and_neither_waits_locks_spawns_logs_nor_does_io() {
    holds(&[], rules::pure(&PLAN, package()));
}

#[test]
fn metrics_are_named_in_one_module() {
    holds(&[], rules::metrics(&PLAN, package()));
}

#[test]
fn parts_and_stack_box_no_future_without_a_reason() {
    holds(&[], rules::boxes(&PLAN, package()));
}

#[test]
fn no_file_and_no_function_is_longer_than_one_thing() {
    holds(KNOWN_LENGTHS, rules::length(&PLAN, package()));
}

#[test]
fn every_file_is_reached_by_a_mod() {
    holds(&[], rules::orphans(package()));
}

#[test]
fn no_let_chain_raises_the_oldest_compiler() {
    holds(&[], rules::let_chains(package()));
}

fn doors() -> Doors {
    Doors::of(package(), Path::new(env!("CARGO_MANIFEST_DIR")))
}

#[test]
fn what_is_public_can_grow_without_breaking_anybody() {
    holds(&[], doors().closed(CLOSED));
}

#[test]
fn what_is_set_can_be_read_back() {
    holds(&[], doors().unread(UNREAD));
}

#[test]
fn a_settings_type_has_no_more_setters_than_anybody_keeps_in_mind() {
    holds(&[], doors().crowded(CROWDED));
}
