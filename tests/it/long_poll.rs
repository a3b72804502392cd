//! Requests that may wait for long because they say why.

use crate::support::*;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use unwedge::testing::{Peer, Reply};
use unwedge::{Deadline, ErrorKind, Limits, LongPoll, Phase, StackLayer, breaker, long_poll, within};

const WHY: &str = "the broker parks GetMessage until a job arrives";

fn parked() -> LongPoll {
    long_poll!(WHY)
}

fn consecutive(layer: &StackLayer) -> u32 {
    layer.breakers().snapshot()[0].consecutive_failures
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_the_grace_after_the_hold_is_in_time() {
    let peer = Peer::new().forever(Reply::ok("job").after(34 * SECOND));
    let poll = with(get("/message"), parked().up_to(30 * SECOND));
    let start = Instant::now();
    let answer = call(&stack(&peer, &StackLayer::default()), poll).await;
    assert_eq!(whole(answer).await.unwrap(), (200, "job".into()));
    assert_eq!((start.elapsed(), peer.request_count()), (34 * SECOND, 1));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_it_five_seconds_after_the_hold_and_is_no_failure_of_the_origin() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    for n in 1..=6 {
        let start = Instant::now();
        let poll = with(get("/message"), parked().up_to(30 * SECOND));
        let error = call(&service, poll).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Attempt, Some(Phase::Headers)));
        // The base back-off that a loop gets after an error comes on top.
        let gap = if n == 1 { Duration::ZERO } else { SECOND / 2 };
        assert_eq!((start.elapsed(), peer.request_count()), (35 * SECOND + gap, n), "not repeated");
        assert!(error.is_timeout() && error.is_retriable());
        let said = format!("the long poll was not answered within 35 s ({WHY})");
        assert!(error.to_string().contains(&said), "{error}");
    }
    assert_eq!(consecutive(&layer), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_hold_the_ceiling_of_the_limits_binds_and_not_the_total() {
    let peer = Peer::new().then(Reply::ok("job").after(9 * MINUTE)).forever(Reply::hang());
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    assert_eq!(call(&service, with(get("/"), parked())).await.unwrap().status(), 200);
    for (layer, ceiling) in
        [(layer, 10), (built(exact().limits(Limits::default().long_poll(20 * MINUTE))), 20)]
    {
        let start = Instant::now();
        let error = call(&stack(&peer, &layer), with(get("/"), parked())).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Attempt, ceiling * MINUTE));
    }
}

#[tokio::test(start_paused = true)]
async fn only_unbounded_lifts_the_ceiling_and_a_scope_still_binds() {
    let peer = Peer::new().then(Reply::ok("job").after(300 * MINUTE)).forever(Reply::hang());
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    let poll = || with(get("/"), parked().up_to(30 * SECOND).unbounded());
    assert_eq!(call(&service, poll()).await.unwrap().status(), 200);
    let start = Instant::now();
    let error = within(MINUTE, call(&service, poll())).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Deadline, MINUTE));
    let own = with(poll(), Deadline::after(MINUTE));
    let error = call(&service, own).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert_eq!(consecutive(&layer), 0);
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_listed_with_its_reason_from_start_to_end() {
    let peer = Peer::new().forever(Reply::ok("job").after(2 * MINUTE));
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    let poll = tokio::spawn({
        let service = service.clone();
        async move { whole(call(&service, with(get("/message?s=x"), parked().unbounded())).await).await }
    });
    for after in [0, 50, 119] {
        sleep(after * SECOND - layer.in_flight().snapshot().first().map_or(Duration::ZERO, |c| c.age)).await;
        tokio::task::yield_now().await;
        let listed = layer.in_flight().snapshot();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].long_poll.as_deref(), Some(WHY));
        assert!(listed[0].unbounded && listed[0].deadline_in.is_none());
        assert_eq!((listed[0].phase, &listed[0].url[..]), (Phase::Headers, "http://peer.test/message"));
        let said = format!("no deadline (long poll: {WHY})");
        assert!(listed[0].to_string().ends_with(&said), "{}", listed[0]);
    }
    assert_eq!(poll.await.unwrap().unwrap(), (200, "job".into()));
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_leaves_the_table_and_counts_as_no_hang() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    for _ in 0..6 {
        let dropped = timeout(20 * SECOND, call(&service, with(get("/"), parked()))).await;
        assert!(dropped.is_err());
        assert!(layer.in_flight().is_empty());
    }
    assert_eq!(consecutive(&layer), 0);
}

