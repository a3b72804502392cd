//! What those who listen to a stack are told of its calls.

use crate::support::*;
use crate::watch::*;
use http::Method;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::sleep;
use tower_layer::Layer;
use tower_service::Service;
use unwedge::stack::{Event, EventKind, RetryLayer};
use unwedge::testing::{Peer, Reply};
use unwedge::{ErrorKind, Group, Label, Limits, StackLayer, retry};

/// All that was told since the last look, each in one line: `call attempt elapsed what`.
fn lines(events: &mut Receiver<Event>) -> Vec<String> {
    std::iter::from_fn(|| events.try_recv().ok()).map(|event| line(&event)).collect()
}

fn line(event: &Event) -> String {
    let of = |status: Option<http::StatusCode>, error: Option<ErrorKind>| match (status, error) {
        (None, None) => "dropped".to_owned(),
        (status, error) => {
            let status = status.map(|status| status.as_u16().to_string());
            status
                .into_iter()
                .chain(error.map(|error| error.as_str().to_owned()))
                .collect::<Vec<_>>()
                .join(" ")
        }
    };
    let what = match &event.kind {
        EventKind::Attempt { status, error, phase, took, .. } => {
            format!("attempt: {} in {phase:?} after {took:?}", of(*status, *error))
        }
        EventKind::Retry { cause, delay, .. } => format!("retry in {delay:?}: {cause}"),
        EventKind::Refusal { error, retry_in, delay, .. } => {
            format!(
                "refused: {} for {retry_in:?}, {}",
                error.as_str(),
                delay.map_or("told".into(), |d| format!("asks in {d:?}"))
            )
        }
        EventKind::End { status, error, .. } => format!("end: {}", of(*status, *error)),
        other => format!("{other:?}"),
    };
    format!("{} {} {:?} {what}", event.call, event.attempt, event.elapsed)
}

