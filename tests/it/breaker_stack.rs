//! The circuit breaker as a part of a stack: whose it is, what streams and long polls say, and what connections do.

use crate::support::*;
use crate::watch::*;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tower_layer::Layer;
use unwedge::breaker::Phase;
use unwedge::testing::{Peer, Reply};
use unwedge::{ErrorKind, Limits, StackLayer, long_poll};

/// Larger than what is collected.
const LARGE: u64 = 2 << 20;

fn evidence(layer: &StackLayer) -> (u64, u64, u32) {
    let now = breaker(layer).snapshot();
    (now.calls, now.failures, now.consecutive_failures)
}

#[tokio::test(start_paused = true)]
async fn a_reset_or_an_end_before_the_head_is_a_failure_and_retried_when_idempotent() {
    for broken in [Reply::reset(), Reply::close(), Reply::garbage(), Reply::refuse()] {
        let peer = Peer::new().forever(broken);
        let layer = exact().breaker(steady()).build().unwrap();
        let service = stack(&peer, &layer);
        let error = call(&service, get("/")).await.unwrap_err();
        assert_eq!(error.attempts(), 4);
        assert_eq!(state(&layer), (Phase::Closed, 4));
        let error = call(&service, post("/")).await.unwrap_err();
        assert_eq!(phase(&layer), Phase::Open);
        // One that was never processed could be repeated, but the circuit is open for too long.
        assert_eq!((error.attempts(), error.retry_in()), (1, Some(5 * SECOND)), "{error}");
        assert_eq!(peer.connects(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_well_again_gets_all_its_calls_after_the_wait_and_one_probe() {
    let peer = Peer::new().times(5, Reply::reset()).forever(Reply::ok("back"));
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    calls(&service, 5).await;
    sleep(5 * SECOND).await;
    for n in 0..103 {
        assert!(call(&service, get("/")).await.is_ok(), "call {n}");
    }
    assert_eq!(state(&layer), (Phase::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reused_connection_that_went_away_is_replaced_at_once_and_is_no_failure() {
    for gone in [
        Peer::new().then(Reply::ok("first").stale_on_next()).forever(Reply::ok("second")),
        Peer::new().then(Reply::ok("first")).then(Reply::reset()).forever(Reply::ok("second")),
        Peer::new().then(Reply::ok("first")).then(Reply::close()).forever(Reply::ok("second")),
    ] {
        let layer = StackLayer::default();
        let service = stack(&gone, &layer);
        whole(call(&service, get("/")).await).await.unwrap();
        let start = Instant::now();
        let answer = call(&service, get("/")).await.unwrap();
        assert_eq!(answer.body().attempts().count, 2);
        assert_eq!(start.elapsed(), Duration::ZERO, "no back-off");
        assert_eq!(whole(Ok(answer)).await.unwrap().1, "second");
        assert_eq!(evidence(&layer), (2, 0, 0), "two successes and nothing else");
        assert_eq!(gone.request_count(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_on_a_reused_connection_that_went_away_is_not_repeated_and_no_failure() {
    let peer = Peer::new().then(Reply::ok("first")).then(Reply::reset()).forever(Reply::ok("second"));
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    whole(call(&service, get("/")).await).await.unwrap();
    let error = call(&service, post("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Transport, 1));
    assert_eq!(evidence(&layer), (1, 0, 0));
    assert_eq!(peer.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_cloned_or_applied_twice_has_one_breaker_and_two_layers_have_two() {
    let peer = Peer::new().forever(Reply::status(500));
    let (layer, stranger) = (judged(steady()), judged(steady()));
    let clone = layer.clone();
    let services = [stack(&peer, &layer), stack(&peer, &layer), stack(&peer, &clone)];
    for n in 0..5 {
        calls(&services[n % 3].clone(), 1).await;
    }
    for service in &services {
        assert!(call(service, get("/")).await.unwrap_err().is_open());
        assert_eq!(service.breakers().snapshot()[0].phase, Phase::Open);
    }
    let other = stack(&peer, &stranger);
    assert_eq!(call(&other, get("/")).await.unwrap().status(), 500);
    assert_eq!(state(&stranger), (Phase::Closed, 1));
}

#[tokio::test(start_paused = true)]
async fn every_origin_has_its_own_breaker_however_its_name_is_spelled() {
    let (peer, well) = (Peer::new().forever(Reply::status(500)), Peer::new().forever(Reply::ok("")));
    let layer = judged(steady());
    let pipe = peer.pipe().host("well.test", &well);
    let client =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build(pipe);
    let service = layer.layer(client);
    let to = |url: &str| Request::get(url).body(Full::<Bytes>::default()).unwrap();
    for url in [
        "http://peer.test/a",
        "http://PEER.test/b",
        "http://peer.test:80/c",
        "http://u:p@peer.test/",
        "http://Peer.Test",
    ] {
        assert_eq!(call(&service, to(url)).await.unwrap().status(), 500);
    }
    assert!(call(&service, get("/")).await.unwrap_err().is_open());
    assert!(call(&service, to("http://well.test/")).await.is_ok());
    let mut known: Vec<_> =
        layer.breakers().snapshot().iter().map(|b| (b.origin.to_string(), b.phase)).collect();
    known.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        known,
        [("http://peer.test".to_owned(), Phase::Open), ("http://well.test".to_owned(), Phase::Closed)]
    );
}

#[tokio::test(start_paused = true)]
async fn strangers_by_the_hundred_thousand_neither_fill_the_memory_nor_push_out_the_busy() {
    let layer = judged(steady());
    let service = layer.layer(tower::service_fn(async |request: Request<Full<Bytes>>| {
        let mut answer = Response::new(Full::<Bytes>::default());
        if request.uri().path() == "/fail" {
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        } else if request.uri().path() == "/busy" {
            // Keeps the run as it is.
            *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        }
        Ok::<_, Infallible>(answer)
    }));
    let to = |host: String, path: &str| {
        Request::get(format!("http://{host}.test{path}")).body(Full::<Bytes>::default()).unwrap()
    };
    for n in 0..10 {
        for _ in 0..4 {
            call(&service, to(format!("busy{n}"), "/fail")).await.unwrap();
        }
        for _ in 0..5 {
            call(&service, to(format!("open{n}"), "/fail")).await.unwrap();
        }
    }
    for n in 0..100_000 {
        call(&service, to(format!("stranger{n}"), "/")).await.unwrap();
        if n % 50 == 0 {
            call(&service, to(format!("busy{}", n / 50 % 10), "/busy")).await.unwrap();
        }
    }
    let known = layer.breakers().snapshot();
    assert!(known.len() <= 16_384, "{}", known.len());
    for n in 0..10 {
        let of = |host: &str| known.iter().find(|b| *b.origin == *format!("http://{host}{n}.test"));
        assert_eq!(of("busy").map(|b| b.consecutive_failures), Some(4));
        assert_eq!(of("open").map(|b| b.phase), Some(Phase::Open), "what is open is not forgotten");
    }
}

#[tokio::test(start_paused = true)]
async fn a_streamed_body_is_a_success_at_its_end_and_not_before() {
    let peer = Peer::new().forever(Reply::sized(LARGE));
    let layer = judged(steady());
    let answer = call(&stack(&peer, &layer), get("/")).await.unwrap();
    assert_eq!(evidence(&layer), (0, 0, 0));
    assert_eq!(whole(Ok(answer)).await.unwrap().1.len() as u64, LARGE);
    assert_eq!(evidence(&layer), (1, 0, 0));
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_streamed_body_that_stalls_or_breaks_is_a_failure() {
    let start = Reply::sized(LARGE);
    for (broken, kind) in [
        (start.clone().hang_after(100_000), ErrorKind::Stall),
        (start.clone().reset_after(100_000), ErrorKind::Transport),
        (start.truncate_after(100_000), ErrorKind::Transport),
    ] {
        let peer = Peer::new().forever(broken);
        let layer = judged(steady());
        let error = whole(call(&stack(&peer, &layer), get("/")).await).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (kind, Some(unwedge::Phase::Body)));
        assert_eq!(evidence(&layer), (1, 1, 1), "{error}");
        assert_eq!(peer.request_count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_leaves_a_stream_has_had_what_it_wanted() {
    let peer = Peer::new().then(Reply::status(500)).forever(Reply::sized(LARGE).drip(60_000, SECOND));
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    calls(&service, 1).await;
    let mut body = call(&service, get("/")).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    // However long the reader thinks about it.
    sleep(600 * SECOND).await;
    drop(body);
    assert_eq!(evidence(&layer), (2, 1, 0));
    assert!(layer.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_was_cut_off_after_waiting_in_vain_reports_a_hang() {
    let peer = Peer::new().forever(Reply::sized(LARGE).hang_after(60_000));
    let layer = judged(steady());
    let mut body = call(&stack(&peer, &layer), get("/")).await.unwrap().into_body();
    let ended = timeout(5 * SECOND, async { while body.frame().await.is_some() {} }).await;
    assert!(ended.is_err());
    drop(body);
    assert_eq!(state(&layer), (Phase::Closed, 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_is_a_success_at_its_head() {
    let peer =
        Peer::new().forever(Reply::endless().drip(8, SECOND).header("content-type", "text/event-stream"));
    let layer = judged(steady());
    let mut body = call(&stack(&peer, &layer), get("/")).await.unwrap().into_body();
    assert_eq!(evidence(&layer), (1, 0, 0));
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    assert_eq!(evidence(&layer), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_is_a_success_at_its_head_and_never_a_hang() {
    let poll = || {
        let mut request = get("/");
        request.extensions_mut().insert(long_poll!("jobs are parked here").up_to(30 * SECOND));
        request
    };
    let limits = Limits::default().total(3 * SECOND).attempt(2 * SECOND);
    let settings = steady().failures(2).overdue_after(SECOND);
    let peer =
        Peer::new().then(Reply::status(500)).then(Reply::ok("job").after(29 * SECOND)).forever(Reply::hang());
    let layer = each_once(settings).limits(limits).build().unwrap();
    let service = stack(&peer, &layer);
    calls(&service, 1).await;
    assert_eq!(state(&layer), (Phase::Closed, 1));
    let answer = call(&service, poll()).await.unwrap();
    assert_eq!(evidence(&layer), (2, 1, 0), "a success at its head");
    drop(answer);

    // Given up by its caller, or out of hold: neither says anything of the server.
    calls(&service, 1).await;
    assert_eq!(state(&layer), (Phase::Closed, 1));
    assert!(timeout(20 * SECOND, call(&service, poll())).await.is_err());
    let start = Instant::now();
    let error = call(&service, poll()).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Attempt, 35 * SECOND));
    assert_eq!(state(&layer), (Phase::Closed, 1));
    // Nor does it teach the breaker that 29 s are a normal silence.
    assert!(timeout(1200 * MS, call(&service, get("/"))).await.is_err());
    assert_eq!(state(&layer), (Phase::Closed, 2));
}