#[tokio::test(start_paused = true)]
async fn it_is_never_overdue() {
    let peer = Peer::new().forever(Reply::hang());
    let settings = breaker::Settings::default().failures(1).overdue_after(3 * SECOND);
    let layer = StackLayer::builder().breaker(settings).build().unwrap();
    let service = stack(&peer, &layer);
    let _ = call(&service, with(get("/"), parked().up_to(30 * SECOND))).await;
    assert_eq!(layer.breakers().snapshot()[0].phase, breaker::Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_it_like_any_call() {
    let peer = Peer::new().forever(Reply::ok("job"));
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    layer.breakers().of(get("/").uri()).unwrap().force_open();
    let error = call(&service, with(get("/"), parked())).await.unwrap_err();
    assert!(error.is_open());
    assert_eq!(peer.connects(), 0);
}

/// What a balancer does with a poll that it has parked for too long.
fn balancers() -> [Reply; 6] {
    let status = |status| Reply::status(status).body("<html>time-out</html>");
    [status(408), status(502), status(503), status(504), Reply::close(), Reply::reset()]
}

#[tokio::test(start_paused = true)]
async fn a_parked_poll_that_a_balancer_ends_is_handed_back_and_says_nothing_about_the_origin() {
    for (n, ended) in balancers().into_iter().enumerate() {
        let parked_for = if n % 2 == 0 { SECOND } else { MINUTE };
        let peer = Peer::new().on("/control", Reply::ok("fine")).forever(ended.clone().after(parked_for));
        let layer = StackLayer::default();
        let service = stack(&peer, &layer);
        for polls in 1..=20 {
            match call(&service, with(get("/message"), parked().up_to(90 * SECOND))).await {
                Ok(answer) => {
                    assert_eq!(answer.body().attempts().count, 1);
                    assert!([408, 502, 503, 504].contains(&answer.status().as_u16()));
                    assert_eq!(whole(Ok(answer)).await.unwrap().1, "<html>time-out</html>", "as it is");
                }
                Err(error) => {
                    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Transport, 1), "{error}");
                    assert!(error.is_retriable() && !error.is_timeout());
                }
            }
            assert_eq!(peer.request_count(), polls, "{ended:?}: not repeated");
        }
        let snapshot = &layer.breakers().snapshot()[0];
        assert_eq!((snapshot.phase, snapshot.failures), (breaker::Phase::Closed, 0), "{ended:?}");
        assert_eq!(whole(call(&service, post("/control")).await).await.unwrap(), (200, "fine".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn within_the_first_second_that_is_a_failure_like_any_other() {
    for ended in balancers() {
        let peer = Peer::new().then(ended.clone().after(999 * MS)).forever(Reply::ok("job"));
        let layer = StackLayer::default();
        let answer = call(&stack(&peer, &layer), with(get("/"), parked())).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (200, 2), "{ended:?}");
        assert_eq!(layer.breakers().snapshot()[0].failures, 1, "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_the_origin_can_have_said_is_a_failure_however_long_the_poll_was_parked() {
    for said in [
        Reply::status(503).retry_after("1"),
        Reply::status(504).retry_after("0"),
        Reply::status(500),
        Reply::garbage(),
        Reply::refuse(),
    ] {
        let peer = Peer::new().then(said.clone().after(20 * SECOND)).forever(Reply::ok("job"));
        let layer = StackLayer::default();
        let answer = call(&stack(&peer, &layer), with(get("/"), parked())).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().attempts().count), (200, 2), "{said:?}");
        assert_eq!(layer.breakers().snapshot()[0].failures, 1, "{said:?}");
    }
    let peer =
        Peer::new().then(Reply::status(503).retry_after("soon").after(20 * SECOND)).forever(Reply::ok(""));
    let answer = call(&stack(&peer, &StackLayer::default()), with(get("/"), parked())).await.unwrap();
    assert_eq!((answer.status().as_u16(), peer.request_count()), (503, 1), "garbage names no time");
}

#[tokio::test(start_paused = true)]
async fn a_stream_or_a_connection_of_http_2_that_is_gone_while_parked_is_no_failure_either() {
    for gone in [Reply::reset(), Reply::close()] {
        let peer = Peer::new().forever(gone.clone().after(20 * SECOND));
        let http2 = unwedge::client::Network::default().http2_only();
        let client = client(&peer).network(http2).build().unwrap();
        let error = client.get("http://a/message").long_poll(parked()).send().await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Transport, 1), "{gone:?}: {error}");
        assert_eq!((peer.request_count(), client.breakers().snapshot()[0].failures), (1, 0), "{gone:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_no_poll_is_judged_as_ever_however_late_its_status() {
    let peer = Peer::new().then(Reply::status(504).after(5 * SECOND)).forever(Reply::ok(""));
    let layer = StackLayer::default();
    assert_eq!(call(&stack(&peer, &layer), get("/")).await.unwrap().body().attempts().count, 2);
    assert_eq!(layer.breakers().snapshot()[0].failures, 1);
}

#[tokio::test(start_paused = true)]
async fn its_body_is_handed_over_at_the_head_and_may_be_silent_for_as_long_as_the_head() {
    let quiet = || Reply::sized(100).hang_after(10).after(MINUTE);
    for (poll, silence) in [
        (parked().up_to(300 * SECOND), 305 * SECOND),
        (parked().up_to(SECOND), 6 * SECOND),
        (parked(), 10 * MINUTE),
    ] {
        let peer = Peer::new().forever(quiet().after(SECOND / 2));
        let layer = StackLayer::builder().limits(Limits::default().min_progress(50, SECOND)).build().unwrap();
        let start = Instant::now();
        let answer = call(&stack(&peer, &layer), with(get("/"), poll)).await.unwrap();
        assert_eq!((start.elapsed(), answer.body().is_collected()), (SECOND / 2, false));
        let error = whole(Ok(answer)).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Stall, silence + SECOND / 2));
        let said = format!("the long poll said nothing more for {} after 10 bytes ({WHY})", human(silence));
        assert!(error.to_string().contains(&said), "{error}");
        assert_eq!(consecutive(&layer), 0, "not a failure of the origin");
        assert!(layer.in_flight().is_empty());
    }
    let peer = Peer::new().forever(quiet());
    let layer = StackLayer::default();
    let poll = with(get("/"), parked().unbounded());
    let read = within(60 * MINUTE, async { whole(call(&stack(&peer, &layer), poll).await).await });
    assert!(
        read.await.unwrap().unwrap_err().is_deadline(),
        "nothing but the scope ends one that is unbounded"
    );
}

/// As a message writes it.
fn human(d: Duration) -> &'static str {
    match d.as_secs() {
        6 => "6 s",
        305 => "5 m 5 s",
        _ => "10 m",
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_quiet_for_minutes_is_one_request_for_hours() {
    let events = Reply::ok("event;".repeat(24)).chunked().drip(6, 5 * MINUTE);
    let peer = Peer::new().forever(events.header("content-type", "application/json"));
    let layer = StackLayer::default();
    let watch = with(get("/pods?watch=1"), parked().up_to(300 * SECOND));
    let start = Instant::now();
    let mut body = call(&stack(&peer, &layer), watch).await.unwrap().into_body();
    for event in 1..=24 {
        assert_eq!(piece(&mut body).await.unwrap().unwrap(), "event;");
        assert_eq!(start.elapsed(), event * 5 * MINUTE);
        assert!(layer.in_flight().snapshot()[0].deadline_in.is_none());
    }
    assert!(piece(&mut body).await.is_none());
    assert_eq!(peer.request_count(), 1);
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn five_quiet_watches_refuse_no_list_call_beside_them() {
    let peer = Peer::new().on("/list", Reply::ok("[]")).forever(Reply::ok("event;").chunked().hang_after(6));
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    let watches: Vec<_> = (0..5)
        .map(|n| {
            let service = service.clone();
            tokio::spawn(async move {
                loop {
                    let watch = with(get(&format!("/watch/{n}")), parked().up_to(300 * SECOND));
                    let quiet = whole(call(&service, watch).await).await.unwrap_err();
                    assert!(quiet.is_stall(), "{quiet}");
                }
            })
        })
        .collect();
    for _ in 0..200 {
        sleep(10 * SECOND).await;
        assert_eq!(call(&service, get("/list")).await.unwrap().status(), 200);
        assert_eq!(layer.breakers().snapshot()[0].phase, breaker::Phase::Closed);
    }
    assert_eq!(layer.breakers().snapshot()[0].failures, 0);
    for watch in watches {
        assert!(!watch.is_finished());
        watch.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_wait_for_the_head_is_exempt_and_not_the_one_for_a_ready_service() {
    use tower::limit::ConcurrencyLimitLayer;
    use tower_layer::Layer;
    let peer = Peer::new().forever(Reply::hang());
    let layer = StackLayer::default();
    let service = layer.layer(ConcurrencyLimitLayer::new(1).layer(plain(&peer)));
    let first = tokio::spawn({
        let service = service.clone();
        async move { call(&service, with(get("/"), parked())).await }
    });
    tokio::task::yield_now().await;
    let start = Instant::now();
    let error = call(&service, with(get("/"), parked().unbounded())).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Deadline, Some(Phase::Ready)));
    assert_eq!((start.elapsed(), peer.request_count()), (30 * SECOND, 1));
    assert_eq!(consecutive(&layer), 0);
    first.abort();
}
