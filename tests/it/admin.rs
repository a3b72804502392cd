//! What the admin endpoints answer to probes and programs, on a paused clock.

use crate::support::{MINUTE, SECOND, client, no_breaker};
use crate::watch::settle;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;
use tokio::time::{advance, sleep};
use tower::ServiceExt;
use unwedge::admin::Admin;
use unwedge::breaker::{Breaker, Settings};
use unwedge::supervise::{Escalation, Supervisor};
use unwedge::testing::{Peer, Reply};
use unwedge::{ErrorKind, Limits, long_poll};

pub(crate) async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, String) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) async fn get(router: &Router, path: &str) -> (StatusCode, String) {
    ask(router, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn status(router: &Router, path: &str) -> u16 {
    get(router, path).await.0.as_u16()
}

pub(crate) async fn json_of(router: &Router, path: &str) -> Value {
    let (_, body) = get(router, path).await;
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

/// A loop that shows signs of life for ten minutes, and is silent from then on.
fn falls_silent(crew: &mut Supervisor, name: &'static str) {
    crew.spawn(name, MINUTE, |heart| async move {
        for _ in 0..60 {
            heart.progress();
            sleep(10 * SECOND).await;
        }
        pending::<()>().await;
    });
}

/// Runs the crew in the background for as long as the set is kept.
fn run(crew: Supervisor, time: std::time::Duration) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        crew.run_until(sleep(time), MINUTE).await.unwrap();
    });
    tasks
}

#[tokio::test(start_paused = true)]
async fn plain_health_is_no_matter_of_subsystems_and_circuits_and_strict_health_is() {
    let mut crew = Supervisor::new();
    falls_silent(&mut crew, "scheduler");
    let breaker = Breaker::new("agent runs", Settings::default()).unwrap();
    let admin = Admin::new(&crew).breakers(breaker.clone()).expect(["scheduler", "relay"], 2 * MINUTE);
    let router = admin.router().unwrap();
    let _running = run(crew, 60 * MINUTE);
    sleep(SECOND).await;
    breaker.force_open();
    let (told, body) = get(&router, "/healthz").await;
    assert_eq!((told.as_u16(), body.as_str()), (200, "{\"status\":\"ok\"}\n"));
    let (told, body) = get(&router, "/healthz?strict").await;
    assert_eq!((told.as_u16(), body.as_str()), (503, "{\"stale\":[\"relay\"]}\n"));
    sleep(20 * MINUTE).await;
    assert_eq!(json_of(&router, "/healthz?strict=1").await, json!({ "stale": ["scheduler", "relay"] }));
    for plain in
        ["/healthz", "/healthz?strict=0", "/healthz?strict=false", "/healthz?stricter", "/healthz?%ff"]
    {
        assert_eq!(status(&router, plain).await, 200, "{plain}");
    }
}

#[tokio::test(start_paused = true)]
async fn health_without_an_expectation_is_that_of_every_subsystem_by_its_own_threshold() {
    let mut crew = Supervisor::new();
    falls_silent(&mut crew, "scheduler");
    let router = Admin::new(&crew).router().unwrap();
    let _running = run(crew, 60 * MINUTE);
    sleep(11 * MINUTE).await;
    assert_eq!(status(&router, "/healthz?strict").await, 200);
    assert_eq!(status(&router, "/readyz").await, 200);
    sleep(2 * MINUTE).await;
    assert_eq!(json_of(&router, "/healthz?strict").await, json!({ "stale": ["scheduler"] }));
    assert_eq!(status(&router, "/readyz").await, 503);
}

#[tokio::test(start_paused = true)]
async fn both_probes_fail_while_the_crew_is_being_ended() {
    let mut crew = Supervisor::new();
    crew.spawn("slow to end", MINUTE, |heart| async move {
        heart.cancelled().await;
        sleep(10 * SECOND).await;
    });
    let router = Admin::new(&crew).router().unwrap();
    let before = json_of(&router, "/readyz").await;
    assert_eq!(before["not_ready"][0]["kind"], "crew", "{before}");
    let _running = run(crew, 5 * SECOND);
    sleep(SECOND).await;
    assert_eq!((status(&router, "/healthz").await, status(&router, "/healthz?strict").await), (200, 503));
    sleep(9 * SECOND).await;
    assert_eq!(json_of(&router, "/healthz").await, json!({ "status": "shutting_down" }));
    assert_eq!((status(&router, "/healthz").await, status(&router, "/readyz").await), (503, 503));
}