/// Exact waits, whatever they are of.
fn waits() -> retry::Settings {
    every(2 * SECOND).wait_when_refused(std::time::Duration::ZERO)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_repeated_tells_of_each_attempt_each_retry_and_its_end() {
    let peer =
        Peer::new().then(Reply::status(503).after(SECOND)).then(Reply::reset()).forever(Reply::ok("x"));
    let layer = StackLayer::builder().retry(waits()).name("scheduler").build().unwrap();
    let mut events = layer.subscribe();
    let service = stack(&peer, &layer);
    let asked = with(with(get("/jobs?token=s3cret"), Group::new("billing")), Label::new("jobs"));
    let answer = call(&service, asked).await.unwrap();
    let first = events.try_recv().unwrap();
    assert_eq!(
        (&*first.client, &*first.origin, &first.method),
        ("scheduler", "http://peer.test", &Method::GET)
    );
    assert_eq!(
        (first.group.clone(), first.label.clone()),
        (Some(Group::new("billing")), Some(Label::new("jobs")))
    );
    assert_eq!(line(&first), "1 1 1s attempt: 503 in Body after 1s");
    let rest = [
        "1 1 1s retry in 2s: 503",
        "1 2 3s attempt: transport in Headers after 0ns",
        "1 2 3s retry in 0ns: connection reset",
        "1 3 3s attempt: 200 in Body after 0ns",
        "1 3 3s end: 200",
    ];
    assert_eq!(lines(&mut events), rest, "an idle connection that was reset is at fault itself");
    drop(answer);
    assert!(lines(&mut events).is_empty(), "a body that was collected is over with its head");
    call(&service, get("/")).await.unwrap();
    assert_eq!(lines(&mut events), ["2 1 0ns attempt: 200 in Body after 0ns", "2 1 0ns end: 200"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_for_good_and_one_that_is_dropped_say_so_at_their_end() {
    let peer = Peer::new().then(Reply::reset()).then(Reply::hang()).forever(Reply::hang());
    let layer = once(Limits::default().total(10 * SECOND).attempt(10 * SECOND));
    let mut events = layer.subscribe();
    let service = stack(&peer, &layer);
    call(&service, get("/")).await.unwrap_err();
    let told = lines(&mut events);
    assert_eq!(told, ["1 1 0ns attempt: transport in Headers after 0ns", "1 1 0ns end: transport"]);
    assert!(tokio::time::timeout(SECOND, call(&service, get("/"))).await.is_err());
    assert_eq!(lines(&mut events), ["2 1 1s end: dropped"]);
    call(&service, get("/")).await.unwrap_err();
    let told = lines(&mut events);
    assert_eq!(told, ["3 1 10s attempt: deadline in Headers after 10s", "3 1 10s end: deadline"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_streams_ends_its_call_with_its_last_byte_or_its_fault() {
    let large = Reply::ok(vec![b'x'; 3_000_000]);
    let peer = Peer::new().then(large.clone()).forever(large.reset_after(2_000_000));
    let layer = once(Limits::default());
    let mut events = layer.subscribe();
    let service = stack(&peer, &layer);
    for (n, end) in [(1, "end: 200"), (2, "end: 200 transport")] {
        let answer = call(&service, get("/")).await;
        assert_eq!(lines(&mut events), [format!("{n} 1 0ns attempt: 200 in Body after 0ns")]);
        let read = whole(answer).await;
        assert_eq!((read.is_ok(), lines(&mut events)), (n == 1, vec![format!("{n} 1 0ns {end}")]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_until_when_and_whether_it_is_waited_out() {
    let peer = Peer::new().times(5, Reply::status(500)).forever(Reply::ok("x"));
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    let mut events = layer.subscribe();
    call(&service, get("/")).await.unwrap_err();
    assert_eq!(lines(&mut events), ["1 0 0ns refused: open for 5s, told", "1 0 0ns end: open"]);

    let peer = Peer::new().times(5, Reply::status(500)).forever(Reply::ok("x"));
    let patient = each_once(steady()).retry(sent_once().wait_when_refused(MINUTE)).build().unwrap();
    let mut events = patient.subscribe();
    let service = stack(&peer, &patient);
    calls(&service, 5).await;
    lines(&mut events);
    call(&service, get("/")).await.unwrap();
    let told = lines(&mut events);
    assert!(told[0].starts_with("6 0 0ns refused: open for 5s, asks in 5."), "{told:?}");
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].contains("6 1 5.") && told[2].ends_with("end: 200"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_a_429_has_closed_tells_who_waits_and_who_is_refused() {
    let peer = Peer::new().then(Reply::status(429).retry_after("20")).forever(Reply::ok("x"));
    let layer = built(StackLayer::builder().retry(sent_once()));
    let service = stack(&peer, &layer);
    call(&service, get("/")).await.unwrap();
    let mut events = layer.subscribe();
    let hurried = with(get("/"), unwedge::CallOptions::new().total(5 * SECOND));
    assert!(matches!(call(&service, hurried).await.unwrap_err().kind(), ErrorKind::RetryAfter { .. }));
    assert_eq!(
        lines(&mut events),
        ["1 0 0ns refused: retry_after for 20s, told", "1 0 0ns end: retry_after"]
    );
    call(&service, get("/")).await.unwrap();
    let told = lines(&mut events);
    assert!(
        told[0].starts_with("2 0 0ns refused: retry_after for 2") && told[0].contains("asks in 2"),
        "{told:?}"
    );
    assert_eq!(told.len(), 3, "one refusal, however often it asks: {told:?}");
}

#[tokio::test(start_paused = true)]
async fn who_falls_behind_loses_the_oldest_and_is_told_how_many() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = once(Limits::default());
    let (mut slow, mut quick) = (layer.subscribe(), layer.subscribe());
    let service = stack(&peer, &layer);
    for n in 0..600 {
        call(&service, get("/")).await.unwrap();
        assert_eq!(lines(&mut quick).len(), 2, "{n}: nobody waits for the other");
    }
    assert_eq!(slow.recv().await, Err(RecvError::Lagged(1200 - 1024)));
    assert_eq!(slow.recv().await.unwrap().call, (1200 - 1024) / 2 + 1);
    assert_eq!(lines(&mut slow).len(), 1023);
    drop((service, layer));
    assert_eq!(slow.recv().await, Err(RecvError::Closed), "it ends with the stack");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_what_was_before_and_a_listener_that_went_is_not_missed() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = once(Limits::default());
    let service = stack(&peer, &layer);
    call(&service, get("/")).await.unwrap();
    let mut first = layer.subscribe();
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
    drop(first);
    calls(&service, 3).await;
    let mut late = layer.subscribe();
    call(&service, get("/")).await.unwrap();
    let told = lines(&mut late);
    assert_eq!(told.len(), 2, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn no_event_shows_a_path_a_query_or_a_header() {
    let peer = Peer::new().then(Reply::status(500)).then(Reply::reset()).forever(Reply::status(401));
    let layer = StackLayer::builder().retry(waits()).build().unwrap();
    let mut events = layer.subscribe();
    let mut request = get("/t/s3cret?token=s3cret");
    request.headers_mut().insert("authorization", "Bearer s3cret".parse().unwrap());
    request.headers_mut().insert("idempotency-key", "s3cret".parse().unwrap());
    call(&stack(&peer, &layer), request).await.unwrap();
    let told: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(!format!("{told:?}").contains("s3cret"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn each_handle_to_a_stack_can_be_listened_to() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let client = client(&peer).name("relay").build().unwrap();
    let mut events = client.subscribe();
    client.get("http://peer.test/").send().await.unwrap();
    assert_eq!(events.recv().await.unwrap().client, "relay".into());

    let service = stack(&peer, &StackLayer::default());
    let mut events = service.subscribe();
    call(&service, get("/")).await.unwrap();
    assert_eq!(lines(&mut events).len(), 2);

    let mut part = RetryLayer::new(retry::Settings::default()).unwrap().layer(plain(&peer));
    let mut events = part.subscribe();
    part.call(get("/")).await.unwrap();
    assert_eq!(lines(&mut events).len(), 2);

    let layer = StackLayer::default();
    let middleware = unwedge::reqwest::ResilienceMiddleware::from(layer.clone());
    let mut events = middleware.subscribe();
    call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert_eq!(lines(&mut events).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_waits_is_woken_and_may_call_every_handle() {
    let peer = Peer::new().forever(Reply::ok("x"));
    let layer = StackLayer::default();
    let (mut events, service) = (layer.subscribe(), stack(&peer, &layer));
    let theirs = layer.clone();
    let mut listening = tokio::task::JoinSet::new();
    listening.spawn(async move {
        let mut seen = 0;
        while let Ok(event) = events.recv().await {
            seen += 1;
            let _ = (theirs.breakers().snapshot(), theirs.in_flight().snapshot(), theirs.subscribe());
            if matches!(event.kind, EventKind::End { .. }) {
                break;
            }
        }
        seen
    });
    sleep(SECOND).await;
    call(&service, get("/")).await.unwrap();
    assert_eq!(listening.join_next().await.unwrap().unwrap(), 2);
}
