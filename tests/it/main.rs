//! All integration tests in one binary, so that the crate is linked once: a file per part, per edge and per incident.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "helpers of tests fail loudly, a test owns its tasks, and its types are seen at once"
)]

mod admin;
mod admin_flood;
mod admin_open;
mod admin_page;
mod admin_work;
mod adoption;
mod alerts;
mod aliases;
mod background;
mod background_circuit;
mod bad_input;
mod blocking;
mod bounded;
mod breaker;
mod breaker_half_open;
mod breaker_hangs;
mod breaker_panics;
mod breaker_stack;
#[cfg(unix)]
mod broker_killed;
#[cfg(unix)]
mod broker_listener;
mod budget;
mod builders;
mod call_options;
mod callbacks;
mod cargo_unwedge;
#[cfg(unix)]
mod checkin_agent;
mod child;
mod chromium;
mod client_programs;
mod clients;
mod clients_shared;
mod collect;
#[cfg(unix)]
mod command_lines;
mod deadline;
mod discarded;
mod downstream;
mod drill;
mod drops;
mod errors;
#[cfg(unix)]
mod event_runner;
#[cfg(unix)]
mod event_runner_deploy;
#[cfg(unix)]
mod event_runner_end;
#[cfg(unix)]
mod event_runner_settings;
mod event_streams;
mod event_streams_limits;
mod event_streams_lost;
mod event_streams_once;
mod event_streams_refused;
mod event_streams_shutdown;
mod events;
#[cfg(unix)]
mod faults_command;
mod fetch_command;
mod fetch_faults;
#[cfg(unix)]
mod full_disk;
mod gates;
mod goodput;
mod groups;
mod grpc;
mod grpc_spans;
mod gzip;
mod http2_faults;
mod incoming;
mod incoming_turn;
mod lint_clients;
mod lint_command;
mod lint_futures;
mod lint_limits;
mod log_panics;
mod log_words;
mod long_poll;
mod long_poll_loop;
mod manual;
mod metrics;
mod named_clients;
mod neighbours;
#[cfg(target_os = "linux")]
mod no_descriptors;
mod no_evidence;
#[cfg(target_os = "linux")]
mod no_threads;
#[cfg(target_os = "linux")]
mod of_this_machine;
mod ordinary_days;
mod otel;
mod outcomes;
mod package;
mod pages;
#[cfg(unix)]
mod patrol_loop;
mod pipe_serve;
mod preflight;
mod preflight_lead;
mod preflight_modes;
#[cfg(unix)]
mod processes;
mod program;
#[cfg(unix)]
mod program_end;
mod queue_hostile;
mod redirected;
mod redirects;
mod refused;
mod replay;
mod request_options;
mod reqwest_calls;
mod reqwest_chain;
mod reqwest_faults;
mod reqwest_predicates;
mod reqwest_redirected;
mod reqwest_support;
mod retry_after;
#[cfg(unix)]
mod running;
mod runtime_end;
mod scheduler_budget;
#[cfg(target_os = "linux")]
mod servers;
mod settings;
mod small_examples;
mod soak;
mod stalls;
mod stood_still;
mod streams;
mod stress;
mod supervise;
mod supervise_bad;
mod supervise_blocked;
mod supervise_health;
mod supervise_hostile;
mod supervise_liveness;
mod supervise_patrol;
mod supervise_shutdown;
#[cfg(unix)]
mod supervised_platform;
mod support;
#[cfg(target_os = "linux")]
mod systemd;
mod trees;
mod waited_out;
mod waits;
mod watch;
mod workspaces;
mod wrong_port;