#[tokio::test(start_paused = true)]
async fn readiness_says_what_is_missing() {
    let mut crew = Supervisor::new();
    falls_silent(&mut crew, "scheduler");
    let peer = Peer::new().forever(Reply::ok(""));
    let client = client(&peer).build().unwrap();
    let breaker = Breaker::new("agent runs", Settings::default()).unwrap();
    let connected = Arc::new(AtomicBool::new(false));
    let stream = Arc::clone(&connected);
    let router = Admin::new(&crew)
        .breakers(breaker.clone())
        .breakers(client.breakers())
        .ready_when_closed("agent runs")
        .ready_when_closed("http://Peer.test:80/any/path")
        .ready_when_closed("http://never.called")
        .check("event stream", move || match stream.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("no connection is up".to_owned()),
        })
        .check("careless", || panic!("not even wrong"))
        .expect(["scheduler"], 2 * MINUTE)
        .router()
        .unwrap();
    let _running = run(crew, 60 * MINUTE);
    client.get("http://peer.test/").send().await.unwrap();
    sleep(SECOND).await;
    let lacks = |body: Value| -> Vec<String> {
        let all = body["not_ready"].as_array().unwrap().iter();
        all.map(|lack| format!("{} {}: {}", lack["kind"], lack["name"], lack["reason"]).replace('"', ""))
            .collect()
    };
    let told = lacks(json_of(&router, "/readyz").await);
    assert_eq!(told, ["check event stream: no connection is up", "check careless: panicked"]);
    connected.store(true, Ordering::Relaxed);
    breaker.force_open();
    client.breakers().of(&"http://peer.test/".parse().unwrap()).unwrap().force_open();
    sleep(20 * MINUTE).await;
    let told = lacks(json_of(&router, "/readyz").await);
    assert_eq!(
        told,
        [
            "subsystem scheduler: no progress for 611 s",
            "breaker agent runs: is forced_open",
            "breaker http://Peer.test:80/any/path: is forced_open",
            "check careless: panicked"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn readiness_is_gone_when_a_subsystem_is_restarted_too_often() {
    let mut crew = Supervisor::new();
    crew.escalate(Escalation::Report);
    crew.spawn("dies at once", MINUTE, |heart| async move {
        heart.beat();
        Err::<(), _>("no")
    });
    let router = Admin::new(&crew).router().unwrap();
    let _running = run(crew, 60 * MINUTE);
    sleep(SECOND).await;
    assert_eq!(status(&router, "/readyz").await, 200);
    sleep(5 * MINUTE).await;
    assert_eq!(json_of(&router, "/readyz").await["not_ready"][0]["kind"], "crew");
}

#[tokio::test(start_paused = true)]
async fn liveness_lists_every_subsystem_with_all_that_is_known() {
    let mut crew = Supervisor::new();
    let peer = Peer::new().forever(Reply::hang());
    let calls = client(&peer)
        .limits(Limits::default().total(30 * MINUTE).attempt(20 * MINUTE).idle(20 * MINUTE))
        .breaker(no_breaker())
        .build()
        .unwrap();
    let wedged = calls.clone();
    crew.spawn("scheduler", MINUTE, move |heart| {
        let wedged = wedged.clone();
        async move {
            heart.progress();
            let _ = wedged.get("http://alerts.example/api?token=s3cret").send().await;
        }
    });
    crew.spawn("listener", MINUTE, |heart| async move {
        let _parked = heart.parked("no job until the broker sends one");
        pending::<()>().await;
    });
    let admin = Admin::new(&crew).calls(calls.in_flight()).expect(["scheduler", "relay"], 10 * MINUTE);
    let router = admin.router().unwrap();
    let _running = run(crew, 60 * MINUTE);
    sleep(5 * MINUTE).await;
    let body = json_of(&router, "/admin/liveness").await;
    let rows = body["subsystems"].as_array().unwrap();
    let scheduler = &rows[0];
    for (field, wanted) in [
        ("name", json!("scheduler")),
        ("expected_every_seconds", json!(60.0)),
        ("stale_after_seconds", json!(120.0)),
        ("seconds_ago", json!(300.0)),
        ("stale", json!(true)),
        ("verdict", json!("silent")),
        ("state", json!("working")),
        ("restarts", json!(0)),
        ("reason", json!(null)),
    ] {
        assert_eq!(scheduler[field], wanted, "{field}: {scheduler}");
    }
    let waits = scheduler["waits_for"].as_str().unwrap();
    assert!(
        waits.starts_with("GET http://alerts.example/api, attempt 1 of 4, waiting for response headers"),
        "{waits}"
    );
    let at = scheduler["last_tick_at"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z') && at.as_bytes()[10] == b'T', "{at}");
    assert_eq!(rows[1]["state"], "parked");
    assert_eq!(rows[1]["reason"], "no job until the broker sends one");
    assert_eq!((&rows[1]["stale"], &rows[2]["name"]), (&json!(false), &json!("relay")));
    assert_eq!((&rows[2]["verdict"], &rows[2]["last_tick_at"]), (&json!("never_seen"), &json!(null)));
    assert_eq!(json_of(&router, "/admin/calls").await["calls"][0]["subsystem"], "scheduler");
}

#[tokio::test(start_paused = true)]
async fn calls_are_listed_oldest_first_with_the_reason_of_a_long_poll() {
    let crew = Supervisor::new();
    let peer = Peer::new().on("/message", Reply::long_poll(MINUTE)).forever(Reply::hang());
    let (one, two) = (client(&peer).build().unwrap(), client(&peer).build().unwrap());
    let router = Admin::new(&crew).calls(one.in_flight()).calls(two.in_flight()).router().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(one.get("http://u:p@peer.test/slow?key=s3cret").send());
    sleep(SECOND).await;
    let poll = long_poll!("the broker parks GetMessage until a job arrives").up_to(MINUTE);
    tasks.spawn(two.get("http://peer.test/message").long_poll(poll).send());
    sleep(2 * SECOND).await;
    let body = json_of(&router, "/admin/calls").await;
    assert_eq!(body["total"], 2);
    let seen: Vec<_> =
        body["calls"].as_array().unwrap().iter().map(|c| (&c["url"], &c["age_seconds"])).collect();
    assert_eq!(seen[0], (&json!("http://peer.test/slow"), &json!(3.0)));
    assert_eq!(seen[1], (&json!("http://peer.test/message"), &json!(2.0)));
    assert_eq!(body["calls"][0]["deadline_in_seconds"], 27.0);
    assert_eq!(body["calls"][0]["phase"], "headers");
    assert_eq!(body["calls"][1]["long_poll"], "the broker parks GetMessage until a job arrives");
    drop(tasks);
    settle().await;
    assert_eq!(json_of(&router, "/admin/calls").await, json!({ "total": 0, "calls": [] }));
}

#[tokio::test(start_paused = true)]
async fn breakers_of_several_stacks_are_listed_together() {
    let crew = Supervisor::new();
    let peer = Peer::new().forever(Reply::status(503));
    let client = client(&peer).build().unwrap();
    let alone = Breaker::new("agent runs", Settings::default()).unwrap();
    let router = Admin::new(&crew).breakers(client.breakers()).breakers(alone).router().unwrap();
    for _ in 0..2 {
        let _ = client.get("http://api.example/").send().await;
    }
    advance(SECOND / 2).await;
    let body = json_of(&router, "/admin/breakers").await;
    let rows = body["breakers"].as_array().unwrap();
    assert_eq!((&rows[0]["origin"], &rows[0]["phase"]), (&json!("http://api.example"), &json!("open")));
    assert!(rows[0]["retry_in_seconds"].as_f64().unwrap() > 0.0, "{body}");
    assert_eq!((&rows[1]["origin"], &rows[1]["phase"]), (&json!("agent runs"), &json!("closed")));
    assert_eq!(rows[1]["retry_in_seconds"], json!(null));
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_work_are_refused_with_their_value() {
    let crew = Supervisor::new();
    let none: [&str; 0] = [];
    for (admin, message) in [
        (
            Admin::new(&crew).expect(none, MINUTE),
            "the list of expected subsystems is empty: name at least one",
        ),
        (
            Admin::new(&crew).expect(["relay"], std::time::Duration::ZERO),
            "the stale threshold of the expected subsystems is 0 s: it must be longer than zero",
        ),
        (
            Admin::new(&crew).commands("short"),
            "the token for commands has 5 bytes: it needs 16, or it can be guessed",
        ),
        (
            Admin::new(&crew).check(" ", || Ok(())),
            "the name of a readiness check is blank: it is what /readyz says",
        ),
        (
            Admin::new(&crew).check("disk", || Ok(())).check("disk", || Ok(())),
            "there are two readiness checks \"disk\"",
        ),
    ] {
        let error = admin.router().unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Config, message));
    }
    let error = Admin::new(&crew).serve("localhost").await.unwrap_err();
    assert_eq!(error.to_string(), "\"localhost\" is no address to listen on: IP:PORT, like 127.0.0.1:0");
}

#[test]
fn a_router_needs_no_runtime_before_the_first_request_and_merges_into_another() {
    let crew = Supervisor::new();
    let own = Router::new().route("/", axum::routing::get(|| async { "mine" }));
    let app = own.merge(Admin::new(&crew).router().unwrap());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        assert_eq!(get(&app, "/").await.1, "mine");
        assert_eq!(status(&app, "/admin").await, 200);
        assert_eq!(get(&app, "/admin/").await.0, 200, "as it is typed by hand");
        assert_eq!(status(&app, "/healthz").await, 200);
    });
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_is_written_by_serde_as_the_endpoints_write_it() {
    let peer = Peer::new().forever(Reply::hang());
    let client = client(&peer).name("jobs").build().unwrap();
    let breaker = Breaker::new("agent runs", Settings::default()).unwrap();
    for _ in 0..5 {
        breaker.acquire().unwrap().failure();
    }
    let mut crew = Supervisor::new();
    crew.spawn("relay", MINUTE, |heart| async move {
        let _parked = heart.parked("no job yet");
        pending::<()>().await;
    });
    let (liveness, calls) = (crew.liveness(), client.in_flight());
    let admin = Admin::new(&crew).breakers(breaker.clone()).calls(calls.clone());
    let router = admin.router().unwrap();
    let _running = run(crew, 10 * MINUTE);
    let request = client.get("http://api.example/jobs");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { request.send().await.map(drop) });
    settle().await;
    advance(SECOND / 4).await;

    assert_eq!(json_of(&router, "/admin/breakers").await["breakers"], json!([breaker.snapshot()]));
    let shown = json_of(&router, "/admin/calls").await;
    assert_eq!((&shown["total"], &shown["calls"]), (&json!(1), &json!(calls.snapshot())));
    assert_eq!(shown["calls"][0]["age_seconds"], 0.25);
    let shown = json_of(&router, "/admin/liveness").await;
    let (mut shown, mut seen) = (shown["subsystems"].clone(), json!(liveness.snapshot()));
    // By the wall, which goes on between the two looks where the clock of the test stands still.
    for look in [&mut shown, &mut seen] {
        let at = look[0].as_object_mut().unwrap().remove("last_tick_at").unwrap();
        assert!(at.as_str().is_some_and(|at| at.ends_with('Z')), "{at}");
    }
    assert_eq!(shown, seen);
    assert_eq!(shown[0]["reason"], "no job yet");
}

#[test]
fn what_has_a_stable_name_is_written_by_it() {
    use unwedge::{Phase, breaker, child, supervise};
    macro_rules! named {
        ($($value:expr),* $(,)?) => {
            $(assert_eq!(serde_json::to_value($value).unwrap(), $value.as_str());)*
        };
    }
    named!(Phase::HealthCheck, Phase::BackOff, Phase::Tls, Phase::Body);
    named!(breaker::Phase::HalfOpen, breaker::Phase::ForcedOpen, breaker::Phase::Closed);
    named!(supervise::Reason::Stale, supervise::Outcome::Timeout, child::Outcome::TimedOut);
    let stopped = supervise::Event::Stopped { name: "relay".into() };
    assert_eq!(serde_json::to_value(stopped).unwrap(), json!({ "event": "stopped", "name": "relay" }));
    let counts = unwedge::queue::Counts::default();
    assert_eq!(serde_json::to_value(counts).unwrap()["waiting"], 0);
}
