//! The listener of the broker incident: stalled control calls do not wedge it, and its long poll is left alone.

use crate::program::{refused, run};
use crate::running::Running;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use unwedge::testing::{Peer, Reply, Script};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// The bound of this listener's control calls.
const BOUND: &[&str] = &["--control-plane-timeout", "200ms", "--hold", "50s", "--admin", "none"];

fn token() -> Reply {
    Reply::ok(r#"{"token":"t"}"#)
}

fn session() -> Reply {
    Reply::ok(r#"{"session":"s"}"#)
}

fn job(n: u32) -> Reply {
    Reply::ok(format!(r#"{{"id":{n},"job":"job-{n}"}}"#))
}

/// Where a broker is well but in one thing, which stands first.
fn well(peer: Peer) -> Peer {
    peer.on("POST /token", token())
        .on("POST /session", session())
        .on("GET /message", Script::new().then(job(1)).forever(Reply::long_poll(50 * SECOND)))
        .on("POST /acquire", Reply::ok(""))
        .on("DELETE /session/s", Reply::status(204))
}

async fn listener(peer: &Peer) -> Running {
    let server = format!("http://{}", peer.listen().expect("a free port"));
    Running::start("broker_listener", &[BOUND, &["--server", &server]].concat()).await
}

fn asked(peer: &Peer, what: &str) -> usize {
    peer.requests().iter().filter(|r| format!("{} {}", r.method, r.path()) == what).count()
}

/// The idempotency keys of the requests for this path.
fn keys(peer: &Peer, path: &str) -> Vec<Option<String>> {
    let of_path = peer.requests().into_iter().filter(|r| r.path() == path);
    of_path.map(|r| r.header("idempotency-key").map(str::to_owned)).collect()
}

fn of<'a>(seen: &'a [Value], event: &str) -> Vec<&'a Value> {
    seen.iter().filter(|object| object["event"] == event).collect()
}

fn went_well(seen: &[Value], event: &str) -> usize {
    of(seen, event).iter().filter(|call| call["ok"] == true).count()
}

/// The calls of this name: how many failed, the first one among them, each soon and worth another try, and how many
/// went well. On a busy machine a call may fail that the broker would have answered.
fn stalled_and_well(seen: &[Value], name: &str) -> (usize, usize) {
    let calls = of(seen, name);
    let failed: Vec<&&Value> = calls.iter().filter(|call| call["ok"] == false).collect();
    for call in &failed {
        assert_eq!(call["retriable"], true, "{call}");
        // A head without a body is a stall, also where that meets the limit of the attempt.
        assert!(
            ["attempt", "deadline", "stall"].contains(&call["kind"].as_str().unwrap_or_default()),
            "{call}"
        );
    }
    // A busy machine may delay one of them, hardly all.
    let soonest = failed.iter().filter_map(|call| call["ms"].as_u64()).min();
    assert!(soonest.is_some_and(|ms| ms < 1000), "{failed:?}");
    assert_eq!(calls[0]["ok"], false, "{calls:?}");
    (failed.len(), calls.len() - failed.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn token_stall_does_not_wedge() {
    let stalls = Script::new().times(3, Reply::hang()).forever(token());
    let peer = well(Peer::new().on("POST /token", stalls));
    let mut listener = listener(&peer).await;
    assert_eq!(listener.event("job").await["id"], "job-1");
    let ran = listener_stopped(listener, &peer).await;
    let (stalled, well) = stalled_and_well(&ran, "token");
    assert!(stalled >= 1 && well == 1, "{ran:?}");
    assert!(asked(&peer, "POST /token") >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_session_stall_does_not_wedge() {
    let stalls = Script::new().times(2, Reply::hang()).then(Reply::headers_then_hang()).forever(session());
    let peer = well(Peer::new().on("POST /session", stalls));
    let mut listener = listener(&peer).await;
    assert_eq!(listener.event("job").await["id"], "job-1");
    let ran = listener_stopped(listener, &peer).await;
    let (stalled, well) = stalled_and_well(&ran, "session");
    assert!(stalled >= 1 && well == 1, "{ran:?}");
    assert_eq!(went_well(&ran, "token"), 1);
    let keys = keys(&peer, "/session");
    assert!(keys.len() >= 4 && keys.iter().all(|key| *key == keys[0]), "one session: {keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn acquire_job_stall_does_not_wedge() {
    let polls = Arc::new(AtomicU32::new(0));
    let polled = Arc::clone(&polls);
    let deliver = Reply::by(move |_| match polled.fetch_add(1, Ordering::AcqRel) {
        0 => job(1),
        1 | 2 => job(1).after(100 * MS),
        _ => Reply::long_poll(50 * SECOND),
    });
    // It hangs until the listener has come back for the next delivery, which is of the same job.
    let stall = Reply::by(move |_| match polls.load(Ordering::Acquire) {
        0 | 1 => Reply::hang(),
        _ => Reply::ok(""),
    });
    let peer = well(Peer::new().on("GET /message", deliver).on("POST /acquire", stall));
    let mut listener = listener(&peer).await;
    assert_eq!(listener.event("job").await["id"], "job-1");
    // Delivered once more, it is acquired once more and not done again.
    listener.until("second acquisition", |o| o["event"] == "acquire" && o["ok"] == true).await;
    let ran = listener_stopped(listener, &peer).await;
    let (stalled, well) = stalled_and_well(&ran, "acquire");
    assert!(stalled >= 1 && well == 2, "{ran:?}");
    assert_eq!(of(&ran, "job").len(), 1);
    assert_eq!((went_well(&ran, "session"), went_well(&ran, "token")), (1, 1));
    let keys = keys(&peer, "/acquire");
    assert!(keys.len() > 2 && keys.iter().all(|key| *key == keys[0]), "one acquisition: {keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_long_poll_is_left_alone() {
    // Ten times the bound of the other calls, with a job and without one.
    let polls = Script::new()
        .then(Reply::long_poll(2 * SECOND))
        .then(job(1).after(2 * SECOND))
        .forever(Reply::long_poll(50 * SECOND));
    let peer = well(Peer::new().on("GET /message", polls));
    let mut listener = listener(&peer).await;
    assert_eq!(listener.event("job").await["id"], "job-1");
    let ran = listener_stopped(listener, &peer).await;
    let polls = of(&ran, "poll");
    assert_eq!(polls.len(), 2);
    for poll in polls {
        assert!(poll["ok"] == true && poll["ms"].as_u64().is_some_and(|ms| ms >= 1990), "{poll}");
    }
    assert!(of(&ran, "breaker").is_empty());
    // The third is parked when the listener is ended, and not repeated.
    assert!((2..=3).contains(&asked(&peer, "GET /message")));
}

#[tokio::test(flavor = "multi_thread")]
async fn listener_that_ended_is_revived() {
    // The broker takes no listener, for once: each run of the listener ends with an error.
    let refuses = Script::new().times(2, Reply::status(403)).forever(session());
    let peer = well(Peer::new().on("POST /session", refuses));
    let mut listener = listener(&peer).await;
    for (restarts, in_ms) in [(1, 1000), (2, 2000)] {
        let restart = listener.event("restart").await;
        assert_eq!(
            (&restart["name"], &restart["reason"], &restart["restarts"]),
            (&"listener".into(), &"error".into(), &restarts.into())
        );
        let wait = restart["in_ms"].as_u64().unwrap();
        assert!((in_ms * 9 / 10..=in_ms * 11 / 10).contains(&wait), "{restart}");
    }
    let ended = listener.seen().last().unwrap()["t_ms"].as_u64().unwrap();
    let job = listener.event("job").await;
    assert_eq!(job["id"], "job-1");
    assert!(job["t_ms"].as_u64().unwrap() - ended < 60_000, "{job}");
    let ran = listener_stopped(listener, &peer).await;
    let revived = of(&ran, "recovered").into_iter().filter(|o| o["name"] == "listener");
    assert!(revived.count() >= 1, "{ran:?}");
    assert_eq!(ran.last().unwrap()["restarts"], 2);
    assert_eq!(went_well(&ran, "token"), 1, "what it had outlives a run: {ran:?}");
}

/// Ends the listener, which deletes its session. What it said.
async fn listener_stopped(listener: Running, peer: &Peer) -> Vec<Value> {
    let ran = listener.stop().await;
    assert!(asked(peer, "DELETE /session/s") >= 1, "{ran:?}");
    assert!(!peer.ran_out());
    ran.objects()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_whose_answer_is_lost_is_asked_again_under_its_key_and_done_once() {
    // More than one call repeats by itself; the broker delivers what is acquired no more.
    let lost = Script::new().times(6, Reply::reset()).forever(Reply::ok(""));
    let polls = Script::new().then(job(1)).forever(Reply::long_poll(300 * MS));
    let peer = well(Peer::new().on("POST /acquire", lost).on("GET /message", polls));
    let mut listener = listener(&peer).await;
    assert_eq!(listener.event("job").await["id"], "job-1");
    let ran = listener_stopped(listener, &peer).await;
    assert_eq!(of(&ran, "job").len(), 1);
    let done = ran.last().unwrap();
    assert_eq!((&done["jobs"], &done["unanswered"]), (&1.into(), &0.into()), "{done}");
    assert!(asked(&peer, "POST /acquire") >= 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_another_listener_was_given_is_left_to_it_and_the_next_one_is_acquired() {
    let polls = Script::new().then(job(1)).then(job(2)).forever(Reply::long_poll(50 * SECOND));
    let acquires = Script::new().then(Reply::status(409)).forever(Reply::ok(""));
    let peer = well(Peer::new().on("GET /message", polls).on("POST /acquire", acquires));
    let mut listener = listener(&peer).await;
    assert_eq!(listener.event("job").await["id"], "job-2");
    let ran = listener_stopped(listener, &peer).await;
    assert_eq!(of(&ran, "job").len(), 1, "{ran:?}");
    // An answer, and none to be repeated: one request for each of the two.
    assert_eq!((asked(&peer, "POST /acquire"), went_well(&ran, "acquire")), (2, 2), "{ran:?}");
    assert!(of(&ran, "restart").is_empty() && of(&ran, "breaker").is_empty(), "{ran:?}");
    let done = ran.last().unwrap();
    assert_eq!((&done["jobs"], &done["unanswered"]), (&1.into(), &0.into()), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_in_mid_poll_and_in_a_stalled_call() {
    let parked = Reply::long_poll(50 * SECOND);
    for (peer, requests) in
        [(well(Peer::new().on("GET /message", parked)), 3), (Peer::new().on("POST /token", Reply::hang()), 1)]
    {
        let server = format!("http://{}", peer.listen().unwrap());
        let listener = Running::start("broker_listener", &["--server", &server]).await;
        assert!(peer.arrived(requests, 20 * SECOND).await);
        let signalled = Instant::now();
        listener.stop().await;
        // Its bounds are 30 s and 55 s.
        assert!(signalled.elapsed() < 10 * SECOND, "{:?}", signalled.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_has_a_broker_of_its_own() {
    let ran = run("broker_listener", &["--json", "--job-every", "50ms", "--jobs", "3", "--for", "3s"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let objects = ran.objects();
    assert!(objects[0]["server"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{ran:?}");
    assert!(objects.iter().all(|object| object["t_ms"].is_u64()));
    let jobs: Vec<&Value> = of(&objects, "job").into_iter().map(|job| &job["id"]).collect();
    assert_eq!(jobs, ["job-1", "job-2", "job-3"]);
    assert!(ran.stderr.contains("INFO ready"), "people read on standard error: {}", ran.stderr);
    let plain = run("broker_listener", &["--for", "500ms", "--job-every", "50ms"]).await;
    assert_eq!((plain.code, plain.stderr.as_str()), (Some(0), ""), "{plain:?}");
    assert!(plain.stdout.contains("INFO ready") && plain.stdout.contains("job=job-1"), "{plain:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_its_own_that_stalls_costs_time_and_no_job() {
    let stalls = ["--stall", "3", "--control-plane-timeout", "600ms", "--job-every", "50ms", "--jobs", "3"];
    let mut listener = Running::start("broker_listener", &stalls).await;
    for n in 1..=3 {
        let job = listener.event("job").await;
        assert_eq!(job["id"], format!("job-{n}"));
    }
    let ran = listener.stop().await;
    let stalled = |line: &&str| line.contains("/acquire") && line.contains("no response headers after 400ms");
    assert!(ran.stderr.lines().any(|line| stalled(&line)), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_cannot_work_ends_with_two_and_nothing_on_standard_output() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let lines = [
        (&["--control-plane-timeout", "5"][..], "\"5\" has no unit"),
        (&["--hold", "0s"], "longer than zero"),
        (&["--server", "ftp://broker"], "\"ftp://broker\" is neither http nor https"),
        (&["--server", "http://broker?x"], "has a query"),
        (&["--server", "http://broker", "--jobs", "3"], "--jobs: it is for a broker of its own"),
        (&["--admin", "here"], "\"here\" is neither an address like 127.0.0.1:0 nor none"),
        (&["--broker", "localhost"], "\"localhost\" is no address"),
        (&["--broker", &taken], "is in use by another program"),
        (&["--journal", "no-such-directory/jobs"], "no-such-directory"),
        (&["--journal", "Cargo.toml"], "line 1: \"[package]\" is no entry"),
        (&["--seed", "-1"], "--seed"),
        (&["--bogus"], "--bogus"),
        (&["stray"], "stray"),
    ];
    refused("broker_listener", &lines).await;
}
